"""What the tasks print of logs, without a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.run.runner import Stream
from korthweb_tasks.services.gitops.log import recent, streamed
from korthweb_tasks.settings.model import Settings
from tests.fakes import Answer, ScriptedRunner


def line(second: int, name: str) -> str:
    entry = {
        "ts": f"2026-11-22T19:55:0{second}Z",
        "level": "info",
        "msg": "applied",
        "controllerKind": "X",
        "name": name,
    }
    return json.dumps(entry) + "\n"


def session(runner: Any, output: str = "text") -> Any:
    return SimpleNamespace(runner=runner, target=Cluster("site"), output=output, settings=Settings())


def test_recent_lines_of_all_controllers_are_in_the_order_of_time() -> None:
    runner = ScriptedRunner(
        {
            ("deployment/source-controller", "--tail=2"): Answer(line(1, "a") + line(4, "d")),
            ("deployment/helm-controller", "--tail=2"): Answer(line(2, "b") + "\n" + line(3, "c")),
        }
    )
    found = recent(session(runner), ["source-controller", "helm-controller"], 2)
    assert [one.object for one in found] == ["X a", "X b", "X c", "X d"]


class Streams(ScriptedRunner):
    """Gives each stream's text by a pipe, in two pieces, and ends."""

    @contextmanager
    def stream(self, command: Command) -> Iterator[Any]:
        text = self.check(command).stdout.encode()
        read, write = os.pipe()
        os.write(write, text[:10])
        os.write(write, text[10:])
        os.close(write)
        try:
            yield Stream(read)
        finally:
            os.close(read)


@pytest.mark.parametrize("output", ["text", "json"])
def test_following_prints_whole_lines_and_ends_with_the_last_controller(
    capsys: pytest.CaptureFixture[str], output: str
) -> None:
    runner = Streams({("--follow",): Answer(line(1, "a") + line(2, "b"))})
    streamed(session(runner, output), ["source-controller"], 5)
    printed = capsys.readouterr().out.splitlines()
    objects = [json.loads(one)["object"] for one in printed] if output == "json" else [one[15:18] for one in printed]
    assert objects == ["X a", "X b"]
