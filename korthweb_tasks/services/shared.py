"""What the tasks of several approaches say in the same way: checks, state, logins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.credentials import logins
from korthweb_tasks.approaches.shared.status import WELL, table
from korthweb_tasks.core import hints
from korthweb_tasks.errors import KorthwebError, NotReady, StepFailed
from korthweb_tasks.files import output
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.settings.load import refusal
from korthweb_tasks.settings.soundness import faults

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.checks import Check as Question
    from korthweb_tasks.approaches.shared.status import Row
    from korthweb_tasks.provision.tools import Located
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.soundness import Check

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def side_by_side(
    runner: Runner, ask: Callable[[Thing], Answer], things: Iterable[Thing], *, jobs: int = 8
) -> list[Answer]:
    """Ask about each of ``things``, ``jobs`` at once; the answers come in their order. Ctrl-C ends the commands."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(ask, things))
        except KeyboardInterrupt:  # the threads wait for their commands, and we would wait for the threads
            runner.stop()
            raise


def answers(session: Session, asked: Sequence[Question]) -> list[Finding]:
    """Ask the cluster side by side, and return what each question finds."""
    results = side_by_side(session.runner, session.runner.check, [question.command for question in asked])
    return [question.finding(result) for question, result in zip(asked, results, strict=True)]


def written(session: Session, out: str, files: Mapping[str, str], more: str) -> None:
    """Write files into the folder ``out``, which is made, and say so; ``more``: what README.md tells."""
    folder = Path(out)
    data = {"folder": str(folder), "files": sorted(files)}
    if session.dry_run:
        session.emit(data, "\n".join(f"would write {folder / name}" for name in files))
        return
    tree = output(folder)
    for name, text in files.items():
        tree.write(name, text, mode=0o700 if name.endswith(".sh") else None)
    session.emit(data, f"{len(files)} files in {folder}; README.md says {more}")


def located(session: Session, name: str) -> Located:
    """Return the CLI ``name`` as commands use it, installed if need be. Raises what provision.tools.locate does."""
    source, keep, stop = session.settings.tools.source, session.settings.lab.keep_build_caches, session.runner.stopping
    return locate(name, source=source, progress=session.console.progress, stop=stop, keep_caches=keep)


def tool(session: Session, name: str) -> Finding:
    """Return which ``name`` is used, or why there is none."""
    try:
        found = located(session, name)
    except KorthwebError as error:
        return Finding(name, "broken", error.message)
    return Finding(name, "ok", f"{found.version} ({found.origin})")


def sound_settings(loaded: Loaded, approach: str) -> None:
    """Raise SettingsError with all that config.check would refuse for ``approach``, before anything is changed."""
    if found := faults(loaded, approach):
        raise refusal([fault.line(loaded) for fault in found])


def refuse(loaded: Loaded, check: Check) -> None:
    """Raise SettingsError with what one check of config.check says, for a task that needs just that."""
    if found := [fault.line(loaded) for fault in check(loaded)]:
        raise refusal(found)


def settings_finding(loaded: Loaded, approach: str) -> Finding:
    """Return what a check says of the settings: fine, or everything that is wrong with them."""
    found = [fault.line(loaded) for fault in faults(loaded, approach)]
    return Finding("Settings", "broken" if found else "ok", "; ".join(found) or "they fit together")


def tell_findings(session: Session, found: Sequence[Finding]) -> None:
    """Print what a check found; raises StepFailed where something is broken."""
    marks = {"ok": "ok", "note": "note", "broken": "BROKEN"}
    text = table([(marks[one.verdict], one.title, one.text) for one in found])
    session.show(text, data=[{"title": one.title, "verdict": one.verdict, "text": one.text} for one in found])
    refuse_broken(found)


def refuse_broken(found: Sequence[Finding]) -> None:
    """Raise StepFailed where something that a check found is broken."""
    if broken := [one for one in found if one.verdict == "broken"]:
        raise StepFailed(f"{len(broken)} of {len(found)} checks are broken: {broken[0].title}: {broken[0].text}")


def tell_rows(session: Session, rows: Sequence[Row], approach: str) -> None:
    """Print the state of objects; raises NotReady where one is missing or not well, so that a script can ask."""
    lines = [("NAMESPACE", "RESOURCE", "STATE", ""), *((r.namespace, r.resource, r.state, r.message) for r in rows)]
    session.show(table(lines), data=[row.as_data() for row in rows])
    if faults := [row for row in rows if row.state not in WELL]:
        first = min(faults, key=lambda row: row.state != "missing")
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        detail = f": {first.message}" if first.message else ""
        looked = hints.kubectl("describe", first.resource, namespace=first.namespace)
        hint = hints.task(f"{approach}.deploy") if first.state == "missing" else looked
        raise NotReady(f"{first.resource} in {first.namespace} is {first.state}{detail}{more}", hint=hint)


def tell_following(session: Session, approach: str) -> None:
    """Say what to type after a deployment; nothing after a preview."""
    if session.dry_run:
        return
    proof = f"`{hints.task('verify.all', approach=approach)}` proves it from outside"
    proof += "".join(f"; `{hints.task(name)}`" for name in approach_of(approach).proofs)
    passwords = hints.task(f"{approach}.credentials", show=True)
    session.console.line(f"Next: {proof}; `{passwords}` tells the passwords")


def tell_logins(session: Session, maker: str, *, show: bool) -> None:
    """Print who may log in, with ``show`` the passwords; ``maker`` is the task that generates them."""
    session.contact()
    found = [entry for tenant in session.tenants for entry in logins(session.runner.run, session.kubectl, tenant)]
    if not any(entry["password"] for entry in found):
        session.console.line(f"nobody can log in yet: `{maker}` generates the passwords")
    if not show:
        found = [{**entry, "password": "(--show prints it)"} for entry in found]
    keys = ("tenant", "user", "password", "url", "secret")
    session.emit(found, table([tuple(key.upper() for key in keys), *(tuple(e[k] for k in keys) for e in found)]))
