"""The runner, with real processes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import ClusterUnreachable, CommandFailed, Interrupted, NoSpace, ToolMissing
from korthweb_tasks.run.runner import Runner


def sh(script: str, **more: object) -> Command:
    return Command(argv=("sh", "-c", script), **more)  # type: ignore[arg-type]


def asks(script: str, **more: object) -> Command:
    """Return a command that asks a cluster: it names a context."""
    return Command(argv=("sh", "-c", script), target=Cluster("x"), **more)  # type: ignore[arg-type]


def test_gives_output_and_takes_stdin() -> None:
    result = Runner().run(sh("cat; echo err >&2", stdin="héllo"))
    assert (result.stdout, result.stderr, result.code) == ("héllo", "err\n", 0)


def test_large_input_and_output_do_not_block() -> None:
    text = "x" * 3_000_000
    assert Runner().run(sh("cat", stdin=text)).stdout == text


def test_a_program_that_is_missing_says_how_to_get_it() -> None:
    with pytest.raises(ToolMissing) as caught:
        Runner(programs={"no-such-program": "/no/such"}).run(Command(argv=("no-such-program", "x")))
    assert caught.value.hint == "korthweb tools.install no-such-program"
    with pytest.raises(ToolMissing) as caught:
        Runner().run(Command(argv=("no-such-program", "x")))
    assert caught.value.hint == "install the package that has no-such-program"


def test_a_wrong_exit_code_is_raised_with_the_last_lines_and_without_the_secret() -> None:
    with pytest.raises(CommandFailed) as caught:
        Runner().run(sh("echo my-secret is wrong >&2; exit 3", masks=("my-secret",)))
    assert caught.value.code == 3
    assert "******** is wrong" in caught.value.details
    assert "my-secret" not in str(caught.value) + caught.value.details + caught.value.stderr


def test_an_accepted_exit_code_is_a_result() -> None:
    assert Runner().run(sh("exit 1", ok=frozenset({0, 1}))).code == 1


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("dial tcp 127.0.0.1:1: connect: connection refused", ClusterUnreachable),
        ("dial tcp: lookup nowhere: no such host", ClusterUnreachable),
        ("write /x: no space left on device", NoSpace),
        ("failed calling webhook x: dial tcp 10.0.0.9:443: connect: connection refused", ClusterUnreachable),
        ("Internal error occurred: failed calling webhook x: connect: connection refused", CommandFailed),
        ("Error: UPGRADE FAILED: context deadline exceeded", CommandFailed),
        ('Error: failed to perform "FetchReference" on source: Get "https://x/v2/": no such host', CommandFailed),
        ("Error: failed to download https://x/y.tgz: dial tcp 1.2.3.4:443: connection refused", CommandFailed),
        ("something else", CommandFailed),
    ],
)
def test_what_stderr_tells_decides_the_error(stderr: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Runner(patience=0).run(asks(f"echo '{stderr}' >&2; exit 1"))


def test_a_registry_that_gives_no_answer_is_no_cluster() -> None:
    with pytest.raises(CommandFailed, match="ended with code 1") as failed:
        Runner(patience=0).run(sh("echo 'dial tcp: lookup registry.example: no such host' >&2; exit 1"))
    assert "no such host" in failed.value.details


def test_only_a_transient_failure_of_a_repeatable_command_is_tried_again(tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    flaky = f"echo x >> {tally}; [ $(wc -l < {tally}) -ge 3 ] || {{ echo '%s' >&2; exit 1; }}"

    def tries(fault: str, *, repeatable: bool) -> tuple[int, int]:
        tally.unlink(missing_ok=True)
        code = Runner().check(sh(flaky % fault, repeatable=repeatable)).code
        return code, len(tally.read_text().splitlines())

    assert tries("connection refused", repeatable=True) == (0, 3)
    assert tries("connection refused", repeatable=False) == (1, 1)
    assert tries("forbidden", repeatable=True) == (1, 1)


def test_a_diff_of_an_object_that_changed_meanwhile_is_asked_for_again(tmp_path: Path) -> None:
    """A rollout writes its status between the two reads of `kubectl diff`, which calls that a difference."""
    moved = "echo '-  resourceVersion: \"1\"'; echo '+  resourceVersion: \"2\"'; exit 1"
    once = f"test -e {tmp_path}/seen && exit 0; touch {tmp_path}/seen; {moved}"
    assert Runner(patience=60).check(sh(once, repeatable=True, ok=(0, 1))).code == 0
    real = Runner(patience=60).check(sh("echo '-  replicas: 2'; exit 1", repeatable=True, ok=(0, 1)))
    assert (real.code, real.attempts) == (1, 1)


def test_patience_ends_and_the_original_error_is_raised() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterUnreachable) as caught:
        Runner(patience=0.5).run(asks("echo connection refused >&2; exit 1", repeatable=True))
    assert time.monotonic() - began < 5
    assert "connection refused" in caught.value.details


def test_a_deadline_is_for_all_attempts_together() -> None:
    began = time.monotonic()
    Runner(patience=60).check(sh("echo connection refused >&2; exit 1", repeatable=True, timeout=1))
    assert time.monotonic() - began < 10


def test_a_deadline_ends_the_command_and_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="timed out after"):
        Runner().run(sh(f"sleep 60 & echo $! > {mark}; wait", timeout=0.5))
    assert time.monotonic() - began < 10
    time.sleep(0.1)
    assert not Path(f"/proc/{mark.read_text().strip()}").exists() or _zombie(mark.read_text().strip())


def test_what_a_command_said_before_its_deadline_is_told() -> None:
    with pytest.raises(CommandFailed, match="timed out after") as caught:
        Runner().run(sh("echo waiting for x >&2; exec sleep 60", timeout=0.5))
    assert caught.value.details == "waiting for x"


def test_a_command_that_was_ended_is_not_tried_again() -> None:
    result = Runner().check(sh("echo connection refused >&2; exec sleep 60", timeout=0.3, repeatable=True))
    assert (result.code, result.attempts) == (124, 1)


def test_a_program_that_can_not_be_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_bytes(b"\x7fELF no program")
    for mode, why in ((0o644, "Permission denied"), (0o755, "Exec format error")):
        (tmp_path / "kubectl").chmod(mode)
        with pytest.raises(ToolMissing, match=f"kubectl can not be run .{why}"):
            Runner(programs={"kubectl": str(tmp_path / "kubectl")}).run(Command(argv=("kubectl",)))


def _zombie(pid: str) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_stop_interrupts_children_in_order_and_refuses_new_ones(tmp_path: Path) -> None:
    mark, runner = tmp_path / "told", Runner()
    script = f"trap 'echo bye > {mark}; exit 9' INT; while :; do sleep 0.05; done"
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            runner.run(sh(script))
        except Interrupted as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    runner.stop()
    thread.join(5)
    assert mark.read_text() == "bye\n"
    assert outcome
    with pytest.raises(Interrupted):
        runner.run(sh("true"))


def test_a_stream_is_read_as_it_comes_and_ended_with_its_block() -> None:
    with Runner().stream(sh("echo $$; exec sleep 60")) as stream:
        pid = stream.read().decode().strip()
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_echo_and_record_are_masked() -> None:
    shown: list[str] = []
    seen: list[Result] = []
    Runner(echo=shown.append, record=seen.append).run(
        Command(argv=("true", "pa55"), masks=("pa55",), stdin="also-secret")
    )
    assert shown == ["true ******** < stdin"]
    assert "also-secret" not in repr(seen)


def test_the_environment_is_laid_over_ours() -> None:
    result = Runner().run(sh("echo $ONE $HOME", env={"ONE": "1"}))
    assert result.stdout.split() == ["1", os.environ["HOME"]]


def test_the_program_is_taken_from_the_table(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("#!/bin/sh\necho own $1\n")
    own.chmod(0o755)
    assert Runner(programs={"kubectl": str(own)}).run(Command(argv=("kubectl", "get"))).stdout == "own get\n"
