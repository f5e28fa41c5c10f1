"""What the cache holds, how large each part is, and its removal."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.errors import LockHeld

#: the parts of the cache, and what each one is for
PARTS = {
    "go/mod": "source code of Go modules",
    "go/build": "compiled Go packages",
    "go-toolchain": "the Go toolchain",
    "bin": "built binaries",
    "downloads": "release downloads",
    "debs": "Debian packages",
    "node": "unpacked Debian packages",
    "images": "image layers",
    "charts": "charts",
    "logs": "logs of builds",
    "locks": "locks",
    "estimates.json": "how long builds took",
    "tools.json": "where the CLIs were found",
}

#: the parts that only a build needs
BUILD_CACHES = ("go/mod", "go/build")


@dataclass(frozen=True)
class Part:
    """One part of the cache. ``size`` is in bytes, as the disk counts them."""

    name: str
    title: str
    path: Path
    size: int


def survey() -> list[Part]:
    """Return every part of the cache that exists, with its size. What korthweb did not put there is not its own."""
    cache = paths.cache_dir()
    known = ((name, title, cache / name) for name, title in PARTS.items())
    return [Part(name, title, path, rough_size(path)) for name, title, path in known if path.exists()]


def prune(parts: Sequence[str] | None = None, *, dry_run: bool = False) -> list[Part]:
    """Remove the named parts of the cache (all of them by default) and return them with what they held.

    With ``dry_run`` nothing is removed. A name that is not in the cache is passed over. Raises LockHeld while
    another korthweb builds: it would lose what it compiles from.
    """
    chosen = [part for part in survey() if parts is None or part.name in parts]
    if dry_run or not chosen:
        return chosen
    with _build_caches(fcntl.LOCK_EX | fcntl.LOCK_NB):
        for part in chosen:
            remove(part.path)
    if parts is None:
        remove(paths.cache_dir() / "locks")
    _drop_if_empty(paths.cache_dir() / "go")
    _drop_if_empty(paths.cache_dir())
    return chosen


def prune_build_caches() -> int:
    """Remove what only builds need and return the bytes that this gave back; leave it to whoever still builds."""
    try:
        return sum(part.size for part in prune(BUILD_CACHES))
    except LockHeld:
        return 0


@contextmanager
def build_caches_in_use() -> Iterator[None]:
    """Keep other processes from pruning the module and build caches meanwhile."""
    with _build_caches(fcntl.LOCK_SH):
        yield


@contextmanager
def _build_caches(kind: int) -> Iterator[None]:
    locks = paths.cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / "build-caches").open("w") as handle:
        try:
            fcntl.flock(handle.fileno(), kind)
        except BlockingIOError as error:
            raise LockHeld("another korthweb is building", hint="wait until it has ended, then prune") from error
        yield


def remove(path: Path) -> None:
    """Remove a file or a folder, read-only folders too: Go's module cache is one."""
    if path.is_dir() and not path.is_symlink():
        # First out of the way by its name, so that a half-removed cache is never taken for a whole one.
        doomed = path.with_name(f".{path.name}.removed-{os.getpid()}")
        try:
            path.rename(doomed)
        except OSError:
            doomed = path
        shutil.rmtree(doomed, onerror=_unlocked)
    else:
        path.unlink(missing_ok=True)


def rough_size(path: Path) -> int:
    """Return the bytes that ``path`` takes on the disk; files that vanish meanwhile count nothing."""
    total = _blocks(path)
    for root, folders, files in os.walk(path):
        total += sum(_blocks(Path(root, name)) for name in (*folders, *files))
    return total


def human(size: int) -> str:
    """Return a size in bytes as a person reads it: "3.2 GB", "15 MB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}" if size < 10 * factor else f"{size / factor:.0f} {unit}"
    return f"{size} B"


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def _drop_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _unlocked(function: Callable[[str], object], path: str, _: object) -> None:
    """Make ``path`` and the folder that it is in writable, and try once more."""
    for place in (Path(path).parent, Path(path)):
        if place.is_dir() and not place.is_symlink():
            place.chmod(stat.S_IRWXU)
    if os.path.lexists(path):
        function(path)
