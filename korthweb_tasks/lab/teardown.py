"""The end of a lab: everything it is made of is in its namespaces, its cgroups or its folder, and goes with them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import LabImpossible
from korthweb_tasks.lab import cgroups, namespaces, process
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.run.runner import Runner

Note = Callable[[str], None]
_ROUNDS = 6
#: how often all of it is tried, and seconds between: on a busy machine what was killed takes its time to go
_TRIES, _PAUSE = 5, 2.0


def remove(layout: Layout, runner: Runner, note: Note) -> list[str]:
    """Remove a lab, whole or half-made; return what is left of it, which should be nothing.

    Raises LabImpossible where a real lab is to be removed without root.
    """
    if not layout.simulated and os.geteuid() != 0:
        hint = f"sudo {hints.task('lab.down', name=layout.name)}"
        raise LabImpossible(f"the lab '{layout.name}' was made by root, and only root can remove it", hint=hint)
    for _ in range(_TRIES - 1):
        if not (left := _removed(layout, runner, note)):
            return left
        time.sleep(_PAUSE)
    return _removed(layout, runner, note)


def _removed(layout: Layout, runner: Runner, note: Note) -> list[str]:
    note("ending processes")
    end_processes(layout)
    foreign = [] if layout.simulated else namespaces.members(layout.netns)
    if not layout.simulated:
        note("removing namespaces, cables and control groups")
        namespaces.remove_mounts(layout, runner)
        for point in namespaces.mounts_below(layout.root):
            runner.check(Command(argv=("umount", "--lazy", point)))
        namespaces.remove_network(layout, runner)
        _remove_cgroups(layout)
    note("removing files")
    _remove_files(layout.root)
    left = [f"process {pid} is still in the lab's network namespace" for pid in foreign]
    return [*left, *leftovers(layout, runner)]


def end_processes(layout: Layout) -> None:
    """Kill all that runs: by the lab's cgroups (containers, shims, daemons) and by its mark (all else)."""
    for _ in range(_ROUNDS):
        process.end(process.of_lab(layout.root), layout.root)
        inside = set() if layout.simulated else cgroups.processes(layout.tag)
        if not inside and not any(process.of_lab(layout.root)):
            return
        process.kill_pids(inside)


def leftovers(layout: Layout, runner: Runner) -> Iterator[str]:
    """Yield, in words, everything of the lab that is still there."""
    for one in process.of_lab(layout.root):
        yield f"process {one.pid} ({' '.join(one.argv)[:80]})"
    if layout.root.exists():
        yield f"folder {layout.root}"
    if layout.simulated:
        return
    yield from (f"process {pid} in the lab's control group" for pid in sorted(cgroups.processes(layout.tag)))
    yield from (f"mount {point}" for point in namespaces.mounts_below(layout.root))
    yield from (f"control group {folder}" for folder in cgroups.remaining(layout.tag))
    if layout.netns.exists():
        yield f"network namespace {layout.netns}"
    if (Path("/sys/class/net") / layout.host_interface).exists():
        yield f"interface {layout.host_interface}"
    routes = runner.check(Command(argv=("ip", "-4", "route", "show", "root", str(layout.block)))).stdout
    yield from (f"route {line.strip()}" for line in routes.splitlines() if line.strip())


def _remove_cgroups(layout: Layout) -> None:
    """Remove the cgroups; the kernel lets go of one a moment after its last process."""
    for _ in range(50):
        cgroups.remove(layout.tag)
        if not cgroups.remaining(layout.tag):
            return
        time.sleep(0.1)


def _remove_files(root: Path) -> None:
    """Remove the lab's folder, its description last: a removal that is cut short can be done again."""
    for _ in range(3):
        if not root.exists():
            break
        for entry in root.iterdir():
            if entry.name == "lab.json":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        if root.exists():
            time.sleep(0.3)
