"""What every proof begins and ends with: a preview or the consent, and its report on disk and on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from korthweb_tasks.core.words import known_output
from korthweb_tasks.report.formats import OUTPUTS, write
from korthweb_tasks.report.model import About, Report
from korthweb_tasks.run.answer import preview, publish
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.run.guard import allow
from korthweb_tasks.services import simulated
from korthweb_tasks.services.session import Session


def begun(session: Session, output: str, planned: Iterable[str], *, changes: bool, yes: bool) -> bool:
    """Return True if the proof may begin, False where ``planned`` was shown instead (--dry-run).

    What ``changes`` something asks first, and runs alone: two proofs would take each other's changes for faults.
    """
    known_output(output, OUTPUTS)
    if session.dry_run:
        preview(output, planned)
        return False
    session.contact()
    simulated.refuse(session)
    if changes:
        allow(session.ref, yes=yes)
        session.lock()
    return True


def report_of(about: About, title: str, began: datetime, **records: Any) -> Report:
    """Return the report of a proof that began then and ends now."""
    seconds = (datetime.now(timezone.utc) - began).total_seconds()
    return Report(title=title, **about, started=began.isoformat(timespec="seconds"), seconds=seconds, **records)


def publish_report(console: Console, report: Report, folder: str | None, output: str, lines: Iterable[str]) -> None:
    """Write the report into ``folder``, where one is named, and print it; ``lines`` are its text."""
    if folder:
        console.line(f"The report: {write(report, Path(folder))['report.html']}")
    publish(report, output)
    if output == "text":
        for line in lines:
            say(line)
