"""Label selectors of Kubernetes: read as the API server reads them, and told as kubectl takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return True if a label selector of Kubernetes takes ``labels``; without one, everything is taken."""
    given = selector or {}
    if any(labels.get(key) != value for key, value in (given.get("matchLabels") or {}).items()):
        return False
    return all(_meets(one, labels) for one in given.get("matchExpressions") or ())


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    return {
        "In": key in labels and labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]


def said(selector: Mapping[str, Any]) -> str:
    """Return a label selector for a person.

    >>> said({"matchLabels": {"release": "stack"}})
    'release=stack'
    """
    equal = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    more = [
        f"{one['key']} {one['operator']} {','.join(one.get('values') or ())}".strip()
        for one in selector.get("matchExpressions") or ()
    ]
    return ", ".join([*equal, *more])
