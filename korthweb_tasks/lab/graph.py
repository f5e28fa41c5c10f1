"""Runs the lab's own work side by side: each piece starts the moment what it needs is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter

from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import Interrupted
from korthweb_tasks.run.console import Console

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One piece: ``action`` is given a function to tell what it is at, and returns whether it changed anything."""

    name: str
    title: str
    action: Callable[[Note], bool]
    needs: tuple[str, ...] = ()
    #: says when it came to work, where it has waited for its turn before that
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

    def all(self) -> list[StepRecord]:
        """Walk the graph."""
        sorter = TopologicalSorter({work.name: work.needs for work in self.works.values()})
        sorter.prepare()
        for work in self.works.values():
            self.console.row(work.name, work.title)
        running: dict[Future[None], str] = {}
        pool = ThreadPoolExecutor(max_workers=len(self.works))
        try:
            while sorter.is_active():
                for name in sorter.get_ready():
                    running[pool.submit(self._one, self.works[name])] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    sorter.done(running.pop(future))
        except KeyboardInterrupt as error:
            self._abandon(running)
            raise Interrupted("interrupted; `lab.up` again goes on from here") from error
        except BaseException:
            self._abandon(running)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return self.records

    def _abandon(self, running: dict[Future[None], str]) -> None:
        with suppress(Exception):
            self.stop()
        wait(running, timeout=30)

    def _one(self, work: Work) -> None:
        self.console.begin(work.name, work.title)
        start = time.monotonic() - self.began
        verdict: Verdict = "failed"
        detail = ""
        try:
            verdict = "changed" if work.action(lambda text: self.console.note(work.name, text)) else "same"
        except Interrupted:
            verdict = "interrupted"
            raise
        except Exception as error:
            detail = str(error)
            raise
        finally:
            end = time.monotonic() - self.began
            start = max(start, (work.begun() or 0.0) - self.began)
            record = StepRecord(work.name, work.title, work.needs, verdict, start, end, 1, detail)
            self.records.append(record)
            self.console.end(record)
