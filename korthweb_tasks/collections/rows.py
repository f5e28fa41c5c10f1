"""Tasks in a row (``inv a b c``): the first failure ends it, and what was not run is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import invoke
from invoke.tasks import Call

from korthweb_tasks.collections.errors_out import ending
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.run.console import say


class Row(list[Call]):
    """Calls in their order; ``left`` are those whose turn has not come."""

    left: tuple[Call, ...] = ()

    def __iter__(self) -> Iterator[Call]:
        """Go through the calls."""
        for index, call in enumerate(super().__iter__()):
            self.left = tuple(self[index + 1 :])
            yield call


class Executor(invoke.Executor):
    """Invoke's executor, which says what was not run when a task of a row fails.

    Ours has it; for plain ``inv`` in a folder of one's own it is a line of ``invoke.yaml`` beside ``tasks.py``::

        tasks: {executor_class: korthweb_tasks.Executor}
    """

    row = Row()

    def execute(self, *tasks: Any) -> Any:
        """Run the tasks; what one raises ends the row, and one of our errors ends it clearly, whoever raised it."""
        try:
            return super().execute(*tasks)
        except BaseException as error:
            if names := list(dict.fromkeys(self._name(call) for call in self.row.left)):
                say(f"not run: {', '.join(names)}", to=sys.stderr)
            if isinstance(error, KorthwebError):
                ending(error)
            raise

    def expand_calls(self, calls: Any) -> Row:
        """Return the calls with those before and after each; Invoke asks for the whole row last."""
        self.row = Row(super().expand_calls(calls))
        return self.row

    def dedupe(self, calls: Any) -> Row:
        """Return the calls, each once."""
        self.row = Row(super().dedupe(calls))
        return self.row

    def _name(self, call: Call) -> str:
        """Return a task as a person would type it."""
        root: Any = self.collection
        known = (name for name in root.task_names if root[name] == call.task)
        return call.called_as or next(known, call.task.name)
