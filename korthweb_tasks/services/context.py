"""Which clusters there are, which one is chosen, whether they answer, and what is recorded of them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from korthweb_tasks import paths
from korthweb_tasks.errors import KorthwebError, SettingsError, tail
from korthweb_tasks.run import guard
from korthweb_tasks.run.bastion import through
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.settings.resolve import choose_context, known_names, named, none_known, resolve
from korthweb_tasks.settings.show import columns
from korthweb_tasks.settings.versions import PINS
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.tools.kubectl_faults import name_of

if TYPE_CHECKING:
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.resolve import ChosenCluster

#: seconds that each cluster has for its answer
PATIENCE = 3


def known_clusters(session: Session) -> tuple[list[dict[str, Any]], str]:
    """Return each cluster that can be named, as data and as a table; all are asked at once whether they answer."""
    loaded, runner = session.loaded, session.runner  # made here, not by each thread
    current = _current(loaded)
    rows = side_by_side(runner, lambda name: _row(session, loaded, name, current), known_names(loaded), jobs=16)
    table = [("", "CLUSTER", "CONTEXT", "KUBECONFIG", "ANSWERS", "VERSION")]
    keys = ("name", "context", "kubeconfig", "answers", "version")
    table += [("*" if row["current"] else "", *(row[key] for key in keys)) for row in rows]
    return rows, columns(table) if rows else f"no cluster is known: {none_known()}"


def choose(session: Session, name: str, *, accept: bool) -> tuple[dict[str, str], str]:
    """Make ``name`` the project's cluster, and record it as it is now with ``accept``; return data and text."""
    session.context_flag = name  # its profile; and a choice that can't be read is replaced
    reference = named(session.loaded, name)
    data = {"name": reference.name, "context": reference.context, "server": reference.server}
    word = "would choose" if session.dry_run else "chosen"
    text = f"{word}: {reference.name} (context {reference.context}, {reference.server})"
    if accept:
        data["uid"], line = _accept(session, reference)
        text += f"\n{line}"
    if not session.dry_run:
        choose_context(reference.name, session.loaded.project)
    default = session.settings.context
    if default and default != reference.name:
        session.console.line(f"warning: {session.loaded.origin('context')}: context {default} comes before this choice")
    return data, text


def described(session: Session) -> tuple[dict[str, str], str]:
    """Return what is known of the cluster that tasks would speak to, as data and as text; it is not asked."""
    loaded = session.loaded
    reference = resolve(loaded, session.context_flag)
    known, bastion = guard.recorded(reference), reference.settings.bastion
    data = {
        "cluster": reference.name,
        "context": reference.context,
        "chosen by": reference.chosen_by,
        "kubeconfig": reference.kubeconfig or "kubectl's own search",
        "server": reference.server,
        "profile": loaded.settings.profile,
        "production": "yes" if reference.settings.production else "no",
        "bastion": f"{bastion.host}:{bastion.port}" if bastion else "none",
        "pinned server": reference.settings.server or "none",
        "pinned UID": reference.settings.uid or "none",
        "recorded server": known.server if known else "none yet",
        "recorded UID": known.uid if known else "none yet",
    }
    return data, columns(list(data.items()))


def _accept(session: Session, reference: ChosenCluster) -> tuple[str, str]:
    """Record the cluster as it is now; return its UID, and what to say. A bastion is gone through."""
    run, bastion = session.runner.run, reference.settings.bastion
    way = through(bastion, reference, run, paths.work_dir()) if bastion else nullcontext(reference)
    with way as reached:
        identity = guard.ask(reached, session.asking(reference).run)
    before = guard.recorded(reference)
    if not session.dry_run:
        guard.record(reference, identity)
    word = "would record" if session.dry_run else "recorded"
    was = f" (was {before.uid}, {before.server})" if before and before != identity else ""
    return identity.uid, f"{word}: kube-system UID {identity.uid}{was}"


def _current(loaded: Loaded) -> str | None:
    """Return the name of the cluster that would be used, or None."""
    try:
        return resolve(loaded).name
    except SettingsError:
        return None


def _row(session: Session, loaded: Loaded, name: str, current: str | None) -> dict[str, Any]:
    row = {"name": name, "current": name == current, "context": "", "kubeconfig": "", "answers": "no", "version": ""}
    try:
        reference = named(loaded, name)
        row |= {
            "context": reference.context,
            "kubeconfig": reference.kubeconfig or "kubectl's own search",
        }
        row |= _asked(session.runner, reference)
    except KorthwebError as error:
        row["answers"] = f"? {error.message}"
    return row


def _asked(runner: Runner, reference: ChosenCluster) -> dict[str, Any]:
    """Ask one API server for its version, once and briefly."""
    if bastion := reference.settings.bastion:
        return {"answers": f"? not asked, it is behind {bastion.host}"}
    words = ("get", "--raw", "/version", f"--request-timeout={PATIENCE}s")
    result = runner.check(Kubectl(reference).command(*words, timeout=PATIENCE + 2))
    if result.code != 0:
        reason = name_of(result.stderr, reference) or tail(result.stderr, 1)[:90] or "no reason given"
        return {"answers": f"no: {reason}"}
    try:
        version = str(json.loads(result.stdout)["gitVersion"])
        supported = PINS["kubernetes"].accepts(version)
    except (ValueError, KeyError, TypeError):
        return {"answers": "yes", "version": "unknown"}
    return {
        "answers": "yes",
        "version": version if supported else f"{version} (supported: {PINS['kubernetes'].accepted})",
    }
