"""One at a time, across the processes that share a cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from korthweb_tasks import paths
from korthweb_tasks.run.file_lock import file_lock


def alone(
    name: str,
    waiting: str = "",
    *,
    progress: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> AbstractContextManager[None]:
    """Hold the lock ``name``; ``progress`` is told ``waiting`` once while another holds it. Raises Interrupted."""
    path = paths.cache_dir() / "locks" / name
    return file_lock(path, waiting=lambda: progress(waiting) if progress else None, stop=stop)
