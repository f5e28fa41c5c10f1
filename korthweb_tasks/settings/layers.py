"""Layers of settings laid over each other, with the origin of every value."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from korthweb_tasks.core.words import describe, fold, nearest
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.model import DEFAULT_TENANTS
from korthweb_tasks.settings.schema import Kind, Path, dotted, kind_at

DEFAULT = "default"
#: keys that name the cluster: left empty they must not mean another one
WHICH_CLUSTER = ("context", "kubeconfig")


@dataclass(slots=True)
class Stack:
    """The merged data so far. ``origins`` says of each path in it who put it there."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    #: complaints about keys, in the order they were met
    faults: list[str] = field(default_factory=list)
    #: values that a fault says are empty
    empties: set[Path] = field(default_factory=set)

    def lay(self, tree: Any, origin: Callable[[Path], str], written: Mapping[Path, str] | None = None) -> None:
        """Lay a whole tree over what is there. Unknown keys become faults."""
        if tree is None:
            return
        if not isinstance(tree, Mapping):
            raise SettingsError(f"{origin(())}: must be a section of `key: value` lines, not {describe(tree)}")
        self._mapping(self.data, tree, (), origin, written or {})

    def put(self, words: tuple[str, ...], value: Any, origin: str) -> None:
        """Set one value by the words of its path, as the environment and flags spell them."""
        path = self.resolve(words, origin)
        if path is None:
            return
        if value is None and (kind := kind_at(path)) and kind.is_container:
            return
        holder: Any = self.data
        for depth, key in enumerate(path[:-1]):
            holder = self._open(holder, key, path[: depth + 1], origin)
        self._replace(holder, path[-1], value, path, lambda _: origin, {})

    def resolve(self, words: tuple[str, ...], origin: str) -> Path | None:
        """Return the path that ``words`` mean, whatever their case; None, and a fault, where there is none."""
        path: Path = ()
        for word in words:
            kind = kind_at(path)
            key = self._key(kind, path, word) if kind else None
            if key is None:
                self.faults.append(_unknown(origin, path, word, self._choices(kind, path), self.names()))
                return None
            path = (*path, key)
        return path

    def names(self) -> dict[Path, str]:
        """Return the name of each tenant by its path, for messages."""
        tenants = self.data.get("tenants")
        found: dict[Path, str] = {}
        for index, tenant in enumerate(tenants if isinstance(tenants, list) else ()):
            if isinstance(tenant, Mapping) and isinstance(name := tenant.get("name"), str):
                found["tenants", index] = name
        return found

    def origin(self, path: Path) -> str:
        """Return who set ``path``, or the nearest place above it that somebody set."""
        for depth in range(len(path), -1, -1):
            if found := self.origins.get(path[:depth]):
                return found
        return DEFAULT

    def _mapping(
        self,
        target: dict[str, Any],
        tree: Mapping[str, Any],
        path: Path,
        origin: Callable[[Path], str],
        written: Mapping[Path, str],
    ) -> None:
        for key, value in tree.items():
            here = (*path, key)
            kind = kind_at(here)
            if kind is None or not _allowed(kind_at(path), key):
                choices = self._choices(kind_at(path), path)
                self.faults.append(_unknown(origin(here), path, key, choices, self.names()))
            elif value is None and kind.is_container and kind.name != "free":
                continue  # a heading with everything under it commented out
            elif isinstance(value, Mapping) and kind.is_container and kind.name != "list":
                if not isinstance(target.get(key), dict):
                    target[key] = {}
                    self._forget(here)
                self.origins.setdefault(here, origin(here))
                self._mapping(target[key], value, here, origin, written)
            else:
                self._replace(target, key, value, here, origin, written)

    def _replace(
        self,
        holder: Any,
        key: str | int,
        value: Any,
        path: Path,
        origin: Callable[[Path], str],
        written: Mapping[Path, str],
    ) -> None:
        """Put ``value`` at ``path``, forgetting what was there, and check the keys inside of it."""
        self._forget(path)
        self.origins[path] = origin(path)
        if path in written:
            self.written[path] = written[path]
        kind = kind_at(path)
        if isinstance(value, list) and kind and kind.name in ("list", "free"):
            fresh: list[Any]
            holder[key] = fresh = [None] * len(value)
            for index, item in enumerate(value):
                self._replace(fresh, index, item, (*path, index), origin, written)
        elif isinstance(value, Mapping) and kind and kind.is_container and kind.name != "list":
            holder[key] = {}
            self._mapping(holder[key], value, path, origin, written)
        else:
            if kind and kind.name == "text" and _is_empty(value, path, self.written.get(path)):
                self.empties.add(path)
                self.faults.append(empty(origin(path), dotted(path, self.names())))
            if kind and kind.name == "free" and (what := _no_json(value)):
                self.faults.append(f"{origin(path)}: {dotted(path, self.names())} is {what}, which JSON does not have")
                value = None
            holder[key] = value

    def _forget(self, path: Path) -> None:
        for table in (self.origins, self.written):
            for known in [known for known in table if known[: len(path)] == path]:
                del table[known]

    def _open(self, holder: Any, key: str | int, path: Path, origin: str) -> Any:
        if isinstance(holder, list):
            return holder[int(key)]
        if path == ("tenants",) and key not in holder:
            holder[key] = [dict(tenant) for tenant in DEFAULT_TENANTS]
            self.origins[path] = DEFAULT
        if not isinstance(holder.get(key), dict | list):
            holder[key] = {}
            self.origins[path] = origin
        return holder[key]

    def _key(self, kind: Kind, path: Path, word: str) -> str | int | None:
        if kind.name == "list":
            return self._element(path, word)
        if kind.name in ("text", "value"):
            return None
        present = self._present(path)
        names = (*kind.keys, *(present if isinstance(present, dict) else ()))
        if word in names:
            return word
        if found := [str(name) for name in names if fold(name) == fold(word)]:
            return found[0]
        return None if kind.keys or kind.name == "section" else word

    def _element(self, path: Path, word: str) -> int | None:
        items = self._present(path)
        if items is None and path == ("tenants",):
            items = [dict(tenant) for tenant in DEFAULT_TENANTS]
        items = items if isinstance(items, list) else []
        if re.fullmatch(r"[0-9]{1,6}", word) and int(word) < len(items):
            return int(word)
        names = [fold(str(item.get("name"))) if isinstance(item, Mapping) else "" for item in items]
        return names.index(fold(word)) if fold(word) in names else None

    def _choices(self, kind: Kind | None, path: Path) -> tuple[str, ...]:
        if kind is None:
            return ()
        if kind.name == "list":
            items = self._present(path)
            items = items if isinstance(items, list) else list(DEFAULT_TENANTS)
            return tuple(str(item["name"]) for item in items if isinstance(item, Mapping) and "name" in item)
        return kind.keys

    def _present(self, path: Path) -> Any:
        found: Any = self.data
        try:
            for key in path:
                found = found[key]
        except (KeyError, IndexError, TypeError):
            return None
        return found


def _is_empty(value: Any, path: Path, written: str | None) -> bool:
    """Return whether a text was written as nothing, or the name of a cluster left out; null is a word."""
    if value is None:
        return path[-1] in WHICH_CLUSTER and written == ""
    return isinstance(value, str) and not value.strip()


def _no_json(value: Any) -> str:
    """Return what a value of YAML is that JSON has no form for, or nothing.

    >>> _no_json(datetime.date(2026, 1, 31))
    "a date (as text: '2026-01-31')"
    """
    if isinstance(value, (datetime.date, datetime.time)):
        return f"a date (as text: '{value}')"
    if isinstance(value, (bytes, set)):
        return "binary data" if isinstance(value, bytes) else "a set (write a list)"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}"
    return ""


def empty(origin: str, name: str) -> str:
    """Return the fault of an empty word: it never means "the usual one".

    >>> empty("korthweb.yaml:3", "context")
    'korthweb.yaml:3: context is empty: give it a value, or take it away'
    >>> empty("environment KORTHWEB__CONTEXT", "KORTHWEB__CONTEXT")
    'environment KORTHWEB__CONTEXT is empty: give it a value, or unset KORTHWEB__CONTEXT'
    """
    if origin.startswith("environment "):
        return f"{origin} is empty: give it a value, or unset {name}"
    return f"{origin}: {name} is empty: give it a value, or take it away"


def _allowed(parent: Kind | None, key: str) -> bool:
    return parent is not None and (parent.name in ("free", "list") or not parent.keys or key in parent.keys)


def _unknown(origin: str, path: Path, word: str, choices: tuple[str, ...], names: dict[Path, str]) -> str:
    inside = f" in {dotted(path, names)}" if path else ""
    return f"{origin}: unknown key {word!r}{inside}{nearest(word, choices)}"
