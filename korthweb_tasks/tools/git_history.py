"""Builds git commands that read the history of the repository that a person works in. Nothing in it is changed."""

from __future__ import annotations

from korthweb_tasks.core.command import Command


def commit_of(name: str) -> Command:
    """Build the command that names a commit; code 1 or 128 where there is none of this name here."""
    return _git("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}", ok=(0, 1, 128))


def fork_of(one: str, two: str) -> Command:
    """Build the command that names where two commits parted; code 1 where the history here does not reach it."""
    return _git("merge-base", one, two, ok=(0, 1, 128))


def text_at(commit: str, path: str) -> Command:
    """Build the command that prints a file, ``path`` from the working directory; code 128 where there is none."""
    return _git("show", "--no-textconv", f"{commit}:./{path}", ok=(0, 128))


def _git(*args: str, ok: tuple[int, ...]) -> Command:
    return Command(argv=("git", *args), env={"LC_ALL": "C"}, ok=frozenset(ok))
