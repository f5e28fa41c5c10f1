"""The options of Orthanc and what kind of value each takes, read from the table that the chart reads too.

The facts are in ``helm/orthanc/files/options.json``, with their source: Orthanc refuses to start where an option is of
the wrong kind, and ignores a key that it does not know, so that a misspelt one changes nothing and nobody is told.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from korthweb_tasks import paths
from korthweb_tasks.core.words import describe, fold

#: a key that is at least so much like a known one was meant to be that one
ALIKE = 0.86


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one key of an orthanc.json: where it is, and what a person should know."""

    path: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one section by their kind."""

    kinds: Mapping[str, str]
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Options:
        """Read a section of the table."""
        named = {name: kind for kind, names in data.items() if kind != "choice" for name in names}
        choices = {name: tuple(values) for name, values in data.get("choice", {}).items()}
        return cls({**named, **dict.fromkeys(choices, "choice")}, choices)


@dataclass(frozen=True, slots=True)
class OptionTable:
    """All options: those at the top, those inside of some sections, and the sections of plugins."""

    top: Options
    inside: Mapping[str, Options]
    plugins: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return every key that may stand at the top."""
        return (*self.top.kinds, *self.inside, *self.plugins)


@cache
def chart_file(name: str) -> Any:
    """Return the data of a JSON file of the chart, which is the one place where it is written."""
    path = paths.artifacts_dir("helm") / "orthanc" / "files" / name
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def option_table() -> OptionTable:
    """Return the table of the pinned Orthanc."""
    data = chart_file("options.json")
    inside = {name: Options.read(section) for name, section in data["inside"].items()}
    return OptionTable(Options.read(data["options"]), inside, tuple(data["plugins"]))


def wrong_options(config: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield what Orthanc would refuse or silently ignore in ``config``.

    >>> [one.text for one in wrong_options({"DicomPort": "4242"})]
    ["must be a whole number, not '4242'"]
    """
    table = option_table()
    for key, value in config.items():
        if key in table.inside or key in table.plugins:
            if not isinstance(value, Mapping):
                yield Wrong((key,), f"must be a section of settings, not {describe(value)}")
            elif key in table.inside:
                yield from _in_section(value, table.inside[key], (key,))
        elif key in table.top.kinds:
            yield from _of_kind(table.top, key, value, ())
        elif near := meant(key, table.names):
            yield Wrong((key,), f"Orthanc knows no such option and would ignore it (did you mean {near!r}?)")


def unknown_options(config: Mapping[str, Any]) -> list[str]:
    """Return the keys that no option is like: perhaps those of a plugin that korthweb does not know."""
    names = option_table().names
    return [key for key in config if key not in names and not meant(key, names)]


def meant(word: str, known: tuple[str, ...]) -> str:
    """Return the known key that ``word`` was meant to be, or nothing: another case, or a letter or two."""
    by_fold = {fold(name).replace("_", ""): name for name in known}
    near = difflib.get_close_matches(fold(word).replace("_", ""), by_fold, n=1, cutoff=ALIKE)
    return by_fold[near[0]] if near else ""


def _in_section(section: Mapping[str, Any], options: Options, path: tuple[str, ...]) -> Iterator[Wrong]:
    for key, value in section.items():
        if key in options.kinds:
            yield from _of_kind(options, key, value, path)
        elif near := meant(key, tuple(options.kinds)):
            yield Wrong((*path, key), f"Orthanc knows no such option and would ignore it (did you mean {near!r}?)")


def _of_kind(options: Options, key: str, value: Any, path: tuple[str, ...]) -> Iterator[Wrong]:
    if key in options.choices:
        if not any(value == choice and type(value) is type(choice) for choice in options.choices[key]):
            listed = ", ".join(describe(choice).strip("'") for choice in options.choices[key])
            yield Wrong((*path, key), f"must be one of {listed}, not {describe(value)}")
        return
    words, fits = _KINDS[options.kinds[key]]
    if not fits(value):
        yield Wrong((*path, key), f"must be {words}, not {describe(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a whole number", _is_number),
    "text": ("text", lambda value: isinstance(value, str)),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "section": ("a section of settings", lambda value: isinstance(value, Mapping)),
}
