"""What the demo does: a lab or a cluster that is there, Orthanc on it, the proof, and one report of all that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import about
from korthweb_tasks.errors import UsageError, VerifyFailed
from korthweb_tasks.lab import labs
from korthweb_tasks.provision import builder, estimates
from korthweb_tasks.report.formats import write
from korthweb_tasks.run.answer import publish
from korthweb_tasks.run.console import say
from korthweb_tasks.services import helm, lab, manual, simulated
from korthweb_tasks.services.shared import refuse_broken
from korthweb_tasks.services.verify import verified
from korthweb_tasks.verify.model import Options
from korthweb_tasks.verify.options import folder_of

if TYPE_CHECKING:
    from korthweb_tasks.lab.labs import LabInfo
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

#: seconds beside the builds: where everything is there, and where the images are made, too
WARM, COLD = 120.0, 300.0
#: approach -> what checks and deploys by it: those that need no repository
WAYS: Mapping[str, Any] = {"manual": manual, "helm": helm}


def on_lab(
    session: Session,
    name: str | None,
    tenant: str | None,
    study: str | None,
    report: str | None,
    *,
    approach: str | None,
) -> Report | None:
    """Make a lab, deploy the first tenant on it by hand, and prove it."""
    options = Options(study=folder_of(study))
    if approach is not None:
        raise UsageError("--approach goes with --context", hint="name a cluster by --context, or leave --approach out")
    usual = session.settings.lab.name
    name = name or usual
    if session.dry_run:
        _preview(session, f"lab.up --name {name}", "manual.deploy, for the first tenant", "verify.all")
        return None
    session.console.line(f"A lab, Orthanc by hand and the proof: {about(_seconds(lab.options(session.settings)))}")
    info = lab.ensure_up(session, name)
    there = session.on(context=info.context, tenant=tenant)
    there = replace(there, tenant_flag=there.tenants[0].name, yes=True)
    end = {hints.task("lab.down", name="" if name == usual else name): "end it; lab.prune removes the caches too"}
    return _deploy_and_prove(there, "manual", options, report, end, info)


def on_cluster(
    session: Session,
    context: str,
    approach: str | None,
    tenant: str | None,
    study: str | None,
    report: str | None,
    *,
    lab: str | None,
) -> Report | None:
    """Check, deploy and prove on a cluster that is there; the guard asks what it asks for every deployment."""
    options = Options(study=folder_of(study))
    there = session.on(context=context, tenant=tenant)
    if lab is not None:
        raise UsageError("--name is a lab, --context a cluster that is there", hint="leave one of the two out")
    chosen = approach or session.settings.approach
    if chosen not in WAYS:
        also = hints.task("gitops.bootstrap")
        raise UsageError(f"the demo deploys by manual or helm, not {chosen}", hint=f"--approach helm, or `{also}`")
    first = there.tenants[0].name
    there = replace(there, tenant_flag=first)
    if there.dry_run:
        checked = f"{chosen}.check --context {there.ref.name}"
        _preview(there, checked, f"{chosen}.deploy --tenant {first}", "verify.all")
        return None
    there.contact()
    simulated.refuse(there, chosen)
    refuse_broken(WAYS[chosen].findings(there))
    end = {hints.task(f"{chosen}.destroy", tenant=first, volumes=True): "take it away, with its images"}
    return _deploy_and_prove(there, chosen, options, report, end)


def _deploy_and_prove(
    there: Session,
    approach: str,
    options: Options,
    folder: str | None,
    end: dict[str, str],
    lab: LabInfo | None = None,
) -> Report:
    """Deploy one tenant, prove it, and write one report of it all; raises VerifyFailed for a broken rung."""
    output = there.output
    there = replace(there, output="text")  # one report at the end, not one of each part
    deployed: Report = WAYS[approach].deployed(there)
    seen = verified(there, options, approach, text=output == "text" and not there.console.terminal)
    whole = _whole(lab, deployed, seen)
    files = write(whole, Path(folder) if folder else paths.work_dir() / "demo")
    summary = _summary(whole, approach, lab, str(files["report.html"]), end)
    publish(whole, output)
    if output == "text":
        say(summary)
    if rung := seen.broken:
        raise VerifyFailed(f"the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)
    return whole


def _seconds(options: labs.Options) -> float:
    """Return how long it will take: what has to be built, and the rest as on two cores."""
    builds = builder.missing(labs.needed(options, simulated=False))
    return estimates.of_all(builds) + (WARM if not builds else COLD)


def _whole(lab: LabInfo | None, deployed: Report, seen: Report) -> Report:
    """Return one report of all three parts, on one clock."""
    records, lab_seconds = (lab.records, lab.seconds) if lab else ((), 0.0)
    prefixed = [replace(r, name=f"lab:{r.name}", needs=tuple(f"lab:{need}" for need in r.needs)) for r in records]
    later = [replace(r, start=r.start + lab_seconds, end=r.end + lab_seconds) for r in deployed.steps]
    return replace(
        deployed,
        title="korthweb demo",
        steps=(*prefixed, *later),
        rungs=seen.rungs,
        tenants=seen.tenants,
        seconds=lab_seconds + deployed.seconds + seen.seconds,
    )


def _summary(report: Report, approach: str, lab: LabInfo | None, page: str, end: dict[str, str]) -> str:
    """Return what a person wants to know at the end: what holds, where it is, what to type next, how to end it."""
    wanted = [rung for rung in report.rungs if rung.status != "left out"]
    held = sum(rung.status == "passed" for rung in wanted)
    tenant = report.tenants[0]
    commands = {
        hints.task(f"{approach}.status", tenant=tenant.name): "what there is, and how it is",
        hints.task(f"{approach}.deploy"): "the other tenants too",
        hints.task("verify.all", tenant=tenant.name): "the proof again",
        **end,
    }
    wide = max(map(len, commands))
    return "\n".join(
        [
            "",
            f"{held} of {len(wanted)} rungs hold. The report: {page}",
            "",
            f"  web      {tenant.web_url}   at {tenant.address}",
            f"  DICOM    {tenant.dicom_host}:{tenant.dicom_port} (TLS), AE title {tenant.aet}, at {tenant.address}",
            f"  users    {tenant.credentials}",
            *([f"  kubectl  {lab.export_line}"] if lab else []),
            "",
            "Next:",
            *(f"  {command:<{wide}}  {why}" for command, why in commands.items()),
        ]
    )


def _preview(session: Session, *words: str) -> None:
    session.emit(list(words), "These would be done, one after the other:\n" + "\n".join(f"  {word}" for word in words))
