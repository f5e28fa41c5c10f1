"""What an upgrade would change: two manifests of a release compared object by object, Secrets masked. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from korthweb_tasks.core.command import MASK
from korthweb_tasks.core.render import as_yaml, parse

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One object that would change; ``text`` is a unified diff."""

    tenant: str
    name: str
    text: str

    def as_data(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


def changes(tenant: str, before: str, after: str) -> list[Change]:
    """Return what differs between two manifests of a release; the order of objects and of keys means nothing."""
    old, new = _by_name(parse(before)), _by_name(parse(after))
    found = []
    for name in sorted(old | new):
        left, right = old.get(name), new.get(name)
        if left != right:
            found.append(Change(tenant, name, _diff(name, *_masked(left, right))))
    return found


def masked_text(manifest: str) -> str:
    """Return a manifest with the contents of its Secrets out of sight."""
    return as_yaml(_hidden(obj) for obj in parse(manifest))


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    return {f"{obj['kind'].lower()}/{obj['metadata']['name']}": obj for obj in objects}


def _hidden(obj: Object) -> Object:
    if obj.get("kind") != "Secret":
        return obj
    return {key: dict.fromkeys(part, MASK) if key in ("data", "stringData") else part for key, part in obj.items()}


def _masked(left: Object | None, right: Object | None) -> tuple[Object | None, Object | None]:
    """Hide Secrets on both sides, but say which keys differ."""
    shown = tuple(None if obj is None else {**_hidden(obj)} for obj in (left, right))
    if left is None or right is None or left.get("kind") != "Secret":
        return shown[0], shown[1]
    for part in ("data", "stringData"):
        one, two = left.get(part) or {}, right.get(part) or {}
        for key in one.keys() & two.keys():
            if one[key] != two[key] and shown[0] and shown[1]:
                shown[0][part][key], shown[1][part][key] = f"{MASK} (as it is)", f"{MASK} (another)"
    return shown[0], shown[1]


def _diff(name: str, left: Object | None, right: Object | None) -> str:
    old, new = (as_yaml([obj]).splitlines()[1:] if obj else [] for obj in (left, right))
    lines = difflib.unified_diff(old, new, f"{name} (as it is)", f"{name} (as it would be)", lineterm="")
    return "\n".join(lines)
