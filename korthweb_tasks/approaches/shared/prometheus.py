"""Which monitors somebody else's Prometheus takes. Pure.

No monitor is made beside it: it has no identity that the mesh knows. Who writes one of his own has to know its labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.shared.selectors import said, selects

if TYPE_CHECKING:
    from korthweb_tasks.tools.kubectl import Object

#: kind of monitor -> the fields of a Prometheus that select it, and the namespaces in which it is looked for
SELECTORS = {
    "ServiceMonitors": ("serviceMonitorSelector", "serviceMonitorNamespaceSelector"),
    "PodMonitors": ("podMonitorSelector", "podMonitorNamespaceSelector"),
}


def monitors_taken(watchers: Sequence[Object], tenants: Iterable[str]) -> str:
    """Return how monitors in the namespaces ``tenants`` have to be labelled; nothing where all of them are taken."""
    if not watchers:
        return "it runs no Prometheus"
    places = tuple(tenants)
    told = [_taken(obj, kind, places) for obj in watchers for kind in SELECTORS]
    return "; ".join(filter(None, told))


def _taken(obj: Object, kind: str, tenants: tuple[str, ...]) -> str:
    who, spec = f"Prometheus {obj['metadata']['namespace']}/{obj['metadata']['name']}", obj.get("spec") or {}
    labels, places = (spec.get(field) for field in SELECTORS[kind])
    if labels is None:
        return f"{who} takes no {kind}"
    if places is None:
        return f"{who} takes {kind} of its own namespace only"
    left = [name for name in tenants if not selects(places, {"kubernetes.io/metadata.name": name})]
    words = [f"with {said(labels)}"] if labels else []
    words += [f"from namespaces with {said(places)} ({', '.join(left)} may lack it)"] if left else []
    return f"{who} takes {kind} {' '.join(words)}: label them so" if words else ""
