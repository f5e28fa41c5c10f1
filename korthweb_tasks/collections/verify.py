"""Prove it from outside the cluster: TLS, login, DICOM, images in and back, and what must be refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.collections.verify_flags import PLACES, TIMEOUT, TITLES, options_of, refuse_several, speaking
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.errors import UsageError, VerifyFailed
from korthweb_tasks.run.console import say
from korthweb_tasks.settings.words import known_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from korthweb_tasks.core.record import StepRecord, Verdict
    from korthweb_tasks.report.model import Report, RungRecord, TenantSummary
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.verify.ladder import Rung
    from korthweb_tasks.verify.model import Endpoint, LadderResult, Options, RungResult

_HELP = {
    "approach": "manual, helm or gitops (default: the approach of the settings)",
    "study": "a folder of DICOM files to send (default: built-in images)",
    "report": "a folder for report.html, report.json and junit.xml (default: none)",
    "output": "text, json or junit",
    "restart": "delete every Orthanc pod and read the images back (--no-restart: leave it out)",
    "yes": "do not ask, on a cluster marked as production",
    **PLACES,
    **TITLES,
    **TIMEOUT,
}
_DICOM = ("study", *TITLES)
#: lines about single files on a screen
NOTES = 30
#: seconds that new pods have at least, however short --timeout is
RESTART = 300.0
_MARKS = {"passed": ("✓", "green"), "broken": ("✗", "red"), "not reached": ("-", "dim"), "left out": ("-", "dim")}


def _help(*names: str) -> dict[str, str]:
    return {name: _HELP[name] for name in ("approach", "report", "output", "timeout", *PLACES, *names)}


def folder_of(study: str | None) -> Path | None:
    """Return the folder that --study names, if it names one; raises UsageError where that is none."""
    if not study:
        return None
    folder = Path(study).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{study} is not a folder", hint="--study takes a folder of DICOM files")
    return folder


@task(
    example="korthweb verify.all --tenant BHC --report out/",
    changes=False,
    help=_help(*_DICOM, "restart", "yes"),
    name="all",
)
@speaking((*PLACES, *TITLES))
def everything(
    session: Session,
    ways: Mapping[str, str | None],
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
    restart: bool = True,
    yes: bool = False,
) -> Report | None:
    """Climb the whole ladder, from the address to real images that outlive every pod; exit code 8 if a rung breaks."""
    step = max(session.settings.timeouts.step, RESTART)
    options = options_of(ways, session.timeout, restart=restart, study=folder_of(study), restart_timeout=step)
    return _verify(session, options, approach, report, output, yes=yes)


@task(example="korthweb verify.https", changes=False, help=_help())
@speaking(PLACES)
def https(
    session: Session,
    ways: Mapping[str, str | None],
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check HTTPS only: certificate, login, and what must be refused. Nothing is stored."""
    from korthweb_tasks.verify.ladder import HTTPS

    return _verify(session, options_of(ways, session.timeout, only=HTTPS), approach, report, output)


@task(example="korthweb verify.dicom --study ~/ct", changes=False, help=_help(*_DICOM))
@speaking((*PLACES, *TITLES))
def dicom(
    session: Session,
    ways: Mapping[str, str | None],
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check DICOM over TLS: C-ECHO, C-STORE, found and read back, deleted again, and what must be refused."""
    from korthweb_tasks.verify.ladder import DICOM

    options = options_of(ways, session.timeout, only=DICOM, study=folder_of(study))
    return _verify(session, options, approach, report, output)


@task(example="korthweb verify.certificates", changes=False, help=_help())
@speaking(PLACES)
def certificates(
    session: Session,
    ways: Mapping[str, str | None],
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check the certificates as served on 443 and 11112: chain, names, days left, TLS versions. No login."""
    from korthweb_tasks.verify.ladder import CERTIFICATES

    return _verify(session, options_of(ways, session.timeout, only=CERTIFICATES), approach, report, output)


@task(
    example="korthweb verify.isolation --report out/",
    changes=False,
    help={
        **{name: _HELP[name] for name in ("report", "output", "yes")},
        "approach": "gitops or manual (default: the approach of the settings)",
    },
)
def isolation(
    session: Session,
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
    yes: bool = False,
) -> Report | None:
    """Prove for every ordered pair of tenants that one can't touch the other; by short-lived pods, too."""
    from korthweb_tasks.services.isolation import isolation as prove

    return prove(session, approach, report, output, yes=yes)


def _verify(
    session: Session,
    options: Options,
    approach: str | None,
    folder: str | None,
    output: str,
    *,
    yes: bool | None = None,
) -> Report | None:
    """Verify each tenant, say and write what was seen. Raises VerifyFailed with the first broken rung.

    ``yes`` None: nothing in the cluster is deleted, so nobody is asked.
    """
    from korthweb_tasks.run.answer import preview
    from korthweb_tasks.services import simulated
    from korthweb_tasks.verify.endpoints import lookup_of

    known_output(output, ("text", "json", "junit"))
    chosen = approach or session.settings.approach
    lookup_of(chosen)
    options = replace(options, approach=chosen)
    refuse_several(options, chosen, len(session.tenants))
    if session.dry_run:
        preview(output, _rungs(options))
        return None
    session.contact()
    simulated.refuse(session, "verify")
    if yes is not None and options.restart:
        from korthweb_tasks.run.guard import allow

        allow(session.ref, yes=yes)
        session.lock()  # two runs that delete pods would each find the other's doing broken
    seen = verified(session, options, chosen, text=output == "text")
    if folder:
        from korthweb_tasks.report.files import write

        session.console.line(f"The report: {write(seen, Path(folder))['report.html']}")
    _emit(seen, output)
    if rung := seen.broken:
        raise VerifyFailed(f"{rung.tenant}: the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)
    return seen


def verified(session: Session, options: Options, approach: str, *, text: bool = False) -> Report:
    """Climb the ladder of every tenant of the session and return what was seen; a broken rung is no exception."""
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.settings.orthanc import orthanc_json
    from korthweb_tasks.verify.endpoints import as_told, find_endpoint, let_in_without_sni, permitted
    from korthweb_tasks.verify.limits import largest
    from korthweb_tasks.verify.records import rung_records, tenant_summary

    began = datetime.now(timezone.utc)
    rungs: list[RungRecord] = []
    tenants: list[TenantSummary] = []
    for tenant in session.tenants:
        endpoint = as_told(find_endpoint(session.runner.run, session.kubectl, tenant, approach), options)
        orthanc = orthanc_json(session.settings, tenant)
        endpoint = permitted(endpoint, orthanc, options.calling_aet)
        chart = session.settings.charts["orthanc"].values if approach == "helm" else {}
        endpoint = let_in_without_sni(endpoint, tenant, chart)
        options = replace(options, largest=largest(session.settings, orthanc))
        tenants.append(tenant_summary(endpoint, hints.task(f"{approach}.credentials", tenant=tenant.name, show=True)))
        rungs += rung_records(_climb(session, tenant, endpoint, options, approach, text))
    return Report(
        title=f"Verification of {' and '.join(tenant.name for tenant in session.tenants)}",
        **session.about,
        started=began.isoformat(timespec="seconds"),
        seconds=(datetime.now(timezone.utc) - began).total_seconds(),
        rungs=tuple(rungs),
        tenants=tuple(tenants),
    )


def _climb(
    session: Session, tenant: Tenant, endpoint: Endpoint, options: Options, approach: str, text: bool
) -> LadderResult:
    from korthweb_tasks.verify.endpoints import lookup_of
    from korthweb_tasks.verify.ladder import chosen, in_order, verify
    from korthweb_tasks.verify.pods import KubectlAccess

    selector = lookup_of(approach).selector
    access = KubectlAccess(session.runner, session.kubectl, tenant.namespace, selector, endpoint)
    title = f"Verifying {tenant.name}: {endpoint.web_host} and {endpoint.dicom_host} at {endpoint.address or '?'}"
    view = _View(session, live=session.console.terminal, text=text)
    if view.live:
        with session.console.table(title):
            for rung in in_order(chosen(options.only), options):
                session.console.row(rung.name, rung.title)
            return verify(endpoint, access, options, view.end, view.begin)
    say(title) if text else session.console.line(title)
    return verify(endpoint, access, options, view.end, view.begin)


class _View:
    """Shows rungs as they end: in the live table, else as lines (on stdout where they are what was asked for)."""

    def __init__(self, session: Session, *, live: bool, text: bool) -> None:
        self.console, self.live, self.text = session.console, live, text

    def begin(self, rung: Rung) -> None:
        """Show that a rung is being climbed."""
        if self.live:
            self.console.begin(rung.name, rung.title)

    def end(self, result: RungResult) -> None:
        """Show how a rung ended."""
        if self.live:
            self.console.end(_record(result))
        elif self.text:
            say(line_of(result))
        else:
            self.console.line(line_of(result))


def _record(result: RungResult) -> StepRecord:
    from korthweb_tasks.core.record import StepRecord

    verdicts: Mapping[str, Verdict] = {"passed": "changed", "broken": "failed"}
    # Milliseconds are part of the detail: the table's own column has tenths of a second.
    detail = f"{_took(result)} · {result.detail}" if result.status in verdicts else result.status
    return StepRecord(result.name, result.title, verdict=verdicts.get(result.status, "skipped"), detail=detail)


def line_of(result: RungResult) -> str:
    """Return a rung as one line, further ones for single files, and one for what to do next."""
    mark, _ = _MARKS[result.status]
    line = f"  {mark} {result.title:<40} {_took(result):>11}  {result.detail}"
    more = [f"\n      {note}" for note in shown(result.notes)]
    return "".join([line, *more, f"\n      next: {result.hint}" if result.hint else ""])


def shown(notes: Sequence[str]) -> list[str]:
    """Return what is told of single files on a screen; a report has all of it."""
    more = len(notes) - NOTES
    return [*notes[:NOTES], *([f"and {more} more; --report FOLDER has all of them"] if more > 0 else [])]


def _took(result: RungResult) -> str:
    from korthweb_tasks.core.durations import milliseconds

    return milliseconds(result.ms) if result.status in ("passed", "broken") else result.status


def _rungs(options: Options) -> Iterator[str]:
    from korthweb_tasks.verify.ladder import chosen, in_order

    yield "Nothing is contacted, sent or deleted. These rungs would be climbed:"
    for rung in in_order(chosen(options.only), options):
        left_out = rung.name == "survive" and not options.restart
        yield f"  {rung.title}{' (left out)' if left_out else ''}"


def _emit(report: Report, output: str) -> None:
    from korthweb_tasks.run.answer import publish

    publish(report, output)
    if output != "text":
        return
    wanted = [rung for rung in report.rungs if rung.status != "left out"]
    passed = sum(rung.status == "passed" for rung in wanted)
    say(f"{passed} of {len(wanted)} rungs hold ({duration(report.seconds)})")
