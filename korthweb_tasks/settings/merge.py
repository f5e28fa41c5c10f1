"""Laying one tree of plain data over another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def deep_merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with ``above`` laid over it.

    Mappings are merged key by key; anything else, lists too, is replaced. Neither argument is changed.
    """
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        both = isinstance(lower, Mapping) and isinstance(value, Mapping)
        merged[key] = deep_merge(lower, value) if both else _copy(value)  # type: ignore[arg-type]
    return merged


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return deep_merge({}, value)
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
