"""One at a time, across processes: a lock on a file, which ends with the process that holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.errors import Interrupted, LockHeld

if TYPE_CHECKING:
    from filelock import FileLock

#: seconds between two tries
PAUSE = 0.2


@contextmanager
def file_lock(
    path: Path,
    *,
    seconds: float = inf,
    holder: str = "another korthweb",
    waiting: Callable[[], object] = lambda: None,
    stop: threading.Event | None = None,
) -> Iterator[None]:
    """Hold the lock on ``path``, a file that is made and stays; ``waiting`` is called once while another holds it.

    Raises LockHeld, which names the ``holder``, after ``seconds``, and Interrupted once ``stop`` is set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, stop, deadline = _lock(path), stop or threading.Event(), time.monotonic() + seconds
    if not _take(lock):
        waiting()
        while not _take(lock):
            if time.monotonic() >= deadline:
                raise LockHeld(holder, hint="the same command, when it has ended")
            if stop.wait(PAUSE):
                raise Interrupted("interrupted")
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    """Return a lock that is not taken yet."""
    from filelock import FileLock  # slow to load, and few tasks lock anything

    return FileLock(path)


def _take(lock: FileLock) -> bool:
    """Take the lock, if it is free; return True if we have it."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
