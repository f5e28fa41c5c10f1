"""The cluster that the tasks speak to: which there are, which is chosen, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


@task(example="inv context.list", cluster=False, changes=False, name="list")
def list_(session: Session) -> None:
    """List the clusters: the chosen one (*), its kubeconfig, whether it answers, and its version."""
    from korthweb_tasks.services import context

    session.emit(*context.known_clusters(session))


@task(
    example="inv context.use hospital-a",
    cluster=False,
    changes=False,
    positional=("name",),
    help={
        "name": "a cluster of korthweb.yaml, a kubeconfig context, or a lab",
        "accept": "take the cluster as it is now for the right one, whatever was recorded before",
    },
)
def use(session: Session, name: str, accept: bool = False) -> None:
    """Choose the cluster of this project; kept in .korthweb/context, never in a kubeconfig."""
    from korthweb_tasks.services import context

    session.emit(*context.choose(session, name, accept=accept))


@task(
    example="inv context.show",
    cluster=False,
    changes=False,
    help={"context": "another cluster (default: the one chosen)"},
)
def show(session: Session, context: str | None = None) -> None:
    """Show the cluster that tasks would speak to, why this one, and what was recorded of it."""
    from korthweb_tasks.services import context as service

    session.context_flag = context
    session.emit(*service.described(session))
