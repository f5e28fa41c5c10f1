"""YAML with the line of every key and value, and errors that name the line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from korthweb_tasks.errors import SettingsError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, the line (from 1) of each path in it, and the text of each scalar as it was written."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)


def read_yaml(text: str, name: str) -> Document:
    """Return the one document in ``text``; ``data`` is None if it is empty.

    Raises SettingsError, which begins with ``name:line:``, for a syntax error, a key written twice and an unsafe tag.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(None)
        lines: dict[Path, int] = {}
        written: dict[Path, str] = {}
        data = _Builder(loader, name, lines, written).build(node, ())
        return Document(data, lines, written)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, name, text) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        text = f"{name}:{line}: a character that YAML does not allow ({error.reason})"
        raise SettingsError(text, hint="save the file as UTF-8 text") from error
    finally:
        loader.dispose()


def decode(raw: bytes, name: str) -> str:
    """Return ``raw`` as text; raises SettingsError with the line of the first byte that is not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{name}:{line}: this is not UTF-8 text", hint="save the file as UTF-8") from error


@dataclass(frozen=True, slots=True)
class _Builder:
    loader: Any
    name: str
    lines: dict[Path, int]
    written: dict[Path, str]

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > 40:
            raise SettingsError(f"{self.name}:{node.start_mark.line + 1}: nested too deeply (an anchor inside itself?)")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        self.written[path] = str(node.value)
        return self.loader.construct_object(node, deep=True)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                hint = "was a template meant to be filled in here?"
                raise SettingsError(f"{self.name}:{line}: a key must be a word", hint=hint)
            key = str(key_node.value)  # as written: `on` and `1` are words here
            here = (*path, key)
            if key in data:
                raise SettingsError(f"{self.name}:{line}: key {key!r} is here twice (first in line {self.lines[here]})")
            self.lines[here] = line
            data[key] = self.build(value_node, here)
        return data


def _syntax(error: yaml.MarkedYAMLError, name: str, text: str) -> SettingsError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or error.context or "it can't be understood"
    here = text.splitlines()[line - 1 : line]
    if any("\t" in written[: len(written) - len(written.lstrip())] for written in here):
        return SettingsError(f"{name}:{line}: not YAML: this line is indented with a tab", hint="indent with spaces")
    hint = (
        "indent with spaces"
        if "tab" in problem or "\\t" in problem
        else "each line is `key: value`; a list begins with `- `"
    )
    return SettingsError(f"{name}:{line}: not YAML: {problem}", hint=hint)
