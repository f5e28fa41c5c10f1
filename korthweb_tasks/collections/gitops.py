"""Orthanc by Git: a fleet repository of plain YAML, which Flux keeps every cluster in step with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.collections.session import Session

_BRANCH = {"pull-request-branch": "push to this branch, for a pull request, and leave the cluster alone"}


@task(example="inv gitops.check --context hospital-a", changes=False)
def check(session: Session) -> None:
    """Look whether everything is there that GitOps needs: tools, cluster, Git, charts, images; changes nothing."""
    from korthweb_tasks.collections.gitops_check import findings
    from korthweb_tasks.collections.shared import tell_findings

    session.contact()
    tell_findings(session, findings(session))


@task(
    example="inv gitops.render --context hospital-a",
    help={"out": "write the files into this folder; without it, show what they would change in the fleet repository"},
)
def render(session: Session, out: str = "") -> None:
    """Show what the settings mean as files of the fleet repository, or write them to a folder; pushes nothing."""
    from korthweb_tasks.collections.gitops_fleet import fleet, sources, work
    from korthweb_tasks.collections.gitops_parts import tell_changes, written

    if out:
        written(session, out, fleet(session, sources(session)).files())
        return
    with work(session, change=False) as made:
        told = tell_changes(session, made.changes, made.checkout.target)
    session.emit(told, "\n".join(f"{mark} {path}" for path, mark in sorted(made.changes.files.items())))


@task(example="inv gitops.bootstrap --context hospital-a", help=_BRANCH)
def bootstrap(session: Session, pull_request_branch: str = "") -> None:
    """Bring the settings to Git and Flux to the cluster, and wait until every layer is ready."""
    from korthweb_tasks.collections.gitops_parts import bootstrapped

    bootstrapped(session, onto=pull_request_branch)


@task(example="inv gitops.deploy --context hospital-a", help=_BRANCH)
def deploy(session: Session, pull_request_branch: str = "") -> None:
    """Bring a change of the settings to Git, and follow it into the cluster."""
    from korthweb_tasks.collections.gitops_parts import deployed

    deployed(session, onto=pull_request_branch)


@task(example="inv gitops.configure --context hospital-a")
def configure(session: Session) -> None:
    """Make only what is not in Git: namespaces, passwords, the registry's authority, the key for encrypted ones."""
    from korthweb_tasks.collections.gitops_parts import configured

    configured(session)


@task(
    example="inv gitops.credentials --tenant BHC --show",
    changes=False,
    help={"show": "print the passwords; without it only who has one, and where it is kept"},
)
def credentials(session: Session, show: bool = False) -> None:
    """Say who may log in, and with --show the passwords."""
    from korthweb_tasks.collections.shared import tell_logins

    tell_logins(session, "inv gitops.bootstrap", show=show)
