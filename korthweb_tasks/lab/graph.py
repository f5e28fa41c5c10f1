"""Runs the lab's own work side by side: each piece starts the moment what it needs is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import Interrupted
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.dag import run_dag

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One piece: ``action`` is given a function to tell what it is at, and returns whether it changed anything."""

    name: str
    title: str
    action: Callable[[Note], bool]
    needs: tuple[str, ...] = ()
    #: returns when it came to work, where it has waited for its turn before that
    begun: Callable[[], float | None] = lambda: None


def run(works: Sequence[Work], console: Console, stop: Callable[[], None]) -> list[StepRecord]:
    """Do all of ``works``; at the first failure nothing new starts, ``stop`` is called, and that failure is raised.

    Raises Interrupted on Ctrl-C, after the same.
    """
    return _Run(works, console, stop).all()


class _Run:
    def __init__(self, works: Sequence[Work], console: Console, stop: Callable[[], None]) -> None:
        self.works = {work.name: work for work in works}
        self.console = console
        self.stop = stop
        self.began = time.monotonic()
        self.records: list[StepRecord] = []
        self.fault: BaseException | None = None

    def all(self) -> list[StepRecord]:
        """Do all the work; raise the first failure when everything has ended."""
        for work in self.works.values():
            self.console.row(work.name, work.title)
        needs = {work.name: work.needs for work in self.works.values()}
        run_dag(
            needs,
            lambda name: self._do(self.works[name]),
            self._settle,
            jobs=len(needs),
            stopped=lambda: self.fault is not None,
            interrupt=lambda: self._fail(Interrupted("interrupted; `lab.up` again goes on from here")),
        )
        if self.fault:
            raise self.fault
        return self.records

    def _settle(self, record: StepRecord) -> bool:
        self.records.append(record)
        self.console.end(record)
        return record.verdict in ("unchanged", "changed")

    def _fail(self, error: BaseException) -> None:
        """Remember the first failure, and end what still runs."""
        if self.fault is None:
            self.fault = error
            with suppress(Exception):
                self.stop()

    def _do(self, work: Work) -> StepRecord:
        self.console.begin(work.name, work.title)
        start = time.monotonic() - self.began
        verdict, detail = self._outcome(work)
        end = time.monotonic() - self.began
        start = max(start, (work.begun() or 0.0) - self.began)
        return StepRecord(work.name, work.title, work.needs, verdict, start, end, 1, detail)

    def _outcome(self, work: Work) -> tuple[Verdict, str]:
        try:
            changed = work.action(lambda text: self.console.note(work.name, text))
        except Interrupted as error:
            self._fail(error)
            return "interrupted", ""
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            self._fail(error)
            return "failed", str(error)
        return "changed" if changed else "unchanged", ""
