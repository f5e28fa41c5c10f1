"""Orthanc by hand: istioctl, one chart and plain manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session


@task(example="inv manual.check --context hospital-a", changes=False, many=True)
def check(session: Session) -> None:
    """Check the prerequisites: tools, permissions, storage, settings; nothing is changed."""
    from korthweb_tasks.services import manual

    manual.check(session)


@task(example="inv manual.install-istio --context hospital-a", without=("tenant",))
def install_istio(session: Session) -> Report:
    """Install Istio with its ingress gateway, and mutual TLS for everybody."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Install Istio", "install-istio")


@task(example="inv manual.install-cert-manager --context hospital-a", without=("tenant",))
def install_cert_manager(session: Session) -> Report:
    """Install cert-manager by its chart, until its webhook serves."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Install cert-manager", "install-cert-manager")


@task(example="inv manual.install-observability --context hospital-a", without=("tenant",))
def install_observability(session: Session) -> Report:
    """Install the lite observability: Prometheus, Kiali, Grafana and Jaeger, as the settings say."""
    from korthweb_tasks.services import manual

    return manual.install_observability(session)


@task(example="inv manual.issue-certificates --tenant BHC")
def issue_certificates(session: Session) -> Report:
    """Issue certificates for web. and dicom. of each tenant, out of an authority of its own."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Issue certificates", "issue-certificates")


@task(example="inv manual.configure --tenant BHC")
def configure(session: Session) -> Report:
    """Make each tenant's namespace, passwords, orthanc.json and policies."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Configure", "configure")


@task(example="inv manual.install-postgres --tenant BHC")
def install_postgres(session: Session) -> Report:
    """Install each tenant's PostgreSQL and prepare its database."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Install PostgreSQL", "install-postgres")


@task(example="inv manual.install-orthanc --tenant BHC")
def install_orthanc(session: Session) -> Report:
    """Install each tenant's Orthanc, its autoscaler and its way in."""
    from korthweb_tasks.services import manual

    return manual.part(session, "Install Orthanc", "install-orthanc")


@task(example="inv manual.deploy --context hospital-a --tenant BHC")
def deploy(session: Session) -> Report:
    """Deploy everything, from Istio to Orthanc; what is so already is left alone."""
    from korthweb_tasks.services import manual

    return manual.deploy(session)


@task(example="inv manual.status --tenant BHC --output json", changes=False, many=True)
def status(session: Session) -> None:
    """Show what is there of a deployment, and how it is; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.services import manual

    manual.status(session)


@task(example="inv manual.diff --context hospital-a", changes=False, many=True)
def diff(session: Session) -> None:
    """Show what a deployment would change, by the server's own reckoning; exit code 9 where it is something."""
    from korthweb_tasks.services import manual

    manual.diff(session)


@task(
    example="inv manual.render manifests --tenant BHC",
    without=("yes", "timeout"),
    help={"out": "folder to write to; it is made, and files of the same names in it are replaced"},
)
def render(session: Session, out: str) -> None:
    """Write plain manifests that kubectl apply takes, numbered in their order; no password is in them."""
    from korthweb_tasks.services import manual

    manual.render(session, out)


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
    from korthweb_tasks.services import manual

    return manual.destroy(session, volumes=volumes)
