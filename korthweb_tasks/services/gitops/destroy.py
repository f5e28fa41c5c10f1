"""The end of GitOps in a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.abandoned import Abandoned
from korthweb_tasks.approaches.gitops.components import COMPONENTS, SHARED
from korthweb_tasks.approaches.gitops.removal import (
    Remover,
    alive,
    controllers,
    homes,
    inventory,
    left_definitions,
    leftovers,
    releases_of,
)
from korthweb_tasks.approaches.shared.layers import Layers
from korthweb_tasks.approaches.shared.shared_use import groups_of
from korthweb_tasks.core import hints
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.report.json import as_data
from korthweb_tasks.services import ownership as owning
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.gitops.removal import Home
    from korthweb_tasks.approaches.shared.ownership import Fate
    from korthweb_tasks.core.flux_home import FluxHome
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.tools.kubectl import Kubectl


def print_report(session: Session, report: Report) -> None:
    """Print a report where JSON is wanted."""
    if session.output == "json":
        session.emit(as_data(report), "")


def destroy(session: Session, *, volumes: bool) -> None:
    """Take everything away that GitOps made in the cluster; the fleet repository stays as it is."""
    session.contact()
    flux = session.settings.flux
    layers_there, releases, everybody = map(session.runner.run, inventory(session.kubectl, flux))
    tenants = settled(session, homes(everybody), volumes=volumes)
    groups = groups_of(session.settings.components, COMPONENTS)
    gone = [home.namespace for home in tenants]
    shared = (*SHARED, flux.namespace)
    owning.refuse_shared_removal(session, "gitops", gone, shared, groups)
    fates = owning.shared_fates(session, shared)
    if not flux.beside:
        refuse_foreign_flux(fates.pop(flux.namespace), flux.namespace)
    layers = Layers.read(flux, layers_there)
    kustomizations, charts = layers.own(), releases_of(releases, layers)
    if (kustomizations or charts) and not alive(session.runner.run(controllers(session.kubectl, flux))):
        refuse_without_controllers(flux)
        session.console.line("Flux's controllers do not run, so korthweb takes away what they would.", "yellow")
        plan = Abandoned(session.target, volumes, fates).abandoned(charts, tenants)
    else:
        plan = Remover(session.target, volumes, fates, flux).everything(kustomizations, charts, tenants)
    session.execute(plan, destructive=True)
    if not session.dry_run:
        print_leftovers(session.runner, session.kubectl, session.console)


def settled(session: Session, found: Iterable[Home], *, volumes: bool) -> list[Home]:
    """Return tenants with what becomes of their namespaces; raises GuardRefused where GitOps did not deploy one."""
    chosen = list(found)
    fates = owning.fates(session, "gitops", [(home.name, home.namespace) for home in chosen], volumes=volumes)
    return [replace(home, fate=fates[home.namespace]) for home in chosen]


def refuse_without_controllers(flux: FluxHome) -> None:
    """Raise GuardRefused where somebody else's controllers do not run: who has to start them is not korthweb."""
    if flux.beside:
        text = f"the controllers of the other Flux do not run in {flux.controllers}: nobody takes away what it applied"
        look = hints.kubectl("get", "deployments", namespace=flux.controllers)
        raise GuardRefused(text, hint=f"`{look}`, and who looks after them")


def refuse_foreign_flux(fate: Fate, namespace: str) -> None:
    """Raise GuardRefused where korthweb did not install the Flux that would be uninstalled."""
    if fate.foreign or fate.kept:
        text = f"Flux is not uninstalled: {fate.kept or 'korthweb did not install it'} (the namespace {namespace})"
        one = hints.task("gitops.remove-tenant", "NAME")
        raise GuardRefused(text, hint=f"`{one}` removes one tenant and leaves Flux alone")


def print_leftovers(runner: Runner, kubectl: Kubectl, console: Console) -> None:
    """Say what is left after everything was removed."""
    definitions, spaces = map(runner.run, leftovers(kubectl))
    names = [obj["metadata"]["name"] for obj in items(spaces)]
    if names:
        console.line(f"Kept, with volumes and passwords: {', '.join(names)} (--volumes removes them)")
    if left := left_definitions(definitions):
        groups = sorted({name.partition(".")[2] for name in left})
        console.line(f"Left, for others may use them: {len(left)} definitions of {', '.join(groups)}")
    console.line("The fleet repository is as it was.")
