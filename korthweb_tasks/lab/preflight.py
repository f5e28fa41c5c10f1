"""Can this machine hold a lab? Said in one line, with what to use instead, before anything is changed."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.errors import LabImpossible, NoSpace
from korthweb_tasks.lab.namespaces import PRIVATE
from korthweb_tasks.paths import cache_dir, state_dir

#: GB that a lab needs beside binaries and images: containers' layers, databases, logs
ROOM = 6.0
ROOM_SIMULATED = 0.5
TOOLS = ("ip", "mount", "nsenter", "setsid", "sh", "umount", "unshare")


def check(simulated: bool, *, begun: bool = False) -> None:
    """Raise LabImpossible or NoSpace where a lab can't be; one that is ``begun`` has its space already."""
    if reason := impossible(simulated):
        raise LabImpossible(reason, hint=_instead())
    if begun:
        return
    room = ROOM_SIMULATED if simulated else ROOM
    folder = existing(state_dir())
    free = shutil.disk_usage(folder).free / 1e9
    if free < room:
        raise NoSpace(
            f"a lab needs {room:.1f} GB in {folder}, where {free:.1f} GB are free",
            hint=f"`{hints.task('lab.prune')}`, or KORTHWEB_STATE=/another/disk/korthweb",
        )


def _instead() -> str:
    existing_one = f"use an existing cluster: `{hints.task('context.list')}`"
    pretended = f"; or `{hints.task('lab.up', simulated=True)}` for a control plane without pods"
    return existing_one + (pretended if platform.system() == "Linux" else "")


def impossible(simulated: bool) -> str:
    """Return why this machine can't hold a lab, nothing where it can."""
    if platform.system() != "Linux":
        return f"a lab needs Linux, and this is {platform.system()}"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "a lab is made from Debian packages, and there is no apt-get or dpkg-deb here"
    if simulated:
        return "" if shutil.which("setsid") else "a lab needs the program setsid (package util-linux)"
    if os.geteuid() != 0:
        return "a lab with real pods needs root (sudo)"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"a lab needs the programs {', '.join(missing)} (packages iproute2 and util-linux)"
    return _kernel() or _places()


def _kernel() -> str:
    filesystems = Path("/proc/filesystems").read_text().split()
    if "overlay" not in filesystems and not any(Path("/lib/modules").glob(f"{platform.release()}/kernel/fs/overlayfs")):
        return "a lab needs overlayfs, which this kernel does not have"
    if not {"cgroup", "cgroup2"} & {line.split()[2] for line in Path("/proc/self/mounts").read_text().splitlines()}:
        return "a lab needs control groups, and none are mounted below /sys/fs/cgroup"
    return ""


def _places() -> str:
    """Refuse folders that the lab's own mount namespace would hide."""
    for folder in (state_dir(), cache_dir()):
        if any(Path(hidden) in (folder, *folder.parents) for hidden in PRIVATE):
            return f"a lab can not be kept in {folder}: set KORTHWEB_STATE and KORTHWEB_CACHE to another place"
    return ""


def existing(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())
