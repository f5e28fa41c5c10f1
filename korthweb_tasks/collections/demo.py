"""The main job in one word: a lab, Orthanc on it, and the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import about
from korthweb_tasks.errors import UsageError
from korthweb_tasks.report.formats import FILES

if TYPE_CHECKING:
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.lab.labs import Options as LabOptions
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.verify.model import Options


#: seconds beside the builds: where everything is there, and where the images are made, too
WARM, COLD = 120.0, 300.0


@task(
    example="korthweb demo",
    cluster=False,
    help={
        "name": "the lab's name (default: lab.name of the settings)",
        "context": "a cluster that is there: of korthweb.yaml, or a kubeconfig context (default: a lab is made)",
        "approach": "with --context: manual or helm (default: the approach of the settings)",
        "tenant": "only this tenant (default: the first of the settings)",
        "study": "a folder of DICOM files to send (default: built-in images)",
        "report": f"a folder for {FILES} (default: .korthweb/demo)",
    },
)
def demo(
    session: Session,
    name: str | None = None,
    context: str | None = None,
    approach: str | None = None,
    tenant: str | None = None,
    study: str | None = None,
    report: str | None = None,
) -> Report | None:
    """Make a real Kubernetes on this machine, deploy Orthanc on it by hand, and prove it by DICOM images.

    With --context it makes no lab: it checks, deploys and proves one tenant of korthweb.yaml on the cluster named.
    """
    from korthweb_tasks import paths
    from korthweb_tasks.verify.model import Options
    from korthweb_tasks.verify.options import folder_of

    options = Options(study=folder_of(study))
    folder = Path(report) if report else paths.work_dir() / "demo"
    if context is not None:
        return _on_cluster(
            session.on(context=context, tenant=tenant), _approach(session, name, approach), options, folder
        )
    if approach is not None:
        raise UsageError("--approach goes with --context", hint="name a cluster by --context, or leave --approach out")
    return _on_lab(session, name or session.settings.lab.name, tenant, options, folder)


def _on_lab(session: Session, name: str, tenant: str | None, options: Options, folder: Path) -> Report | None:
    from korthweb_tasks.services import lab

    if session.dry_run:
        session.emit(*_preview(f"lab.up --name {name}", "manual.deploy, for the first tenant", "verify.all"))
        return None
    session.console.line(f"A lab, Orthanc by hand and the proof: {about(_seconds(lab.options(session)))}")
    info = lab.raised(session, name)
    there = session.on(context=info.context, tenant=tenant)
    there = replace(there, tenant_flag=there.tenants[0].name, yes=True)
    own = "" if name == session.settings.lab.name else name
    end = {hints.task("lab.down", name=own): "end it; lab.prune removes the caches too"}
    return _deployed(there, "manual", options, folder, (info.records, info.seconds), end, info.export_line)


def _approach(session: Session, name: str | None, approach: str | None) -> str:
    """Return the approach for a cluster that is there; raises UsageError where the words do not go together."""
    if name is not None:
        raise UsageError("--name is a lab, --context a cluster that is there", hint="leave one of the two out")
    chosen = approach or session.settings.approach
    if chosen not in ("manual", "helm"):
        also = hints.task("gitops.bootstrap")
        raise UsageError(f"the demo deploys by manual or helm, not {chosen}", hint=f"--approach helm, or `{also}`")
    return chosen


def _on_cluster(there: Session, approach: str, options: Options, folder: Path) -> Report | None:
    """Check, deploy and prove on a cluster that is there; the guard asks what it asks for every deployment."""
    from korthweb_tasks.services import helm, manual, simulated
    from korthweb_tasks.services.shared import refuse_broken

    first = there.tenants[0].name
    there = replace(there, tenant_flag=first)
    if there.dry_run:
        words = (f"{approach}.check --context {there.ref.name}", f"{approach}.deploy --tenant {first}", "verify.all")
        there.emit(*_preview(*words))
        return None
    there.contact()
    simulated.refuse(there, approach)
    refuse_broken(manual.findings(there) if approach == "manual" else helm.findings(there))
    end = {hints.task(f"{approach}.destroy", tenant=first, volumes=True): "take it away, with its images"}
    return _deployed(there, approach, options, folder, ((), 0.0), end)


def _deployed(
    there: Session,
    approach: str,
    options: Options,
    folder: Path,
    lab: tuple[tuple[StepRecord, ...], float],
    end: dict[str, str],
    export: str = "",
) -> Report:
    """Deploy one tenant, prove it, and write one report of it all; raises VerifyFailed for a broken rung."""
    from korthweb_tasks.errors import VerifyFailed
    from korthweb_tasks.report.formats import write
    from korthweb_tasks.run.answer import publish
    from korthweb_tasks.run.console import say
    from korthweb_tasks.services import helm, manual
    from korthweb_tasks.services.verify import verified

    output = there.output
    there = replace(there, output="text")  # one report at the end, not one of each part
    deployed = manual.deployed(there) if approach == "manual" else helm.deployed(there)
    seen = verified(there, options, approach, text=output == "text" and not there.console.terminal)
    whole = _whole(*lab, deployed, seen)
    files = write(whole, folder)
    summary = _summary(whole, approach, export, str(files["report.html"]), end)
    publish(whole, output)
    if output == "text":
        say(summary)
    if rung := seen.broken:
        raise VerifyFailed(f"the rung “{rung.title}” is broken: {rung.detail}", hint=rung.hint)
    return whole


def _seconds(options: LabOptions) -> float:
    """Return how long it will take: what has to be built, and the rest as on two cores."""
    from korthweb_tasks.lab import labs
    from korthweb_tasks.provision import builder, estimates

    builds = builder.missing(labs.needed(options, simulated=False))
    return estimates.of_all(builds) + (WARM if not builds else COLD)


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


def _summary(report: Report, approach: str, export: str, page: str, end: dict[str, str]) -> str:
    """Return what a person wants to know at the end: what holds, where it is, what to type next, how to end it."""
    wanted = [rung for rung in report.rungs if rung.status != "left out"]
    held = sum(rung.status == "passed" for rung in wanted)
    tenant = report.tenants[0]
    told = {
        hints.task(f"{approach}.status", tenant=tenant.name): "what there is, and how it is",
        hints.task(f"{approach}.deploy"): "the other tenants too",
        hints.task("verify.all", tenant=tenant.name): "the proof again",
        **end,
    }
    wide = max(map(len, told))
    return "\n".join(
        [
            "",
            f"{held} of {len(wanted)} rungs hold. The report: {page}",
            "",
            f"  web      {tenant.web_url}   at {tenant.address}",
            f"  DICOM    {tenant.dicom_host}:{tenant.dicom_port} (TLS), AE title {tenant.aet}, at {tenant.address}",
            f"  users    {tenant.credentials}",
            *([f"  kubectl  {export}"] if export else []),
            "",
            "Next:",
            *(f"  {command:<{wide}}  {why}" for command, why in told.items()),
        ]
    )


def _preview(*words: str) -> tuple[object, str]:
    return list(words), "These would be done, one after the other:\n" + "\n".join(f"  {word}" for word in words)
