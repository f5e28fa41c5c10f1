"""Prove it from outside the cluster: TLS, login, DICOM, images in and back, and what must be refused."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.errors import UsageError, VerifyFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.core.record import StepRecord, Verdict
    from korthweb_tasks.report.model import Report, RungRecord, TenantSummary
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.verify.ladder import Rung
    from korthweb_tasks.verify.model import Endpoint, LadderResult, Options, RungResult

_HELP = {
    "approach": "manual, helm or gitops (default: the approach of the settings)",
    "study": "a folder of DICOM files to send instead of the built-in images",
    "report": "a folder for report.html, report.json and junit.xml",
    "output": "text, json or junit",
    "restart": "delete every Orthanc pod and read the images back (--no-restart: leave it out)",
    "yes": "do not ask, on a cluster marked as production",
}
_MARKS = {"passed": ("✓", "green"), "broken": ("✗", "red"), "not reached": ("-", "dim"), "left out": ("-", "dim")}


def _help(*names: str) -> dict[str, str]:
    return {name: _HELP[name] for name in names}


@task(
    example="korthweb verify.all --tenant BHC --report out/",
    changes=False,
    help=_help("approach", "study", "report", "output", "restart", "yes"),
    name="all",
)
def everything(
    session: Session,
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
    restart: bool = True,
    yes: bool = False,
) -> None:
    """Climb the whole ladder, from the address to real images that outlive every pod; exit code 8 if a rung breaks."""
    from korthweb_tasks.verify.model import Options

    options = Options(
        restart=restart, study=Path(study) if study else None, restart_timeout=session.settings.timeouts.step
    )
    _verify(session, options, approach, report, output, yes=yes)


@task(example="korthweb verify.https", changes=False, help=_help("approach", "report", "output"))
def https(session: Session, approach: str | None = None, report: str | None = None, output: str = "text") -> None:
    """Check HTTPS only: certificate, login, and what must be refused. Nothing is stored."""
    from korthweb_tasks.verify.ladder import HTTPS
    from korthweb_tasks.verify.model import Options

    _verify(session, Options(only=HTTPS), approach, report, output)


@task(example="korthweb verify.dicom --study ~/ct", changes=False, help=_help("approach", "study", "report", "output"))
def dicom(
    session: Session,
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> None:
    """Check DICOM over TLS: C-ECHO, C-STORE, found and read back, deleted again, and what must be refused."""
    from korthweb_tasks.verify.ladder import DICOM
    from korthweb_tasks.verify.model import Options

    _verify(session, Options(only=DICOM, study=Path(study) if study else None), approach, report, output)


@task(example="korthweb verify.certificates", changes=False, help=_help("approach", "report", "output"))
def certificates(
    session: Session, approach: str | None = None, report: str | None = None, output: str = "text"
) -> None:
    """Check the certificates as served on 443 and 11112: chain, names, days left, TLS versions. No login."""
    from korthweb_tasks.verify.ladder import CERTIFICATES
    from korthweb_tasks.verify.model import Options

    _verify(session, Options(only=CERTIFICATES), approach, report, output)


@task(
    example="korthweb verify.isolation --report out/",
    changes=False,
    help={**_help("report", "output", "yes"), "approach": "gitops (default: the approach of the settings)"},
)
def isolation(
    session: Session,
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
    yes: bool = False,
) -> None:
    """Prove for every ordered pair of tenants that one can't touch the other; by short-lived pods, too."""
    from korthweb_tasks.collections.verify_isolation import isolation as prove

    prove(session, approach, report, output, yes=yes)


def _verify(
    session: Session,
    options: Options,
    approach: str | None,
    folder: str | None,
    output: str,
    *,
    yes: bool | None = None,
) -> None:
    """Verify each tenant, say and write what was seen. Raises VerifyFailed with the first broken rung.

    ``yes`` None: nothing in the cluster is deleted, so nobody is asked.
    """
    from korthweb_tasks.verify.endpoints import lookup_of

    if output not in ("text", "json", "junit"):
        raise UsageError(f"--output {output} is not known", hint="--output text, json or junit")
    chosen = approach or session.settings.approach
    lookup_of(chosen)
    if options.study and not options.study.is_dir():
        raise UsageError(f"{options.study} is no folder", hint="--study takes a folder of DICOM files")
    if session.dry_run:
        _preview(options)
        return
    session.contact()
    if yes is not None and options.restart:
        from korthweb_tasks.run.guard import allow

        allow(session.ref, yes=yes)
        session.lock()  # two runs that delete pods would each find the other's doing broken
    report = verified(session, options, chosen, text=output == "text")
    if folder:
        from korthweb_tasks.report.files import write

        session.console.line(f"The report: {write(report, Path(folder))['report.html']}")
    _emit(report, output)
    if rung := report.broken:
        raise VerifyFailed(f"{rung.tenant}: the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)


def verified(session: Session, options: Options, approach: str, *, text: bool = False) -> Report:
    """Climb the ladder of every tenant of the session and return what was seen; a broken rung is no exception."""
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.verify.endpoints import find_endpoint
    from korthweb_tasks.verify.records import rung_records, tenant_summary

    began = datetime.now(timezone.utc)
    rungs: list[RungRecord] = []
    tenants: list[TenantSummary] = []
    for tenant in session.tenants:
        endpoint = find_endpoint(session.runner.run, session.kubectl, tenant, approach)
        tenants.append(tenant_summary(endpoint, f"korthweb {approach}.credentials --tenant {tenant.name} --show"))
        rungs += rung_records(_climb(session, tenant, endpoint, options, approach, text))
    return Report(
        title=f"Verification of {' and '.join(tenant.name for tenant in session.tenants)}",
        context=session.target.context,
        server=session.ref.server,
        started=began.isoformat(timespec="seconds"),
        seconds=(datetime.now(timezone.utc) - began).total_seconds(),
        rungs=tuple(rungs),
        tenants=tuple(tenants),
    )


def _climb(
    session: Session, tenant: Tenant, endpoint: Endpoint, options: Options, approach: str, text: bool
) -> LadderResult:
    from korthweb_tasks.verify.endpoints import lookup_of
    from korthweb_tasks.verify.ladder import chosen, verify
    from korthweb_tasks.verify.pods import KubectlAccess

    selector = lookup_of(approach).selector
    access = KubectlAccess(session.runner, session.kubectl, tenant.namespace, selector, endpoint)
    title = f"Verifying {tenant.name}: {endpoint.web_host} and {endpoint.dicom_host} at {endpoint.address or '?'}"
    view = _View(session, live=session.console.terminal, text=text)
    if view.live:
        with session.console.table(title):
            for rung in chosen(options.only):
                session.console.row(rung.name, rung.title)
            return verify(endpoint, access, options, view.end, view.begin)
    print(title) if text else session.console.line(title)
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
            print(line_of(result), flush=True)
        else:
            self.console.line(line_of(result))


def _record(result: RungResult) -> StepRecord:
    from korthweb_tasks.core.record import StepRecord

    verdicts: Mapping[str, Verdict] = {"passed": "changed", "broken": "failed"}
    # Milliseconds are part of the detail: the table's own column has tenths of a second.
    detail = f"{_took(result)} · {result.detail}" if result.status in verdicts else result.status
    return StepRecord(result.name, result.title, verdict=verdicts.get(result.status, "skipped"), detail=detail)


def line_of(result: RungResult) -> str:
    """Return a rung as one line, and a second one for what to do next."""
    mark, _ = _MARKS[result.status]
    line = f"  {mark} {result.title:<40} {_took(result):>11}  {result.detail}"
    return f"{line}\n      next: {result.hint}" if result.hint else line


def _took(result: RungResult) -> str:
    from korthweb_tasks.report.timeline import milliseconds

    return milliseconds(result.ms) if result.status in ("passed", "broken") else result.status


def _preview(options: Options) -> None:
    from korthweb_tasks.verify.ladder import chosen

    print("Nothing is contacted, sent or deleted. These rungs would be climbed:")
    for rung in chosen(options.only):
        left_out = rung.name == "survive" and not options.restart
        print(f"  {rung.title}{' (left out)' if left_out else ''}")


def _emit(report: Report, output: str) -> None:
    from korthweb_tasks.report import json, junit

    if output != "text":
        print({"json": json, "junit": junit}[output].render(report), end="")
        return
    wanted = [rung for rung in report.rungs if rung.status != "left out"]
    passed = sum(rung.status == "passed" for rung in wanted)
    print(f"{passed} of {len(wanted)} rungs hold ({report.seconds:.1f} s)")
