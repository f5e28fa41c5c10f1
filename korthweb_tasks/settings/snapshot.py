"""Files of the settings are read once per invocation: what was shown before a question is what is done after it.

An edit while the question is open, or between two tasks of a row, waits for the next run. What korthweb itself
writes (``gitops.add-tenant``, ``context.use``) is forgotten, and read again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Read = TypeVar("Read")


@dataclass
class Snapshot:
    """What one invocation has read, by the path of the file; ``told`` are those whose change was told."""

    kept: dict[Path, tuple[tuple[int, ...], Any]] = field(default_factory=dict, repr=False)
    told: set[Path] = field(default_factory=set)


_open: list[Snapshot] = []
#: an object that lives as long as its invocation -> its snapshot
_known: list[tuple[weakref.ref[Any], Snapshot]] = []


def snapshot_of(invocation: object) -> Snapshot:
    """Return the snapshot of an invocation: of Invoke's Config, which is one for all tasks of a row."""
    _known[:] = [(ref, snapshot) for ref, snapshot in _known if ref() is not None]
    for ref, snapshot in _known:
        if ref() is invocation:
            return snapshot
    _known.append((weakref.ref(invocation), Snapshot()))
    return _known[-1][1]


@contextmanager
def reading(snapshot: Snapshot) -> Iterator[None]:
    """Let ``snapshot`` be what :func:`once` knows, in every thread, inside the block."""
    _open.append(snapshot)
    try:
        yield
    finally:
        _open.pop()


def once(read: Callable[[Path], Read], path: Path) -> Read:
    """Return ``read(path)``, what it was where it has been read; a file that was not there is looked for again."""
    key, snapshot = path.resolve(), _open[-1] if _open else Snapshot()
    if key not in snapshot.kept:
        before = _state(key)
        found = read(path)
        if not before:
            return found
        snapshot.kept[key] = (before, found)
    result: Read = snapshot.kept[key][1]
    return result


def forget(path: Path) -> None:
    """Read ``path`` again when it is next asked for: this program has written it."""
    for snapshot in _open:
        snapshot.kept.pop(path.resolve(), None)


def edited(path: Path) -> bool:
    """Return True, once, where somebody has changed ``path`` since it was read."""
    key, snapshot = path.resolve(), _open[-1] if _open else Snapshot()
    if key not in snapshot.kept or key in snapshot.told or snapshot.kept[key][0] == _state(key):
        return False
    snapshot.told.add(key)
    return True


def _state(path: Path) -> tuple[int, ...]:
    """Return what tells a file from an edited one; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
