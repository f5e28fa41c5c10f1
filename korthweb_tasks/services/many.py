"""One task on several clusters: each in a process of its own, side by side; one table, one document, one exit code."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from korthweb_tasks.approaches.shared.status import table
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import WORST_FIRST, Interrupted, UsageError, last_line, of_code
from korthweb_tasks.services.session import Session
from korthweb_tasks.services.shared import side_by_side

#: exit code -> the verdict on a cluster; any other one is "failed"
VERDICTS = {0: "passed", 4: "unreachable", 5: "refused", 7: "not ready", 8: "broken", 9: "differs", 130: "interrupted"}
#: words that are about one cluster: it, and where it answers
ONE = ("context", "address")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a task ended on one cluster: its exit code, its document of --output json, one line, what to type next."""

    context: str
    code: int
    data: Any
    message: str = ""
    next: str = ""

    @property
    def word(self) -> str:
        """Return the verdict in a word."""
        return VERDICTS.get(self.code, "failed")


def names(contexts: str) -> list[str]:
    """Return the clusters that --contexts names, each once; raises UsageError for an empty one.

    >>> names("hospital-a, hospital-b")
    ['hospital-a', 'hospital-b']
    """
    found = [name.strip() for name in contexts.split(",")]
    if not all(found):
        raise UsageError("--contexts has an empty name", hint="--contexts hospital-a,hospital-b")
    return list(dict.fromkeys(found))


def run(session: Session, task: str, contexts: str, words: Mapping[str, Any]) -> None:
    """Run ``task`` on each cluster of ``contexts``, with ``words`` that differ from its defaults.

    Each is a korthweb of its own, which nobody can answer: what it would ask a person, it refuses (exit code 5).
    Raises UsageError, Interrupted, and for what is not well the error of the worst exit code (errors.WORST_FIRST).
    """
    if found := next((name for name in ONE if words.get(name)), ""):
        raise UsageError(f"--{found} is about one cluster, and --contexts about several", hint="leave one of them out")
    verdicts = side_by_side(session.runner, partial(_verdict, session, task, words), names(contexts))
    if session.runner.stopped:
        raise Interrupted("interrupted")
    rows = [(verdict.context, verdict.word, verdict.message) for verdict in verdicts]
    session.emit({"contexts": {v.context: v.data for v in verdicts}}, table([("CONTEXT", "VERDICT", ""), *rows]))
    if bad := sorted((v for v in verdicts if v.code), key=lambda verdict: _rank(verdict.code)):
        told = ", ".join(f"{verdict.context} {verdict.word}" for verdict in bad)
        raise of_code(bad[0].code)(f"{len(bad)} of {len(verdicts)} clusters: {told}", hint=bad[0].next)


def typed(words: Mapping[str, Any]) -> list[str]:
    """Return words as a person types them; None is left out.

    >>> typed({"tenant": "BHC", "restart": False, "yes": True})
    ['--tenant=BHC', '--no-restart', '--yes']
    """
    flags = []
    for name, value in words.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            flags.append(f"--{flag}={value}")
    return flags


def _verdict(session: Session, task: str, words: Mapping[str, Any], context: str) -> Verdict:
    """Return how the task ends on one cluster; a row of the console says meanwhile that it runs."""
    own = {**words, "context": context, "output": "json"}
    if folder := words.get("report"):
        own["report"] = str(Path(folder) / re.sub(r"[^A-Za-z0-9_.@-]", "_", context))
    session.console.begin(context, context)
    try:
        return _read(context, session.runner.check(_command(task, typed(own), session.settings.timeouts.run)))
    finally:
        session.console.drop(context)


def _command(task: str, words: Sequence[str], seconds: float) -> Command:
    """Return the command that is korthweb again: our environment is its own, and the folder it runs in adds no code."""
    found = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": found, "PYTHONSAFEPATH": "1"}
    return Command(argv=(sys.executable, "-m", "korthweb_tasks.main", task, *words), env=env, timeout=seconds)


def _read(context: str, result: Result) -> Verdict:
    """Return the verdict that a process gave; one that gave no document failed, whatever it says."""
    try:
        data = json.loads(result.stdout)
    except ValueError:
        why = last_line(result.stderr)
        return Verdict(context, result.code or 1, {"code": result.code or 1, "message": why}, why)
    told = data if isinstance(data, dict) else {}
    return Verdict(context, result.code, data, str(told.get("message", "")), str(told.get("next", "")))


def _rank(code: int) -> int:
    return WORST_FIRST.index(code) if code in WORST_FIRST else 1
