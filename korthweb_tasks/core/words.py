"""Words for messages about values and names. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from korthweb_tasks.errors import UsageError


def describe(value: Any) -> str:
    """Return ``value`` for a sentence like "must be text, not ..."."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def nearest(word: str, known: Iterable[str], *, most: int = 1, shown: Callable[[str], str] = repr) -> str:
    """Return `` (did you mean 'x'?)`` for the known words most like ``word``, or nothing.

    >>> nearest("up", ["lab.up", "lab.down"], shown=str)
    ' (did you mean lab.up?)'
    """
    by_fold = {fold(name): name for name in known}
    near = difflib.get_close_matches(fold(word), by_fold, n=most, cutoff=0.6)
    near = near or [folded for folded in by_fold if folded.rpartition(".")[2] == fold(word)][:most]
    return f" (did you mean {' or '.join(shown(by_fold[folded]) for folded in near)}?)" if near else ""


def unknown(what: str, word: str, known: Iterable[str], flag: str = "") -> UsageError:
    """Return the error for a word that names nothing: with the nearest right one, and all of them as the hint.

    >>> unknown("controller", "sorce", ["source", "helm"]).message
    "there is no controller 'sorce' (did you mean 'source'?)"
    """
    names = list(known)
    hint = f"{flag or 'known:'} {', '.join(names)}" if names else ""
    return UsageError(f"there is no {what} {word!r}{nearest(word, names)}", hint=hint)


def fold(word: str) -> str:
    """Return ``word`` without case and without the difference of ``-`` and ``_``."""
    return word.lower().replace("-", "_")


def refuse_empty(shown: str, value: object) -> None:
    """Raise UsageError for an empty word.

    It is mostly a variable that is not set (``--context "$CLUSTER"``): it never means "the usual one".
    """
    if isinstance(value, str) and not value.strip():
        raise UsageError(f"{shown} is empty", hint=f"give {shown} a value (is a variable not set?), or leave it out")


def known_output(word: str, formats: tuple[str, ...]) -> None:
    """Raise UsageError for an output format that a task does not have."""
    if word not in formats:
        raise unknown("output format", word, formats, "--output takes")
