"""Longer-running programs side by side: their output in a log each, their last line to look at meanwhile."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from korthweb_tasks.core.environment import for_build
from korthweb_tasks.errors import Interrupted, ToolMissing

#: seconds between two looks at the child and at the wish to stop
TICK = 0.2


def watched(
    argv: Sequence[str],
    log: Path,
    *,
    note: Callable[[str], None],
    stop: threading.Event,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    grace: float = 120.0,
) -> int:
    """Run ``argv`` with its output in ``log`` and return its exit code; ``note`` is given its latest line.

    When ``stop`` is set the child's group gets SIGINT, after ``grace`` seconds SIGTERM, then SIGKILL; what the
    child started and left behind ends with it. Raises Interrupted for a stopped child and ToolMissing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**for_build(os.environ), **(env or {})},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{argv[0]} is not installed") from error
    try:
        _follow(child, log, note, stop)
        if stop.is_set() and child.poll() is None:
            _end(child, grace)
            raise Interrupted("interrupted")
        return child.wait()
    finally:
        _end(child, 0.0)
        if child.stdout:
            child.stdout.close()


def _follow(child: subprocess.Popen[bytes], log: Path, note: Callable[[str], None], stop: threading.Event) -> None:
    """Copy the child's output until it ends or is to stop; a process it left behind does not keep us waiting."""
    assert child.stdout is not None
    descriptor, text = child.stdout.fileno(), ""
    with log.open("wb") as file:
        while not stop.is_set():
            ended = child.poll() is not None
            if not select.select([descriptor], [], [], 0 if ended else TICK)[0]:
                if ended:
                    return
                continue
            data = os.read(descriptor, 1 << 16)
            if not data:
                return
            file.write(data)
            file.flush()
            text = (text + data.decode(errors="replace"))[-2000:]
            if last := next((line.strip() for line in reversed(text.splitlines()) if line.strip()), ""):
                note(last)


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """End the child's whole group, gently first; a group without members is fine."""
    for number, seconds in ((signal.SIGINT, grace), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if number == signal.SIGINT and not grace:
            continue
        try:
            os.killpg(child.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and _alive(child):
            time.sleep(TICK / 4)
    with suppress(subprocess.TimeoutExpired):
        child.wait(5.0)


def _alive(child: subprocess.Popen[bytes]) -> bool:
    """Return True if anybody of the child's group is left."""
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
