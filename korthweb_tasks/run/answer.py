"""What a task prints on stdout: text as it comes, or with --output json or junit one document, of a failure too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.report.formats import PRINTED, rendered, write
from korthweb_tasks.report.json import as_data, failure_data
from korthweb_tasks.report.model import Failure, Report
from korthweb_tasks.run.console import say

if TYPE_CHECKING:
    from korthweb_tasks.report.model import About

_NOTHING = object()


@dataclass
class Answer:
    """What one invocation of a task answers. ``form`` is --output, ``folder`` is --report.

    ``about`` is the cluster that it asks, once that is known.
    """

    task: Callable[[], str]
    form: str = "text"
    folder: Path | None = None
    data: Any = _NOTHING
    report: Report | None = None
    about: About | None = None

    def give(self, report: Report) -> None:
        """Let the document be ``report``."""
        self.report, self.data = report, as_data(report)

    def fail(self, error: KorthwebError) -> None:
        """Let the document tell of a failure; what was seen before that stays in it."""
        if self.form not in PRINTED and self.folder is None:
            return

        failure = Failure(self.task(), error.exit_code, error.message, error.details, error.hint)
        told = {**(self.about or {}), **failure_data(failure)}
        if self.data is _NOTHING or self.data is None:
            self.data = told
        else:
            self.data = {**self.data, **told} if isinstance(self.data, dict) else {**told, "data": self.data}
        if self.report is None:
            self.report = Report.of(failure.task, (), **(self.about or {"context": ""}), failure=failure)
            if self.folder:
                _write(self.folder, self.report)

    def print(self) -> None:
        """Print the document, where there is one."""
        if self.form == "json":
            if self.data is not _NOTHING:
                say(as_json(self.data))
        elif self.form in PRINTED and self.report is not None:
            say(rendered(self.report, self.form), end="")


_answers: list[Answer] = []


def current() -> Answer | None:
    """Return the answer of the task that runs."""
    return _answers[-1] if _answers else None


def publish(report: Report, form: str) -> None:
    """Let ``report`` be the answer of the task that runs: its document, where ``form`` is one."""
    answer = current() or Answer(lambda: report.title, form)
    answer.give(report)
    if answer is not current():
        answer.print()


def preview(form: str, lines: Iterable[str]) -> None:
    """Answer what would be done: as lines, or as a report in which nothing was."""
    if form in PRINTED:
        publish(Report.of("preview", (), context=""), form)
        return
    for line in lines:
        say(line)


@contextmanager
def answering(answer: Answer) -> Iterator[Answer]:
    """Let ``answer`` be that of the task that runs in the block; it is printed at the end, whatever the end is."""
    _answers.append(answer)
    try:
        yield answer
    finally:
        _answers.remove(answer)
        answer.print()


def as_json(data: Any) -> str:
    """Return data as the text that --output json prints."""
    return json.dumps(data, indent=2, default=str)


def _write(folder: Path, report: Report) -> None:
    with suppress(KorthwebError, OSError):  # the folder itself may be what the failure is about
        write(report, folder)
