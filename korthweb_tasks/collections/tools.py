"""The CLIs that korthweb calls: which one is used and where it came from, and bringing those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


@task(example="korthweb tools.list", cluster=False, changes=False, name="list")
def list_tools(session: Session) -> None:
    """Show which kubectl, helm, flux and other CLIs are used, their versions and where they came from."""
    from korthweb_tasks.services import tools

    tools.show(session)


@task(
    example="korthweb tools.install helm   (or helm,flux or all)",
    cluster=False,
    without=("yes",),
    positional=("names",),
    help={"names": "one of kubectl, helm, istioctl, flux, sops, age-keygen; several with commas; all"},
)
def install(session: Session, names: str) -> None:
    """Bring CLIs that are missing: a release download where its host answers, else built from Go modules."""
    from korthweb_tasks.services import tools

    tools.install(session, names)
