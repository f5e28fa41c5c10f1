"""What ``korthweb --help TASK`` says: how it is called, what it does, its words and flags with their defaults."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from inspect import Parameter

from korthweb_tasks.collections.flags import Task

#: flag -> what its value is called, where that is not the flag's own name
VALUES = {
    "settings": "FILE",
    "ca": "FILE",
    "out": "FOLDER",
    "report": "FOLDER",
    "study": "FOLDER",
    "timeout": "TIME",
    "output": "FORMAT",
    "tenant": "NAME",
    "context": "NAME",
    "contexts": "NAMES",
    "lines": "NUMBER",
    "revision": "NUMBER",
}
#: flags of nearly every task, which come last
COMMON = ("context", "contexts", "tenant", "dry_run", "yes", "timeout", "output", "settings")
WIDTH = 100


def text_of(task: Task[object]) -> str:
    """Return the help of a task."""
    own = [name for name in task.words.parameters if name not in COMMON and name not in task.positional]
    flags = [*own, *(name for name in COMMON if name in task.words.parameters)]
    words = [(name.upper(), _said(task, name)) for name in task.positional]
    table = [(_flag(task.words.parameters[name]), _said(task, name)) for name in flags]
    wide = max(len(left) for left, _ in [*words, *table]) + 2
    room = max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) - wide - 2)
    lines = [f"Usage: {_usage(task)}", "", task.text]
    lines += ["", *_rows(words, wide, room)] if words else []
    return "\n".join([*lines, "", "Flags:", *_rows(table, wide, room), "", f"Example: {task.example}"])


def _usage(task: Task[object]) -> str:
    """Return how a task is called: with the flags that it can't do without."""
    needed = [
        _flag(parameter)
        for name, parameter in task.words.parameters.items()
        if parameter.default is Parameter.empty and name not in task.positional
    ]
    return " ".join([task.usage.removesuffix(" [flags]"), *needed, "[flags]"])


def _flag(parameter: Parameter) -> str:
    name = parameter.name.rstrip("_").replace("_", "-")
    if parameter.default is True:
        return f"--[no-]{name}"
    return f"--{name}" if parameter.default is False else f"--{name} {VALUES.get(parameter.name, name.upper())}"


def _said(task: Task[object], name: str) -> str:
    return task.texts.get(name, "")


def _rows(table: list[tuple[str, str]], wide: int, room: int) -> Iterator[str]:
    for left, right in table:
        first, *rest = textwrap.wrap(right, room, break_on_hyphens=False, break_long_words=False) or [""]
        yield f"  {left:<{wide}}{first}".rstrip()
        yield from (" " * (wide + 2) + line for line in rest)


__all__ = ["text_of"]
