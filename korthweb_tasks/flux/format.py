"""The tree and its causes as text and as plain data; which objects a word means. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from korthweb_tasks.core.tree import Cause, Node, Ref, State, Tree, lines_of
from korthweb_tasks.flux.objects import SOURCES, Objects
from korthweb_tasks.tools.flux import TYPED

WORDS: dict[State, str] = {
    "ready": "ready", "waiting": "waiting", "failed": "FAILED", "suspended": "suspended", "blocked": "blocked",
}  # fmt: skip
#: what a word may mean
NAMED = ("Kustomization", "HelmRelease", *SOURCES)
TENANT = "korthweb/tenant"
#: other spellings of kinds: kubectl's short ones
_SHORT = {"ks": "Kustomization", "hr": "HelmRelease", "gitrepo": "GitRepository", "deploy": "Deployment",
          "sts": "StatefulSet", "ds": "DaemonSet", "po": "Pod", "helmrepo": "HelmRepository",
          "ocirepo": "OCIRepository", "cert": "Certificate"}  # fmt: skip


def as_text(tree: Tree, tops: Iterable[Node] | None = None) -> str:
    """Return the tree as lines, the state of each object first."""
    lines = []
    for indent, state, what, why in lines_of(tree, tops):
        lines.append(f"{WORDS[state]:<10}{'  ' * indent}{what}{f'  {why}' if why else ''}")
    return "\n".join(lines)


def as_data(node: Node, tree: Tree) -> dict[str, Any]:
    """Return a node with what is below it."""
    cause = tree.causes.get(node.ref)
    return {
        "kind": node.ref.kind, "namespace": node.ref.namespace, "name": node.ref.name, "state": node.state,
        "message": node.message, **({"cause": cause_data(cause)} if cause else {}),
        "children": [as_data(child, tree) for child in node.children],
    }  # fmt: skip


def cause_data(cause: Cause) -> dict[str, Any]:
    """Return a cause as plain data."""
    return {
        "object": str(cause.ref), "state": cause.state, "message": cause.message, "next": cause.hint,
        "chain": [str(ref) for ref in cause.chain],
    }  # fmt: skip


def explanation(cause: Cause) -> str:
    """Return the deepest cause first, then the way to it from the top, then what to type."""
    lines = [f"{cause.ref}: {cause.message}"]
    if len(cause.chain) > 1:
        lines += [f"  {'  ' * depth}{'> ' if depth else ''}{ref}" for depth, ref in enumerate(cause.chain)]
    return "\n".join([*lines, f"  next: {cause.hint}"]) if cause.hint else "\n".join(lines)


def distinct(causes: Iterable[Cause]) -> list[Cause]:
    """Return each deepest cause once, with the shortest way to it; for a source that of who needs it."""
    found: dict[tuple[Ref, str], Cause] = {}
    for cause in causes:
        known = found.get((cause.ref, cause.message))
        if known is None or _length(cause) < _length(known):
            found[cause.ref, cause.message] = cause
    return list(found.values())


def _length(cause: Cause) -> int:
    alone = cause.ref.kind in SOURCES and len(cause.chain) == 1
    return 1000 if alone else len(cause.chain)


def meant(objects: Objects, word: str, tenants: Iterable[str] = ()) -> list[Ref]:
    """Return the objects that a word means: a tenant, ``kind/name``, ``kind/namespace/name``, or a name.

    Nothing is returned for a word that means nothing.
    """
    if "/" in word:
        kind, *place, name = word.split("/")
        kinds = _kinds(kind)
        found = [ref for ref in objects.of(*kinds) if ref.name == name and (not place or ref.namespace == place[0])]
        return found or [ref for ref in _pods(objects, kinds) if ref.name == name]
    if word.lower() in {tenant.lower() for tenant in tenants}:
        return of_tenant(objects, word)
    return [ref for ref in objects.of(*NAMED) if ref.name == word]


def of_tenant(objects: Objects, tenant: str) -> list[Ref]:
    """Return the Kustomizations of a tenant."""
    found = []
    for ref in objects.of("Kustomization"):
        labels = (objects.get(ref) or {}).get("metadata", {}).get("labels") or {}
        if str(labels.get(TENANT, "")).lower() == tenant.lower() or _layer(ref.name, tenant):
            found.append(ref)
    return found


def _layer(name: str, tenant: str) -> bool:
    return name in {f"{tenant.lower()}-{layer}" for layer in ("dependency", "application", "monitoring")}


def names(objects: Objects) -> list[str]:
    """Return the names that can be typed."""
    return sorted({ref.name for ref in objects.of("Kustomization", "HelmRelease")})


def _kinds(word: str) -> list[str]:
    """Return the kinds that a word for a kind means, in the singular or plural, with a group or without."""
    plain = word.split(".")[0].lower()
    known = {*NAMED, *TYPED, "Deployment", "StatefulSet", "DaemonSet", "Job", "Certificate", "Pod"}
    return [_SHORT[plain]] if plain in _SHORT else sorted(k for k in known if plain in _spellings(k.lower()))


def _spellings(kind: str) -> tuple[str, ...]:
    return kind, f"{kind}s", f"{kind[:-1]}ies"


def _pods(objects: Objects, kinds: list[str]) -> list[Ref]:
    return objects.every_pod() if "Pod" in kinds else []
