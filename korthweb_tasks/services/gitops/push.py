"""What is shown and asked before a push, and the push itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.fleet import Fleet, slug
from korthweb_tasks.run.guard import allow
from korthweb_tasks.services.gitops.fleet import Draft
from korthweb_tasks.tools.git import Author

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.run.checkout import Changes
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.services.session import Session

#: lines of a diff that are shown before a push; of a longer one, the list of files
SHOWN = 240
_STYLES = {"+": "green", "-": "red", "@": "cyan", "d": "bold"}


def print_changes(console: Console, draft: Draft) -> dict[str, Any]:
    """Show what a push would change, on stderr, and return it as data."""
    changes, branch = draft.changes, draft.checkout.target
    if not changes:
        console.line(f"The fleet repository has it all ({branch}).")
    else:
        console.line(f"To be changed in the fleet repository ({branch}):", "bold")
        lines = changes.diff.splitlines()
        if len(lines) <= SHOWN:
            for line in lines:
                console.line(line, _STYLES.get(line[:1], ""))
        for line in changes.stat.rstrip("\n").splitlines():
            console.line(line)
    return {"branch": branch, "files": dict(changes.files)}


def preview(session: Session, plan: Plan, changes: dict[str, Any]) -> None:
    """Show which steps would be done; with --output json the changes in Git too, as one document."""
    if session.output != "json":
        session.execute(plan)
        return
    records = session.previewed(plan)
    steps = [{"step": record.name, "title": record.title, "verdict": record.verdict} for record in records]
    session.emit({"git": changes, "steps": steps}, "")


def ask(session: Session, draft: Draft) -> None:
    """Ask what has to be asked before a change, and take the cluster's lock; raises GuardRefused, LockHeld."""
    allow(session.ref, yes=session.yes)
    if draft.changes:
        many = f"{len(draft.changes.files)} files" if len(draft.changes.files) > 1 else "1 file"
        session.confirm(f"Push {many} to {draft.checkout.target} of {draft.checkout.remote.url}?")
    session.lock()


def confirmed(session: Session) -> Session:
    """Return the session of one who has said yes already; it prints no report of its own."""
    return replace(session, yes=True, output="text")


def push(console: Console, draft: Draft) -> None:
    """Commit and push; nothing where nothing changed."""
    if not draft.changes:
        return
    author = Author.parse(draft.fleet.settings.gitops.author)
    with console.task(f"Push to {draft.checkout.target} of {draft.checkout.remote.url}") as task:
        draft.checkout.publish(draft.render, message(draft.fleet, draft.changes), author)
        task.result = f"commit {draft.revision[:8]}"


def message(fleet: Fleet, changes: Changes) -> str:
    """Return what a commit says: who it is about, where, and which files."""
    names = {slug(tenant): tenant.name for tenant in fleet.settings.tenants}
    about = {word: names.get(word, word.upper()) for word in map(_tenant_of, changes.files)}
    shared = ["shared parts"] if about.pop("", None) is not None else []
    words = {"A": "add", "M": "change", "D": "remove"}
    body = "\n".join(f"{words.get(mark, mark)} {path}" for path, mark in sorted(changes.files.items()))
    return f"korthweb: {', '.join([*sorted(about.values()), *shared])} on {fleet.cluster}\n\n{body}\n"


def _tenant_of(path: str) -> str:
    parts = path.split("/")
    if parts[0] == "clusters" and len(parts) == 3:
        return parts[2].removesuffix(".yaml").removeprefix("tenant-") if parts[2].startswith("tenant-") else ""
    at = parts.index("tenants") + 1 if "tenants" in parts[:-1] else 0
    return parts[at] if at else ""


def print_request(session: Session, draft: Draft, following: str) -> None:
    """Say what is to do with a branch that was pushed for a pull request."""
    branch = draft.checkout.target
    data = {"branch": branch, "commit": draft.revision, "files": dict(draft.changes.files)}
    after = f"merge {branch} into {draft.checkout.remote.branch} on the server; then {following}"
    session.emit(data, f"commit {draft.revision[:8]} is on the branch {branch}.\nNext: {after}")
