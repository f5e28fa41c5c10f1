"""What a pull request changes, as the one comment in it that is edited in place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.changes import markdown
from korthweb_tasks.core.render import digest
from korthweb_tasks.services.ci.diff import comparison
from korthweb_tasks.services.ci.forge import Forge, NoRight
from korthweb_tasks.services.ci.place import place_of

if TYPE_CHECKING:
    from korthweb_tasks.changes.model import Comparison
    from korthweb_tasks.services.ci.place import Place
    from korthweb_tasks.services.session import Session

#: where GitHub and Gitea show Markdown of a job
SUMMARY = "GITHUB_STEP_SUMMARY"


def comment(session: Session, base: str, approach: str) -> None:
    """Make, edit or leave the comment; where that may not be, print it, and say why in one line."""
    found = comparison(session, base, approach)
    place = place_of(os.environ)
    marker = f"<!-- korthweb changes {digest([session.context_flag or '', found.approaches])} -->"
    text = f"{marker}\n{markdown.render(found, markdown.ROOM - len(marker) - 1)}"
    summary = os.environ.get(SUMMARY)
    if summary and not session.dry_run:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    if place is None or session.dry_run:
        _print(session, found, text, _idle(session))
        return
    if why := _missing(place):
        _print(session, found, text, why)
        return
    try:
        done = Forge(place).put(marker, text, always=bool(found.changes))
    except NoRight as error:
        if not place.fork:
            raise
        _print(session, found, text, f"{error.message}: the pipeline of a fork may not write, so it is printed here")
        return
    session.emit({"comment": done, **found.as_data()}, f"comment: {done}; {found.headline}")


def _missing(place: Place) -> str:
    """Return why nothing can be written: the pipeline is of no pull request, or there is no token."""
    if not place.number:
        return f"this pipeline of {place.api.title} is of no pull request: what it would say is printed here"
    if not place.token:
        names = " or ".join(place.api.tokens)
        of_fork = " (the pipeline of a fork gets none)" if place.fork else ""
        return f"{names} is not set{of_fork}: the comment is printed here"
    return ""


def _idle(session: Session) -> str:
    return "would be written" if session.dry_run else "no pipeline of GitHub, GitLab or Gitea: it is printed here"


def _print(session: Session, found: Comparison, text: str, why: str) -> None:
    session.console.line(f"ci.comment: {why}")
    session.emit({"comment": "printed", "why": why, **found.as_data()}, text.rstrip("\n"))
