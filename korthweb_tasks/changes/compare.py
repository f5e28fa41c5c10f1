"""Two renders compared, object by object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from korthweb_tasks.changes.model import Change, Consequence, Reason
from korthweb_tasks.changes.objects import Object, unified
from korthweb_tasks.changes.rules import judged

Key = tuple[str, str]


def compared(approach: str, before: Iterable[Object], after: Iterable[Object]) -> Iterator[Change]:
    """Give each object that differs; the order of objects and of keys means nothing.

    What is new in a namespace that is new opens nothing to what was there: only its ways in from outside count.
    """
    old, new = _by_key(before), _by_key(after)
    homes = {namespace for namespace, _ in old}
    for key in sorted(old.keys() | new.keys()):
        left, right = old.get(key), new.get(key)
        if left == right:
            continue
        namespace, name = key
        reasons = judged(left, right)
        if left is None and namespace and namespace not in homes and name.partition("/")[0] not in OUTSIDE:
            reasons = (Reason(Consequence.NOTHING, f"all in {namespace} is new"),)
        verb = "added" if left is None else "removed" if right is None else "changed"
        yield Change(approach, namespace, name, verb, reasons, unified(name, left, right))


#: kinds that let somebody in from outside of their namespace, though it is new
OUTSIDE = frozenset({"service", "gateway", "virtualservice", "ingressroute", "ingressroutetcp", "ingress"})
OUTSIDE |= {"deployment", "statefulset", "daemonset", "pod", "chart"}


def _by_key(objects: Iterable[Object]) -> dict[Key, Object]:
    return {
        (str(obj["metadata"].get("namespace") or ""), f"{obj['kind'].lower()}/{obj['metadata']['name']}"): obj
        for obj in objects
    }
