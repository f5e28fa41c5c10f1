"""Asks the cluster which components are there and whose they are, for `check` and before anything is changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import Approach, approach_of
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.component_checks import Wanted, findings, refuse
from korthweb_tasks.approaches.shared.components import questions, survey
from korthweb_tasks.errors import KorthwebError, last_line
from korthweb_tasks.services import ownership as owning
from korthweb_tasks.services.gitops.repository import folder_of, remote
from korthweb_tasks.services.shared import side_by_side

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


def component_findings(session: Session, approach: str) -> list[Finding]:
    """Return what there is of each component; what can't be asked is broken, for unknown is never absent."""
    chosen = approach_of(approach)
    names, shared = chosen.components(session.settings), chosen.namespaces(session.settings)
    spaces = owning.shared_findings(session, shared) if shared else []
    if not names:
        return spaces
    answers = side_by_side(session.runner, session.runner.check, questions(session.kubectl))
    for answer in answers:
        if not answer.answered:
            return [Finding("Components", "broken", f"{answer.command}: {last_line(answer.stderr)}")]
    return [*findings(_wanted(session, chosen), names, survey(answers)), *spaces]


def _wanted(session: Session, approach: Approach) -> Wanted:
    settings = session.settings
    wanted = approach.wanted(settings, tuple(tenant.namespace for tenant in session.tenants))
    if not approach.by_flux:
        return wanted
    url = wanted.repository
    with suppress(KorthwebError):  # told by a finding of its own
        url = remote(session).url
    return replace(wanted, repository=url, folder=f"clusters/{folder_of(session.ref, settings)}")


def refuse_components(session: Session, approach: str) -> None:
    """Raise GuardRefused where a component is somebody else's, or can't be used as the settings want it used."""
    refuse(component_findings(session, approach))
