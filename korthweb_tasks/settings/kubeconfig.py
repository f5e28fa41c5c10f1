"""Kubeconfigs, only ever read: which contexts there are and which server each one names."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings import login
from korthweb_tasks.settings.choice import LAB_PREFIX
from korthweb_tasks.settings.source import decode, read_yaml


@dataclass(frozen=True, slots=True)
class KubeContext:
    """One context: the server its cluster has, the file it is in, and whether kubectl would find it by itself.

    ``unverified``: its cluster says insecure-skip-tls-verify, so that anybody may answer at the server's address.
    ``fingerprint`` changes with anything that its cluster says. ``plugin`` is the program that logs in, ``proxy`` what
    the way to the server goes through.
    """

    name: str
    server: str
    file: Path
    searched: bool
    cluster: str = ""
    user: str = ""
    unverified: bool = False
    fingerprint: str = ""
    plugin: str = ""
    proxy: str = ""


def search_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the files that kubectl reads: those of KUBECONFIG, else ``~/.kube/config``; some may not exist."""
    environment = os.environ if environ is None else environ
    listed = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path.home() / ".kube" / "config"]


def lab_files() -> list[Path]:
    """Return the kubeconfigs of the labs on this machine."""
    return sorted(path for path in (paths.state_dir() / "labs").glob("*/kubeconfig") if path.is_file())


def lab_file(context: str) -> Path | None:
    """Return the kubeconfig of the lab whose context this is, if there is one."""
    return next((path for path in lab_files() if f"{LAB_PREFIX}{path.parent.name}" == context), None)


def contexts_in(path: Path, *, searched: bool = False) -> list[KubeContext]:
    """Return the contexts of one file; raises SettingsError if it is missing, unreadable or no kubeconfig."""
    data = _read(path)
    servers = {name: str(body.get("server", "")) for name, body in _entries(data, "clusters", "cluster", path)}
    return [
        KubeContext(
            name,
            servers.get(str(body.get("cluster")), ""),
            path,
            searched,
            str(body.get("cluster") or ""),
            str(body.get("user") or ""),
        )
        for name, body in _entries(data, "contexts", "context", path)
    ]


def known_contexts(environ: Mapping[str, str] | None = None) -> list[KubeContext]:
    """Return every context that can be named: kubectl's first, then those of the labs; the first of a name counts.

    Raises SettingsError for a file that is broken; files that do not exist are left out.
    """
    found: dict[str, KubeContext] = {}
    for path in search_files(environ):
        if path.exists():
            for context in contexts_in(path, searched=True):
                found.setdefault(context.name, context)
    for path in lab_files():
        for context in contexts_in(path):
            found.setdefault(context.name, context)
    return list(found.values())


def complete(context: KubeContext, *, alone: bool, environ: Mapping[str, str] | None = None) -> KubeContext:
    """Return ``context`` with its server; raises SettingsError where the cluster or user that it names is nowhere.

    kubectl takes such a context, and speaks to localhost:8080 or as nobody. ``alone``: only the context's own file is
    asked, as for one that is named by a path; else all that kubectl reads, of which the first with a name counts.
    """
    files = _searched(context, alone, environ)
    clusters, users = _merged(files, "clusters", "cluster"), _merged(files, "users", "user")
    looked = f"read: {', '.join(map(str, files))}"
    hint = f"`{hints.task('context.list')}` shows what there is"
    if not context.cluster:
        raise SettingsError(f"context {context.name} names no cluster", hint=hint, details=looked)
    for kind, name, known in (("cluster", context.cluster, clusters), ("user", context.user, users)):
        if name and name not in known:
            text = f"context {context.name} names {kind} {name!r}, which no kubeconfig has"
            raise SettingsError(text, hint=hint, details=looked)
    body, _ = clusters[context.cluster]
    server = str(body.get("server") or "")
    if not server:
        text = f"context {context.name} names cluster {context.cluster!r}, which has no server"
        raise SettingsError(text, hint=hint, details=looked)
    said = sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
    return replace(
        context,
        server=server,
        unverified=bool(body.get("insecure-skip-tls-verify")),
        fingerprint=said,
        plugin=login.plugin(users[context.user][0]) if context.user else "",
        proxy=login.proxy(server, body, environ),
    )


def login_ended(context: KubeContext, *, alone: bool) -> str:
    """Return when the login that the kubeconfig holds for ``context`` expired; empty where nobody can tell."""
    users = _merged(_searched(context, alone, None), "users", "user")
    body, file = users.get(context.user, ({}, context.file))
    return login.ended(body, file.parent)


def _searched(context: KubeContext, alone: bool, environ: Mapping[str, str] | None) -> dict[Path, Mapping[str, Any]]:
    """Return what the kubeconfigs that ``context`` may take its parts from say."""
    own = alone or not context.searched
    files = [context.file] if own else [file for file in search_files(environ) if file.exists()]
    return {path: _read(path) for path in files}


def _merged(
    files: Mapping[Path, Mapping[str, Any]], plural: str, singular: str
) -> dict[str, tuple[Mapping[str, Any], Path]]:
    """Return all entries of a kind by name, each with its file, merged as kubectl does: the first of a name counts."""
    merged: dict[str, tuple[Mapping[str, Any], Path]] = {}
    for path, data in files.items():
        for name, body in _entries(data, plural, singular, path):
            merged.setdefault(name, (body, path))
    return merged


def authority(path: Path, context: str) -> str:
    """Return a short fingerprint of the CA that a context trusts; empty where there is none."""
    data = _read(path)
    wanted = next(
        (body.get("cluster") for name, body in _entries(data, "contexts", "context", path) if name == context), ""
    )
    for name, body in _entries(data, "clusters", "cluster", path):
        if name == wanted:
            return _fingerprint(body, path.parent)
    return ""


def _fingerprint(cluster: Mapping[str, Any], folder: Path) -> str:
    if inline := cluster.get("certificate-authority-data"):
        raw = b64decode(str(inline))
    elif file := cluster.get("certificate-authority"):
        try:
            raw = (folder / str(file)).read_bytes()
        except OSError:
            return ""
    else:
        return ""
    return sha256(raw).hexdigest()[:12]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"kubeconfig {path} does not exist", hint=f"`{hints.task('context.list')}` shows what there is"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"kubeconfig {path} can't be read: {error.strerror}", hint=hints.shell("ls", "-l", path)
        ) from error
    data = read_yaml(decode(raw, str(path)), str(path)).data
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise _broken(path, "it is not a section of `key: value` lines")
    return data


def _entries(data: Mapping[str, Any], plural: str, singular: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    listed = data.get(plural) or []
    if not isinstance(listed, list) or not all(isinstance(entry, Mapping) and "name" in entry for entry in listed):
        raise _broken(path, f"its {plural!r} are not a list of names")
    bodies = [(str(entry["name"]), entry.get(singular) or {}) for entry in listed]
    if bad := [name for name, body in bodies if not isinstance(body, Mapping)]:
        raise _broken(path, f"{singular} {bad[0]!r} is empty")
    return bodies


def _broken(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path} is not a kubeconfig: {why}", hint=hints.shell("kubectl", "config", "view", "--kubeconfig", path)
    )
