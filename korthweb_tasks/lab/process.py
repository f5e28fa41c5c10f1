"""The lab's processes: started to outlive korthweb, found again by their environment, ended by pidfd.

Nothing is remembered on disk, so nothing can be out of date: a process belongs to a lab when its
environment says so, and a signal goes through a pidfd opened before that was read, so that a recycled
pid is never hit.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks.errors import LabImpossible

LAB_MARK = "KORTHWEB_LAB"
COMPONENT_MARK = "KORTHWEB_COMPONENT"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: joins the cgroups named in $CGROUPS, then becomes the program
JOIN = 'for d in $CGROUPS; do echo $$ > "$d/cgroup.procs" || exit 125; done; unset CGROUPS; exec "$@"'


@dataclass(frozen=True, slots=True)
class Process:
    """A running process of a lab. ``started`` is in seconds since 1970, ``memory`` in bytes (resident)."""

    pid: int
    component: str
    argv: tuple[str, ...]
    leader: bool
    started: float
    memory: int


def environment(component: str, root: Path, env: Mapping[str, str], cgroups: Iterable[Path]) -> dict[str, str]:
    """Return the whole environment of a component: nothing of the user's, and the marks by which it is found again."""
    marks = {LAB_MARK: str(root), COMPONENT_MARK: component, "CGROUPS": " ".join(map(str, cgroups))}
    return {"HOME": str(root), "LANG": "C.UTF-8", **env, **marks}


def spawn(
    component: str,
    argv: Sequence[str],
    *,
    root: Path,
    log: Path,
    env: Mapping[str, str],
    cgroups: Iterable[Path] = (),
) -> None:
    """Start a component in a session of its own; it lives on when korthweb ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.run(
            # a fork of setsid's, so that the component is never a zombie of a long-lived korthweb
            ["setsid", "--fork", "sh", "-c", JOIN, "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(component, root, env, cgroups),
            cwd="/",
            check=True,
        )


def of_lab(root: Path) -> Iterator[Process]:
    """Yield the processes whose environment names the lab in ``root`` (other users' are not seen)."""
    mark = f"{LAB_MARK}={root}".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (process := _read(int(entry.name), mark)):
            yield process


def components(root: Path) -> dict[str, Process]:
    """Return the main process of each component, by name.

    kwokctl's children carry its mark and are known by their program.
    """
    components: dict[str, Process] = {}
    for process in of_lab(root):
        if process.leader:
            components.setdefault(process.component, process)
    return components


def end(processes: Iterable[Process], root: Path, *, grace: float = 0.0) -> list[Process]:
    """End processes: SIGTERM and ``grace`` seconds if there is any grace, then SIGKILL. Return those that remain."""
    mark = f"{LAB_MARK}={root}".encode()
    handles: dict[int, Process] = {}
    for process in processes:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            if _read(process.pid, mark):
                handles[handle] = process
            else:
                os.close(handle)
    try:
        if grace:
            _signal(handles, signal.SIGTERM)
            _await(handles, grace)
        _signal(handles, signal.SIGKILL)
        return [handles[handle] for handle in _await(handles, 10.0)]
    finally:
        for handle in handles:
            os.close(handle)


def kill_pids(pids: Iterable[int], seconds: float = 10.0) -> list[int]:
    """SIGKILL pids that were just read from the lab's own cgroups; return those that remain."""
    handles: dict[int, int] = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            handles[os.pidfd_open(pid)] = pid
    try:
        _signal(handles, signal.SIGKILL)
        return [handles[handle] for handle in _await(handles, seconds)]
    finally:
        for handle in handles:
            os.close(handle)


def _signal(handles: Iterable[int], number: signal.Signals) -> None:
    for handle in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _await(handles: Iterable[int], seconds: float) -> list[int]:
    """Wait until the processes behind the pidfds are gone; return the pidfds of those that are not."""
    left, deadline = list(handles), time.monotonic() + seconds
    while left and (remaining := deadline - time.monotonic()) > 0:
        poller = select.poll()
        for handle in left:
            poller.register(handle, select.POLLIN)
        gone = {handle for handle, _ in poller.poll(remaining * 1000)}
        left = [handle for handle in left if handle not in gone]
    return left


def _read(pid: int, mark: bytes) -> Process | None:
    """Return the process if it carries the mark and is alive."""
    folder = Path("/proc") / str(pid)
    try:
        environ = (folder / "environ").read_bytes().split(b"\0")
        if mark not in environ:
            return None
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended, or is not ours
        return None
    if fields[0] in "ZX":
        return None
    argv = tuple(argument for argument in arguments if argument)
    component = next((e.partition(b"=")[2].decode() for e in environ if e.startswith(COMPONENT_MARK.encode())), "")
    return Process(
        pid=pid,
        component=program(argv) if component == "kwokctl" else component,
        argv=argv,
        leader=int(fields[3]) == pid,
        started=boot_time() + int(fields[19]) / _TICKS,
        memory=int(fields[21]) * _PAGE,
    )


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")


def program(argv: Sequence[str]) -> str:
    """Return which part of the control plane a command line is (a loader may stand before the program)."""
    for argument in argv:
        if (name := argument.rpartition("/")[2]) in CONTROL_PLANE:
            return name
    return "kwokctl"


def boot_time() -> float:
    """Return when this machine started, in seconds since 1970."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise LabImpossible("/proc/stat does not say when this machine started")
