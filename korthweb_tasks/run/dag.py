"""Work side by side, in the order of what needs what: each piece starts the moment all that it needs is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import TypeVar

Result = TypeVar("Result")


def run_dag(
    needs: Mapping[str, Iterable[str]],
    work: Callable[[str], Result],
    settle: Callable[[Result], bool],
    *,
    jobs: int,
    stopped: Callable[[], bool],
    interrupt: Callable[[], object],
) -> None:
    """Call ``work`` with each name of ``needs``, up to ``jobs`` at once; return when nothing runs any more.

    ``settle`` is given each result, one at a time, and returns True where what needs that piece may start. Once
    ``stopped`` says so nothing new starts. Ctrl-C calls ``interrupt``, which ends what runs, and goes on waiting.
    """
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    running: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            try:
                ready = () if stopped() else sorter.get_ready()
                running.update({pool.submit(work, name): name for name in ready})
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if settle(future.result()):
                        sorter.done(name)
            except KeyboardInterrupt:
                threading.Thread(target=interrupt, daemon=True).start()
