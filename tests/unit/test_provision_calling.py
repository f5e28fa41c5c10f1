"""Commands that a build waits for: deadlines, the wish to stop, and what a failure says."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from korthweb_tasks.errors import BuildFailed, Interrupted
from korthweb_tasks.provision import calling


def test_what_it_prints_comes_back_with_its_code() -> None:
    done = calling.captured(["sh", "-c", "echo out; echo err >&2; exit 3"], seconds=10)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_failure_is_a_failed_build_with_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"`sh -c .*failed \(exit code 4\)") as raised:
        calling.checked(["sh", "-c", "echo no such module >&2; exit 4"], seconds=10, cwd=tmp_path, env=dict(os.environ))
    assert "no such module" in raised.value.details


def test_a_deadline_ends_it_and_what_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(BuildFailed, match=r"timed out after 0\.5 s"):
        calling.captured(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], seconds=0.5)
    assert time.monotonic() - began < 10
    assert gone(int((tmp_path / "pid").read_text()))


def test_the_wish_to_stop_ends_it(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.4, stop.set).start()
    with pytest.raises(Interrupted):
        calling.captured(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 60"], seconds=60, stop=stop)
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Wait a little for a process to be gone (or only waiting for its parent to look)."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
