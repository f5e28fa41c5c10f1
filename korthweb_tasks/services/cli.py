"""kubectl, helm, istioctl and flux with words of a person's or of a task's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import invoke
from invoke.exceptions import Exit

from korthweb_tasks.core import hints
from korthweb_tasks.errors import UsageError
from korthweb_tasks.tools.clis import CLIS, Cli, Value, with_flags

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


class Answer(invoke.Result):
    """What a program said and how it ended: a result of Invoke's (``stdout``, ``stderr``, ``return_code``, ``ok``)."""

    def json(self) -> Any:
        """Return stdout, which is JSON, as data; None where there is nothing in it."""
        return json.loads(self.stdout) if self.stdout.strip() else None


def pass_on(session: Session, name: str) -> None:
    """Run a program with the words typed after ``--``, our terminal as its own; end with its exit code."""
    words = _typed()
    if not words:
        raise UsageError(f"the words of {name} come after --", hint=f"{hints.task(f'cli.{name}')} -- --help")
    cli, masks = CLIS[name], session.secrets.masks
    if session.dry_run:
        command = cli.command(session.ref, words, masks=masks)
        session.emit({"command": str(command)}, str(command))
        return
    command = cli.command(session.target, words, masks=masks)
    session.meet(cli.effect(words))
    if code := session.runner.attach(command):
        raise Exit(code=code)


def ask(
    session: Session,
    *,
    cli: Cli,
    words: Iterable[object],
    flags: Mapping[str, Value],
    stdin: str | None,
    timeout: float | None,
    ok: Iterable[int],
) -> Answer:
    """Run a program with these words on the cluster, and return its answer; a dry run shows what would change."""
    typed = with_flags([str(word) for word in words], flags)
    effect, masks = cli.effect(typed), session.secrets.masks
    command = cli.command(session.target, typed, stdin=stdin, timeout=timeout, ok=ok, masks=masks)
    if session.dry_run and effect == "changes":
        session.console.line(f"would run: {command}")
        return Answer(command=str(command))
    session.meet(effect)
    result = session.runner.run(command)
    return Answer(result.stdout, result.stderr, command=str(command), exited=result.code)


def _typed() -> list[str]:
    """Return the words after ``--``, each as the shell gave it: Invoke joins them with spaces, and quotes are lost."""
    typed = sys.argv[1:]
    return typed[typed.index("--") + 1 :] if "--" in typed else []
