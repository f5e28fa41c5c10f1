"""Orthanc by Git: a fleet repository of plain YAML, which Flux keeps every cluster in step with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

_BRANCH = {
    "pull-request-branch": "push to this branch for a pull request, leave the cluster alone (default: gitops.branch)"
}


@task(example="inv gitops.check --context hospital-a", changes=False, many=True)
def check(session: Session) -> None:
    """Check the prerequisites: tools, cluster, Git, charts, images, settings; nothing is changed."""
    from korthweb_tasks.services.gitops import check as service

    service.check(session)


@task(
    example="inv gitops.render --context hospital-a",
    offline=True,
    without=("tenant", "yes", "timeout"),
    help={"out": "write the files into this folder (default: show what they would change in the fleet repository)"},
)
def render(session: Session, out: str = "") -> None:
    """Show what the settings mean as files of the fleet repository, or write them to a folder; pushes nothing."""
    from korthweb_tasks.services.gitops import render as service

    service.render(session, out)


@task(example="inv gitops.bootstrap --context hospital-a", help=_BRANCH)
def bootstrap(session: Session, pull_request_branch: str = "") -> None:
    """Bring the settings to Git and Flux to the cluster, and wait until every layer is ready."""
    from korthweb_tasks.services.gitops import deploy as service

    service.bootstrap(session, onto=pull_request_branch)


@task(example="inv gitops.deploy --context hospital-a", help=_BRANCH)
def deploy(session: Session, pull_request_branch: str = "") -> None:
    """Bring a change of the settings to Git, and follow it into the cluster."""
    from korthweb_tasks.services.gitops import deploy as service

    service.deploy(session, onto=pull_request_branch)


@task(example="inv gitops.configure --context hospital-a")
def configure(session: Session) -> None:
    """Make only what is not in Git: namespaces, passwords, the registry's authority, the key for encrypted ones."""
    from korthweb_tasks.services.gitops import deploy as service

    service.configure(session)


@task(
    example="inv gitops.credentials --tenant BHC --show",
    changes=False,
    help={"show": "print the passwords; without it only who has one, and where it is kept"},
)
def credentials(session: Session, show: bool = False) -> None:
    """Say who may log in, and with --show the passwords."""
    from korthweb_tasks.services.shared import tell_logins

    tell_logins(session, hints.task("gitops.bootstrap"), show=show)


@task(
    example="inv gitops.add-tenant NEW --domain new.example.org --context hospital-a",
    without=("tenant",),
    positional=("name",),
    help={
        "name": "short name of the facility: NEW",
        "domain": "web.<domain> and dicom.<domain> will be its host names",
        "aet": "AE title (default: the name in upper case)",
        "namespace": "namespace (default: <name>-orthweb in lower case)",
        "storage": "size of the database's volume, such as 50Gi (default: that of the settings)",
        "replicas-min": "pods that always run (default: that of the settings)",
        "replicas-max": "pods at the most (default: that of the settings)",
    },
)
def add_tenant(
    session: Session,
    name: str,
    domain: str,
    aet: str = "",
    namespace: str = "",
    storage: str = "",
    replicas_min: int = 0,
    replicas_max: int = 0,
) -> None:
    """Add a facility to korthweb.yaml, to Git and to the cluster, beside those that are at work."""
    from korthweb_tasks.services.gitops import tenants as service

    replicas = {key: value for key, value in (("min", replicas_min), ("max", replicas_max)) if value}
    given = {"aet": aet, "namespace": namespace, "storage": storage, "replicas": replicas}
    service.add(session, {"name": name, "domain": domain, **{key: value for key, value in given.items() if value}})


@task(
    example="inv gitops.remove-tenant NEW --context hospital-a",
    without=("tenant",),
    destructive=True,
    positional=("name",),
    help={
        "name": "the facility",
        "volumes": "remove database, volumes and namespace too: every image is lost",
    },
)
def remove_tenant(session: Session, name: str, volumes: bool = False) -> None:
    """Take a facility out of korthweb.yaml, Git and the cluster; its images stay unless --volumes."""
    from korthweb_tasks.services.gitops import tenants as service

    service.remove(session, name, volumes=volumes)


@task(example="inv gitops.diff --context hospital-a", changes=False, many=True, without=("tenant",))
def diff(session: Session) -> None:
    """Show where the settings differ from Git, and Git from the cluster; exit code 9 where something does."""
    from korthweb_tasks.services.gitops import differences as service

    service.diff(session)


@task(
    example="inv gitops.destroy --context hospital-a",
    without=("tenant",),
    destructive=True,
    help={"volumes": "remove databases, volumes and namespaces of the tenants too: every image is lost"},
)
def destroy(session: Session, volumes: bool = False) -> None:
    """Take everything out of the cluster, Flux last; volumes stay unless --volumes, and the fleet repository does."""
    from korthweb_tasks.services.gitops import destroy as service

    service.destroy(session, volumes=volumes)


@task(example="inv gitops.status --tenant BHC", changes=False, many=True)
def status(session: Session) -> None:
    """Show everything that Flux looks after as a tree; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.services.gitops import look as service

    service.status(session)


@task(
    example="inv gitops.wait --only cert-manager,istio",
    changes=False,
    help={"only": "names of Kustomizations, separated by commas (default: all of them)"},
)
def wait(session: Session, only: str = "") -> None:
    """Wait until everything is ready, with the live tree."""
    from korthweb_tasks.services.gitops import look as service

    service.wait(session, only)


@task(
    example="inv gitops.reconcile bhc-application",
    without=("tenant",),
    help={"name": "a Kustomization, a HelmRelease, a tenant, or all"},
    positional=("name",),
)
def reconcile(session: Session, name: str) -> None:
    """Let Flux fetch the source and apply it now, and follow that until it is ready."""
    from korthweb_tasks.services.gitops import look as service

    service.reconcile(session, name)


@task(
    example="inv gitops.suspend MHR",
    without=("tenant",),
    help={"names": "Kustomizations, HelmReleases, sources or tenants, separated by commas"},
    positional=("names",),
)
def suspend(session: Session, names: str) -> None:
    """Let Flux leave objects alone: changes in Git do not arrive, changes by hand stay; until gitops.resume."""
    from korthweb_tasks.services.gitops import look as service

    service.switch(session, names, suspended=True)


@task(
    example="inv gitops.resume MHR",
    without=("tenant",),
    help={"names": "Kustomizations, HelmReleases, sources or tenants, separated by commas"},
    positional=("names",),
)
def resume(session: Session, names: str) -> None:
    """Let Flux look after suspended objects again, at once."""
    from korthweb_tasks.services.gitops import look as service

    service.switch(session, names, suspended=False)


@task(
    example="inv gitops.explain bhc-application",
    without=("tenant",),
    changes=False,
    help={"name": "a Kustomization, HelmRelease, source, tenant, kind/name, or all"},
    positional=("name",),
)
def explain(session: Session, name: str) -> None:
    """Say why something is not ready: the deepest cause first, the way to it, and the command that shows more."""
    from korthweb_tasks.services.gitops import look as service

    service.explain(session, name)


@task(
    example="inv gitops.logs --controller kustomize --follow",
    without=("tenant",),
    changes=False,
    help={
        "controller": "source, kustomize or helm (default: all of them)",
        "follow": "go on until Ctrl-C",
        "lines": "how many of the last lines of each controller",
    },
)
def logs(session: Session, controller: str = "", follow: bool = False, lines: int = 100) -> None:
    """Show what Flux's controllers say: time (UTC), level, object, message."""
    from korthweb_tasks.services.gitops import log as service

    service.show(session, controller, follow=follow, lines=lines)
