"""The shape of the settings, read from the model: which keys there are, and what a path leads to."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from korthweb_tasks.settings.charts import CHARTS
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.versions import PINS

#: where a value is: ("tenants", 0, "aet")
Path = tuple[str | int, ...]
_KNOWN: dict[Path, tuple[str, ...]] = {("charts",): tuple(CHARTS), ("versions",): tuple(PINS)}


@dataclass(frozen=True, slots=True)
class Kind:
    """What may stand at a place.

    ``name``: section (fixed keys), table (any key, or ``keys`` if there are some), list, free (anything), text, value.
    ``item`` is the kind of what is inside a table or list.
    """

    name: Literal["section", "table", "list", "free", "text", "value"]
    keys: tuple[str, ...] = ()
    item: Kind | None = None
    model: type[BaseModel] | None = None

    @property
    def is_container(self) -> bool:
        """Return True if an empty value here means "nothing given"."""
        return self.name in ("section", "table", "list", "free")


def kind_at(path: Path) -> Kind | None:
    """Return what ``path`` leads to, or None where the model has no such place."""
    kind: Kind | None = Kind("section", tuple(Settings.model_fields), model=Settings)
    for depth, key in enumerate(path):
        kind = _step(kind, key) if kind else None
        if kind and (known := _KNOWN.get(path[: depth + 1])):
            kind = Kind(kind.name, known, kind.item, kind.model)
    return kind


def dotted(path: Path, names: dict[Path, str] | None = None) -> str:
    """Return ``tenants.BHC.aet``; ``names`` gives the name of an element of a list by its path."""
    parts = [(names or {}).get(path[: depth + 1], str(key)) for depth, key in enumerate(path)]
    return ".".join(parts)


def _step(kind: Kind, key: str | int) -> Kind | None:
    if kind.name == "free":
        return kind
    if kind.name == "section" and kind.model and isinstance(key, str) and key in kind.keys:
        return _kind_of(kind.model.model_fields[key].annotation)
    return kind.item if kind.name in ("table", "list") else None


def _kind_of(annotation: Any) -> Kind:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind_of(args[0])
    if origin in (Union, types.UnionType):
        return _kind_of(next(arg for arg in args if arg is not type(None)))
    if origin is dict:
        return _table(args[0], args[1])
    if origin is tuple:
        return Kind("list", item=_kind_of(args[0]))
    if annotation is Any:
        return Kind("free")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Kind("section", tuple(annotation.model_fields), model=annotation)
    return Kind("text" if annotation is str or origin is Literal else "value")


def _table(key: Any, value: Any) -> Kind:
    if value is Any:
        return Kind("free")
    keys = tuple(get_args(key)) if get_origin(key) is Literal else ()
    return Kind("table", keys, _kind_of(value))
