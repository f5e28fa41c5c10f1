"""The lab's subtree of each cgroup hierarchy; the rest of the host's cgroups stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies(mounts: str) -> tuple[list[Path], list[Path]]:
    """Return where v1 controllers and where v2 are mounted, from the text of /proc/mounts."""
    found: dict[str, list[Path]] = {"cgroup": [], "cgroup2": []}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] in found:
            found[fields[2]].append(Path(fields[1]))
    return found["cgroup"], found["cgroup2"]


def mounted() -> list[Path]:
    """Return where this host's cgroups are managed: every v1 controller, or v2 alone."""
    v1, v2 = hierarchies(Path("/proc/self/mounts").read_text())
    return v1 or v2


def everywhere() -> list[Path]:
    """Return all mounts; on a hybrid host containers get a v2 cgroup too, though no controller is there."""
    v1, v2 = hierarchies(Path("/proc/self/mounts").read_text())
    return [*v1, *v2]


def is_v2() -> bool:
    """Return True if the host has the unified hierarchy alone."""
    return (ROOT / "cgroup.controllers").exists()


def prepare(tag: str) -> list[Path]:
    """Make the lab's subtree everywhere and return the folders that its daemons join."""
    daemons = []
    for mount in mounted():
        for folder in (mount / tag, mount / tag / "daemons"):
            if is_v2():
                _delegate(folder.parent)
            folder.mkdir(exist_ok=True)
            _inherit_cpuset(folder)
        daemons.append(mount / tag / "daemons")
    return daemons


def processes(tag: str) -> set[int]:
    """Return every process in the lab's subtrees: daemons, shims and all containers."""
    pids: set[int] = set()
    for folder in _folders(tag):
        with suppress(OSError):
            pids.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return pids


def memory(tag: str) -> int:
    """Return the bytes that the whole lab uses, pods and page cache included; 0 where it is not known."""
    for mount in everywhere():
        for name in ("memory.usage_in_bytes", "memory.current"):
            with suppress(OSError, ValueError):
                return int((mount / tag / name).read_text())
    return 0


def remove(tag: str) -> None:
    """Remove the lab's subtrees; what is still in use stays and is found by :func:`remaining`."""
    for folder in _folders(tag):
        with suppress(OSError):
            folder.rmdir()


def remaining(tag: str) -> list[Path]:
    """Return the lab's folders that are still there."""
    return [folder for mount in everywhere() if (folder := mount / tag).exists()]


def _folders(tag: str) -> Iterator[Path]:
    """Yield the lab's folders, the deepest first."""
    for mount in everywhere():
        for path, _, _ in os.walk(mount / tag, topdown=False):
            yield Path(path)


def _inherit_cpuset(folder: Path) -> None:
    """Give a new v1 cpuset its parent's processors and memory; empty, it would take no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own = folder / name
        if not is_v2() and own.exists() and not own.read_text().strip():
            own.write_text((folder.parent / name).read_text())


def _delegate(folder: Path) -> None:
    """Let the children of a v2 cgroup have every controller that it has itself."""
    wanted = set((folder / "cgroup.controllers").read_text().split())
    granted = set((folder / "cgroup.subtree_control").read_text().split())
    for controller in sorted(wanted - granted):
        with suppress(OSError):  # a controller that is bound elsewhere
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
