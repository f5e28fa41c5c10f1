"""The walk over a plan, with real processes as commands."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Plan, Probe, Ready, Serving, Step
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl

KUBECTL = Kubectl(Cluster("test"))


class Silent:
    """An audience that only remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, name: str, title: str) -> None: ...

    def note(self, name: str, text: str) -> None:
        self.notes.append(text)

    def end(self, record: StepRecord) -> None: ...


def sh(script: str) -> Command:
    return Command(argv=("sh", "-c", script), ok=frozenset({0}))


def step(name: str, script: str = "true", *needs: str, probe: str = "") -> Step:
    asked = (Probe(Command(argv=("sh", "-c", probe), ok=frozenset({0, 1})), lambda result: result.code == 0),)
    return Step(kind=name, title=name, needs=needs, actions=(sh(script),), probes=asked if probe else ())


def executor(**more: object) -> Executor:
    return Executor(Runner(patience=0), KUBECTL, Silent(), **more)  # type: ignore[arg-type]


def verdicts(records: tuple[StepRecord, ...]) -> dict[str, str]:
    return {record.name: record.verdict for record in records}


def test_a_failure_stops_only_what_depends_on_it() -> None:
    plan = Plan("p", (step("a", "exit 3"), step("b", "true", "a"), step("c"), step("d", "true", "c")))
    walk = executor()
    assert verdicts(walk.apply(plan)) == {"a": "failed", "b": "skipped", "c": "changed", "d": "changed"}
    assert "code 3" in walk.faults["a"].message


def test_what_is_so_already_is_left_alone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    plan = Plan("p", (step("a", f"touch {mark}", probe=f"test -e {mark}"),))
    assert verdicts(executor().preview(plan)) == {"a": "planned"}
    assert not mark.exists()
    assert verdicts(executor().apply(plan)) == {"a": "changed"}
    assert verdicts(executor().apply(plan)) == {"a": "unchanged"}
    assert verdicts(executor().preview(plan)) == {"a": "unchanged"}


def test_independent_steps_run_side_by_side() -> None:
    plan = Plan("p", tuple(step(name, "sleep 0.5") for name in "abcdef"))
    began = time.monotonic()
    executor().apply(plan)
    assert time.monotonic() - began < 1.5


def test_a_step_starts_the_moment_its_needs_are_done() -> None:
    plan = Plan("p", (step("slow", "sleep 1"), step("a", "sleep 0.1"), step("b", "true", "a")))
    records = {record.name: record for record in executor().apply(plan)}
    assert records["b"].start < 0.8


def test_an_action_may_be_made_when_it_is_needed() -> None:
    made: list[str] = []

    def make() -> Command:
        made.append("now")
        return sh("true")

    executor().apply(Plan("p", (Step(kind="a", title="a", actions=(make,)),)))
    assert made == ["now"]


def test_a_gate_wants_successes_in_a_row(tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    script = f"echo x >> {tally}; n=$(wc -l < {tally}); [ $n -ne 1 ] && [ $n -ne 3 ]"
    gate = Serving("webhook", sh(script), consecutive=2)
    records = executor().apply(Plan("p", (Step(kind="a", title="a", waits=(gate,)),)))
    assert verdicts(records) == {"a": "unchanged"} or verdicts(records) == {"a": "changed"}
    assert len(tally.read_text().splitlines()) == 5


def test_a_gate_that_never_opens_is_named() -> None:
    gate = Serving("the webhook", sh("echo not yet >&2; exit 1"))
    walk = executor(step_seconds=0.6)
    walk.apply(Plan("p", (Step(kind="a", title="a", waits=(gate,)),)))
    assert "the webhook does not serve: not yet" in walk.faults["a"].message


def test_what_a_step_says_of_its_failure_is_added() -> None:
    told = Step(kind="a", title="a", actions=(sh("exit 1"),), on_failure=(sh("echo the deepest cause"),), hint="inv x")
    walk = executor()
    walk.apply(Plan("p", (told,)))
    assert "the deepest cause" in walk.faults["a"].details
    assert walk.faults["a"].hint == "inv x"


def test_an_interrupt_ends_the_children_and_says_what_is_not_done() -> None:
    plan = Plan("p", (step("a"), step("b", "sleep 30", "a"), step("c", "true", "b")))
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    found = verdicts(executor().apply(plan))
    assert time.monotonic() - began < 5
    assert found == {"a": "changed", "b": "interrupted", "c": "skipped"}


def test_the_journal_is_private_and_shows_no_secret(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path, "test")
    runner = Runner(record=journal.command, patience=0)
    secret = Command(argv=("sh", "-c", "cat >&2; exit 1", "pa55"), stdin="pa55 in", masks=("pa55",))
    walk = Executor(runner, KUBECTL, Silent(), journal)
    walk.apply(Plan("p", (Step(kind="a", title="a", actions=(secret,)),)))
    file = journal.folder / "journal.jsonl"
    assert (file.stat().st_mode & 0o777, journal.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["event"] for event in events] == ["run", "command", "step"]
    assert "pa55" not in file.read_text()


@pytest.fixture
def fake_kubectl(tmp_path: Path) -> Path:
    """A kubectl that answers `get` from the files beside it and streams `--watch` from another."""
    script = tmp_path / "kubectl"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *pods*) exec sleep 60;; *--watch*) cat "$(dirname "$0")"/watch; exec sleep 60;; '
        '*) cat "$(dirname "$0")"/now;; esac\n'
    )
    script.chmod(0o755)
    (tmp_path / "now").write_text("")
    return script


def deployment(available: int) -> str:
    obj = {
        "kind": "Deployment",
        "metadata": {"name": "web", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available},
    }
    return json.dumps(obj, indent=4) + "\n"


def test_a_resource_is_watched_until_it_is_ready(fake_kubectl: Path) -> None:
    (fake_kubectl.parent / "watch").write_text(deployment(0) + deployment(1))
    audience = Silent()
    walk = Executor(Runner(programs={"kubectl": str(fake_kubectl)}), KUBECTL, audience)
    records = walk.apply(Plan("p", (Step(kind="a", title="a", waits=(Ready("deployment", "web", "ns"),)),)))
    assert records[0].verdict == "changed"
    assert any("0 of 1 pods are available" in note for note in audience.notes)


def test_a_resource_that_does_not_get_ready_is_named_with_the_reason(fake_kubectl: Path) -> None:
    (fake_kubectl.parent / "watch").write_text(deployment(0))
    walk = Executor(Runner(programs={"kubectl": str(fake_kubectl)}), KUBECTL, Silent(), step_seconds=1.0)
    walk.apply(Plan("p", (Step(kind="a", title="a", waits=(Ready("deployment", "web", "ns"),)),)))
    assert "deployment/web in ns was not ready in time: 0 of 1 pods are available" in walk.faults["a"].message


def test_a_server_that_does_not_answer_is_not_called_one_without_the_resource(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho 'dial tcp 10.0.0.1:6443: connection refused' >&2\nexit 1\n")
    program.chmod(0o755)
    walk = Executor(Runner(programs={"kubectl": str(program)}, patience=0), KUBECTL, Silent(), step_seconds=1.0)
    walk.apply(Plan("p", (Step(kind="a", title="a", waits=(Ready("deployment", "web", "ns"),)),)))
    assert "was not ready in time: dial tcp 10.0.0.1:6443: connection refused" in walk.faults["a"].message
