"""Orthanc by one chart: PostgreSQL and Traefik along with it, one release for each tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session


@task(example="inv helm.check --context hospital-a", changes=False, many=True)
def check(session: Session) -> None:
    """Check the prerequisites: tools, permissions, storage, settings, chart; nothing is changed."""
    from korthweb_tasks.services import helm

    helm.check(session)


@task(example="inv helm.dependencies", offline=True, without=("tenant", "yes", "timeout"))
def dependencies(session: Session) -> None:
    """Bring the charts that ours needs, from where the settings say."""
    from korthweb_tasks.services import helm

    helm.dependencies(session)


@task(example="inv helm.lint --tenant BHC", offline=True, changes=False, without=("timeout",))
def lint(session: Session) -> None:
    """Check the chart with each tenant's values, strictly: templates, schema, what the chart itself refuses."""
    from korthweb_tasks.services import helm

    helm.lint(session)


@task(example="inv helm.template --tenant BHC", offline=True, changes=False, without=("timeout",))
def template(session: Session) -> None:
    """Show what the chart makes of the settings, without a cluster; the contents of Secrets are masked."""
    from korthweb_tasks.services import helm

    helm.template(session)


@task(example="inv helm.diff --tenant BHC", changes=False, many=True)
def diff(session: Session) -> None:
    """Show what an upgrade would change in each release, Secrets masked; exit code 9 where it is something."""
    from korthweb_tasks.services import helm

    helm.diff(session)


@task(example="inv helm.deploy --context hospital-a --tenant BHC")
def deploy(session: Session) -> Report:
    """Install or upgrade each tenant's release, and wait until it is ready; what is so already is left alone."""
    from korthweb_tasks.services import helm

    return helm.deploy(session)


@task(example="inv helm.test --tenant BHC")
def test(session: Session) -> None:
    """Run the chart's own test in the cluster: HTTPS with and without a password, TLS for DICOM, C-ECHO."""
    from korthweb_tasks.services import helm

    helm.test(session)


@task(example="inv helm.status --tenant BHC --output json", changes=False, many=True)
def status(session: Session) -> None:
    """Show each release, what belongs to it, and how it is; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.services import helm

    helm.status(session)


@task(example="inv helm.history --tenant BHC", changes=False)
def history(session: Session) -> None:
    """Show the revisions of each release, for helm.rollback."""
    from korthweb_tasks.services import helm

    helm.history(session)


@task(
    example="inv helm.rollback --tenant BHC --revision 3",
    help={"revision": "a number that helm.history shows (default: the one before)"},
)
def rollback(session: Session, revision: int = 0) -> Report:
    """Go back to an earlier revision of one tenant's release; images, passwords and certificates stay."""
    from korthweb_tasks.services import helm

    return helm.rollback(session, revision)


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
    from korthweb_tasks.services import helm

    helm.package(session, out, to=push, ca=ca, plain=plain)


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
    from korthweb_tasks.services import helm

    return helm.destroy(session, volumes=volumes)
