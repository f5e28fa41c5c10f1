"""Commands that a build waits for: with a deadline, and ended the moment that the run is to stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from korthweb_tasks.core.durations import limit
from korthweb_tasks.errors import BuildFailed, Interrupted, tail

#: seconds between two looks at a running command
PAUSE = 0.2


def captured(
    argv: Sequence[str],
    *,
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` and return what it printed, whatever its exit code.

    Raises BuildFailed where it takes longer than ``seconds``, and Interrupted once ``stop`` is set.
    """
    deadline = time.monotonic() + seconds
    child = subprocess.Popen(
        tied(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        while True:
            if stop and stop.is_set():
                raise Interrupted("interrupted")
            with suppress(subprocess.TimeoutExpired):
                out, err = child.communicate(timeout=PAUSE)
                return subprocess.CompletedProcess(list(argv), child.returncode, out, err)
            if time.monotonic() > deadline:
                raise BuildFailed(f"`{_short(argv)}` timed out after {limit(seconds)}")
    finally:
        end(child)
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()


def checked(
    argv: Sequence[str], *, seconds: float, cwd: Path, env: Mapping[str, str], stop: threading.Event | None = None
) -> str:
    """Return the stdout of ``argv``; raises BuildFailed with its last lines where it fails, and as captured() does."""
    done = captured(argv, seconds=seconds, cwd=cwd, env=env, stop=stop)
    if done.returncode:
        what = f"`{_short(argv)}` failed (exit code {done.returncode})"
        raise BuildFailed(what, details=tail(done.stderr + done.stdout))
    return done.stdout


def tied(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` so that it ends with us, even when we are killed: half of two cores would go on compiling."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *argv] if setpriv else list(argv)


def end(child: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End ``child`` and what it started, unless it has ended by itself."""
    if child.poll() is not None:
        return
    for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            return


def _short(argv: Sequence[str]) -> str:
    return " ".join((Path(argv[0]).name, *argv[1:4]))
