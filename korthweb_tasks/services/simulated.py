"""A simulated lab has pods that run no programs: what can't be done on it is said when it comes up, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.core import hints
from korthweb_tasks.errors import LabImpossible
from korthweb_tasks.lab import store

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

#: approach -> the task whose preview shows its plan
_PLANNED = {"manual": "manual.deploy", "helm": "helm.deploy", "gitops": "gitops.bootstrap"}


def refuse(session: Session, approach: str) -> None:
    """Raise LabImpossible on a simulated lab, before anything is changed; a preview of it is fine."""
    name = session.ref.lab
    found = store.load(name) if name and not session.dry_run else None
    if found is None or not found.layout.simulated:
        return
    planned = _PLANNED.get(approach)
    preview = f"; `{hints.task(planned, dry_run=True)}` shows the plan" if planned else ""
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
