"""Asks the cluster which components are there and whose they are, for `check` and before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.plan import CNPG
from korthweb_tasks.approaches.helm.values import entry_points, needed_operators, own_traefik, routed
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.common import CERT_MANAGER, ISTIO, OBSERVABILITY
from korthweb_tasks.approaches.shared.component_checks import Wanted, findings, refuse
from korthweb_tasks.approaches.shared.components import questions, survey
from korthweb_tasks.errors import KorthwebError, last_line
from korthweb_tasks.services import ownership as owning
from korthweb_tasks.services.gitops.repository import folder_of, remote
from korthweb_tasks.services.shared import side_by_side

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings


def components_of(settings: Settings, approach: str) -> tuple[Component, ...]:
    """Return the components that an approach installs or uses with these settings."""
    if approach == "manual":
        return ("istio", "cert-manager")
    if approach == "helm":
        return (*(("traefik",) if routed(settings) else ()), *needed_operators(settings))
    watched: tuple[Component, ...] = ("prometheus",) if settings.observability.prometheus else ()
    return ("istio", "cert-manager", "cloudnative-pg", *watched, "flux")


def component_findings(session: Session, approach: str) -> list[Finding]:
    """Return what there is of each component; what can't be asked is broken, for unknown is never absent."""
    names = components_of(session.settings, approach)
    shared = shared_homes(session.settings, approach)
    spaces = owning.shared_findings(session, shared) if shared else []
    if not names:
        return spaces
    answers = side_by_side(session, session.runner.check, questions(session.kubectl))
    for answer in answers:
        if not answer.answered:
            return [Finding("Components", "broken", f"{answer.command}: {last_line(answer.stderr)}")]
    return [*findings(_wanted(session, approach), names, survey(answers)), *spaces]


def shared_homes(settings: Settings, approach: str) -> tuple[str, ...]:
    """Return the namespaces of what tenants share, as far as korthweb makes them. Those of Flux are its component's."""
    watched = settings.observability
    wanted = {
        "manual": {"istio": ISTIO, "cert-manager": CERT_MANAGER},
        "gitops": {"cert-manager": CERT_MANAGER, "istio": ISTIO, "cloudnative-pg": CNPG},
    }.get(approach, {})
    watching = {"manual": bool(watched.chosen), "gitops": watched.prometheus or watched.kiali}.get(approach, False)
    own = tuple(place for component, place in wanted.items() if not settings.uses(component))
    beside = (settings.flux.namespace,) if approach == "gitops" and settings.flux.beside else ()
    return (*own, *((OBSERVABILITY,) if watching else ()), *beside)


def _wanted(session: Session, approach: str) -> Wanted:

    settings = session.settings
    places = tuple(tenant.namespace for tenant in session.tenants)
    if approach == "manual":
        return Wanted(settings, places)
    if approach == "helm":
        foreign: tuple[Component, ...] = () if own_traefik(settings) else ("traefik",)
        used = (*foreign, *needed_operators(settings))
        return Wanted(settings, places, entries=entry_points(settings), used=used)

    try:
        url = remote(session).url
    except KorthwebError:  # told by a finding of its own
        url = settings.gitops.url or ""
    return Wanted(settings, places, url, f"clusters/{folder_of(session)}", settings.postgres.operator_namespace)


def refuse_components(session: Session, approach: str) -> None:
    """Raise GuardRefused where a component is somebody else's, or can't be used as the settings want it used."""
    refuse(component_findings(session, approach))
