"""Orthanc by hand: istioctl, one chart and plain manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.errors_out import as_typed
from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.common import Artifacts
    from korthweb_tasks.approaches.manifests import Manifests
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.report.model import Report


@task(example="inv manual.check --context hospital-a", changes=False)
def check(session: Session) -> None:
    """Look whether everything is there that a deployment needs; changes nothing."""
    from korthweb_tasks.collections.shared import tell_findings

    session.contact()
    tell_findings(session, _findings(session))


@task(example="inv manual.install-istio --context hospital-a")
def install_istio(session: Session) -> None:
    """Install Istio with its ingress gateway, and mutual TLS for everybody."""
    _execute(session, "Install Istio", "istio")


@task(example="inv manual.install-cert-manager --context hospital-a")
def install_cert_manager(session: Session) -> None:
    """Install cert-manager by its chart, until its webhook serves."""
    _execute(session, "Install cert-manager", "cert-manager")


@task(example="inv manual.install-observability --context hospital-a")
def install_observability(session: Session) -> None:
    """Install the lite observability: Prometheus, Kiali, Grafana and Jaeger, as the settings say."""
    from korthweb_tasks.errors import UsageError

    if not _manifests(session).observability():
        raise UsageError("the settings switch all of observability off", hint="observability: in korthweb.yaml")
    _execute(session, "Install observability", "observability")


@task(example="inv manual.issue-certificates --tenant BHC")
def issue_certificates(session: Session) -> None:
    """Issue certificates for web. and dicom. of each tenant, out of an authority of its own."""
    _execute(session, "Issue certificates", "certificates:")


@task(example="inv manual.configure --tenant BHC")
def configure(session: Session) -> None:
    """Make each tenant's namespace, passwords, orthanc.json and policies."""
    _execute(session, "Configure", "namespace:", "credentials:", "config:")


@task(example="inv manual.install-postgres --tenant BHC")
def install_postgres(session: Session) -> None:
    """Install each tenant's PostgreSQL and prepare its database."""
    _execute(session, "Install PostgreSQL", "postgres:", "dbinit:")


@task(example="inv manual.install-orthanc --tenant BHC")
def install_orthanc(session: Session) -> None:
    """Install each tenant's Orthanc, its autoscaler and its way in."""
    _execute(session, "Install Orthanc", "orthanc:", "ingress:")


@task(example="inv manual.deploy --context hospital-a --tenant BHC")
def deploy(session: Session) -> None:
    """Deploy everything, from Istio to Orthanc; what is so already is left alone."""
    deployed(session)
    if not session.dry_run:
        following = "Next: inv verify.all proves it from outside; inv manual.credentials --show tells the passwords"
        session.console.line(as_typed(following))


@task(example="inv manual.status --tenant BHC --output json", changes=False)
def status(session: Session) -> None:
    """Show what is there of a deployment, and how it is."""
    from korthweb_tasks.approaches import status as reading
    from korthweb_tasks.approaches.common import answered
    from korthweb_tasks.collections.shared import side_by_side, tell_rows
    from korthweb_tasks.tools.kubectl import items

    session.contact()
    results = map(
        answered, side_by_side(session, session.runner.check, reading.questions(session.kubectl, session.tenants))
    )
    objects = [obj for result in results if result.code == 0 for obj in items(result)]
    found = reading.rows(objects)
    tell_rows(session, [*found, *reading.missing(found, session.tenants)])


@task(example="inv manual.diff --context hospital-a", changes=False)
def diff(session: Session) -> None:
    """Show what a deployment would change, by the server's own reckoning; exit code 9 where it is something."""
    from korthweb_tasks.approaches.differences import differences
    from korthweb_tasks.errors import Differs

    session.contact()
    found = differences(_plan(session), session.runner.check, session.secrets.masks)
    text = "\n\n".join(f"# {entry.title}\n{entry.text}" for entry in found)
    session.emit([entry.as_data() for entry in found], text or "nothing would change")
    if found:
        counted = "1 step" if len(found) == 1 else f"{len(found)} steps"
        raise Differs(f"{counted} would change something", hint="inv manual.deploy does it")


@task(
    example="inv manual.render --out manifests --tenant BHC",
    help={"out": "folder to write to; it is made, and files of the same names in it are replaced"},
)
def render(session: Session, out: str) -> None:
    """Write plain manifests that kubectl apply takes, numbered in their order; no password is in them."""
    from korthweb_tasks.approaches.rendering import rendered
    from korthweb_tasks.collections.shared import written

    for path in written(session, out, rendered(_manifests(session), session.tenants), "how"):
        path.chmod(0o755 if path.suffix == ".sh" else 0o644)


@task(
    example="inv manual.credentials --tenant BHC --show",
    changes=False,
    help={"show": "print the passwords; without it only who has one, and where it is kept"},
)
def credentials(session: Session, show: bool = False) -> None:
    """Say who may log in, and with --show the passwords."""
    from korthweb_tasks.collections.shared import tell_logins

    tell_logins(session, "inv manual.configure", show=show)


@task(
    example="inv manual.destroy --context hospital-a --tenant BHC",
    destructive=True,
    help={"volumes": "remove namespaces, volumes and passwords too: every image is lost"},
)
def destroy(session: Session, volumes: bool = False) -> None:
    """Remove a deployment in reverse order; volumes and their passwords are kept unless --volumes."""
    from korthweb_tasks.approaches.removal import build_removal

    plan = build_removal(
        session.settings, session.target, session.tenants, session.secrets, _artifacts(session), volumes=volumes
    )
    session.execute(plan, destructive=True)


def deployed(session: Session) -> Report:
    """Deploy the session's tenants and return the report; ``demo`` calls this too."""
    return session.execute(_plan(session))


def _execute(session: Session, title: str, *kinds: str) -> None:
    """Apply the part of the plan whose steps are of these kinds (``orthanc:`` means that of each tenant)."""
    from korthweb_tasks.approaches.order import outside, require

    whole = _plan(session)
    names = [s.name for s in whole.steps if s.name in kinds or f"{s.name.partition(':')[0]}:" in kinds]
    if not session.dry_run:
        session.contact()
        require(session.kubectl, session.runner.check, session.tenants, outside(whole, names))
    session.execute(whole.only(title, names))


def _plan(session: Session) -> Plan:
    from korthweb_tasks.approaches.manual import build
    from korthweb_tasks.collections.shared import within_budget

    within_budget(session)
    return build(session.settings, session.target, session.tenants, session.secrets, _artifacts(session))


def _manifests(session: Session) -> Manifests:
    from korthweb_tasks.approaches.manifests import Manifests

    return Manifests(session.settings, session.secrets, _artifacts(session))


def _artifacts(session: Session) -> Artifacts:
    """Read the artifacts; a chart of the lab is put together where the settings ask for it."""
    from korthweb_tasks.approaches.common import Artifacts
    from korthweb_tasks.paths import artifacts_dir

    chart = session.settings.charts["cert-manager"]
    charts = None
    if chart.source == "lab":
        from korthweb_tasks.lab.charts import folder

        charts = folder(chart.version, keep_caches=session.settings.lab.keep_build_caches)
    return Artifacts.read(artifacts_dir("manual"), charts)


def _findings(session: Session) -> list[Finding]:
    from korthweb_tasks.approaches import checks
    from korthweb_tasks.collections.shared import side_by_side, tool

    settings, tenants = session.settings, session.tenants
    findings = [tool(session, name) for name in ("kubectl", "helm", "istioctl")]
    findings += checks.from_settings(settings, tenants)
    release = _manifests(session).cert_manager
    asked = [*checks.for_cluster(settings, session.target, tenants), checks.chart(release)]
    results = side_by_side(session, session.runner.check, [question.command for question in asked])
    return [*findings, *(question.finding(result) for question, result in zip(asked, results, strict=True))]
