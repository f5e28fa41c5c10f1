"""Doubles that fail on what they were not told to expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.run.runner import failure


@dataclass
class Answer:
    """What a scripted command gives: stdout, stderr, exit code."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


@dataclass
class ScriptedRunner:
    """Answers commands by the words in them; an unexpected command fails the test.

    ``script`` maps words that all have to be in the argv to an answer, or a list of answers used up one by one.
    """

    script: dict[tuple[str, ...], Answer | list[Answer] | Callable[[Command], Answer]]
    calls: list[Command] = field(default_factory=list)
    stopped: bool = False

    def check(self, command: Command) -> Result:
        """Return the scripted result."""
        self.calls.append(command)
        for words, answer in self.script.items():
            if set(words) <= set(command.argv):
                found = answer.pop(0) if isinstance(answer, list) else answer
                found = found(command) if callable(found) else found
                return Result(command, found.code, found.stdout, found.stderr, 0.01)
        raise AssertionError(f"unexpected command: {command}")

    def run(self, command: Command) -> Result:
        """Return the scripted result, or raise as the real runner does."""
        result = self.check(command)
        if result.answered:
            return result
        raise failure(result)

    @contextmanager
    def stream(self, command: Command) -> Iterator[Iterator[str]]:
        """Give the scripted stdout line by line."""
        yield iter(self.check(command).stdout.splitlines(keepends=True))

    def sleep(self, seconds: float) -> None:
        """Do not sleep."""

    def stop(self) -> None:
        """Remember."""
        self.stopped = True
