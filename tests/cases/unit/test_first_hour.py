"""The first hour: help installs nothing (U29), a word means the same everywhere (U32), an interrupt is no lie (U33)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import invoke
import pytest

from korthweb_tasks.core.plan import Plan
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import Interrupted, StepFailed, UsageError
from korthweb_tasks.main import program
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.services.execution import Execution
from korthweb_tasks.services.session import Session
from tests.unit.test_cli_launcher import World
from tests.unit.test_executor import executor, step


@pytest.mark.parametrize("words", [("--help", "test"), ("-h", "test"), ("test", "--help"), ("--list", "test")])
def test_U29_help_installs_nothing_for_the_tests(words: tuple[str, ...], tmp_path: Path) -> None:
    """U29: whatever the order of the words."""
    world = World(tmp_path)
    world.launch(*words)
    assert world.calls() == ["venv", "pip CLONE"]
    world.launch("test")
    assert world.calls() == ["pip CLONE[dev]"]


def ended(records: tuple[StepRecord, ...], walk: Executor) -> BaseException:
    """Return what is raised after these records."""
    execution = Execution(Plan("p", ()), walk, Console(quiet=True), {"context": "x", "server": "", "settings": ""})
    with pytest.raises((Interrupted, StepFailed)) as raised:
        execution.refuse_failed(records, Journal.begin(Path("runs"), "p"))
    return raised.value


def test_U33_steps_that_never_began_are_not_called_interrupted() -> None:
    """U33: after Ctrl-C the running step was interrupted; those behind it were not begun."""
    plan = Plan("p", (step("a"), step("b", "sleep 30", "a"), step("c", "true", "b")))
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    walk = executor()
    records = walk.apply(plan)
    assert {one.name: one.verdict for one in records} == {"a": "changed", "b": "interrupted", "c": "skipped"}
    assert str(ended(records, walk)).startswith("interrupted; not finished: b; not begun: c")


def test_U33_after_a_failure_nothing_was_interrupted() -> None:
    """U33: what needs a failed step was not begun either, and the failure is the news."""
    walk = executor()
    records = walk.apply(Plan("p", (step("a", "exit 3"), step("b", "true", "a"))))
    assert {one.name: one.verdict for one in records} == {"a": "failed", "b": "skipped"}
    assert isinstance(ended(records, walk), StepFailed)


@pytest.mark.parametrize(("given", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), (300, 300)])
def test_U32_a_time_is_written_in_the_same_forms_as_a_flag_and_in_the_settings(given: str, seconds: float) -> None:
    """U32: --timeout takes what timeouts.step takes."""
    Path("korthweb.yaml").write_text(f"timeouts: {{step: {given}}}\n")
    c = invoke.Context(invoke.Config())
    assert Session.open(c).settings.timeouts.step == seconds
    Path("korthweb.yaml").unlink()
    assert Session.open(c, timeout=given).settings.timeouts.step == seconds


@pytest.mark.parametrize("given", ["x", "-3", "0", "10y", "inf", "nan", "1e400"])
def test_U32_what_is_no_time_is_refused_with_the_forms_that_are(given: str) -> None:
    """U32: the hint names them."""
    with pytest.raises(UsageError, match=f"--timeout {given} is not a time") as raised:
        Session.open(invoke.Context(invoke.Config()), timeout=given)
    assert "--timeout 10m" in raised.value.hint


@pytest.mark.parametrize("words", [("--out", "a", "--out", "b"), ("--out=a", "--out=b"), ("--out", "a", "--out=b")])
def test_U32_a_repeated_flag_is_not_taken_for_a_task(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """U32: the mistake is named."""
    with pytest.raises(SystemExit) as ended:
        program.run(["korthweb", "manual.render", *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --out is given twice")
