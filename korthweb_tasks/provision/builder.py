"""The way in for everybody who needs binaries: one component, or several side by side.

While one component compiles, the modules of the next are downloaded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from korthweb_tasks.errors import BuildFailed, Interrupted, NoSpace
from korthweb_tasks.provision import prune
from korthweb_tasks.provision.building import (
    binary,
    build,
    built,
    check_space,
    fetch,
    folder,
    forecast,
    missing,
)

__all__ = ["binary", "build", "build_all", "built", "check_space", "fetch", "folder", "forecast", "missing"]

Progress = Callable[[str, str], None]


def build_all(
    components: Sequence[str],
    *,
    progress: Progress | None = None,
    jobs: int = 2,
    keep_caches: bool = False,
    stop: threading.Event | None = None,
    begun: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Return the folder of each component, building those that are missing, ``jobs`` at a time.

    ``progress`` is given the component's name and one line, ``begun`` the name when its turn to compile has come.
    When all of them are there the module and build
    caches are removed, unless ``keep_caches``. The first failure stops the rest, and so does ``stop``, which may be
    set by another thread; what is compiled by then is kept for the next run.
    Raises BuildFailed, NoSpace, ToolMissing and Interrupted.
    """
    todo = missing(components)
    if todo:
        check_space(todo)
        with prune.build_caches_in_use():
            silent: Progress = lambda _name, _line: None  # noqa: E731
            builds = _Builds(todo, progress or silent, stop or threading.Event(), begun or (lambda _name: None))
            builds.run(jobs)
        if not keep_caches:
            prune.prune_build_caches()
    return {name: folder(name) for name in components}


class _Builds:
    """The queue of one run: components become ready to compile in order, the moment their modules are there."""

    def __init__(
        self, names: Sequence[str], progress: Progress, stop: threading.Event, begun: Callable[[str], None]
    ) -> None:
        self.names = names
        self.begun = begun
        self.progress = progress
        self.stop = stop
        self.ready: queue.Queue[str | None] = queue.Queue()

    def run(self, jobs: int) -> None:
        """Build all; re-raise the first failure once everything has ended."""
        with ThreadPoolExecutor(jobs + 1) as pool:
            futures = [pool.submit(self._fetch, jobs), *(pool.submit(self._compile) for _ in range(jobs))]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop_unless_done(futures, jobs)
        for future in sorted(futures, key=_importance):
            future.result()
        if self.stop.is_set() and (left := missing(self.names)):
            raise Interrupted(f"interrupted before {', '.join(left)} was built")

    def _stop_unless_done(self, futures: list[Future[None]], jobs: int) -> None:
        if not all(future.done() and not future.exception() for future in futures):
            self.stop.set()
            for _ in range(jobs):
                self.ready.put(None)

    def _fetch(self, jobs: int) -> None:
        for name in self.names:
            self.progress(name, "downloading modules")
            fetch(name, self.stop)
            self.progress(name, "waiting for its turn")
            self.ready.put(name)
        for _ in range(jobs):
            self.ready.put(None)

    def _compile(self) -> None:
        while (name := self.ready.get()) is not None and not self.stop.is_set():
            self.begun(name)
            build(name, progress=partial(self.progress, name), stop=self.stop)
            self.progress(name, "built")


def _importance(future: Future[None]) -> int:
    """Put the cause before the interruptions that it led to."""
    error = future.exception()
    return 0 if isinstance(error, (BuildFailed, NoSpace)) else 1
