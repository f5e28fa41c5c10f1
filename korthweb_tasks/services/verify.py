"""What `verify.*` does: the ladder of each tenant, shown rung by rung, and the report of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration, milliseconds
from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import VerifyFailed
from korthweb_tasks.report.model import Report, RungRecord, TenantSummary
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.services import proof
from korthweb_tasks.services.session import Session
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.verify.endpoints import as_told, find_endpoint, let_in_without_sni, permitted, tenant_summary
from korthweb_tasks.verify.ladder import PARTS, Rung, chosen, in_order, verify
from korthweb_tasks.verify.limits import largest
from korthweb_tasks.verify.model import Endpoint, Options
from korthweb_tasks.verify.options import folder_of, options_of, refuse_several
from korthweb_tasks.verify.pods import KubectlAccess

#: lines about single files on a screen
NOTES = 30
#: seconds that new pods have at least, however short --timeout is
RESTART = 300.0
MARKS = {"passed": "✓", "broken": "✗", "not reached": "-", "left out": "-"}
VERDICTS: Mapping[str, Verdict] = {"passed": "changed", "broken": "failed"}


def whole_ladder(
    session: Session,
    flags: Mapping[str, str | None],
    approach: str | None,
    study: str | None,
    report: str | None,
    output: str,
    *,
    restart: bool,
    yes: bool,
) -> Report | None:
    """Verify each tenant by every rung; ``restart`` deletes its pods, which a person is asked about."""
    seconds = max(session.settings.timeouts.step, RESTART)
    options = options_of(flags, session.timeout, restart=restart, study=folder_of(study), restart_timeout=seconds)
    return prove(session, options, approach, report, output, changes=restart, yes=yes)


def part(
    session: Session,
    name: str,
    flags: Mapping[str, str | None],
    approach: str | None,
    report: str | None,
    output: str,
    study: str | None = None,
) -> Report | None:
    """Verify each tenant by the rungs of one part (``https``, ``dicom``, ``certificates``) and what these need."""
    options = options_of(flags, session.timeout, only=PARTS[name], study=folder_of(study))
    return prove(session, options, approach, report, output)


def prove(
    session: Session,
    options: Options,
    approach: str | None,
    folder: str | None,
    output: str,
    *,
    changes: bool = False,
    yes: bool = False,
) -> Report | None:
    """Verify each tenant, show and write what was seen. Raises VerifyFailed with the first broken rung."""
    approach = approach or session.settings.approach
    approach_of(approach)
    options = replace(options, approach=approach)
    refuse_several(options, approach, len(session.tenants))
    if not proof.begun(session, output, _planned(options), changes=changes, yes=yes):
        return None
    report = verified(session, options, approach, text=output == "text")
    proof.publish_report(session.console, report, folder, output, [summary(report)])
    if rung := report.broken:
        raise VerifyFailed(f"{rung.tenant}: the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)
    return report


def verified(session: Session, options: Options, approach: str, *, text: bool = False) -> Report:
    """Verify every tenant of the session and return what was seen; a broken rung is not an exception."""
    began = datetime.now(timezone.utc)
    rungs: list[RungRecord] = []
    tenants: list[TenantSummary] = []
    for tenant in session.tenants:
        endpoint = as_told(find_endpoint(session.runner.run, session.kubectl, tenant, approach), options)
        orthanc = orthanc_json(session.settings, tenant)
        endpoint = permitted(endpoint, orthanc, options.calling_aet)
        chart = session.settings.charts["orthanc"].values if approach_of(approach).releases else {}
        endpoint = let_in_without_sni(endpoint, tenant, chart)
        options = replace(options, largest=largest(session.settings, orthanc))
        tenants.append(tenant_summary(endpoint, hints.task(f"{approach}.credentials", tenant=tenant.name, show=True)))
        rungs += _verify(session, tenant, endpoint, options, approach, text)
    title = f"Verification of {' and '.join(tenant.name for tenant in session.tenants)}"
    return proof.report_of(session.about, title, began, rungs=tuple(rungs), tenants=tuple(tenants))


def _verify(
    session: Session, tenant: Tenant, endpoint: Endpoint, options: Options, approach: str, text: bool
) -> tuple[RungRecord, ...]:
    selector = approach_of(approach).lookup.selector
    access = KubectlAccess(session.runner, session.kubectl, tenant.namespace, selector, endpoint)
    title = f"Verifying {tenant.name}: {endpoint.web_host} and {endpoint.dicom_host} at {endpoint.address or '?'}"
    view = _View(session.console, live=session.console.terminal, text=text)
    if view.live:
        with session.console.table(title):
            for rung in in_order(chosen(options.only), options):
                session.console.row(rung.name, rung.title)
            return verify(endpoint, access, options, view.end, view.begin, view.progress)
    view.line(title)
    return verify(endpoint, access, options, view.end, view.begin, view.progress)


class _View:
    """Shows rungs as they end: in the live table, else as lines (on stdout where they are what was asked for)."""

    def __init__(self, console: Console, *, live: bool, text: bool) -> None:
        self.console, self.live = console, live
        self.line = say if text else console.line

    def begin(self, rung: Rung) -> None:
        """Show that a rung begins; where there is no table, a long one has a line a minute."""
        self.console.begin(rung.name, rung.title)

    def progress(self, rung: Rung, text: str) -> None:
        """Show how far a rung has come."""
        self.console.note(rung.name, text)

    def end(self, result: RungRecord) -> None:
        """Show how a rung ended."""
        if self.live:
            self.console.end(_record(result))
        else:
            self.console.drop(result.name)
            self.line(line_of(result))


def _record(result: RungRecord) -> StepRecord:
    # Milliseconds are part of the detail: the table's own column has tenths of a second.
    detail = f"{_took(result)} · {result.detail}" if result.status in VERDICTS else result.status
    return StepRecord(result.name, result.title, verdict=VERDICTS.get(result.status, "skipped"), detail=detail)


def line_of(result: RungRecord) -> str:
    """Return a rung as one line, further ones for single files, and one for what to do next."""
    line = f"  {MARKS[result.status]} {result.title:<40} {_took(result):>11}  {result.detail}"
    more = [f"\n      {note}" for note in shown(result.notes)]
    return "".join([line, *more, f"\n      next: {result.hint}" if result.hint else ""])


def shown(notes: Sequence[str]) -> list[str]:
    """Return what is told of single files on a screen; a report has all of it."""
    more = len(notes) - NOTES
    return [*notes[:NOTES], *([f"and {more} more; --report FOLDER has all of them"] if more > 0 else [])]


def _took(result: RungRecord) -> str:
    return milliseconds(result.ms) if result.status in VERDICTS else result.status


def _planned(options: Options) -> Iterator[str]:
    yield "Nothing is contacted, sent or deleted. These rungs would be checked:"
    for rung in in_order(chosen(options.only), options):
        left_out = rung.name == "survive" and not options.restart
        yield f"  {rung.title}{' (left out)' if left_out else ''}"


def summary(report: Report) -> str:
    """Return one line: how many rungs hold."""
    wanted = [rung for rung in report.rungs if rung.status != "left out"]
    passed = sum(rung.status == "passed" for rung in wanted)
    return f"{passed} of {len(wanted)} rungs hold ({duration(report.seconds)})"
