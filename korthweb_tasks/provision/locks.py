"""One at a time, across the processes that share a cache."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from korthweb_tasks import paths
from korthweb_tasks.errors import Interrupted

#: seconds between two tries
PAUSE = 0.5


@contextmanager
def alone(
    name: str, waiting: str, *, progress: Callable[[str], None] | None = None, stop: threading.Event | None = None
) -> Iterator[None]:
    """Hold the lock ``name``; ``progress`` is told ``waiting`` once while another holds it. Raises Interrupted."""
    stop = stop or threading.Event()
    locks = paths.cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as handle:
        told = False
        while not _locked(handle.fileno()):
            if progress and not told:
                progress(waiting)
                told = True
            if stop.wait(PAUSE):
                raise Interrupted("interrupted")
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
