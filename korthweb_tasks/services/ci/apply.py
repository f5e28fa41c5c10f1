"""What was reviewed is what is applied: a plan is written, and applied only where nothing has moved since."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.changes.plan import LENGTH, UNCHANGED, moved, opened, sealed
from korthweb_tasks.core import hints
from korthweb_tasks.core.render import digest
from korthweb_tasks.errors import GuardRefused, UsageError
from korthweb_tasks.files import check_trusted, output
from korthweb_tasks.run.answer import as_json
from korthweb_tasks.services import chart, helm, manual
from korthweb_tasks.services.ci.render import objects
from korthweb_tasks.settings.show import rows

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

#: of the approaches that a pipeline applies; with GitOps, what is merged is what Flux applies
DEPLOYED = {"manual": manual.deployed, "helm": helm.deployed}


def write(session: Session, approach: str, out: str) -> None:
    """Write the plan of a deployment as it would be now into the file ``out``; nothing is changed."""
    session.contact()
    plan, file = _now(session, _chosen(session, approach)), Path(out)
    output(file.parent).write(file.name, as_json(plan) + "\n")
    steps = list(plan["steps"].values())
    todo = len(steps) - steps.count(UNCHANGED)
    text = f"{out}: {todo} of {len(steps)} steps to do, hash {plan['hash']}"
    session.emit({"file": out, "hash": plan["hash"], "steps": plan["steps"]}, text)


def apply(session: Session, file: str, wanted: str) -> Report:
    """Deploy what the plan in ``file`` says; ``wanted`` is the hash that was reviewed, "" takes the file's word.

    Raises UsageError for what is not a plan, GuardRefused with all that moved since it was written.
    """
    session.contact()
    plan = opened(_text(file), file)
    if wanted and wanted != plan["hash"]:
        raise GuardRefused(f"{file} is not the plan that was reviewed", hint="--hash takes the hash that ci.plan told")
    approach = _chosen(session, str(plan.get("approach")))
    if found := moved(plan, _now(session, approach)):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        hint = f"`{hints.task('ci.plan', out=file)}` writes a new one, for another review"
        text = f"what was reviewed is not what there is now: {found[0]}{more}"
        raise GuardRefused(text, hint=hint, details="\n".join(found))
    return DEPLOYED[approach](session)


def _now(session: Session, approach: str) -> dict[str, Any]:
    identity = session.connection.identity
    made = objects(session, session.loaded, approach)
    names = [f"{o['kind'].lower()}/{o['metadata']['name']} in {o['metadata'].get('namespace') or '-'}" for o in made]
    parts = {
        "cluster": {"uid": identity.uid, "server": identity.server} if identity else {},
        "versions": {"korthweb": _version()},
        "settings": {row.key: digest([row.value], LENGTH) for row in rows(session.loaded)},
        "objects": {name: digest(obj, LENGTH) for name, obj in zip(names, made, strict=True)},
    }
    steps = session.previewed(_plan(session, approach))
    return sealed(approach, parts, {step.name: step.verdict for step in steps})


def _plan(session: Session, approach: str) -> Plan:
    return manual.plan(session) if approach == "manual" else chart.builder(session).plan(session.tenants)


def _chosen(session: Session, word: str) -> str:
    approach = word or session.settings.approach
    if approach not in DEPLOYED:
        text = f"a plan is of manual or helm, not of {approach}"
        raise UsageError(text, hint="with GitOps what is merged is what Flux applies: `ci.diff` in the pull request")
    return approach


def _text(file: str) -> str:
    path = Path(file)
    check_trusted(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{file} can't be read: {reason}", hint="--plan takes the file that ci.plan wrote") from error


def _version() -> str:
    try:
        return version("korthweb")
    except PackageNotFoundError:
        return "a checkout"
