"""The console script ``korthweb``: an Invoke program over the same namespace as ``inv`` in a checkout.

It differs from ``inv`` in what it says to a person: a word it does not know is one line with the
nearest right ones and exit code 2, and a list of tasks has a heading for each group.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout

from invoke import Collection, Program
from invoke.exceptions import Exit, ParseError
from invoke.parser import ParserContext
from invoke.util import helpline

from korthweb_tasks.collections import assemble
from korthweb_tasks.collections.errors_out import ends_clearly, exit_for
from korthweb_tasks.errors import UsageError

_UNKNOWN = re.compile(r"No idea what '(?P<word>.*)' is!")
_NO_VALUE = re.compile(r"Flag <Argument: (?P<flag>\S+?)[ >].* needed value")
_NO_POSITIONAL = re.compile(r"'(?P<task>.*)' did not receive required positional arguments: (?P<names>.*)")
_CALL = re.compile(r"\bkorthweb(?= (\$\{=collection_arg\} )?--complete)")  # in Invoke's completion scripts
_BAD_VALUE = re.compile(r"invalid literal for (?P<kind>\w+)\(\).*: (?P<value>.*)")


class Korthweb(Program):
    """Invoke's program with clear words for a wrong word."""

    @property
    def binary_names(self) -> list[str]:
        """Return the names that a completion script is for: the installed one, and the launcher's."""
        return ["korthweb", "./korthweb"]

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

    def list_flat(self) -> None:
        """List tasks under the title of their group; ``--list GROUP`` and ``--list-depth`` list as Invoke does."""
        if self.list_root or self.list_depth:
            super().list_flat()
            return
        root = self.scoped_collection
        width = max(map(len, root.task_names), default=0)
        print("Tasks (korthweb --help TASK says more about one):\n")
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
            raise exit_for(self._explained(error)) from error
        except ValueError as error:  # Invoke lets the casting of a flag's value fail as it may
            raise exit_for(self._bad_value(error)) from error
        except Exit as error:
            if error.message:
                raise exit_for(UsageError(error.message, hint="korthweb --list")) from error
            raise
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise exit_for(error) from error

    def _explained(self, error: ParseError) -> UsageError:
        text, context = str(error), error.context
        helped = f"korthweb --help {context.name}" if context and context.name else "korthweb --list"
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
            return UsageError(f"no flag {word}{place}{_nearest(word.partition('=')[0], flags)}", hint=helped)
        if word in self.collection.collections:
            tasks = " ".join(f"{word}.{task}" for task in self.collection.collections[word].tasks)
            return UsageError(f"{word} is a group of tasks: {tasks}", hint=f"korthweb --list {word}")
        return UsageError(f"no task {word}{_nearest(word, self._all_tasks())}", hint=helped)

    def _all_tasks(self) -> list[str]:
        names = self.collection.task_names
        return [*names, *(alias for aliases in names.values() for alias in aliases)]

    def _bad_value(self, error: ValueError) -> UsageError:
        found = _BAD_VALUE.search(str(error))
        text = f"a number is wanted instead of {found['value']}" if found else str(error)
        return UsageError(text, hint="korthweb --help TASK says which flags take a number")


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean a or b?)`` for the names most like ``word``, or nothing."""
    import difflib

    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    near = near or [name for name in names if name.rpartition(".")[2] == word]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


program = Korthweb(name="korthweb", binary="korthweb", namespace=assemble())

if __name__ == "__main__":
    program.run()
