"""The least rights that tasks need, made from their plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


@task(
    example="inv rbac.render --role tenant-operator --tenant BHC",
    offline=True,
    changes=False,
    without=("timeout",),
    help={
        "role": "platform, tenant-operator or read-only",
        "approach": "manual, helm or gitops (default: approach of the settings)",
    },
)
def render(session: Session, role: str = "tenant-operator", approach: str | None = None) -> None:
    """Print account, roles and bindings with the rights that an approach's tasks need; no cluster is asked."""
    from korthweb_tasks.services import rights

    rights.render(session, role, approach)
