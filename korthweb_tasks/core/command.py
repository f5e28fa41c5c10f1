"""A command as data: what to run, never how."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.plaintext import MASK, masked

__all__ = ["MASK", "TIMED_OUT", "Command", "Result", "around_proxy", "masked"]

#: exit code of a command that was ended at its deadline
TIMED_OUT = 124


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program call.

    ``argv`` is a list, never a shell string. Anything secret or large goes into ``stdin``.
    ``masks`` are texts that no output, error or journal may show (stdin is never shown).
    ``timeout`` is in seconds. Only a ``repeatable`` command is ever retried, and only after
    a failure that is named transient. ``ok`` are the exit codes that mean success.
    ``final`` are texts in stderr that are an answer to this command, though they would be a passing fault
    elsewhere: a kind that is not served yet is "no" for a probe, but worth another try for an apply.
    ``env`` is laid over the part of this process' environment that the program gets (core.environment).
    ``target`` is the cluster that the command asks, None where it asks none; argv names it too.
    ``follow`` reads the answer and returns the command that comes after it, if any: a namespace is made, then its UID
    is recorded. It may raise a KorthwebError instead.
    """

    argv: tuple[str, ...]
    stdin: str | None = field(default=None, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    masks: tuple[str, ...] = field(default=(), repr=False)
    timeout: float | None = None
    repeatable: bool = False
    ok: frozenset[int] = frozenset({0})
    final: tuple[str, ...] = ()
    target: Cluster | None = field(default=None, repr=False, compare=False)
    follow: Callable[[Result], Command | None] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Return what a person would type, masked."""
        text = masked(shlex.join(self.argv), self.masks)
        return f"{text} < stdin" if self.stdin is not None else text

    def with_timeout(self, seconds: float | None) -> Command:
        """Return the same command bounded by ``seconds`` if that is less than its own bound."""
        if seconds is None or (self.timeout is not None and self.timeout <= seconds):
            return self
        return replace(self, timeout=seconds)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command gave: stdout as it came, masked stderr, exit code, seconds, and how often it was tried."""

    command: Command
    code: int
    stdout: str
    stderr: str
    seconds: float
    attempts: int = 1

    @property
    def answered(self) -> bool:
        """Return True if the command gave an answer: an accepted exit code, or a text that is one."""
        return self.code in self.command.ok or any(text in self.stderr for text in self.command.final)


def around_proxy(*hosts: str) -> dict[str, str]:
    """Return the environment in which a program asks ``hosts`` directly, whatever proxy the user has set."""
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))
