"""Which failures pass by themselves, and how they are tried again. The only user of tenacity."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from korthweb_tasks.core.command import TIMED_OUT, Result
from korthweb_tasks.core.webhooks import GRACE, unreached

Answer = TypeVar("Answer")
#: what stderr says -> the name of the fault; the first match counts
TRANSIENT: tuple[tuple[str, str], ...] = (
    # first: the server tells of a webhook that refuses the connection; it did answer
    (r"Internal error occurred: failed calling webhook|no endpoints available for service", "webhook not yet serving"),
    (r"connection refused|connection to the server \S+ was refused", "connection refused"),
    (r"connection reset by peer|unexpected EOF|: EOF\b", "connection cut"),
    (r"TLS handshake timeout", "TLS handshake timeout"),
    (r"i/o timeout|Client\.Timeout exceeded", "time-out"),
    (r"context deadline exceeded", "deadline exceeded"),  # of a wait as well: no word about the server
    (r"etcdserver: (leader changed|request timed out|no leader)", "etcd leader change"),
    (r"Too Many Requests|the server is currently unable to handle|ServiceUnavailable", "server overloaded"),
    (r"InternalError|StatusCode: 5\d\d|error code 5\d\d", "server error"),
    (r"no matches for kind .* in version|ensure CRDs are installed first", "CRD not yet established"),
    (r"the object has been modified; please apply your changes to the latest version", "conflict"),
    (r"\(fetch first\)|\(non-fast-forward\)|remote rejected.*cannot lock ref", "pushed meanwhile"),
)
#: faults that mean: nobody answered, so nothing is known
NO_ANSWER = {"connection refused", "connection cut", "TLS handshake timeout", "time-out"}
#: what a name server or router says of a server that is not there; trying again is no use
DEAD = re.compile(r"no such host|no route to host|network is unreachable|server misbehaving", re.IGNORECASE)
#: whose silence a program tells of: a registry's or a chart repository's, not the cluster's
ELSEWHERE = re.compile(
    r"FetchReference|failed to (download|do request|fetch)|is not a valid chart repository|Head \"https?://",
    re.IGNORECASE,
)
#: what kubectl diff says of an object that a rollout changed between its two reads; how long it is asked again, seconds
MOVED, CALM = re.compile(r"^-  resourceVersion: ", re.MULTILINE), 10.0
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in TRANSIENT)


def transient(stderr: str) -> str:
    """Return the name of the transient fault that ``stderr`` tells of, or an empty string."""
    return next((name for pattern, name in _PATTERNS if pattern.search(stderr)), "")


def unanswered(stderr: str) -> bool:
    """Return True if ``stderr`` tells of an API server that gave no answer at all."""
    silent = bool(DEAD.search(stderr)) or transient(stderr) in NO_ANSWER
    return silent and not ELSEWHERE.search(stderr)


def retried(attempt: Callable[[int], Result], *, seconds: float, waiting: Callable[[str, int, float], None]) -> Result:
    """Call ``attempt(n)`` until its result is not a transient failure, for at most ``seconds``; return the last result.

    The pauses grow from 0.2 s to 5 s, with jitter. ``waiting(fault, attempt, pause)`` is told of each, and waits: an
    exception that it raises (an interrupt) ends the trying.
    """
    retrying = tenacity.Retrying(
        stop=lambda state: (state.seconds_since_start or 0.0) >= _limit(_last(state), seconds),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5.0, jitter=0.3),
        retry=tenacity.retry_if_result(_passes),
        before_sleep=lambda state: waiting(_fault(_last(state)), state.attempt_number, state.upcoming_sleep),
        sleep=lambda _: None,
        retry_error_callback=_last,
    )
    return retrying(lambda: attempt(retrying.statistics["attempt_number"]))


def asked_again(
    ask: Callable[[], Answer],
    *,
    pause: Callable[[Answer], float | None],
    sleep: Callable[[float], None],
    attempts: int = 6,
) -> Answer:
    """Call ``ask`` until ``pause`` returns None for its answer, at most ``attempts`` times; return the last answer.

    ``pause`` returns how many seconds the other side wants to be left alone, 0 where it does not say: then the pauses
    grow from 0.5 s to 10 s, with jitter. ``sleep`` waits.
    """
    grown = tenacity.wait_exponential_jitter(multiplier=0.5, max=10.0, jitter=0.5)
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=lambda state: max(pause(_last(state)) or 0.0, grown(state)),
        retry=tenacity.retry_if_result(lambda answer: pause(answer) is not None),
        sleep=sleep,
        retry_error_callback=_last,
    )
    return retrying(ask)


def _passes(result: Result) -> bool:
    """Return True for a failure that passes by itself."""
    return result.code != TIMED_OUT and bool(_fault(result))


def _fault(result: Result) -> str:
    if result.answered:
        return "changed while it was compared" if result.code and MOVED.search(result.stdout) else ""
    return transient(result.stderr)


def _limit(result: Result, seconds: float) -> float:
    """Return when trying ends: earlier for a webhook that is not reached, and an object that never stays as it is."""
    if result.answered:
        return min(seconds, CALM)
    return min(seconds, GRACE) if unreached(result.stderr) else seconds


def _last(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
