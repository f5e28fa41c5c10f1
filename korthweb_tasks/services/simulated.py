"""A simulated lab has pods that run no programs: what can't be done on it is said when it comes up, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core import hints
from korthweb_tasks.errors import LabImpossible
from korthweb_tasks.lab import labs

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


def refuse(session: Session, approach: str = "") -> None:
    """Raise LabImpossible on a simulated lab, before anything is changed; a preview of it is fine."""
    name = session.ref.lab
    if session.dry_run or not name or not labs.is_simulated(name):
        return
    preview = f"; `{approach_of(approach).preview}` shows the plan" if approach else ""
    raise LabImpossible(
        f"the lab '{name}' is simulated: its pods run no programs, so that nothing can be deployed to it or verified",
        hint=f"`{hints.task('lab.up', name=f'{name}-real')}` makes a real one{preview}",
    )


def told(context: str) -> str:
    """Return what a simulated lab is good for, and what not."""
    plan = hints.task("manual.deploy", context=context, dry_run=True)
    return (
        "simulated: its pods run no programs, so that nothing can be deployed to it or verified (manual.deploy, "
        f"helm.deploy, gitops.bootstrap, demo, verify.*); `{plan}` shows a plan on it"
    )
