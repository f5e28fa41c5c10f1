"""The main job in one word: a lab, Orthanc on it, and the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.report.model import Report


@task(
    example="./korthweb demo",
    cluster=False,
    help={
        "name": "the lab's name (default: lab.name of the settings)",
        "study": "a folder of DICOM files to send instead of the built-in images",
        "report": "a folder for report.html, report.json and junit.xml (default: .korthweb/demo)",
    },
)
def demo(session: Session, name: str | None = None, study: str | None = None, report: str | None = None) -> None:
    """Make a real Kubernetes on this machine, deploy Orthanc on it by hand, and prove it by DICOM images."""
    from korthweb_tasks import paths
    from korthweb_tasks.collections import lab, manual
    from korthweb_tasks.collections.verify import verified
    from korthweb_tasks.report.files import write
    from korthweb_tasks.verify.model import Options

    name = name or session.settings.lab.name
    if session.dry_run:
        session.emit(*_preview(name))
        return
    info = lab.raised(session, name)
    there = session.on(context=info.context)
    # one report at the end, not one of each part
    there = replace(there, tenant_flag=there.settings.tenants[0].name, yes=True, output="text")
    deployed = manual.deployed(there)
    options = Options(study=Path(study) if study else None)
    seen = verified(there, options, "manual", text=session.output == "text" and not there.console.terminal)
    whole = _whole(info.records, info.seconds, deployed, seen)
    own = "" if name == session.settings.lab.name else f" --name {name}"
    files = write(whole, Path(report) if report else paths.work_dir() / "demo")
    session.emit(_data(whole), _summary(whole, info.export_line, str(files["report.html"]), own))
    if rung := seen.broken:
        from korthweb_tasks.errors import VerifyFailed

        raise VerifyFailed(f"the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)


def _whole(lab: tuple[StepRecord, ...], lab_seconds: float, deployed: Report, seen: Report) -> Report:
    """Return one report of all three parts, on one clock."""
    prefixed = [replace(r, name=f"lab:{r.name}", needs=tuple(f"lab:{need}" for need in r.needs)) for r in lab]
    later = [replace(r, start=r.start + lab_seconds, end=r.end + lab_seconds) for r in deployed.steps]
    return replace(
        deployed,
        title="korthweb demo",
        steps=(*prefixed, *later),
        rungs=seen.rungs,
        tenants=seen.tenants,
        seconds=lab_seconds + deployed.seconds + seen.seconds,
    )


def _data(report: Report) -> object:
    from korthweb_tasks.report.json import as_data

    return as_data(report)


def _summary(report: Report, export: str, page: str, own: str) -> str:
    """Return what a person wants to know at the end: what holds, where it is, what to type next, how to end it.

    ``own`` is the flag that names the lab, where it is another than the usual one.
    """
    from korthweb_tasks.collections.errors_out import as_typed

    held = sum(rung.status == "passed" for rung in report.rungs)
    tenant = report.tenants[0]
    text = "\n".join(
        [
            "",
            f"{held} of {len(report.rungs)} rungs hold. The report: {page}",
            "",
            f"  web      {tenant.web_url}   at {tenant.address}",
            f"  DICOM    {tenant.dicom_host}:{tenant.dicom_port} (TLS), AE title {tenant.aet}, at {tenant.address}",
            f"  users    {tenant.credentials}",
            f"  kubectl  {export}",
            "",
            "Next:",
            "  ./korthweb manual.status                 what there is, and how it is",
            "  ./korthweb manual.deploy                 the other tenants too",
            f"  ./korthweb {f'verify.all --tenant {tenant.name}':<29} the proof again",
            f"  ./korthweb {f'lab.down{own}':<29} end it; lab.prune removes the caches too",
        ]
    )
    return as_typed(text)


def _preview(name: str) -> tuple[object, str]:
    words = [f"lab.up --name {name}", "manual.deploy, for the first tenant", "verify.all"]
    return words, "These would be done, one after the other:\n" + "\n".join(f"  {word}" for word in words)
