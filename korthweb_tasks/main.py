"""The console script ``korthweb``: an Invoke program over the same namespace as ``inv`` in a checkout.

It differs from ``inv`` in what it says to a person: a word it does not know is one line with the
nearest right ones and exit code 2, and a list of tasks has a heading for each group.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from invoke import Collection, Program
from invoke.exceptions import Exit, ParseError
from invoke.parser import ParserContext
from invoke.util import helpline

from korthweb_tasks.collections import assemble
from korthweb_tasks.collections.errors_out import ends_clearly, exit_for, not_printed
from korthweb_tasks.collections.flags import Task
from korthweb_tasks.collections.rows import Executor
from korthweb_tasks.core import hints
from korthweb_tasks.core.words import nearest
from korthweb_tasks.errors import UsageError
from korthweb_tasks.run.answer import Answer

_UNKNOWN = re.compile(r"No idea what '(?P<word>.*)' is!")
_NO_GROUP = re.compile(r"Sub-collection '(?P<word>.*)' not found")
_NO_VALUE = re.compile(r"Flag <Argument: (?P<flag>\S+?)[ >].* needed value")
_NO_POSITIONAL = re.compile(r"'(?P<task>.*)' did not receive required positional arguments: (?P<names>.*)")
_CALL = re.compile(r"\bkorthweb(?= (\$\{=collection_arg\} )?--complete)")  # in Invoke's completion scripts
_BAD_VALUE = re.compile(r"invalid literal for (?P<kind>[A-Za-z0-9_]+)\(\).*: (?P<value>.*)")


class Korthweb(Program):
    """Invoke's program with clear words for a wrong word."""

    @property
    def binary_names(self) -> list[str]:
        """Return the names that a completion script is for: the installed one, and the launcher's."""
        return ["korthweb", "./korthweb"]

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002 - Invoke's own name
        """Run what was typed, with all three streams open: a file must not take the place of a closed one."""
        _open_streams()
        try:
            try:
                super().run(argv, exit)
            finally:
                sys.stdout.flush()
        except OSError as error:  # of Invoke's own prints
            sys.exit(not_printed(error))

    def print_version(self) -> None:
        """Print name and version, looked up only now: it reads files."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"korthweb {version('korthweb')}")
        except PackageNotFoundError:
            print("korthweb (not installed: run from its source)")

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse Invoke's own flags; a completion script calls the launcher where there is one."""
        printed = io.StringIO()
        try:
            with self._clear_words(), redirect_stdout(printed):
                super().parse_core(argv)
        finally:
            launcher = shlex.quote(os.environ.get("KORTHWEB_LAUNCHER", "korthweb"))
            sys.stdout.write(_CALL.sub(lambda _: launcher, printed.getvalue()))

    def parse_tasks(self) -> None:
        """Parse tasks and their flags."""
        with self._clear_words():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Do what ends before a task runs: ``--help``, ``--list``, completion."""
        with self._clear_words():
            super().parse_cleanup()

    def execute(self) -> None:
        """Run the tasks; whatever escapes them ends clearly."""
        with ends_clearly():
            super().execute()

    def print_task_help(self, name: str) -> None:
        """Print the help of one of our tasks as a person would write it; of another one as Invoke does."""
        task = self.collection[name]
        if isinstance(task, Task):
            from korthweb_tasks.collections.task_help import text_of

            print(text_of(task))
        else:
            super().print_task_help(name)

    def list_flat(self) -> None:
        """List tasks under the title of their group; ``--list GROUP`` and ``--list-depth`` list as Invoke does."""
        if self.list_root or self.list_depth:
            super().list_flat()
            return
        root = self.scoped_collection
        width = max(map(len, root.task_names), default=0)
        print(f"Tasks ({hints.program()} --help TASK says more about one):\n")
        self._print_group(root, "", width)
        for group in root.collections:
            print(f"\n{group}: {helpline(root.collections[group]) or ''}")
            self._print_group(root.collections[group], f"{group}.", width)

    def _print_group(self, group: Collection, prefix: str, width: int) -> None:
        for name, task in group.tasks.items():
            print(f"  {prefix + name:<{width}}  {helpline(task) or ''}".rstrip())

    @contextmanager
    def _clear_words(self) -> Iterator[None]:
        """Turn Invoke's errors about what was typed into one line, a hint and exit code 2."""
        try:
            yield
        except ParseError as error:
            raise self._refused(self._explained(error)) from error
        except ValueError as error:  # Invoke lets the casting of a flag's value fail as it may
            raise self._refused(self._bad_value(error)) from error
        except Exit as error:
            if error.message:
                raise exit_for(self._of_a_list(error.message)) from error
            raise
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise exit_for(error) from error

    def _refused(self, error: UsageError) -> Exit:
        """Return the exit for a wrong word; where a task is known, what --output and --report ask for comes first."""
        words = self._typed() if hasattr(self, "collection") else []
        if task := next((word for word in words if word in self.collection.task_names), ""):
            after = dict(itertools.pairwise(words[words.index(task) :]))
            folder = after.get("--report")
            answer = Answer(lambda: task, after.get("--output", "text"), Path(folder) if folder else None)
            answer.fail(error)
            answer.print()
        return exit_for(error)

    def _typed(self) -> list[str]:
        """Return the words that were typed, ``--flag=value`` as two."""
        return [part for given in self.argv[1:] for part in (given.split("=", 1) if given[:2] == "--" else [given])]

    def _of_a_list(self, message: str) -> UsageError:
        """Return the error for a wrong word after --list or --help."""
        if found := _NO_GROUP.search(message):
            near = _near(found["word"], self.collection.collections)
            message = f"no group of tasks {found['word']}{near}"
        return UsageError(message, hint=_own("--list"))

    def _explained(self, error: ParseError) -> UsageError:
        text, context = str(error), error.context
        helped = _own("--help", context.name) if context and context.name else _own("--list")
        if found := _UNKNOWN.search(text):
            return self._unknown(found["word"], context, helped)
        if found := _NO_VALUE.search(text):
            return UsageError(f"--{found['flag'].replace('_', '-')} needs a value", hint=helped)
        if found := _NO_POSITIONAL.search(text):
            return UsageError(f"{found['task']} needs {found['names'].replace(chr(39), '')}", hint=helped)
        return UsageError(text, hint=helped)

    def _unknown(self, word: str, context: ParserContext | None, helped: str) -> UsageError:
        if word.startswith("-"):
            flags = [*(context.flags if context else ()), *self.initial_context.flags]
            place = f" for {context.name}" if context and context.name else ""
            return UsageError(f"no flag {word}{place}{_near(word.partition('=')[0], flags)}", hint=helped)
        if flag := self._given_twice(word):
            return UsageError(f"{flag} is given twice", hint=helped)
        if word in self.collection.collections:
            tasks = " ".join(f"{word}.{task}" for task in self.collection.collections[word].tasks)
            return UsageError(f"{word} is a group of tasks: {tasks}", hint=_own("--list", word))
        if context and context.name and context.name.startswith("cli."):
            what = f"{context.name} takes the words of its program after --"
            return UsageError(what, hint=_own(context.name, "--", word))
        return UsageError(f"no task {word}{_near(word, self._all_tasks())}", hint=helped)

    def _given_twice(self, word: str) -> str:
        """Return the flag that ``word`` follows, if it is there more than once: Invoke takes the second for a task."""
        typed = self._typed()
        before = [flag for flag, value in itertools.pairwise(typed) if value == word]
        return next((flag for flag in before if flag.startswith("-") and typed.count(flag) > 1), "")

    def _all_tasks(self) -> list[str]:
        names = self.collection.task_names
        return [*names, *(alias for aliases in names.values() for alias in aliases)]

    def _bad_value(self, error: ValueError) -> UsageError:
        found = _BAD_VALUE.search(str(error))
        text = f"a number is wanted instead of {found['value']}" if found else str(error)
        known = self._all_tasks()
        typed = [word for word in self.argv[1:] if word in known]
        return UsageError(text, hint=_own("--help", typed[-1]) if typed else _own("--list"))


def _open_streams() -> None:
    """Let what is written to a stream that is closed (``>&-``) go nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while (handle := os.open(os.devnull, os.O_RDWR)) < number:
                continue  # one below it is closed, too
            setattr(sys, name, open(handle, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115


def _own(*words: str) -> str:
    return f"{hints.program()} {hints.shell(*words)}"


def _near(word: str, known: Iterable[str]) -> str:
    return nearest(word, known, most=3, shown=str)


program = Korthweb(name="korthweb", binary="korthweb", namespace=assemble(), executor_class=Executor)

if __name__ == "__main__":
    program.run()
