"""What the checks are, running them two at a time, and what came of them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import invoke

from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import UsageError, tail
from korthweb_tasks.lab import labs
from korthweb_tasks.run.children import watched
from korthweb_tasks.run.console import Console

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

KINDS = ("static", "unit", "simulated", "lab")
LABS = ("simulated", "lab")
#: tells the tests that their long forms are wanted (tests/conftest.py)
LONG = "KORTHWEB_LONG"

#: the checkout
ROOT = Path(__file__).parents[2]
LANES = 2
#: how many of the slowest tests are shown
SLOWEST = 12
#: asks who made what in a whole cluster, so it has one to itself
APART = ("--ignore=tests/cases/simulated/test_ownership.py",)


@dataclass(frozen=True)
class Check:
    """One program to run. ``tests``: it is pytest, which counts its tests in a JUnit file."""

    name: str
    kind: str
    argv: tuple[str, ...]
    tests: bool = False


@dataclass
class Outcome:
    """What came of one check. ``reasons`` says why something was skipped; ``excerpt`` is the end of a failure's log."""

    check: Check
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)
    excerpt: str = ""
    #: seconds and name of each test, with what it made for others
    times: list[tuple[float, str]] = field(default_factory=list)

    @property
    def word(self) -> str:
        """Return the counts, in words."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(session: Session, only: str, *, long: bool) -> None:
    """Run the checks of the kinds in ``only``, a list with commas (all for an empty one), and show the counts.

    Raises UsageError, and Exit with code 1 where a check failed.
    """
    kinds = kinds_in(only)
    if long:
        os.environ[LONG] = "1"
    if not (ROOT / "tests" / "conftest.py").is_file():
        raise UsageError("the tests are not in an installed package", hint="`./korthweb test` in a checkout")
    chosen = [check for check in all_checks() if check.kind in kinds]
    folder = ROOT / ".korthweb" / "tests"
    needs = {kind: prepare(kind, more="lab" in kinds and kind != "lab") for kind in LABS}
    checks = Checks(chosen, session.console, folder, impossible, needs)
    with session.console.table("Checks"):
        outcomes = checks.run()
    session.console.line(f"logs and JUnit files: {merged(outcomes, folder).parent}")
    session.emit(data(outcomes), text(outcomes))
    if totals(outcomes)[1]:
        raise invoke.Exit(code=1)  # the last line of the text is the last word


def kinds_in(only: str) -> list[str]:
    """Return the kinds of checks in a list with commas, all of them for an empty one; raises UsageError."""
    kinds = [word.strip() for word in only.split(",") if word.strip()] or list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of checks", kind, KINDS, "--only takes")
    return kinds


def prepare(kind: str, *, more: bool) -> Check:
    """Return what makes binaries and images for the checks of ``kind``; it yields to whatever else runs.

    ``more`` will be built after it, so that the build caches are kept.
    """
    command = ("nice", "-n", "15", sys.executable, "-u", "-m", "korthweb_tasks.services.checks_prepare", kind)
    return Check(f"what the {kind} tests need", kind, (*command, *(["keep-caches"] if more else [])))


def impossible(check: Check) -> str:
    """Return why this machine can't run ``check``; nothing where it can."""
    return labs.impossible(simulated=check.kind == "simulated") if check.kind in LABS else ""


def all_checks() -> tuple[Check, ...]:
    """Return the checks in the order they are begun in: the quick ones first, the lab last."""
    workers = str(min(os.cpu_count() or 1, 8))
    return (
        Check("ruff check", "static", _python("ruff", "check", ".")),
        Check("ruff format", "static", _python("ruff", "format", "--check", ".")),
        Check("mypy", "static", _python("mypy")),
        Check("unit tests", "unit", _pytest("unit", "cases/unit", options=("-n", workers)), tests=True),
        Check("simulated tests", "simulated", _pytest("simulated", "cases/simulated", options=APART), tests=True),
        Check("simulated tests of ownership", "simulated", _pytest("cases/simulated/test_ownership.py"), tests=True),
        # each has labs of its own; the longest first
        Check("lab tests of GitOps", "lab", _pytest("lab/gitops"), tests=True),
        Check("lab tests of the approaches", "lab", _pytest("lab/approaches"), tests=True),
        Check("lab tests of the cases", "lab", _pytest("cases/lab"), tests=True),
        Check("lab tests of the node", "lab", _pytest("lab/node"), tests=True),
    )


def _python(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *words)


def _pytest(*folders: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    return _python("pytest", *(f"tests/{folder}" for folder in folders), "-v", "--tb=short", "--color=no", *options)


@dataclass
class Checks:
    """Runs checks; what the labs need is built at a low priority from the first second on.

    ``impossible`` says why a check can't run on this machine (nothing: it can). ``prepare`` has, for kinds of
    checks, what makes binaries and images for them, in the order in which it is done.
    """

    checks: Sequence[Check]
    console: Console
    folder: Path
    impossible: Callable[[Check], str]
    prepare: Mapping[str, Check] = field(default_factory=dict)
    root: Path = ROOT
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[Outcome]:
        """Run everything and return the outcomes in the order of the checks."""
        wanted = {check.kind for check in self.checks if not self.impossible(check)}
        with ThreadPoolExecutor(LANES) as lanes, ThreadPoolExecutor(1) as aside:
            made = {kind: aside.submit(self._run, check) for kind, check in self.prepare.items() if kind in wanted}
            futures = [lanes.submit(self._one, check, made.get(check.kind)) for check in self.checks]
            try:
                wait(futures)
            except KeyboardInterrupt:
                self.console.line("interrupted: the checks that run are being ended")
                self.stop.set()
                for future in futures:
                    future.cancel()
                raise
        return [future.result() for future in futures]

    def _one(self, check: Check, prepared: Future[Outcome] | None) -> Outcome:
        """Run one check once what it needs is there; a check that can't run here is one that is skipped."""
        if reason := self.impossible(check):
            self.console.line(f"  - {check.name}: can not run here: {reason}")
            return Outcome(check, skipped=1, reasons=[f"{check.name} could not run here: {reason}"])
        if prepared and (failed := prepared.result()).failed:
            return Outcome(
                check, failed=1, excerpt=f"{check.name} did not run: {failed.check.name} failed\n{failed.excerpt}"
            )
        return self._run(check)

    def _run(self, check: Check) -> Outcome:
        log, junit = self.folder / f"{slug(check)}.log", self.folder / f"{slug(check)}.xml"
        junit.unlink(missing_ok=True)
        argv = (*check.argv, f"--junitxml={junit}") if check.tests else check.argv
        outcome, began = Outcome(check), time.monotonic()
        with suppress(_Bad), self.console.task(check.name) as row:
            code = watched(argv, log, note=row.update, stop=self.stop, cwd=self.root)
            count(outcome, code, junit if check.tests else None)
            row.result = outcome.word if check.tests else ""
            if outcome.failed:
                row.update(outcome.word if check.tests else f"exit code {code}")
                outcome.excerpt = tail(log.read_text(encoding="utf-8", errors="replace"), 150)
                raise _Bad
        outcome.seconds = time.monotonic() - began
        return outcome


class _Bad(Exception):
    """Makes the console's row a failed one."""


def slug(check: Check) -> str:
    """Return a check's name as a part of file names."""
    return check.name.replace(" ", "-")


def count(outcome: Outcome, code: int, junit: Path | None) -> None:
    """Fill in the counts: from the JUnit file, or one for the program itself; a bad exit code is never good."""
    if junit is None:
        outcome.passed, outcome.failed = (1, 0) if code == 0 else (0, 1)
        return
    with suppress(OSError, ElementTree.ParseError):
        for case in ElementTree.parse(junit).getroot().iter("testcase"):
            skipped, name = case.find("skipped"), f"{case.get('classname')}::{case.get('name')}"
            outcome.times.append((float(case.get("time", 0)), name))
            if case.find("failure") is not None or case.find("error") is not None:
                outcome.failed += 1
            elif skipped is not None:
                outcome.skipped += 1
                outcome.reasons.append(f"{name}: {skipped.get('message')}")
            else:
                outcome.passed += 1
    if code != 0 and not outcome.failed:  # no tests found, an error while collecting, a crash
        outcome.failed = 1


def text(outcomes: Sequence[Outcome]) -> str:
    """Return what ran, what failed, what was skipped and why; the last line is for machines that read logs."""
    width = max(len(outcome.check.name) for outcome in outcomes)
    lines = []
    for outcome in (outcome for outcome in outcomes if outcome.failed):
        lines += [f"== {outcome.check.name} failed", outcome.excerpt, ""]
    lines.append(f"{'':<{width}}  passed  failed  skipped  seconds")
    for outcome in outcomes:
        counts = f"{outcome.passed:>6}  {outcome.failed:>6}  {outcome.skipped:>7}  {outcome.seconds:>7.1f}"
        lines.append(f"{outcome.check.name:<{width}}  {counts}")
    if reasons := [reason for outcome in outcomes for reason in outcome.reasons]:
        lines += ["skipped:", *(f"  {reason}" for reason in reasons)]
    slow = sorted((one for outcome in outcomes for one in outcome.times), reverse=True)[:SLOWEST]
    if slow := [(seconds, name) for seconds, name in slow if seconds >= 1]:
        lines += ["slowest:", *(f"  {duration(seconds):>11}  {name}" for seconds, name in slow)]
    passed, failed, skipped = totals(outcomes)
    return "\n".join([*lines, f"{passed} passed, {failed} failed, {skipped} skipped"])


def totals(outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    """Return how many passed, failed and were skipped in all."""
    sums = [sum(getattr(outcome, name) for outcome in outcomes) for name in ("passed", "failed", "skipped")]
    return sums[0], sums[1], sums[2]


def data(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return the same as plain data."""
    names = ("passed", "failed", "skipped", "seconds", "reasons")
    return {
        **dict(zip(names, totals(outcomes), strict=False)),
        "checks": [{"name": o.check.name, **{name: getattr(o, name) for name in names}} for o in outcomes],
    }


def merged(outcomes: Sequence[Outcome], folder: Path) -> Path:
    """Write ``all.xml``: the JUnit suites of all checks; a program that is not pytest is a suite of one case."""
    suites = ElementTree.Element("testsuites", name="korthweb")
    for outcome in outcomes:
        junit = folder / f"{slug(outcome.check)}.xml"
        if outcome.check.tests and junit.is_file():
            suites.extend(ElementTree.parse(junit).getroot().iter("testsuite"))
            continue
        counts = {"tests": "1", "failures": str(outcome.failed), "skipped": str(outcome.skipped), "errors": "0"}
        suite = ElementTree.SubElement(suites, "testsuite", {"name": outcome.check.name, **counts})
        seconds = f"{outcome.seconds:.3f}"
        case = ElementTree.SubElement(suite, "testcase", classname="korthweb", name=outcome.check.name, time=seconds)
        if outcome.failed:
            ElementTree.SubElement(case, "failure", message=outcome.check.name).text = outcome.excerpt
        elif outcome.skipped:
            ElementTree.SubElement(case, "skipped", message="; ".join(outcome.reasons))
    path = folder / "all.xml"
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    return path
