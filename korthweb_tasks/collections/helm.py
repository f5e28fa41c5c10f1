"""Orthanc by one chart: PostgreSQL and Traefik along with it, one release for each tenant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.approaches.helm.diff import Change
    from korthweb_tasks.approaches.helm.plan import Builder
    from korthweb_tasks.provision.charts import Staged
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant


@task(example="inv helm.check --context hospital-a", changes=False)
def check(session: Session) -> None:
    """Check the prerequisites: tools, permissions, storage, settings, chart; nothing is changed."""
    from korthweb_tasks.services.helm import findings
    from korthweb_tasks.services.shared import tell_findings

    session.contact()
    tell_findings(session, findings(session))


@task(example="inv helm.dependencies", offline=True, without=("tenant", "yes", "timeout"))
def dependencies(session: Session) -> None:
    """Bring the charts that ours needs, from where the settings say."""
    from korthweb_tasks.services.helm import stage, wanted

    if session.dry_run:
        found = [{"name": name, "version": chart.version, "source": chart.source} for name, chart in wanted(session)]
        lines = [f"would bring {one['name']} {one['version']} from {one['source']}" for one in found]
        session.emit(found, "\n".join(lines) or "no dependency is wanted")
        return
    made = stage(session, bring=True)
    names = sorted(path.name for path in (made.folder / "charts").iterdir())
    data = {"chart": str(made.folder), "version": made.version, "dependencies": names}
    session.emit(data, f"{made.folder} ({made.version}) with {', '.join(names) or 'no dependency'}")


@task(example="inv helm.lint --tenant BHC", offline=True, changes=False, without=("timeout",))
def lint(session: Session) -> None:
    """Check the chart with each tenant's values, strictly: templates, schema, what the chart itself refuses."""
    from korthweb_tasks.approaches.helm.values import values
    from korthweb_tasks.tools.helm import chart_command

    made = _staged(session)
    for tenant in session.tenants:
        known = ("--kube-version", session.settings.versions["kubernetes"])
        words = ("--strict", "--quiet", str(made.folder), "--namespace", tenant.namespace, *known)
        session.runner.run(chart_command("lint", *words, values=values(session.settings, tenant)))
    names = [tenant.name for tenant in session.tenants]
    session.emit({"version": made.version, "tenants": names}, f"orthanc-{made.version}: good for {', '.join(names)}")


@task(example="inv helm.template --tenant BHC", offline=True, changes=False, without=("timeout",))
def template(session: Session) -> None:
    """Show what the chart makes of the settings, without a cluster; the contents of Secrets are masked."""
    from korthweb_tasks.approaches.helm.diff import masked_text
    from korthweb_tasks.approaches.helm.plan import RELEASE
    from korthweb_tasks.approaches.helm.values import values
    from korthweb_tasks.core.render import parse
    from korthweb_tasks.tools.helm import chart_command

    made = _staged(session)
    texts = []
    for tenant in session.tenants:
        place = ("--namespace", tenant.namespace, "--kube-version", session.settings.versions["kubernetes"])
        command = chart_command("template", RELEASE, str(made.folder), *place, values=values(session.settings, tenant))
        texts.append(masked_text(session.runner.run(command).stdout))
    text = "".join(texts)
    session.emit(parse(text) if session.output == "json" else None, text.rstrip("\n"))


@task(example="inv helm.diff --tenant BHC", changes=False)
def diff(session: Session) -> None:
    """Show what an upgrade would change in each release, Secrets masked; exit code 9 where it is something."""
    from korthweb_tasks.errors import Differs

    session.contact()
    builder = _builder(session)
    found = [change for tenant in session.tenants for change in _changes(session, builder, tenant)]
    text = "\n\n".join(f"# {change.tenant}: {change.name}\n{change.text}" for change in found)
    session.show(text or "nothing would change", data=[change.as_data() for change in found])
    if found:
        raise Differs(f"{len(found)} objects would change", hint=f"`{hints.task('helm.deploy')}` changes them")


@task(example="inv helm.deploy --context hospital-a --tenant BHC")
def deploy(session: Session) -> Report:
    """Install or upgrade each tenant's release, and wait until it is ready; what is so already is left alone."""
    report = deployed(session)
    if not session.dry_run:
        from korthweb_tasks.services.shared import tell_following

        tell_following(session, "helm")
    return report


@task(example="inv helm.test --tenant BHC")
def test(session: Session) -> None:
    """Run the chart's own test in the cluster: HTTPS with and without a password, TLS for DICOM, C-ECHO."""
    from korthweb_tasks.approaches.helm.plan import RELEASE, tidied
    from korthweb_tasks.errors import StepFailed
    from korthweb_tasks.run.guard import allow
    from korthweb_tasks.tools.helm import Helm

    if session.dry_run:
        places = {tenant.name: tenant.namespace for tenant in session.tenants}
        lines = [f"{name}: would run the test of the release {RELEASE} in {place}" for name, place in places.items()]
        session.emit(places, "\n".join(lines))
        return
    session.contact()
    allow(session.ref, yes=session.yes)
    session.lock()  # it makes pods, and a deployment at the same time would take them for its own
    seconds = session.timeout or 300.0
    told = {}
    for tenant in session.tenants:
        result = session.runner.check(Helm(session.target).test(RELEASE, namespace=tenant.namespace, timeout=seconds))
        log = result.stdout.partition("POD LOGS")[2].partition("\n")[2].strip()
        if result.code != 0:
            raise StepFailed(f"{tenant.name}: the release's test failed", details=f"{log}\n{result.stderr}".strip())
        told[tenant.name] = log.splitlines()
        session.runner.run(tidied(session.kubectl, tenant))
    session.emit(told, "\n".join(f"{name}: {line}" for name, lines in told.items() for line in lines))


@task(example="inv helm.status --tenant BHC --output json", changes=False)
def status(session: Session) -> None:
    """Show each release, what belongs to it, and how it is; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.services.helm import status_rows
    from korthweb_tasks.services.shared import tell_rows

    session.contact()
    tell_rows(session, [row for tenant in session.tenants for row in status_rows(session, tenant)], "helm")


@task(example="inv helm.history --tenant BHC", changes=False)
def history(session: Session) -> None:
    """Show the revisions of each release, for helm.rollback."""
    from korthweb_tasks.approaches.shared.status import table
    from korthweb_tasks.services.helm import revisions

    session.contact()
    found = [{"tenant": tenant.name, **row} for tenant in session.tenants for row in revisions(session, tenant)]
    keys = ("tenant", "revision", "updated", "status", "chart", "description")
    lines = [tuple(key.upper() for key in keys), *(tuple(str(row.get(key, "")) for key in keys) for row in found)]
    session.emit(found, table(lines))


@task(
    example="inv helm.rollback --tenant BHC --revision 3",
    help={"revision": "a number that helm.history shows (default: the one before)"},
)
def rollback(session: Session, revision: int = 0) -> Report:
    """Go back to an earlier revision of one tenant's release; images, passwords and certificates stay."""
    from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
    from korthweb_tasks.errors import UsageError
    from korthweb_tasks.services.helm import refuse_revision
    from korthweb_tasks.services.ownership import refuse_others

    if len(session.tenants) != 1:
        names = ", ".join(tenant.name for tenant in session.tenants)
        raise UsageError("a rollback is of one tenant", hint=f"--tenant takes one of {names}")
    session.contact()
    refuse_others(session, "helm")
    refuse_revision(session, session.tenants[0], revision)
    builder = Builder(session.settings, session.target, session.secrets, ChartAt("", ""))
    return session.execute(builder.rollback(session.tenants[0], revision))


@task(
    example="inv helm.package --out dist --push oci://registry.hospital/charts",
    offline=True,
    without=("tenant", "yes", "timeout"),
    help={
        "out": "folder for the archive; it is made",
        "push": "oci://host/path to put it to as well (default: nowhere)",
        "ca": "file with the authority of that registry (default: those of the system)",
        "plain": "leave values.yaml as the project ships it; without it, the archive carries this site's defaults",
    },
)
def package(session: Session, out: str = "dist", push: str = "", ca: str = "", plain: bool = False) -> None:
    """Make an archive of the chart with its dependencies, which plain `helm install` takes."""
    from korthweb_tasks.services.helm import archive_in, packaged

    if session.dry_run:
        path = archive_in(out)
        text = f"would write {path}{f' and push it to {push}' if push else ''}"
        session.emit({"archive": str(path), "pushed": None}, text)
        return
    archive = packaged(session, out, plain=plain)
    if push:
        from korthweb_tasks.tools.helm import push as pushed

        session.runner.run(pushed(str(archive), push, ca_file=ca))
    session.emit({"archive": str(archive), "pushed": push or None}, f"{archive}{f' is at {push}' if push else ''}")


@task(
    example="inv helm.credentials --tenant BHC --show",
    changes=False,
    help={"show": "print the passwords; without it only who has one, and where it is kept"},
)
def credentials(session: Session, show: bool = False) -> None:
    """Say who may log in, and with --show the passwords."""
    from korthweb_tasks.services.shared import tell_logins

    tell_logins(session, hints.task("helm.deploy"), show=show)


@task(
    example="inv helm.destroy --context hospital-a --tenant BHC",
    destructive=True,
    help={"volumes": "remove the namespace with its volume too: every image is lost"},
)
def destroy(session: Session, volumes: bool = False) -> Report:
    """Remove each tenant's release, passwords and certificates; the volume with the images stays unless --volumes."""
    from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
    from korthweb_tasks.services import ownership as owning

    builder = Builder(session.settings, session.target, session.secrets, ChartAt("", ""))
    session.contact()
    homes = [(tenant.name, tenant.namespace) for tenant in session.tenants]
    fates = owning.fates(session, "helm", homes, volumes=volumes)
    alone = not session.tenant_flag and not owning.others_on_cluster(session, fates)
    plan = builder.removal(session.tenants, volumes=volumes, fates=fates, shared=alone)
    return session.execute(plan, destructive=True)


def deployed(session: Session) -> Report:
    """Deploy the session's tenants and return the report."""
    from korthweb_tasks.services import beforehand, simulated
    from korthweb_tasks.services.helm import refuse_values

    session.contact()
    beforehand.refuse(session, "helm")
    simulated.refuse(session, "helm")
    builder = _builder(session, bring=not session.dry_run)
    refuse_values(session, builder)
    return session.execute(builder.plan(session.tenants))


def _changes(session: Session, builder: Builder, tenant: Tenant) -> list[Change]:
    from korthweb_tasks.approaches.helm.diff import Change, changes
    from korthweb_tasks.approaches.helm.plan import RELEASE

    before = session.runner.run(builder.helm.manifest(RELEASE, namespace=tenant.namespace))
    if before.code != 0:
        return [Change(tenant.name, f"release/{RELEASE}", "would be installed")]
    after = session.runner.run(builder.helm.rendered(builder.release(tenant)))
    return changes(tenant.name, before.stdout, json.loads(after.stdout)["manifest"])


def _builder(session: Session, *, bring: bool = False) -> Builder:
    from korthweb_tasks.approaches.helm.plan import Builder
    from korthweb_tasks.services.helm import chart_at
    from korthweb_tasks.services.shared import sound_settings

    sound_settings(session, "helm")
    return Builder(session.settings, session.target, session.secrets, chart_at(session, bring=bring))


def _staged(session: Session) -> Staged:
    from korthweb_tasks.services.helm import stage
    from korthweb_tasks.services.shared import sound_settings

    sound_settings(session, "helm")
    return stage(session)
