"""kubectl, helm, istioctl and flux themselves, on the chosen cluster: everything after -- is passed on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

_FLAGS = ("context", "dry_run", "yes", "settings")


@task(example="inv cli.kubectl --context hospital-a -- get pods --all-namespaces", only=_FLAGS)
def kubectl(session: Session) -> None:
    """Run kubectl; everything after -- is passed on as it is, output and exit code are its own."""
    from korthweb_tasks.services import cli

    cli.pass_on(session, "kubectl")


@task(example="inv cli.helm --context hospital-a -- list --all-namespaces", only=_FLAGS)
def helm(session: Session) -> None:
    """Run helm; everything after -- is passed on as it is, output and exit code are its own."""
    from korthweb_tasks.services import cli

    cli.pass_on(session, "helm")


@task(example="inv cli.istioctl --context hospital-a -- proxy-status", only=_FLAGS)
def istioctl(session: Session) -> None:
    """Run istioctl; everything after -- is passed on as it is, output and exit code are its own."""
    from korthweb_tasks.services import cli

    cli.pass_on(session, "istioctl")


@task(example="inv cli.flux --context hospital-a -- get all --all-namespaces", only=_FLAGS)
def flux(session: Session) -> None:
    """Run flux; everything after -- is passed on as it is, output and exit code are its own."""
    from korthweb_tasks.services import cli

    cli.pass_on(session, "flux")
