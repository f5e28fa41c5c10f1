"""The fleet repository's files: written to a folder, or shown as what they would change in Git."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.services.gitops.fleet import fleet, open_draft, sources
from korthweb_tasks.services.gitops.push import print_changes
from korthweb_tasks.services.shared import sound_settings, written

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


def render(session: Session, out: str) -> None:
    """Write the files into the folder ``out``; without one show how they differ from Git."""
    sound_settings(session.loaded, "")
    if out:
        written(session, out, fleet(session, sources(session)).files(), "what they are")
        return
    with open_draft(session, change=False) as draft:
        changes = print_changes(session.console, draft)
    session.emit(changes, "\n".join(f"{mark} {path}" for path, mark in sorted(draft.changes.files.items())))
