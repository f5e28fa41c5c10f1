"""The CLIs that korthweb calls: which one is used and where it came from, and bringing those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.provision.tools import Located, Status
    from korthweb_tasks.services.session import Session


@task(example="korthweb tools.list", cluster=False, changes=False, name="list")
def list_tools(session: Session) -> None:
    """Show which kubectl, helm, flux and other CLIs are used, their versions and where they came from."""
    from korthweb_tasks.provision.tools import listing
    from korthweb_tasks.settings.show import columns

    statuses = listing(source=session.settings.tools.source)
    session.emit([_data(status) for status in statuses], columns([_cells(status) for status in statuses]))


@task(
    example="korthweb tools.install helm   (or helm,flux or all)",
    cluster=False,
    without=("yes",),
    positional=("names",),
    help={"names": "one of kubectl, helm, istioctl, flux, sops, age-keygen; several with commas; all"},
)
def install(session: Session, names: str) -> None:
    """Bring CLIs that are missing: a release download where its host answers, else built from Go modules."""
    from korthweb_tasks.provision import tools
    from korthweb_tasks.settings.show import columns

    wanted = [tools.tool_of(name) for name in _chosen(names, [t.name for t in tools.TOOLS.values() if t.components])]
    source = session.settings.tools.source
    if session.dry_run:
        statuses = [status for status in tools.listing(source=source) if status.tool in wanted]
        session.emit([_data(status) for status in statuses], columns([_cells(status) for status in statuses]))
        return
    with session.console.table("Bringing CLIs"):
        found = [_bring(session, tool.name, source) for tool in wanted]
    if not session.settings.lab.keep_build_caches:
        from korthweb_tasks.provision.prune import prune_build_caches

        prune_build_caches()
    session.emit([_found(located) for located in found], columns([[*_found(one).values()] for one in found]))


def _bring(session: Session, name: str, source: Any) -> Located:
    from korthweb_tasks.provision import tools

    with session.console.task(name) as row:
        (located,) = tools.install([name], source=source, progress=lambda _, line: row.update(line))
        row.result = f"{located.version} from {located.origin}"
    return located


def _chosen(names: str, known: list[str]) -> list[str]:
    """Return the names in a list with commas; ``all`` stands for the known ones."""
    words = [word.strip() for word in names.split(",") if word.strip()]
    return known if "all" in words else list(dict.fromkeys(words))


def _found(located: Located) -> dict[str, str]:
    return {
        "name": located.name,
        "version": located.version,
        "origin": located.origin,
        "path": str(located.path),
    }


def _data(status: Status) -> dict[str, Any]:
    missing = {"name": status.tool.name, "version": None, "origin": None, "path": None}
    found = _found(status.located) if status.located else missing
    return {**found, "accepted": status.tool.accepted, "note": status.note}


def _cells(status: Status) -> list[str]:
    if status.located:
        return [*_found(status.located).values()]
    how = f"; `{hints.task('tools.install', status.tool.name)}` brings it" if status.tool.components else ""
    return [status.tool.name, "-", "missing", f"{status.note} (wanted {status.tool.accepted}){how}"]
