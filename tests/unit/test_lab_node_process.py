"""Processes that outlive their starter, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from korthweb_tasks.lab import process

ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    process.end(process.of_lab(tmp_path), tmp_path)


def start(root: Path, name: str = "sleeper", *argv: str) -> process.Process:
    process.spawn(name, argv or ("sleep", "300"), root=root, log=root / "logs" / f"{name}.log", env=ENV)
    return appears(root, name)


def appears(root: Path, name: str) -> process.Process:
    for _ in range(100):
        found = process.components(root)
        # until it has become the program its arguments are another's: setsid's, the shell's, or none at all
        argv = found[name].argv if name in found else ()
        if argv and argv[0] in ("sleep", "sh") and "CGROUPS" not in " ".join(argv):
            return found[name]
        time.sleep(0.02)
    raise AssertionError(f"{name} does not run")


def test_a_component_is_found_by_its_environment(root: Path) -> None:
    one = start(root)
    assert one.argv == ("sleep", "300")
    assert one.leader
    assert abs(one.started - time.time()) < 10
    assert one.memory > 0


def test_it_outlives_the_process_that_started_it(root: Path) -> None:
    code = (
        "import os; from pathlib import Path; from korthweb_tasks.lab import process; "
        f"process.spawn('s', ('sleep', '300'), root=Path({str(root)!r}), log=Path({str(root / 'l')!r}), "
        "env={'PATH': os.environ['PATH']}); os.kill(os.getpid(), 9)"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert child.returncode == -signal.SIGKILL
    assert appears(root, "s").pid


def test_its_environment_holds_nothing_of_the_users(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    one = start(root)
    environ = Path(f"/proc/{one.pid}/environ").read_text()
    assert "s3cret" not in environ
    assert "CGROUPS" not in environ


def test_its_output_goes_to_its_log(root: Path) -> None:
    start(root, "talker", "sh", "-c", "echo hello; echo world >&2; exec sleep 300")
    log = root / "logs" / "talker.log"
    end = time.monotonic() + 5
    while "world" not in log.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    assert log.read_text() == "hello\nworld\n"


def test_another_lab_has_another_mark(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    start(root)
    assert process.components(tmp_path_factory.mktemp("other")) == {}


def test_one_that_ended_is_not_running_any_more(root: Path) -> None:
    one = start(root)
    assert process.end([one], root) == []
    assert process.components(root) == {}


def test_one_that_ignores_sigterm_is_killed(root: Path) -> None:
    one = start(root, "stubborn", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    assert process.end([one], root, grace=0.3) == []


def test_a_recycled_pid_is_left_alone(root: Path) -> None:
    one = start(root)
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        stale = process.Process(stranger.pid, one.component, one.argv, True, one.started, one.memory)
        process.end([stale], root, grace=0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("/k/bin/etcd", "--name=node0"), "etcd"),
        (("/lib/ld.so", "--library-path", "/lib", "--argv0", "etcd", "/k/usr/bin/etcd", "--name=node0"), "etcd"),
        (("/k/bin/kwok-controller", "--manage-all-nodes=true"), "kwok-controller"),
        (("/k/kwokctl", "create", "cluster"), "kwokctl"),
    ],
)
def test_parts_of_the_control_plane_are_known_by_their_program(argv: tuple[str, ...], name: str) -> None:
    assert process.program(argv) == name
