"""``korthweb test``: every check there is, side by side, and an honest count at the end."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import invoke

from korthweb_tasks.collections.flags import task
from korthweb_tasks.errors import UsageError

if TYPE_CHECKING:
    from korthweb_tasks.collections.checks_run import Check
    from korthweb_tasks.services.session import Session

KINDS = ("static", "unit", "simulated", "lab")
LABS = ("simulated", "lab")
#: tells the tests that their long forms are wanted (tests/conftest.py)
LONG = "KORTHWEB_LONG"


@task(
    example="korthweb test --only static,unit",
    cluster=False,
    changes=False,
    help={
        "only": f"some of {', '.join(KINDS)}, with commas (default: all)",
        "long": "the long forms too, which take an hour",
    },
)
def test(session: Session, only: str = "", long: bool = False) -> None:  # noqa: PT028 - a task, not a test
    """Run ruff, mypy, the unit tests, the simulated tests and the real lab end to end, in a checkout."""
    from korthweb_tasks.collections import checks_run

    kinds = _kinds(only)
    if long:
        os.environ[LONG] = "1"
    if not (checks_run.ROOT / "tests" / "conftest.py").is_file():
        raise UsageError("the tests are not in an installed package", hint="`./korthweb test` in a checkout")
    chosen = [check for check in checks_run.all_checks() if check.kind in kinds]
    folder = checks_run.ROOT / ".korthweb" / "tests"
    needs = {kind: prepare(kind, more="lab" in kinds and kind != "lab") for kind in LABS}
    checks = checks_run.Checks(chosen, session.console, folder, impossible, needs)
    with session.console.table("Checks"):
        outcomes = checks.run()
    session.console.line(f"logs and JUnit files: {checks_run.merged(outcomes, folder).parent}")
    session.emit(checks_run.data(outcomes), checks_run.text(outcomes))
    if checks_run.totals(outcomes)[1]:
        raise invoke.Exit(code=1)  # the last line of the text is the last word


def _kinds(only: str) -> list[str]:
    """Return the kinds of checks in a list with commas, all of them for an empty one."""
    kinds = [word.strip() for word in only.split(",") if word.strip()] or list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            from korthweb_tasks.settings.words import unknown

            raise unknown("kind of checks", kind, KINDS, "--only takes")
    return kinds


def prepare(kind: str, *, more: bool) -> Check:
    """Return what makes binaries and images for the checks of ``kind``; it yields to whatever else runs.

    ``more`` will be built after it, so that the build caches are kept.
    """
    from korthweb_tasks.collections.checks_run import Check

    command = ("nice", "-n", "15", sys.executable, "-u", "-m", "korthweb_tasks.collections.checks_prepare", kind)
    return Check(f"what the {kind} tests need", kind, (*command, *(["keep-caches"] if more else [])))


def impossible(check: Check) -> str:
    """Return why this machine can't run ``check``; nothing where it can."""
    if check.kind not in LABS:
        return ""
    from korthweb_tasks.lab import preflight

    return preflight.impossible(simulated=check.kind == "simulated")
