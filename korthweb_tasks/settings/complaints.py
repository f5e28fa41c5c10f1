"""What pydantic found, in words that a person can act on: the place, and what must be there instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from korthweb_tasks.core.words import describe, nearest
from korthweb_tasks.settings.layers import Stack
from korthweb_tasks.settings.schema import Path, dotted

Details = dict[str, Any]


def complaints(error: ValidationError, stack: Stack) -> list[str]:
    """Return one line for each fault, each beginning with who set the value (``korthweb.yaml:14``)."""
    details = [dict(d) for d in error.errors(include_url=False) if _path(d["loc"]) not in stack.empties]
    locations: list[tuple[str | int, ...]] = [detail["loc"] for detail in error.errors(include_url=False)]
    inner = {location[:depth] for location in locations for depth in range(len(location))}
    # a list counts as too short when its only element is wrong: the element says enough
    lines = [
        _complaint(detail, stack) for detail in details if detail["type"] != "too_short" or detail["loc"] not in inner
    ]
    return list(dict.fromkeys(lines))


def _complaint(detail: Details, stack: Stack) -> str:
    path = (*_path(detail["loc"]), *_inner_key(detail))
    place = dotted(path, stack.names())
    if detail["type"] == "missing":
        return f"{stack.origin(path[:-1])}: {dotted(path[:-1], stack.names())} needs {path[-1]!r}"
    return f"{stack.origin(path)}: {place}{_text(detail, stack.written.get(path))}"


def _inner_key(detail: Details) -> Path:
    """Return the key inside of a table that its check says is wrong."""
    return tuple(getattr(detail.get("ctx", {}).get("error"), "key", ()))


def _path(location: tuple[str | int, ...]) -> Path:
    """Return pydantic's location without its mark for a bad key of a table."""
    return tuple(part for part in location if part != "[key]")


def _text(detail: Details, written: str | None) -> str:
    kind, value = str(detail["type"]), detail["input"]
    if kind == "value_error":
        return f": {detail['ctx']['error']}"
    if kind == "string_type" and written and value is not None:
        return f' must be text: write "{written}" in quotes'
    if kind == "literal_error":
        return _one_of(detail, value)
    for names, words in _WORDS:
        if kind in names:
            return f" {words}, not {describe(value)}"
    if kind in _BOUNDS:
        return f" {_BOUNDS[kind](detail.get('ctx', {}))}, not {describe(value)}"
    if kind in ("string_too_short", "too_short"):
        return " must not be empty"
    return f": {detail['msg']}"


def _one_of(detail: Details, value: Any) -> str:
    choices = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    near = nearest(value, choices) if isinstance(value, str) else ""
    listed = ", ".join(choices[:-1]) + f" or {choices[-1]}"
    return f" must be {listed}, not {describe(value)}{near}"


_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("string_type",), "must be text"),
    (("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    (("float_type", "float_parsing"), "must be a number"),
    (("bool_type", "bool_parsing"), "must be true or false"),
    (("dict_type", "model_type", "model_attributes_type"), "must be a section of `key: value` lines"),
    (("tuple_type", "list_type"), "must be a list (lines that begin with `- `)"),
)
_BOUNDS: dict[str, Callable[[Details], str]] = {
    "greater_than": lambda ctx: f"must be more than {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']:g}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']:g}",
}
