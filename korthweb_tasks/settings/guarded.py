"""What the deployment relies on in Orthanc's merged configuration, and which of it a person may give up.

One table for all approaches, which the chart reads as well: ``helm/orthanc/files/guarded.json``. Each row says why the
key matters, and whether ``accept_risks`` may name it: never, where images would be lost or nothing would work.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from korthweb_tasks.core.words import describe
from korthweb_tasks.settings.orthanc_options import Wrong, chart_file

#: stands for a key that is not there
MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Guarded:
    """One key of orthanc.json, the values it may have beside the deployment's own, and why."""

    key: str
    why: str
    accept: bool
    may: tuple[Any, ...] = ()
    lowest: int | None = None
    refused: tuple[Any, ...] = ()
    unless: Mapping[str, Any] = field(default_factory=dict)
    #: where a person says it instead, in korthweb's settings
    instead: str = ""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Guarded:
        """Read a row of the table."""
        return cls(
            row["key"],
            row["why"],
            row["accept"],
            may=tuple(row.get("may", ())),
            lowest=row.get("min"),
            refused=tuple(row.get("not", ())),
            unless=row.get("unless", {}),
            instead=row.get("instead", {}).get("settings", ""),
        )

    def keeps(self, config: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
        """Return True if ``config`` keeps what the deployment's ``own`` configuration says, as far as is needed."""
        value = value_at(config, self.key)
        allowed = [value_at(own, self.key), *self.may]
        return (
            any(_same(value, one) for one in allowed)
            or (self.lowest is not None and isinstance(value, int) and value >= self.lowest)
            or (bool(self.refused) and value not in self.refused)
            or any(_same(value_at(config, key), wanted) for key, wanted in self.unless.items())
        )


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that is not a key of Orthanc and that a person may accept."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class PluginTable:
    """Plugins that are loaded, those of them that must be, and those that would take the place of PostgreSQL."""

    usual: tuple[str, ...]
    required: tuple[str, ...]
    others: tuple[str, ...]
    refused: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class GuardedTable:
    """The whole table."""

    keys: tuple[Guarded, ...]
    risks: tuple[Risk, ...]
    moving_tags: tuple[str, ...]
    plugins: PluginTable

    @property
    def acceptable(self) -> tuple[str, ...]:
        """Return the names that accept_risks takes."""
        return (*(risk.name for risk in self.risks), *(row.key for row in self.keys if row.accept))

    def why(self, name: str) -> str:
        """Return why ``name`` is a risk."""
        reasons = {risk.name: risk.why for risk in self.risks} | {row.key: row.why for row in self.keys}
        return reasons[name]


@cache
def guarded_table() -> GuardedTable:
    """Return the table, read once."""
    data = chart_file("guarded.json")
    plugins = {name: tuple(data["plugins"][name]) for name in ("usual", "required", "others", "refused")}
    return GuardedTable(
        tuple(Guarded.read(row) for row in data["keys"]),
        tuple(Risk(row["name"], row["why"]) for row in data["risks"]),
        tuple(data["movingTags"]),
        PluginTable(**plugins, why=data["plugins"]["why"]),
    )


def undermined(config: Mapping[str, Any], own: Mapping[str, Any], accepted: Collection[str]) -> Iterator[Wrong]:
    """Yield the keys with which ``config`` takes away what the deployment's ``own`` configuration rests on.

    >>> own = {"SaveJobs": False}
    >>> [one.path for one in undermined({"SaveJobs": True}, own, accepted=())]
    [('SaveJobs',)]
    """
    for row in guarded_table().keys:
        if not row.keeps(config, own) and not (row.accept and row.key in accepted):
            yield Wrong(tuple(row.key.split(".")), _text(row, value_at(config, row.key)))


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """Return what is at the dotted ``key``, or MISSING."""
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found


def accepting(name: str) -> str:
    """Return what a person writes who wants it all the same."""
    return f"accept_risks: [{name}] accepts it"


def plugin_file(word: str) -> str:
    """Return a plugin as a file or folder of the image; ``gdcm`` is the file libOrthancGdcm.so."""
    if "/" in word:
        return word
    name = word.removesuffix(".so").removeprefix("lib")
    known = {plugin_key(one): one for one in (*guarded_table().plugins.usual, *guarded_table().plugins.others)}
    return f"/usr/share/orthanc/plugins-available/lib{known.get(plugin_key(name), name)}.so"


def plugin_key(word: str) -> str:
    """Return what is the same for all ways to write one plugin: its name without folder, lib, Orthanc and .so."""
    name = PurePosixPath(word).name.partition(".so")[0].removeprefix("lib")
    return name.removeprefix("Orthanc").lower().replace("-", "").replace("_", "")


def all_plugins(listed: Iterable[str]) -> tuple[str, ...]:
    """Return the plugins that are loaded: the usual ones and those of ``listed``, each once.

    A list that has all that are required is the whole list. Raises ValueError for one that has some of the usual
    plugins but not all that are required, and for a plugin that would take the place of PostgreSQL.

    >>> [name.rpartition("lib")[2] for name in all_plugins(["gdcm"])][3:]
    ['OrthancExplorer2.so', 'OrthancGdcm.so']
    """
    table, words = guarded_table().plugins, tuple(listed)
    for word in words:
        if plugin_key(word) in {plugin_key(name) for name in table.refused}:
            raise ValueError(f"plugin {word!r} can't be used: {table.why}")
    given = {plugin_key(word) for word in words if not _is_folder(word)}
    missing = [name for name in table.required if plugin_key(name) not in given]
    if missing and given & {plugin_key(name) for name in table.usual}:
        text = f"the list leaves out {' and '.join(missing)}, without which images are lost or can't be read"
        raise ValueError(f"{text}; list only what is to be added to the usual ones, or all of them")
    found = {plugin_key(name): plugin_file(name) for name in (table.usual if missing else ())}
    for word in words:
        found[word if _is_folder(word) else plugin_key(word)] = plugin_file(word)
    return tuple(found.values())


def _is_folder(word: str) -> bool:
    return "/" in word and ".so" not in PurePosixPath(word).name


def _text(row: Guarded, value: Any) -> str:
    said = "is missing" if value is MISSING else f"can't be {describe(value)}"
    instead = f"; say it by {row.instead}" if row.instead else ""
    return f"{said}: {row.why}{instead}" + (f"; {accepting(row.key)}" if row.accept else "")


def _same(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)
