"""The cluster that the tasks speak to: which there are, which is chosen, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.contexts import ClusterRef
    from korthweb_tasks.settings.load import Loaded

#: seconds that each cluster has for its answer
PATIENCE = 3


@task(example="inv context.list", cluster=False, changes=False, name="list")
def list_(session: Session) -> None:
    """List the clusters: the chosen one (*), its kubeconfig, whether it answers, and its version."""
    from concurrent.futures import ThreadPoolExecutor

    from korthweb_tasks.settings.contexts import known_names, none_known
    from korthweb_tasks.settings.show import columns

    loaded, _ = session.loaded, session.runner  # made here, not by each thread
    names = known_names(loaded)
    current = _current(loaded)
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(names)))) as pool:
        found = list(pool.map(lambda name: _row(session, loaded, name, current), names))
    lines = [("", "CLUSTER", "CONTEXT", "KUBECONFIG", "ANSWERS", "VERSION")]
    lines += [
        ("*" if row["current"] else "", row["name"], row["context"], row["kubeconfig"], row["answers"], row["version"])
        for row in found
    ]
    nothing = f"no cluster is known: {none_known()}"
    session.emit(found, columns(lines) if found else nothing)


@task(
    example="inv context.use hospital-a",
    cluster=False,
    changes=False,
    positional=("name",),
    help={
        "name": "a cluster of korthweb.yaml, a kubeconfig context, or a lab",
        "accept": "take the cluster as it is now for the right one, whatever was recorded before",
    },
)
def use(session: Session, name: str, accept: bool = False) -> None:
    """Choose the cluster of this project; kept in .korthweb/context, never in a kubeconfig."""
    from korthweb_tasks.settings.contexts import choose_context, named

    session.context_flag = name  # its profile; and a choice that can't be read is replaced
    reference = named(session.loaded, name)
    data = {"name": reference.name, "context": reference.target.context, "server": reference.server}
    word = "would choose" if session.dry_run else "chosen"
    text = f"{word}: {reference.name} (context {reference.target.context}, {reference.server})"
    if accept:
        data["uid"], line = _accept(session, reference)
        text += f"\n{line}"
    if not session.dry_run:
        choose_context(reference.name, session.loaded.project)
    default = session.settings.context
    if default and default != reference.name:
        session.console.line(f"warning: {session.loaded.origin('context')}: context {default} comes before this choice")
    session.emit(data, text)


@task(
    example="inv context.show",
    cluster=False,
    changes=False,
    help={"context": "another cluster (default: the one chosen)"},
)
def show(session: Session, context: str | None = None) -> None:
    """Show the cluster that tasks would speak to, why this one, and what was recorded of it."""
    from korthweb_tasks.run.guard import recorded
    from korthweb_tasks.settings.contexts import resolve
    from korthweb_tasks.settings.show import columns

    session.context_flag = context
    loaded = session.loaded
    reference = resolve(loaded, context)
    known = recorded(reference)
    bastion = reference.settings.bastion
    data: dict[str, Any] = {
        "cluster": reference.name,
        "context": reference.target.context,
        "chosen by": reference.chosen_by,
        "kubeconfig": reference.target.kubeconfig or "kubectl's own search",
        "server": reference.server,
        "profile": loaded.settings.profile,
        "production": "yes" if reference.settings.production else "no",
        "bastion": f"{bastion.host}:{bastion.port}" if bastion else "none",
        "pinned server": reference.settings.server or "none",
        "pinned UID": reference.settings.uid or "none",
        "recorded server": known.server if known else "none yet",
        "recorded UID": known.uid if known else "none yet",
    }
    session.emit(data, columns([(key, str(value)) for key, value in data.items()]))


def _accept(session: Session, reference: ClusterRef) -> tuple[str, str]:
    """Record the cluster as it is now; return its UID, and what to say. A bastion is gone through."""
    from contextlib import nullcontext
    from dataclasses import replace

    from korthweb_tasks import paths
    from korthweb_tasks.run import guard
    from korthweb_tasks.run.bastion import through

    run, bastion = session.runner.run, reference.settings.bastion
    way = through(bastion, reference.target, run, paths.work_dir()) if bastion else nullcontext(reference.target)
    with way as target:
        identity = guard.ask(replace(reference, target=target), session.asking(reference).run)
    before = guard.recorded(reference)
    if not session.dry_run:
        guard.record(reference, identity)
    word = "would record" if session.dry_run else "recorded"
    was = f" (was {before.uid}, {before.server})" if before and before != identity else ""
    return identity.uid, f"{word}: kube-system UID {identity.uid}{was}"


def _current(loaded: Loaded) -> str | None:
    """Return the name of the cluster that would be used, or None."""
    from korthweb_tasks.errors import SettingsError
    from korthweb_tasks.settings.contexts import resolve

    try:
        return resolve(loaded).name
    except SettingsError:
        return None


def _row(session: Session, loaded: Loaded, name: str, current: str | None) -> dict[str, Any]:
    from korthweb_tasks.errors import KorthwebError
    from korthweb_tasks.settings.contexts import named

    row = {"name": name, "current": name == current, "context": "", "kubeconfig": "", "answers": "no", "version": ""}
    try:
        reference = named(loaded, name)
        row |= {
            "context": reference.target.context,
            "kubeconfig": reference.target.kubeconfig or "kubectl's own search",
        }
        row |= _asked(session, reference)
    except KorthwebError as error:
        row["answers"] = f"? {error.message}"
    return row


def _asked(session: Session, reference: ClusterRef) -> dict[str, Any]:
    """Ask one API server for its version, once and briefly."""
    import json

    from korthweb_tasks.errors import tail
    from korthweb_tasks.settings.versions import PINS
    from korthweb_tasks.tools.kubectl import Kubectl
    from korthweb_tasks.tools.kubectl_faults import name_of

    if bastion := reference.settings.bastion:
        return {"answers": f"? not asked, it is behind {bastion.host}"}
    words = ("get", "--raw", "/version", f"--request-timeout={PATIENCE}s")
    result = session.runner.check(Kubectl(reference.target).command(*words, timeout=PATIENCE + 2))
    if result.code != 0:
        reason = name_of(result.stderr, reference.way) or tail(result.stderr, 1)[:90] or "no reason given"
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
