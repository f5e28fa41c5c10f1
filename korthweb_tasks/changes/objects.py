"""Two states of one object as a person may see them: a unified diff, with what is secret out of sight."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from korthweb_tasks.core.command import MASK
from korthweb_tasks.core.render import as_yaml
from korthweb_tasks.settings.show import masked_tree

Object = Mapping[str, Any]
#: stands for what a renderer makes anew each time: generated passwords and certificates
GENERATED = "(generated)"
_SECRETS = ("data", "stringData")


def unified(name: str, left: Object | None, right: Object | None) -> str:
    """Return a unified diff of two states of an object, None where it is not there; Secrets are masked.

    >>> print(unified("configmap/a", {"age": 1}, {"age": 2}).splitlines()[-1])
    +age: 2
    """
    shown = _masked(left, right)
    old, new = (as_yaml([obj]).splitlines()[1:] if obj else [] for obj in shown)
    lines = difflib.unified_diff(old, new, f"{name} (as it is)", f"{name} (as it would be)", lineterm="")
    return "\n".join(lines) or "only what is masked differs"


def hidden(obj: Object) -> Object:
    """Return an object with the contents of a Secret, and passwords written in clear elsewhere, out of sight."""
    if obj.get("kind") == "Secret":
        return {key: dict.fromkeys(part, MASK) if key in _SECRETS else part for key, part in obj.items()}
    if obj.get("kind") == "ConfigMap":
        return {**obj, "data": {key: _hidden_text(text) for key, text in (obj.get("data") or {}).items()}}
    if obj.get("kind") in ("Chart", "HelmRelease"):
        spec = obj.get("spec") or {}
        return {**obj, "spec": {**spec, "values": masked_tree(spec.get("values") or {})}}
    return {key: _without_clear_variables(part) for key, part in obj.items()}


def stable(first: Any, second: Any) -> Any:
    """Return ``first`` with all that differs in ``second``, another render of the same settings, as GENERATED."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return {key: stable(value, second.get(key)) for key, value in first.items()}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [stable(one, two) for one, two in zip(first, second, strict=True)]
    return first if first == second else GENERATED


def places(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Give the dotted paths of what differs: ``spec.template.spec.containers.0.image``."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in {**left, **right}:
            yield from places(left.get(key), right.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, two) in enumerate(zip(left, right, strict=True)):
            yield from places(one, two, f"{path}.{index}")
    elif left != right:
        yield path


def _hidden_text(text: Any) -> Any:
    """Return a file of a ConfigMap; passwords in a JSON document (orthanc.json) are masked."""
    try:
        data = json.loads(text)
    except (TypeError, ValueError):
        return text
    masked = masked_tree(data)
    return text if masked == data else json.dumps(masked, indent=2)


def _without_clear_variables(tree: Any) -> Any:
    """Return ``tree`` with the value of each environment variable masked whose name is that of a secret."""
    if isinstance(tree, list):
        return [_without_clear_variables(one) for one in tree]
    if not isinstance(tree, Mapping):
        return tree
    if isinstance(tree.get("name"), str) and isinstance(tree.get("value"), str):
        return {**tree, "value": masked_tree({tree["name"]: tree["value"]})[tree["name"]]}
    return {key: _without_clear_variables(value) for key, value in tree.items()}


def _masked(left: Object | None, right: Object | None) -> tuple[Object | None, Object | None]:
    """Hide Secrets on both sides, but say which keys differ."""
    shown = tuple(None if obj is None else {**hidden(obj)} for obj in (left, right))
    if left is None or right is None or left.get("kind") != "Secret":
        return shown[0], shown[1]
    for part in _SECRETS:
        one, two = left.get(part) or {}, right.get(part) or {}
        for key in one.keys() & two.keys():
            if one[key] != two[key] and shown[0] and shown[1]:
                shown[0][part][key], shown[1][part][key] = f"{MASK} (as it is)", f"{MASK} (another)"
    return shown[0], shown[1]
