"""Commands that a person is told to type next: program, flags and cluster are those of this invocation.

Whoever tells of one builds it here, so that it can be pasted: every word is quoted, and what was typed to name the
cluster, the tenant, the approach and the settings file goes along.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from korthweb_tasks.core.cluster import Cluster

#: flags that go along with what is suggested, in this order
CARRIED = ("context", "tenant", "approach", "settings")


@dataclass
class Invocation:
    """What was typed: ``flags`` with their values; ``takes`` says which flags a task has, ``target`` is its cluster.

    ``behind``: the cluster is reached by way of a bastion, which kubectl by itself knows nothing of.
    """

    flags: dict[str, str] = field(default_factory=dict)
    takes: Callable[[str], Collection[str]] = lambda _: ()
    target: Cluster | None = None
    behind: bool = False


_invocations = [Invocation()]


@contextmanager
def invocation(flags: Mapping[str, str | None], takes: Callable[[str], Collection[str]]) -> Iterator[None]:
    """Let suggestions inside the block carry ``flags``, as far as the task that is suggested takes them."""
    _invocations.append(Invocation({flag: value for flag, value in flags.items() if value}, takes))
    try:
        yield
    finally:
        _invocations.pop()


def on(target: Cluster, *, behind: bool = False) -> None:
    """Let suggested kubectl commands name this cluster until the invocation ends, ``behind`` a bastion or not."""
    if len(_invocations) > 1:  # outside of one there is nothing that a next command belongs to
        _invocations[-1].target, _invocations[-1].behind = target, behind


def carry(**flags: str | None) -> None:
    """Let further suggestions of this invocation carry these flags, too."""
    if len(_invocations) > 1:
        _invocations[-1].flags.update({flag: value for flag, value in flags.items() if value})


def task(name: str, /, *words: str, **flags: str | bool | None) -> str:
    """Return the command that runs one of our tasks; a flag that is None, False or empty is left out.

    >>> task("lab.logs", "etcd", name="second lab")
    "korthweb lab.logs etcd --name 'second lab'"
    """
    now = _invocations[-1]
    taken = now.takes(name) if now.flags else ()
    carried = {flag: now.flags[flag] for flag in CARRIED if flag in taken and flag in now.flags}
    typed = [name, *words]
    for flag, value in {**carried, **flags}.items():
        spelt = f"--{flag.rstrip('_').replace('_', '-')}"
        typed += [spelt] if value is True else [spelt, value] if value else []
    return f"{program()} {shlex.join(typed)}"


def kubectl(*words: str, namespace: str | None = None) -> str:
    """Return a kubectl command for the cluster of this invocation.

    >>> kubectl("describe", "pod", "orthanc-0", namespace="bhc")
    'kubectl --namespace bhc describe pod orthanc-0'
    """
    now = _invocations[-1]
    full = (*(("--namespace", namespace) if namespace else ()), *words)
    if now.behind:
        return f"{task('cli.kubectl')} -- {shell(*full)}"
    return shell("kubectl", *(now.target.kubectl_args() if now.target else ()), *full)


def shell(*words: str | Path) -> str:
    """Return words as a command line of a shell.

    >>> shell("less", "/tmp/my runs/report.json")
    "less '/tmp/my runs/report.json'"
    """
    return shlex.join(map(str, words))


def program() -> str:
    """Return what this program is called by: inv, korthweb, ./korthweb, or the launcher's path from elsewhere."""
    if launcher := os.environ.get("KORTHWEB_LAUNCHER"):
        if Path(launcher).parent == Path.cwd():
            return "./korthweb"
        found = shutil.which("korthweb")
        return "korthweb" if found and Path(found).resolve() == Path(launcher) else shlex.quote(launcher)
    own = Path(sys.argv[0]).stem
    return own if own in ("inv", "invoke") else "korthweb"
