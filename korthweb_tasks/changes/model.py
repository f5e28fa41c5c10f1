"""A comparison of two renders: each object that changes, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

SCHEMA = "korthweb.changes/1"


class Consequence(Enum):
    """What a change does, the gravest first."""

    DATA = "a volume or database changes"
    DOOR = "a door opens"
    CUT = "associations are cut"
    PODS = "pods restart"
    SUPPORT = "a version leaves support"
    UNKNOWN = "not judged"
    NOTHING = "nothing restarts"


@dataclass(frozen=True, slots=True)
class Reason:
    """One consequence of a change, and what in it brings that about."""

    consequence: Consequence
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One object that differs; ``text`` is a unified diff, masked. ``verb`` is added, changed or removed."""

    approach: str
    namespace: str
    name: str
    verb: str
    reasons: tuple[Reason, ...]
    text: str

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """Return what comes of it, the gravest first."""
        there = {reason.consequence for reason in self.reasons}
        return tuple(one for one in Consequence if one in there)

    @property
    def place(self) -> str:
        """Return the object as a person reads it: ``deployment/orthanc in bhc-orthweb``."""
        return f"{self.name} in {self.namespace}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a pull request changes. ``settings`` are (key, before, after), ``notes`` what a reader must know."""

    base: str
    approaches: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def grouped(self) -> Mapping[Consequence, tuple[Change, ...]]:
        """Return the changes under the gravest consequence of each, the gravest first."""
        groups: dict[Consequence, list[Change]] = {}
        for change in sorted(self.changes, key=lambda one: list(Consequence).index(one.consequences[0])):
            groups.setdefault(change.consequences[0], []).append(change)
        return {key: tuple(group) for key, group in groups.items()}

    @property
    def counts(self) -> Mapping[Consequence, int]:
        """Return how many objects each consequence concerns."""
        return {one: n for one in Consequence if (n := sum(one in c.consequences for c in self.changes))}

    @property
    def headline(self) -> str:
        """Return the one sentence at the top."""
        if not self.changes:
            return "No differences: nothing that is deployed changes."
        told = [f"{one.value} ({n})" for one, n in self.counts.items()]
        return f"{_counted(len(self.changes))}: {', '.join(told)}."

    def as_data(self) -> dict[str, Any]:
        """Return plain data; names are only ever added."""
        return {
            "schema": SCHEMA,
            "base": self.base,
            "approaches": list(self.approaches),
            "consequences": {one.value: n for one, n in self.counts.items()},
            "settings": [{"key": key, "before": before, "after": after} for key, before, after in self.settings],
            "notes": list(self.notes),
            "changes": [_data(change) for change in self.changes],
        }


def _data(change: Change) -> dict[str, Any]:
    return {
        "approach": change.approach,
        "namespace": change.namespace,
        "object": change.name,
        "change": change.verb,
        "consequences": [one.value for one in change.consequences],
        "reasons": [{"consequence": one.consequence.value, "text": one.text} for one in change.reasons],
        "diff": change.text,
    }


def _counted(number: int) -> str:
    return "1 object changes" if number == 1 else f"{number} objects change"


def listed(texts: Iterable[str], most: int = 3) -> str:
    """Return the first texts and how many more there are: ``a, b, c and 4 more``."""
    found = list(dict.fromkeys(texts))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{more}"
