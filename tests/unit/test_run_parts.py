"""The console under many threads, the lock that was lost, the journal on a bad disk, the page of exit codes."""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.collections.errors_out import described
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Plan, Step
from korthweb_tasks.errors import Interrupted, KorthwebError, NoSpace, UsageError
from korthweb_tasks.run import lock
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl
from tests.fakes import Answer, ScriptedRunner

KUBECTL = Kubectl(Cluster("test"))


class Refreshing:
    """A live table that is being drawn by another thread while a line is printed, as rich's is."""

    def __init__(self, console: Console) -> None:
        self.own, self.seen = console, list[str]()
        self.console = self

    def print(self, text: str, **_: Any) -> None:
        drawn = threading.Thread(target=lambda: self.own._render("t"), daemon=True)
        drawn.start()
        drawn.join(5)
        assert not drawn.is_alive(), "the table can't be drawn while a line is printed"
        self.seen.append(text)


def test_a_line_and_the_live_table_do_not_wait_for_each_other() -> None:
    console = Console(stream=io.StringIO())
    console._live = live = Refreshing(console)
    console.line("hello")
    assert live.seen == ["hello"]


def test_an_interrupted_piece_of_work_is_not_called_failed() -> None:
    console = Console(stream=(said := io.StringIO()))
    with pytest.raises(Interrupted), console.task("build"):
        raise Interrupted("interrupted")
    assert "! build: interrupted" in said.getvalue()


HOLDER, LEASE = "here/1/2", '{"spec": {"holderIdentity": "%s"}}'


@pytest.mark.parametrize(
    ("patch", "get", "ours"),
    [
        (Answer(), Answer(), True),
        (Answer(code=1), Answer(LEASE % HOLDER), True),
        (Answer(code=1, stderr="connection refused"), Answer(code=1), True),  # not known is not lost
        (Answer(code=1), Answer(LEASE % "there/3/4"), False),
        (Answer(code=1), Answer(""), False),
    ],
)
def test_a_lock_that_somebody_else_took_is_lost(patch: Answer, get: Answer, ours: bool) -> None:
    held = lock.Lock(Runner(), KUBECTL, print, holder=HOLDER)
    runner = ScriptedRunner({("patch",): patch, ("get",): get})
    assert held._renewed(runner) is ours  # type: ignore[arg-type]
    assert HOLDER in runner.calls[0].argv[-1]


def test_a_lost_lock_stops_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    monkeypatch.setattr(lock.Lock, "_renewed", lambda *_: False)
    said: list[str] = []
    held = lock.Lock(Runner(), KUBECTL, said.append)
    held._beat()
    assert held.runner.stopped
    assert "somebody else has taken the lock" in said[0]


def test_what_explains_a_failure_may_itself_be_missing() -> None:
    step = Step(
        kind="a",
        title="a",
        actions=(Command(argv=("sh", "-c", "echo why >&2; exit 3")),),
        on_failure=(Command(argv=("no-such-program",)), Command(argv=("echo", "more"))),
    )
    walk = Executor(Runner(patience=0), KUBECTL, Console(quiet=True))
    (record,) = walk.apply(Plan("p", (step,)))
    assert record.verdict == "failed"
    assert walk.faults["a"].details == "why\nmore"


def _fails(number: int) -> Callable[..., None]:
    def mkdir(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    return mkdir


def test_only_a_full_disk_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", _fails(errno.ENOSPC))
    assert _refused(tmp_path).exit_code == NoSpace.exit_code
    monkeypatch.setattr(Path, "mkdir", _fails(errno.EACCES))
    assert _refused(tmp_path).exit_code == UsageError.exit_code


def _refused(folder: Path) -> KorthwebError:
    with pytest.raises(OSError, match="no") as caught:
        Journal.begin(folder, "t")
    return described(caught.value)
