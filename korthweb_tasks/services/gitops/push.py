"""What is shown and asked before a push, and the push itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.fleet import slug
from korthweb_tasks.run.guard import allow
from korthweb_tasks.services.gitops.fleet import Work
from korthweb_tasks.services.gitops.repository import folder_of
from korthweb_tasks.tools.git import Author

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.run.checkout import Changes
    from korthweb_tasks.services.session import Session

#: lines of a diff that are shown before a push; of a longer one, the list of files
SHOWN = 240
_STYLES = {"+": "green", "-": "red", "@": "cyan", "d": "bold"}


def print_changes(session: Session, changes: Changes, branch: str) -> dict[str, Any]:
    """Show what a push would change, on stderr, and return it as data."""
    say = session.console.line
    if not changes:
        say(f"The fleet repository has it all ({branch}).")
    else:
        say(f"To be changed in the fleet repository ({branch}):", "bold")
        lines = changes.diff.splitlines()
        if len(lines) <= SHOWN:
            for line in lines:
                say(line, _STYLES.get(line[:1], ""))
        for line in changes.stat.rstrip("\n").splitlines():
            say(line)
    return {"branch": branch, "files": dict(changes.files)}


def preview(session: Session, plan: Plan, told: dict[str, Any]) -> None:
    """Show which steps would be done; with --output json the changes in Git too, as one document."""
    if session.output != "json":
        session.execute(plan)
        return
    steps = [{"step": one.name, "title": one.title, "verdict": one.verdict} for one in session.previewed(plan)]
    session.emit({"git": told, "steps": steps}, "")


def ask(session: Session, made: Work) -> None:
    """Ask what has to be asked before a change, and take the cluster's lock; raises GuardRefused, LockHeld."""
    allow(session.ref, yes=session.yes)
    if made.changes:
        many = f"{len(made.changes.files)} files" if len(made.changes.files) > 1 else "1 file"
        session.confirm(f"Push {many} to {made.checkout.target} of {made.checkout.remote.url}?")
    session.lock()


def asked(session: Session) -> Session:
    """Return the session of one who has said yes already; it prints no report of its own."""
    return replace(session, yes=True, output="text")


def push(session: Session, made: Work) -> None:
    """Commit and push; nothing where nothing changed."""
    if not made.changes:
        return
    author = Author.parse(session.settings.gitops.author)
    with session.console.task(f"Push to {made.checkout.target} of {made.checkout.remote.url}") as task:
        made.checkout.publish(made.render, message(session, made.changes), author)
        task.result = f"commit {made.revision[:8]}"


def message(session: Session, changes: Changes) -> str:
    """Return what a commit says: who it is about, where, and which files."""
    names = {slug(tenant): tenant.name for tenant in session.settings.tenants}
    about = {word: names.get(word, word.upper()) for word in map(_tenant_of, changes.files)}
    shared = ["shared parts"] if about.pop("", None) is not None else []
    words = {"A": "add", "M": "change", "D": "remove"}
    body = "\n".join(f"{words.get(mark, mark)} {path}" for path, mark in sorted(changes.files.items()))
    return f"korthweb: {', '.join([*sorted(about.values()), *shared])} on {folder_of(session)}\n\n{body}\n"


def _tenant_of(path: str) -> str:
    parts = path.split("/")
    if parts[0] == "clusters" and len(parts) == 3:
        return parts[2].removesuffix(".yaml").removeprefix("tenant-") if parts[2].startswith("tenant-") else ""
    at = parts.index("tenants") + 1 if "tenants" in parts[:-1] else 0
    return parts[at] if at else ""


def print_request(session: Session, made: Work, following: str) -> None:
    """Say what is to do with a branch that was pushed for a pull request."""
    branch = made.checkout.target
    data = {"branch": branch, "commit": made.revision, "files": dict(made.changes.files)}
    after = f"merge {branch} into {made.checkout.remote.branch} on the server; then {following}"
    session.emit(data, f"commit {made.revision[:8]} is on the branch {branch}.\nNext: {after}")
