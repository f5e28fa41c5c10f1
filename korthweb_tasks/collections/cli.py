"""kubectl, helm, istioctl and flux themselves, on the chosen cluster: everything after -- is passed on as it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

_FLAGS = ("context", "dry_run", "yes", "settings")


@task(example="inv cli.kubectl --context hospital-a -- get pods --all-namespaces", only=_FLAGS)
def kubectl(session: Session) -> None:
    """Run kubectl; everything after -- is passed on as it is, output and exit code are its own."""
    _pass_on(session, "kubectl")


@task(example="inv cli.helm --context hospital-a -- list --all-namespaces", only=_FLAGS)
def helm(session: Session) -> None:
    """Run helm; everything after -- is passed on as it is, output and exit code are its own."""
    _pass_on(session, "helm")


@task(example="inv cli.istioctl --context hospital-a -- proxy-status", only=_FLAGS)
def istioctl(session: Session) -> None:
    """Run istioctl; everything after -- is passed on as it is, output and exit code are its own."""
    _pass_on(session, "istioctl")


@task(example="inv cli.flux --context hospital-a -- get all --all-namespaces", only=_FLAGS)
def flux(session: Session) -> None:
    """Run flux; everything after -- is passed on as it is, output and exit code are its own."""
    _pass_on(session, "flux")


def _pass_on(session: Session, name: str) -> None:
    """Run a program with the words typed, with our terminal as its own; end with its exit code."""
    from invoke.exceptions import Exit

    from korthweb_tasks.errors import UsageError
    from korthweb_tasks.tools.clis import CLIS

    words = _typed()
    if not words:
        raise UsageError(f"the words of {name} come after --", hint=f"{hints.task(f'cli.{name}')} -- --help")
    cli, masks = CLIS[name], session.secrets.masks
    if session.dry_run:
        command = cli.command(session.ref.target, words, masks=masks)
        session.emit({"command": str(command)}, str(command))
        return
    command = cli.command(session.target, words, masks=masks)
    session.meet(cli.effect(words))
    if code := session.runner.attach(command):
        raise Exit(code=code)


def _typed() -> list[str]:
    """Return the words after ``--``, each as the shell gave it: Invoke joins them with spaces, and quotes are lost."""
    typed = sys.argv[1:]
    return typed[typed.index("--") + 1 :] if "--" in typed else []
