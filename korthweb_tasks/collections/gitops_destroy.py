"""The end of GitOps in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.report.model import Report


def tell_report(session: Session, report: Report) -> None:
    """Print a report where JSON is wanted."""
    from korthweb_tasks.collections.session import report_data

    if session.output == "json":
        session.emit(report_data(report), "")


def destroyed(session: Session, *, volumes: bool) -> None:
    """Take everything away that GitOps made in the cluster; the fleet repository stays as it is."""
    from korthweb_tasks.approaches.gitops_abandoned import Abandoned
    from korthweb_tasks.approaches.gitops_removal import Remover, alive, controllers, homes, inventory
    from korthweb_tasks.tools.kubectl import items

    session.contact()
    layers_there, releases, tenants = (session.runner.run(one) for one in inventory(session.kubectl))
    kustomizations, charts = (items(result) if result.code == 0 else [] for result in (layers_there, releases))
    if (kustomizations or charts) and not alive(session.runner.run(controllers(session.kubectl))):
        session.console.line("Flux' controllers do not run, so korthweb takes away what they would.", "yellow")
        plan = Abandoned(session.target, volumes).abandoned(charts, homes(tenants))
    else:
        plan = Remover(session.target, volumes).everything(kustomizations, charts, homes(tenants))
    session.execute(plan, destructive=True)
    if not session.dry_run:
        tell_leftovers(session)


def tell_leftovers(session: Session) -> None:
    """Say what is left after everything was removed."""
    from korthweb_tasks.approaches.gitops_removal import left_definitions, leftovers
    from korthweb_tasks.tools.kubectl import items

    definitions, spaces = (session.runner.run(one) for one in leftovers(session.kubectl))
    names = [obj["metadata"]["name"] for obj in items(spaces)]
    if names:
        session.console.line(f"Kept, with volumes and passwords: {', '.join(names)} (--volumes removes them)")
    if left := left_definitions(definitions):
        groups = sorted({name.partition(".")[2] for name in left})
        session.console.line(f"Left, for others may use them: {len(left)} definitions of {', '.join(groups)}")
    session.console.line("The fleet repository is as it was.")
