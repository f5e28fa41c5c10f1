"""kubectl: commands as data, and pure readings of what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.documents import items as items  # how `get` is read
from korthweb_tasks.core.plan import Probe
from korthweb_tasks.errors import GuardRefused, tail

#: One Kubernetes object as plain JSON data.
Object = Mapping[str, Any]
FIELD_MANAGER = "korthweb"
#: field managers of a person at the keyboard (`kubectl edit`, ...): what they changed of ours is put back
BY_HAND = ("kubectl-edit", "kubectl-patch", "kubectl-set", "kubectl-label", "kubectl-annotate", "kubectl-rollout")
#: what stderr says of a server-side apply that would override another field manager
CONFLICT = "Apply failed with "
#: exit codes of `kubectl diff`: 0 the same, 1 differences (2 and more: a fault)
SAME, DIFFERENT = 0, 1
#: what stderr says of a kind, a namespace or an object that is not there: an answer, for one who asks
ABSENT = (
    "no matches for kind",
    "the server doesn't have a resource type",
    "(NotFound)",
    "could not find the requested resource",
)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Builds kubectl commands for one target; every one names its context."""

    target: Cluster

    def command(
        self,
        *args: str,
        stdin: str | None = None,
        namespace: str | None = None,
        repeatable: bool = False,
        ok: Iterable[int] = (0,),
        timeout: float | None = None,
        masks: tuple[str, ...] = (),
        final: tuple[str, ...] = (),
    ) -> Command:
        """Return ``kubectl <args>`` against the target; ``timeout`` in seconds."""
        scope = ("--namespace", namespace) if namespace else ()
        return Command(
            argv=("kubectl", *self.target.kubectl_args(), *scope, *args),
            target=self.target,
            stdin=stdin,
            repeatable=repeatable,
            ok=frozenset(ok),
            timeout=timeout,
            masks=masks,
            final=final,
        )

    def get(
        self, kind: str, name: str | None = None, *, namespace: str | None = None, selector: str | None = None
    ) -> Command:
        """Build the command that prints a resource as JSON, or nothing where there is none.

        With ``selector`` or without a name it prints a list; ``namespace="*"`` means all of them.
        """
        which = (name,) if name else ()
        picked = ("--selector", selector) if selector else ()
        everywhere, scope = (("--all-namespaces",), None) if namespace == "*" else ((), namespace)
        args = ("get", kind, *which, *picked, *everywhere, "--output", "json", "--ignore-not-found")
        return self.command(*args, namespace=scope, repeatable=True)

    def get_these(self, resources: Iterable[tuple[str, str]], *, namespace: str | None = None) -> Command:
        """Build the command that prints those of the (kind, name) pairs that exist, as one JSON list."""
        names = [f"{kind}/{name}" for kind, name in resources]
        args = ("get", *names, "--output", "json", "--ignore-not-found")
        return self.command(*args, namespace=namespace, repeatable=True)

    def watch(self, kind: str, name: str | None = None, *, namespace: str | None = None) -> Command:
        """Build the command that streams a resource (or all of its kind) as JSON documents, now and at each change.

        A resource that does not exist yet is waited for.
        """
        which = ("--field-selector", f"metadata.name={name}") if name else ()
        return self.command("get", kind, *which, "--watch", "--output", "json", namespace=namespace)

    def gone(self, kind: str, name: str, *, namespace: str | None = None, seconds: int = 5) -> Command:
        """Build the command that succeeds when a resource is not there (any more), and fails after ``seconds``."""
        args = ("wait", "--for=delete", f"{kind}/{name}", f"--timeout={seconds}s")
        return self.command(*args, namespace=namespace, repeatable=True, final=ABSENT)

    def apply(self, objects: Iterable[Object], *, dry_run: bool = False, masks: tuple[str, ...] = ()) -> Command:
        """Return a server-side apply of ``objects``, which travel by stdin.

        What a person has changed by hand is put back; what another program says of these objects is not overridden:
        GuardRefused names it.
        """
        checked = ("--dry-run=server", "--force-conflicts") if dry_run else ()
        args = ("apply", "--server-side", f"--field-manager={FIELD_MANAGER}", *checked, "--filename=-")
        command = self.command(*args, stdin=as_json(objects), repeatable=True, masks=masks)
        return command if dry_run else replace(command, final=(CONFLICT,), follow=_settled)

    def diff(self, objects: Iterable[Object]) -> Command:
        """Return a server-side diff of ``objects``; exit code 0 the same, 1 different."""
        args = ("diff", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "--filename=-")
        command = self.command(*args, stdin=as_json(objects), repeatable=True, ok=(SAME, DIFFERENT), final=ABSENT)
        # a person's own program for differences may end with 0 whatever it finds
        return replace(command, env={"KUBECTL_EXTERNAL_DIFF": ""})

    def create(self, objects: Iterable[Object]) -> Command:
        """Build a creation that fails where one of the objects exists."""
        words = ("create", f"--field-manager={FIELD_MANAGER}", "--filename=-")
        return self.command(*words, stdin=as_json(objects))

    def delete(self, kind: str, *names: str, namespace: str | None = None, wait: bool = False) -> Command:
        """Build a deletion; it is fine if nothing is there."""
        args = ("delete", kind, *names, "--ignore-not-found", f"--wait={str(wait).lower()}")
        return self.command(*args, namespace=namespace, repeatable=True)

    def exists(self, kind: str, name: str, *, namespace: str | None = None) -> Probe:
        """Return what asks whether a resource is there; a kind that the server does not know counts as not there."""
        args = ("get", kind, name, "--output=name", "--ignore-not-found")
        command = self.command(*args, namespace=namespace, repeatable=True, final=ABSENT)
        return Probe(command, found)

    def applied(self, objects: Iterable[Object]) -> Probe:
        """Return what asks whether applying ``objects`` would change nothing.

        A kind or namespace that does not exist yet means "no"; any other fault is raised.
        """
        return Probe(self.diff(objects), same, diff=True)


def conflicts(stderr: str) -> list[str]:
    """Read which other field managers set what a server-side apply wants to set."""
    return sorted(set(re.findall(r'conflicts? with "([^"]+)"', stderr)))


def _settled(result: Result) -> Command | None:
    """Return the same apply by force where only hands and older versions of korthweb are in its way."""
    if not (managers := conflicts(result.stderr)):
        return None
    if strangers := [name for name in managers if not name.startswith((FIELD_MANAGER, *BY_HAND))]:
        raise GuardRefused(
            f"{' and '.join(strangers)} sets fields of the same objects, and would be overridden",
            hint=f"take them out of {strangers[0]}, or give korthweb names of its own (tenants[].namespace)",
            details=tail(result.stderr),
        )
    command = result.command
    return replace(command, argv=(*command.argv, "--force-conflicts"), final=(), follow=None)


def as_json(objects: Iterable[Object]) -> str:
    """Return ``objects`` as one JSON list, which kubectl takes faster than YAML."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [dict(obj) for obj in objects]})


def found(result: Result) -> bool:
    """Read ``get --output=name``."""
    return result.code == 0 and bool(result.stdout.strip())


def same(result: Result) -> bool:
    """Read ``kubectl diff``."""
    return result.code == SAME
