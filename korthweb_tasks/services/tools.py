"""The CLIs on this machine: a table of them, and the download or the build of those that are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core import hints
from korthweb_tasks.provision import tools
from korthweb_tasks.provision.prune import prune_build_caches
from korthweb_tasks.settings.show import columns

if TYPE_CHECKING:
    from korthweb_tasks.provision.tools import Located, Status, Tool
    from korthweb_tasks.services.session import Session


def show(session: Session, wanted: Iterable[Tool] = tools.TOOLS.values()) -> None:
    """Show which of the ``wanted`` CLIs are used, their versions and where they came from."""
    listed = [status for status in tools.listing(source=session.settings.tools.source) if status.tool in wanted]
    session.emit([_data(status) for status in listed], columns([_cells(status) for status in listed]))


def install(session: Session, names: str) -> None:
    """Download or build the CLIs in a list with commas (``all``: every one). Raises UsageError and ToolMissing."""
    wanted = _chosen(names)
    if session.dry_run:
        show(session, wanted)
        return
    with session.console.table("Bringing CLIs"):
        installed = [_install(session, tool.name) for tool in wanted]
    if not session.settings.lab.keep_build_caches:
        prune_build_caches()
    session.emit(
        [_located(located) for located in installed], columns([[*_located(located).values()] for located in installed])
    )


def _install(session: Session, name: str) -> Located:
    with session.console.task(name) as row:
        source = session.settings.tools.source
        (located,) = tools.install([name], source=source, progress=lambda _, line: row.update(line))
        row.result = f"{located.version} from {located.origin}"
    return located


def _chosen(names: str) -> list[Tool]:
    """Return the tools in a list with commas; ``all`` stands for those that can be installed."""
    words = [word.strip() for word in names.split(",") if word.strip()]
    if "all" in words:
        return [tool for tool in tools.TOOLS.values() if tool.components]
    return [tools.tool_of(name) for name in dict.fromkeys(words)]


def _located(located: Located) -> dict[str, str]:
    path = str(located.path)
    return {"name": located.name, "version": located.version, "origin": located.origin, "path": path}


def _data(status: Status) -> dict[str, Any]:
    missing = {"name": status.tool.name, "version": None, "origin": None, "path": None}
    described = _located(status.located) if status.located else missing
    return {**described, "accepted": status.tool.accepted, "note": status.note}


def _cells(status: Status) -> list[str]:
    if status.located:
        return [*_located(status.located).values()]
    how = f"; `{hints.task('tools.install', status.tool.name)}` brings it" if status.tool.components else ""
    return [status.tool.name, "-", "missing", f"{status.note} (wanted {status.tool.accepted}){how}"]
