"""Orthanc by hand: istioctl, one chart and plain manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.approaches.manual.manifests import Manifests
    from korthweb_tasks.approaches.shared.checks import Finding
    from korthweb_tasks.approaches.shared.common import Artifacts
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

#: steps that make objects and wait for none that has to answer: a simulated lab takes them
ONLY_OBJECTS = frozenset(("namespace", "credentials", "config", "postgres", "dbinit"))


@task(example="inv manual.check --context hospital-a", changes=False)
def check(session: Session) -> None:
    """Check the prerequisites: tools, permissions, storage, settings; nothing is changed."""
    from korthweb_tasks.services.shared import tell_findings

    session.contact()
    tell_findings(session, findings(session))


@task(example="inv manual.install-istio --context hospital-a", without=("tenant",))
def install_istio(session: Session) -> Report:
    """Install Istio with its ingress gateway, and mutual TLS for everybody."""
    return _execute(session, "Install Istio", "istio")


@task(example="inv manual.install-cert-manager --context hospital-a", without=("tenant",))
def install_cert_manager(session: Session) -> Report:
    """Install cert-manager by its chart, until its webhook serves."""
    return _execute(session, "Install cert-manager", "cert-manager")


@task(example="inv manual.install-observability --context hospital-a", without=("tenant",))
def install_observability(session: Session) -> Report:
    """Install the lite observability: Prometheus, Kiali, Grafana and Jaeger, as the settings say."""
    from korthweb_tasks.errors import UsageError

    if not _manifests(session).observability():
        raise UsageError("the settings switch all of observability off", hint="observability: in korthweb.yaml")
    return _execute(session, "Install observability", "observability")


@task(example="inv manual.issue-certificates --tenant BHC")
def issue_certificates(session: Session) -> Report:
    """Issue certificates for web. and dicom. of each tenant, out of an authority of its own."""
    return _execute(session, "Issue certificates", "certificates")


@task(example="inv manual.configure --tenant BHC")
def configure(session: Session) -> Report:
    """Make each tenant's namespace, passwords, orthanc.json and policies."""
    return _execute(session, "Configure", "namespace", "credentials", "config")


@task(example="inv manual.install-postgres --tenant BHC")
def install_postgres(session: Session) -> Report:
    """Install each tenant's PostgreSQL and prepare its database."""
    return _execute(session, "Install PostgreSQL", "postgres", "dbinit")


@task(example="inv manual.install-orthanc --tenant BHC")
def install_orthanc(session: Session) -> Report:
    """Install each tenant's Orthanc, its autoscaler and its way in."""
    return _execute(session, "Install Orthanc", "orthanc", "ingress")


@task(example="inv manual.deploy --context hospital-a --tenant BHC")
def deploy(session: Session) -> Report:
    """Deploy everything, from Istio to Orthanc; what is so already is left alone."""
    report = deployed(session)
    if not session.dry_run:
        from korthweb_tasks.services.shared import tell_following

        tell_following(session, "manual")
    return report


@task(example="inv manual.status --tenant BHC --output json", changes=False)
def status(session: Session) -> None:
    """Show what is there of a deployment, and how it is; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.approaches.shared import status as reading
    from korthweb_tasks.approaches.shared.common import answered
    from korthweb_tasks.services.shared import side_by_side, tell_rows
    from korthweb_tasks.tools.kubectl import items

    session.contact()
    results = map(
        answered,
        side_by_side(
            session, session.runner.check, reading.questions(session.kubectl, session.tenants, session.settings)
        ),
    )
    objects = [obj for result in results if result.code == 0 for obj in items(result)]
    found = reading.rows(objects)
    tell_rows(session, [*found, *reading.missing(found, session.tenants, session.settings)], "manual")


@task(example="inv manual.diff --context hospital-a", changes=False)
def diff(session: Session) -> None:
    """Show what a deployment would change, by the server's own reckoning; exit code 9 where it is something."""
    from korthweb_tasks.approaches.shared.differences import differences
    from korthweb_tasks.errors import Differs

    session.contact()
    found = differences(_plan(session), session.runner.check, session.secrets.masks)
    text = "\n\n".join(f"# {entry.title}\n{entry.text}" for entry in found)
    session.show(text or "nothing would change", data=[entry.as_data() for entry in found])
    if found:
        counted = "1 step" if len(found) == 1 else f"{len(found)} steps"
        raise Differs(f"{counted} would change something", hint=f"`{hints.task('manual.deploy')}` does it")


@task(
    example="inv manual.render manifests --tenant BHC",
    without=("yes", "timeout"),
    help={"out": "folder to write to; it is made, and files of the same names in it are replaced"},
)
def render(session: Session, out: str) -> None:
    """Write plain manifests that kubectl apply takes, numbered in their order; no password is in them."""
    from korthweb_tasks.approaches.manual.render import rendered
    from korthweb_tasks.services.shared import sound_settings, written

    sound_settings(session, "manual")
    written(session, out, rendered(_manifests(session), session.tenants), "how")


@task(
    example="inv manual.credentials --tenant BHC --show",
    changes=False,
    help={"show": "print the passwords; without it only who has one, and where it is kept"},
)
def credentials(session: Session, show: bool = False) -> None:
    """Say who may log in, and with --show the passwords."""
    from korthweb_tasks.services.shared import tell_logins

    tell_logins(session, hints.task("manual.configure"), show=show)


@task(
    example="inv manual.destroy --context hospital-a --tenant BHC",
    destructive=True,
    help={"volumes": "remove namespaces, volumes and passwords too: every image is lost"},
)
def destroy(session: Session, volumes: bool = False) -> Report:
    """Remove a deployment in reverse order; volumes and their passwords are kept unless --volumes."""
    from korthweb_tasks.approaches.manual.removal import SHARED, build_removal
    from korthweb_tasks.approaches.shared.ownership import groups_of
    from korthweb_tasks.services import ownership as owning

    session.contact()
    homes = [(tenant.name, tenant.namespace) for tenant in session.tenants]
    fates = owning.fates(session, "manual", homes, volumes=volumes)
    if not session.tenant_flag:
        groups = groups_of(session.settings.components, ("istio", "cert-manager"))
        owning.refuse_shared_removal(session, "manual", fates, SHARED, groups)
        fates |= owning.shared_fates(session, SHARED)
    plan = build_removal(
        session.settings,
        session.target,
        session.tenants,
        session.secrets,
        _artifacts(session),
        volumes=volumes,
        fates=fates,
        shared=not session.tenant_flag,
    )
    return session.execute(plan, destructive=True)


def deployed(session: Session) -> Report:
    """Deploy the session's tenants and return the report; ``demo`` calls this too."""
    from korthweb_tasks.services import beforehand, simulated

    session.contact()
    beforehand.refuse(session, "manual")
    simulated.refuse(session, "manual")
    return session.execute(_plan(session))


def _execute(session: Session, title: str, *kinds: str) -> Report:
    """Apply the part of the plan whose steps are of these kinds."""
    from korthweb_tasks.approaches.manual.plan import TENANT_STEPS
    from korthweb_tasks.approaches.manual.prerequisites import outside, require
    from korthweb_tasks.services import beforehand, simulated

    session.contact()
    beforehand.refuse(session, "manual", session.tenants if set(kinds) & set(TENANT_STEPS) else ())
    if not ONLY_OBJECTS.issuperset(kinds):
        simulated.refuse(session, "manual")
    whole = _plan(session)
    names = [step.name for step in whole.steps if step.kind in kinds]
    if not session.dry_run:
        require(session.kubectl, session.runner.check, session.tenants, outside(whole, names))
    return session.execute(whole.only(title, names))


def _plan(session: Session) -> Plan:
    from korthweb_tasks.approaches.manual.plan import build
    from korthweb_tasks.services.shared import sound_settings

    sound_settings(session, "manual")
    return build(session.settings, session.target, session.tenants, session.secrets, _artifacts(session))


def _manifests(session: Session) -> Manifests:
    from korthweb_tasks.approaches.manual.manifests import Manifests

    return Manifests(session.settings, session.secrets, _artifacts(session))


def _artifacts(session: Session) -> Artifacts:
    """Read the artifacts; a chart of the lab is put together where the settings ask for it."""
    from korthweb_tasks.approaches.shared.common import Artifacts
    from korthweb_tasks.paths import artifacts_dir

    chart = session.settings.charts["cert-manager"]
    charts = None
    if chart.source == "lab":
        from korthweb_tasks.lab import labs

        charts = labs.chart_folder(chart.version, keep_caches=session.settings.lab.keep_build_caches)
    return Artifacts.read(artifacts_dir("manual"), charts)


def findings(session: Session) -> list[Finding]:
    """Return what manual.check says: tools, numbers, the cluster, the chart."""
    from korthweb_tasks.approaches.shared import checks, pod_security
    from korthweb_tasks.services import beforehand
    from korthweb_tasks.services.components import component_findings
    from korthweb_tasks.services.shared import answers, settings_finding, tool

    settings, tenants = session.settings, session.tenants
    found = [tool(session, name) for name in ("kubectl", "helm", "istioctl")]
    found.append(settings_finding(session, "manual"))
    found += checks.from_settings(settings, tenants)
    release = _manifests(session).cert_manager
    asked = [*checks.for_cluster(settings, session.target, tenants), checks.chart(release)]
    asked += pod_security.questions(settings, session.kubectl, tenants)
    found += answers(session, asked)
    return [*found, *beforehand.findings(session, "manual"), *component_findings(session, "manual")]
