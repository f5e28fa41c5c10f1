"""A webhook that the API server can't reach: one cause, early, and the others because of it (U13)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Plan, Serving, Step
from korthweb_tasks.core.webhooks import unreached
from korthweb_tasks.errors import CommandFailed, KorthwebError, StepFailed
from korthweb_tasks.run import retry
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.runner import Runner
from tests.cases.unit.test_first_hour import ended
from tests.unit.test_executor import executor, step

CALL = (
    'Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling webhook '
)
POST = 'failed to call webhook: Post "https://istiod.istio-system.svc:443/inject?timeout=10s": '
DROPPED = f'{CALL}"namespace.sidecar-injector.istio.io": {POST}context deadline exceeded'
NAMED = (
    "the API server can't reach the webhook namespace.sidecar-injector.istio.io (Service istio-system/istiod, port 443)"
)


def asks(stderr: str, **more: Any) -> Command:
    argv = ("sh", "-c", 'echo "$1" >&2; echo x >>tries; exit 1', "sh", stderr)
    return Command(argv=argv, target=Cluster("x"), repeatable=True, **more)


@pytest.mark.parametrize(
    "why",
    [
        "context deadline exceeded",
        "dial tcp 10.8.0.4:15017: i/o timeout",
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        "dial tcp 10.8.0.4:15017: connect: no route to host",
    ],
)
def test_U13_a_webhook_that_is_not_reached_is_named(why: str) -> None:
    """U13: with the Service behind it; one outside of the cluster by its name."""
    found = unreached(f'{CALL}"namespace.sidecar-injector.istio.io": {POST}{why}')
    assert str(found) == f"{NAMED}: timed out"
    found = unreached(f'failed calling webhook "v.example.org": Post "https://policy.example.org/v?timeout=5s": {why}')
    assert str(found) == "the API server can't reach the webhook v.example.org: timed out"


@pytest.mark.parametrize(
    "said",
    [
        f'{CALL}"x": {POST}dial tcp 10.8.0.4:15017: connect: connection refused',
        f'{CALL}"x": {POST}no endpoints available for service "istiod"',
        f'{CALL}"x": {POST}x509: certificate signed by unknown authority',
        "Error: UPGRADE FAILED: context deadline exceeded",
        'admission webhook "x" denied the request: no',
    ],
)
def test_U13_one_that_starts_or_says_no_is_another_thing(said: str) -> None:
    """U13: these pass by themselves, or are an answer."""
    assert unreached(said) is None


def patient() -> Executor:
    walk = executor()
    walk.runner = Runner(patience=30)
    return walk


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "GRACE", 0.6)


def test_U13_it_ends_long_before_the_patience_for_others(impatient: None) -> None:
    """U13: a command, and a gate that a step waits for; with the next command."""
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="can't reach the webhook") as raised:
        Runner(patience=30).run(asks(DROPPED))
    assert len(Path("tries").read_text().split()) > 1, "it was tried again: its pods may have been moving"
    assert "kubectl --namespace istio-system get endpointslices" in raised.value.hint
    assert raised.value.details == DROPPED
    gate = Step(kind="istio", title="Istio", waits=(Serving("Istio's webhook", asks(DROPPED)),))
    walk = patient()
    walk.apply(Plan("p", (gate,)))
    assert walk.faults["istio"].message.startswith(NAMED)
    assert time.monotonic() - began < 12


def test_U13_eight_failures_of_one_cause_are_one_error(impatient: None) -> None:
    """U13: forty lines for one firewall; what failed because of it is listed by its title."""
    steps = tuple(Step(kind=f"s{n}", title=f"Step {n}", actions=(asks(DROPPED),)) for n in range(8))
    walk = patient()
    records = walk.apply(Plan("p", steps))
    error = ended(records, walk)
    assert isinstance(error, KorthwebError)
    assert error.message == f"{NAMED}: timed out (8 steps)"
    assert error.details.splitlines()[-1] == f"because of it: {', '.join(f'Step {n}' for n in range(8))}"
    assert len(error.details.splitlines()) == 2


def test_U13_another_cause_beside_it_is_told_too(impatient: None) -> None:
    """U13: two causes, three steps."""
    dropped = [Step(kind=name, title=name, actions=(asks(DROPPED),)) for name in ("a", "b")]
    walk = patient()
    error = ended(walk.apply(Plan("p", (*dropped, step("c", "echo why >&2; exit 3")))), walk)
    assert isinstance(error, StepFailed)
    assert error.message == "3 steps failed, 2 causes"
    assert error.details.count("can't reach the webhook") == 1
    assert "    because of it: a, b" in error.details
    assert "why" in error.details


def test_U13_a_step_that_fails_alone_has_its_title() -> None:
    """U13: as before."""
    walk = executor()
    error = ended(walk.apply(Plan("p", (step("a", "exit 3"),))), walk)
    assert isinstance(error, KorthwebError)
    assert error.message.startswith("a: ")
