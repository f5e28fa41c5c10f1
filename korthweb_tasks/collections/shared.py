"""What the tasks of several approaches say in the same way: checks, state, logins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from korthweb_tasks.errors import KorthwebError, SettingsError, StepFailed

if TYPE_CHECKING:
    from pathlib import Path

    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.status import Row
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.provision.tools import Located

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def side_by_side(
    session: Session, ask: Callable[[Thing], Answer], things: Iterable[Thing], *, jobs: int = 8
) -> list[Answer]:
    """Ask about each of ``things``, ``jobs`` at once; the answers come in their order. Ctrl-C ends the commands."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(ask, things))
        except KeyboardInterrupt:  # the threads wait for their commands, and we would wait for the threads
            session.runner.stop()
            raise


def written(session: Session, out: str, files: Mapping[str, str], more: str) -> list[Path]:
    """Write files into the folder ``out``, which is made, say so, and return them; ``more``: what README.md tells."""
    from pathlib import Path

    folder = Path(out)
    paths = [folder / name for name in files]
    data = {"folder": str(folder), "files": sorted(files)}
    if session.dry_run:
        session.emit(data, "\n".join(f"would write {path}" for path in paths))
        return []
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    session.emit(data, f"{len(files)} files in {folder}; README.md says {more}")
    return paths


def located(session: Session, name: str) -> Located:
    """Return the CLI ``name`` as commands will use it, brought if need be. Raises what provision.tools.locate does."""
    from korthweb_tasks.provision.tools import locate

    source, keep, stop = session.settings.tools.source, session.settings.lab.keep_build_caches, session.runner.stopping
    return locate(name, source=source, progress=session.console.progress, stop=stop, keep_caches=keep)


def tool(session: Session, name: str) -> Finding:
    """Say which ``name`` is used, or why there is none."""
    from korthweb_tasks.approaches.checks import Finding

    try:
        found = located(session, name)
    except KorthwebError as error:
        return Finding(name, "broken", error.message)
    return Finding(name, "ok", f"{found.version} ({found.origin})")


def within_budget(session: Session) -> None:
    """Raise SettingsError where the replicas may ask for more database connections than there are."""
    for tenant in session.tenants:
        budget = session.settings.connection_budget(tenant)
        if not budget.ok:
            text = f"{tenant.name} may need {budget.needed} database connections, {budget.available} are allowed"
            raise SettingsError(text, hint="lower replicas.max or orthanc.connections, or raise max_connections")


def tell_findings(session: Session, found: Sequence[Finding]) -> None:
    """Print what a check found; raises StepFailed where something is broken."""
    from korthweb_tasks.approaches.status import table

    marks = {"ok": "ok", "note": "note", "broken": "BROKEN"}
    text = table([(marks[one.verdict], one.title, one.text) for one in found])
    session.emit([{"title": one.title, "verdict": one.verdict, "text": one.text} for one in found], text)
    if broken := [one for one in found if one.verdict == "broken"]:
        raise StepFailed(f"{len(broken)} of {len(found)} checks are broken: {broken[0].title}: {broken[0].text}")


def tell_rows(session: Session, rows: Sequence[Row]) -> None:
    """Print the state of objects."""
    from korthweb_tasks.approaches.status import table

    lines = [("NAMESPACE", "RESOURCE", "STATE", ""), *((r.namespace, r.resource, r.state, r.message) for r in rows)]
    session.emit([row.as_data() for row in rows], table(lines))


def tell_logins(session: Session, maker: str, *, show: bool) -> None:
    """Print who may log in, with ``show`` the passwords; ``maker`` is the task that generates them."""
    from korthweb_tasks.approaches.credentials import logins
    from korthweb_tasks.approaches.status import table

    session.contact()
    found = [entry for tenant in session.tenants for entry in logins(session.runner.run, session.kubectl, tenant)]
    if not any(entry["password"] for entry in found):
        session.console.line(f"nobody can log in yet: {maker} generates the passwords")
    if not show:
        found = [{**entry, "password": "(--show prints it)"} for entry in found]
    keys = ("tenant", "user", "password", "url", "secret")
    session.emit(found, table([tuple(key.upper() for key in keys), *(tuple(e[k] for k in keys) for e in found)]))
