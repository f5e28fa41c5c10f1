"""What the tasks print of logs, without a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.run.runner import Runner, Stream
from korthweb_tasks.services.gitops.log import print_stream, recent
from korthweb_tasks.tools.flux import Flux
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


FLUX = Flux(Cluster("site"))


def test_recent_lines_of_all_controllers_are_in_the_order_of_time() -> None:
    runner = ScriptedRunner(
        {
            ("deployment/source-controller", "--tail=2"): Answer(line(1, "a") + line(4, "d")),
            ("deployment/helm-controller", "--tail=2"): Answer(line(2, "b") + "\n" + line(3, "c")),
        }
    )
    found = recent(cast("Runner", runner), FLUX, ["source-controller", "helm-controller"], 2)
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
    print_stream(cast("Runner", runner), FLUX, ["source-controller"], 5, as_json=output == "json")
    printed = capsys.readouterr().out.splitlines()
    objects = [json.loads(one)["object"] for one in printed] if output == "json" else [one[15:18] for one in printed]
    assert objects == ["X a", "X b"]
