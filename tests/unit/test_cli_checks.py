"""What ``korthweb test`` runs, counts and says; with small programs in place of the real checks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from korthweb_tasks.errors import Interrupted, ToolMissing, UsageError
from korthweb_tasks.run.children import watched
from korthweb_tasks.run.console import Console
from korthweb_tasks.services import checks
from korthweb_tasks.services.checks import Check, Checks, Outcome

TESTS = """
import pytest
def test_a(): pass
def test_b(): pass
def test_c(): assert False, "as it should"
@pytest.mark.skip(reason="no such thing here")
def test_d(): pass
"""


def python(code: str, name: str = "check", *, kind: str = "unit", tests: bool = False) -> Check:
    return Check(name, kind, (sys.executable, "-c", code), tests)


def runner(tmp_path: Path, *chosen: Check, prepare: Check | None = None, impossible: str = "") -> Checks:
    def reason(check: Check) -> str:
        return impossible if check.kind == "lab" else ""

    needs = {"lab": prepare} if prepare else {}
    return Checks(chosen, Console(stream=io.StringIO()), tmp_path / "out", reason, needs, root=tmp_path)


def test_the_real_checks_are_of_the_four_kinds() -> None:
    assert [check.kind for check in checks.all_checks()] == ["static"] * 3 + [
        "unit",
        *["simulated"] * 2,
        *["lab"] * 4,
    ]
    assert {check.kind for check in checks.all_checks()} == set(checks.KINDS)


def test_only_takes_several_kinds_and_refuses_others() -> None:
    assert checks.kinds_in("") == list(checks.KINDS)
    assert checks.kinds_in("unit, static") == ["unit", "static"]
    with pytest.raises(UsageError, match="no kind of checks 'bogus'"):
        checks.kinds_in("unit,bogus")


def test_a_program_counts_as_one(tmp_path: Path) -> None:
    good, bad = runner(tmp_path, python("print(1)", "good"), python("print('why'); exit(3)", "bad")).run()
    assert (good.passed, good.failed, good.skipped) == (1, 0, 0)
    assert (bad.passed, bad.failed, bad.skipped) == (0, 1, 0)
    assert bad.excerpt == "why"


def test_pytest_counts_its_tests(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    suite = Check("some tests", "unit", (sys.executable, "-m", "pytest", "test_some.py"), tests=True)
    (outcome,) = runner(tmp_path, suite).run()
    assert (outcome.passed, outcome.failed, outcome.skipped) == (2, 1, 1)
    assert outcome.reasons == ["test_some::test_d: no such thing here"]
    assert "as it should" in outcome.excerpt
    said = checks.text([outcome]).splitlines()
    assert said[-1] == "2 passed, 1 failed, 1 skipped"
    assert "  test_some::test_d: no such thing here" in said


def test_the_slowest_tests_are_told() -> None:
    times = [(seconds, f"test_some::test_{seconds}") for seconds in (0.5, *range(1, 40))]
    said = checks.text([Outcome(python("", "x"), passed=40, times=times)]).splitlines()
    told = said[said.index("slowest:") + 1 : -1]
    assert len(told) == checks.SLOWEST
    assert told[0].split() == ["39", "s", "test_some::test_39"]
    assert "slowest:" not in checks.text([Outcome(python("", "x"), passed=1, times=times[:1])])


def test_no_tests_at_all_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").touch()
    suite = Check("no tests", "unit", (sys.executable, "-m", "pytest", "test_none.py"), tests=True)
    (outcome,) = runner(tmp_path, suite).run()
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_a_file_of_an_earlier_run_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "crash.xml").write_text('<testsuite><testcase name="old"/></testsuite>', encoding="utf-8")
    (outcome,) = runner(tmp_path, python("exit(4)", "crash", tests=True)).run()
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_what_can_not_run_here_is_said_and_nothing_is_prepared_for_it(tmp_path: Path) -> None:
    lab = python("open('ran', 'w')", "lab tests", kind="lab")
    prepare = python("open('prepared', 'w')", "prepare")
    outcomes = runner(tmp_path, lab, prepare=prepare, impossible="no root").run()
    assert sorted(path.name for path in tmp_path.iterdir()) == []
    assert "lab tests could not run here: no root" in checks.text(outcomes)
    assert checks.totals(outcomes) == (0, 0, 1)


def test_a_check_of_the_lab_waits_for_what_it_needs(tmp_path: Path) -> None:
    lab = python("assert open('prepared').read()", "lab tests", kind="lab")
    prepare = python("import time; time.sleep(0.3); open('prepared', 'w').write('yes')", "prepare")
    assert checks.totals(runner(tmp_path, python(""), lab, prepare=prepare).run()) == (2, 0, 0)
    (outcome,) = runner(tmp_path, lab, prepare=python("exit(11)", "builds")).run()
    assert outcome.failed == 1
    assert "builds failed" in outcome.excerpt


def test_all_suites_end_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    suite = Check("some tests", "unit", (sys.executable, "-m", "pytest", "test_some.py"), tests=True)
    lab = python("", "lab tests", kind="lab")
    outcomes = runner(tmp_path, suite, python("exit(1)", "bad"), lab, impossible="no root").run()
    root = ElementTree.parse(checks.merged(outcomes, tmp_path / "out")).getroot()
    assert len(list(root.iter("testcase"))) == 6
    assert len(list(root.iter("failure"))) == 2
    assert len(list(root.iter("skipped"))) == 2


def test_data_has_the_same_counts() -> None:
    found = checks.data([Outcome(python("", "x"), passed=3, skipped=1, reasons=["why"])])
    assert (found["passed"], found["failed"], found["skipped"]) == (3, 0, 1)


def test_a_child_is_stopped_gently_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True)\n"
        "try:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('cleaned up', flush=True); open('cleaned', 'w')\n"
    )
    stop = threading.Event()
    seen: list[str] = []

    def note(line: str) -> None:
        seen.append(line)
        threading.Timer(0.3, stop.set).start()

    with pytest.raises(Interrupted):
        watched([sys.executable, "-c", code], tmp_path / "log", note=note, stop=stop, cwd=tmp_path, grace=5)
    assert (tmp_path / "cleaned").exists()
    assert gone(int(seen[0]))


def test_what_a_child_left_behind_neither_blocks_nor_stays(tmp_path: Path) -> None:
    began = time.monotonic()
    seen: list[str] = []
    words = ["sh", "-c", "sleep 60 & echo $!"]
    assert watched(words, tmp_path / "log", note=seen.append, stop=threading.Event()) == 0
    assert time.monotonic() - began < 10
    assert gone(int(seen[-1]))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        watched(["no-such-program"], tmp_path / "log", note=print, stop=threading.Event())


def gone(pid: int) -> bool:
    """Say whether a process has ended (a zombie has)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if state.stdout.strip() in ("", "Z"):
            return True
        time.sleep(0.05)
    return not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
