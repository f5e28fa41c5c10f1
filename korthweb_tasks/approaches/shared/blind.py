"""Parts of the API that nobody answers for, and namespaces that can not go: told before anything is removed. Pure.

An APIService whose backend is gone (a metrics-server, an adapter) keeps the API server from listing all kinds. Then
nobody can say what is in a namespace, and Kubernetes itself removes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core import hints
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.tools.kubectl import Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Command, Result

APISERVICES = "apiservices.apiregistration.k8s.io"


def extensions(kubectl: Kubectl) -> Command:
    """Return the question for all parts of the API, and whether they are answered for."""
    return kubectl.get(APISERVICES)


def blind(result: Result) -> GuardRefused | None:
    """Read :func:`extensions`: return why nothing may be removed, or None where every part of the API answers."""
    found = [(obj, _available(obj)) for obj in items(result) if obj["spec"].get("service")]
    silent = [(obj, state) for obj, state in found if state.get("status") != "True"]
    if not silent:
        return None
    obj, state = silent[0]
    name, service = obj["metadata"]["name"], obj["spec"]["service"]
    why = state.get("message") or "it is not known to be available"
    text = f"APIService {name} (Service {service.get('namespace')}/{service.get('name')}) does not answer: {why}"
    more = f", and {len(silent) - 1} more" if len(silent) > 1 else ""
    return GuardRefused(
        f"{text}{more}. Nobody can say what is in a namespace, and none would go",
        hint=f"start that Service, or, if nobody needs it, `{hints.kubectl('delete', 'apiservice', name)}`",
    )


def going(namespace: Mapping[str, Any]) -> str:
    """Return why a namespace that is being removed is still there; nothing for one that is not being removed.

    >>> going({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    'it is being removed since 2026-01-01T00:00:00Z'
    """
    since = namespace["metadata"].get("deletionTimestamp")
    if not since:
        return ""
    conditions = (namespace.get("status") or {}).get("conditions") or ()
    told = [str(one.get("message", "")) for one in conditions if one.get("status") == "True"]
    return ": ".join([f"it is being removed since {since}", *(["; ".join(told)] if told else [])])


def _available(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Available"), {})
