"""Is this the cluster that it was? Server URL and kube-system UID, recorded at the first deployment."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import GuardRefused, SettingsError
from korthweb_tasks.files import read_private, write_private
from korthweb_tasks.run.console import say
from korthweb_tasks.settings.choice import LAB_PREFIX
from korthweb_tasks.settings.kubeconfig import authority, lab_file
from korthweb_tasks.settings.resolve import ChosenCluster, server_now
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.tools.kubectl_faults import foreign, uid_of

Run = Callable[[Command], Result]
#: what every cluster has, with a UID of its own
IDENTITY = "/api/v1/namespaces/kube-system"
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one cluster from another."""

    server: str
    uid: str


def ask(ref: ChosenCluster, run: Run) -> Identity:
    """Return the identity of the cluster as it is now; raises ClusterUnreachable, CommandFailed, ToolMissing.

    It is asked for by its path: one request, where kubectl asks five times for all kinds before it gets one by name.
    """
    answer = run(Kubectl(ref).command("get", "--raw", IDENTITY, repeatable=True)).stdout
    uid = uid_of(answer)
    if uid is None:
        raise foreign(answer, ref)
    return Identity(ref.server, uid)


def check(ref: ChosenCluster, run: Run) -> Identity:
    """Compare the cluster with what the settings pin, else with what was recorded; return what it is now.

    Nothing is recorded here. Raises GuardRefused with both values of what differs, ClusterUnreachable, CommandFailed.
    """
    now = ask(ref, run)
    known = recorded(ref)
    pinned = {"server": ref.settings.server, "uid": ref.settings.uid}
    rows = []
    for what, title in (("server", "server"), ("uid", "kube-system UID")):
        by, wanted = ("pinned", pinned[what]) if pinned[what] else ("recorded", getattr(known, what, None))
        if wanted and not _same(what, wanted, getattr(now, what)):
            rows.append((by, f"{title}: {by} {wanted}, found {getattr(now, what) or 'none'}"))
    if rows:
        raise _refusal(ref, rows)
    return now


def allow(
    ref: ChosenCluster,
    *,
    yes: bool = False,
    seen: Identity | None = None,
    terminal: bool | None = None,
    answer: Callable[[str], str] | None = None,
) -> None:
    """Let a change begin: ask for the name of a production cluster, then record ``seen`` if nothing is recorded.

    Raises GuardRefused for another name, and without ``yes`` where nobody can be asked.
    """
    if ref.settings.production and not yes:
        _ask_for_name(ref, sys.stdin.isatty() if terminal is None else terminal, answer or _read_answer)
    refuse_moved(ref)
    if seen is not None and recorded(ref) is None:
        record(ref, seen)


def refuse_moved(ref: ChosenCluster) -> None:
    """Raise GuardRefused where the kubeconfig was edited since it was read, so that ``ref`` is another server now."""
    if now := server_now(ref):
        raise GuardRefused(
            f"the kubeconfig was edited meanwhile: {ref.name} (context {ref.context}) is not what was shown",
            hint=f"`{hints.task('context.show')}`, then the same command again",
            details=f"server: shown {ref.server}, now {now}",
        )


def recorded(ref: ChosenCluster) -> Identity | None:
    """Return what was recorded of the cluster, or None."""
    found = _all().get(_key(ref))
    return Identity(found["server"], found["uid"]) if found else None


def record(ref: ChosenCluster, identity: Identity) -> None:
    """Record the identity of the cluster, in the place of what was recorded before."""
    kept = {key: known for key, known in _all().items() if not _is_of(key, ref.name)}
    write_private(_file(), json.dumps(kept | {_key(ref): asdict(identity)}, indent=2, sort_keys=True) + "\n")


def _key(ref: ChosenCluster) -> str:
    """Return the name under which the cluster is recorded.

    A lab that is made anew is a new cluster by intention: its own CA tells the old one from the new one.
    """
    file = lab_file(ref.context) if ref.lab else None
    return f"{ref.name}@{authority(file, ref.context)}" if file else ref.name


def _is_of(key: str, name: str) -> bool:
    """Return True if ``key`` is of the cluster ``name``; a lab's has its CA after an @, as other names may."""
    return key == name or (name.startswith(LAB_PREFIX) and key.startswith(f"{name}@"))


def _same(what: str, wanted: str, found: str) -> bool:
    return wanted.strip() == found if what == "uid" else _plain(wanted) == _plain(found)


def _plain(server: str) -> tuple[str, str | None, int | None, str]:
    """Return a URL without the differences that mean nothing: case, the usual port, a slash at the end."""
    url = urlsplit(server)
    try:
        port = url.port
    except ValueError:
        port = None
    return url.scheme, url.hostname, port or _PORTS.get(url.scheme), url.path.rstrip("/")


def _refusal(ref: ChosenCluster, rows: list[tuple[str, str]]) -> GuardRefused:
    pinned = any(by == "pinned" for by, _ in rows)
    how = "pinned in the settings" if pinned else "recorded at the first deployment"
    accept = hints.task("context.use", ref.name, accept=True)
    change = f"the kubeconfig is wrong, or clusters.{ref.name} of the settings is out of date"
    return GuardRefused(
        f"{ref.name} (context {ref.context}) is not the cluster that was {how}",
        hint=change if pinned else f"`{accept}`, only if you know why it changed",
        details="\n".join(text for _, text in rows),
    )


def _ask_for_name(ref: ChosenCluster, terminal: bool, answer: Callable[[str], str]) -> None:
    where = f"{ref.name} ({ref.server}) is a production cluster"
    if not terminal:
        raise GuardRefused(f"{where} and nobody can be asked", hint="--yes says it beforehand")
    if answer(f"{where}. Type its name to go on: ").strip() != ref.name:
        raise GuardRefused(f"that is not {ref.name!r}: nothing was changed")


def _read_answer(question: str) -> str:
    say(question, end="", to=sys.stderr)
    return sys.stdin.readline()


def _file() -> Path:
    return paths.work_dir() / "guards.json"


def _all() -> dict[str, dict[str, str]]:
    path = _file()
    try:
        data = json.loads(read_private(path))
        return {str(name): {"server": str(body["server"]), "uid": str(body["uid"])} for name, body in data.items()}
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        fix = hints.shell("mv", path.parent, f"{path.parent}.old")
        raise SettingsError(f"{path.parent} is not a folder: what korthweb records is kept there", hint=fix) from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        # unknown is never absent: without the record nothing may be taken for the first deployment
        raise GuardRefused(
            f"{path} can't be read, so it is not known which cluster is right",
            hint=f"look at it, and remove it if the cluster is right: `{hints.shell('rm', path)}`",
            details=str(error),
        ) from error
