"""Is B closed to A? Rows of attempts, a cell for each ordered pair of tenants, and a control for each cell.

A cell is green only where every attempt was seen to be refused *and* the same attempt by the rightful tenant
was seen to succeed, before and after it. Without that it is "unknown": nothing may be green because nothing worked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal, Protocol

import httpx

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.errors import Interrupted, KorthwebError, UsageError
from korthweb_tasks.report.model import CellRecord, CellStatus
from korthweb_tasks.verify.model import Broken

#: B's namespace -> what to look at
Hint = Callable[[str], str]
Kind = Literal["refused", "reached", "unclear"]
#: (row, tenant) -> what the rightful tenant saw; (row, A, B) -> what A saw at B
Controls = Mapping[tuple[str, str], "Seen"]
Attempts = Mapping[tuple[str, str, str], Sequence["Seen"]]

OUTSIDE, MESH = "from outside of the cluster", "from a pod of A inside of the mesh"
PLAIN, RIGHTS = "from a pod without a sidecar", "with A's service accounts"
HOME = "by what A makes in its own namespace"
#: what is said of a way at its end
DONE, UNFINISHED = "done", "not finished"
#: a control slower than this (ms) takes the meaning from an attempt that got no answer at all
SLOW = 1500.0


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of attempt. In ``title`` A is who tries and B whose it is; ``hint`` is what to look at.

    ``both``: the control of A counts beside that of B.
    """

    name: str
    group: str
    title: str
    hint: Hint
    both: bool = False


def _look(question: str, *words: str) -> Hint:
    """Return a hint that is a look at B's namespace, and the question it answers."""
    return lambda ns: f"`{hints.kubectl('get', *words, namespace=ns)}`: {question}"


def _text(text: str) -> Hint:
    return lambda ns: text.format(ns=ns)


_POLICIES = _look("are they there, as written?", "networkpolicies,authorizationpolicies,peerauthentications")
_MTLS = _look("is it STRICT, and are the NetworkPolicies there?", "peerauthentication", "default", "--output=yaml")
_LIMITS = _look("are they there, and clusterrole korthweb-tenant?", "validatingadmissionpolicybindings")
_RIGHTS = _look("who binds A's accounts to that?", "rolebindings,clusterrolebindings", "--output=wide")
_RULES = _look("who may reach Orthanc, and who the database?", "authorizationpolicies", "--output=yaml")
ROWS: tuple[Row, ...] = (
    Row("certificate", OUTSIDE, "A's certificate and authority",
        _look("hosts and selector of B's own alone?", "gateways.networking.istio.io", "--output=yaml")),
    Row("password", OUTSIDE, "A's user and password",
        _look("no password may be shared", "secret", "orthanc-users", "--output=yaml")),
    Row("aet", OUTSIDE, "A's AE title",
        _text('orthanc.json in {ns}: "DicomCheckCalledAet": true; tenants\' own AE titles')),
    Row("images", OUTSIDE, "A's images, by B's QIDO and WADO",
        _text("configmap/orthanc-app in {ns}: Orthanc must use the database of its own namespace"), both=True),
    Row("mesh-8042", MESH, "B's HTTP (8042), with A's gateway's identity", _POLICIES),
    Row("mesh-4242", MESH, "B's DICOM (4242), with A's gateway's identity", _POLICIES),
    Row("mesh-5432", MESH, "B's database (5432), with A's Orthanc's identity", _POLICIES),
    Row("own-mesh", MESH, "all three from B's own namespace, with the identity of another program", _RULES),
    Row("plain-8042", PLAIN, "B's HTTP (8042), by service and by pod", _MTLS),
    Row("plain-4242", PLAIN, "B's DICOM (4242), by service and by pod", _MTLS),
    Row("plain-5432", PLAIN, "B's database (5432), by service and by pod", _MTLS),
    Row("own-plain", PLAIN, "all three from B's own namespace", _MTLS),
    Row("secrets", RIGHTS, "B's Secrets", _RIGHTS),
    Row("exec", RIGHTS, "B's pods: start, enter, forward", _RIGHTS),
    Row("objects", RIGHTS, "B's workloads, policies and custom resources", _RIGHTS),
    Row("routes", HOME, "routes and gateways for B's names", _LIMITS, both=True),
    Row("names", HOME, "services, endpoints and certificates in B's name", _LIMITS, both=True),
    Row("privileged", HOME, "pods that own the node, hence B", _LIMITS, both=True),
    Row("monitors", HOME, "monitors that send Prometheus to B, or its token to A", _LIMITS, both=True),
    Row("walls", HOME, "the walls of A, taken away by A", _LIMITS, both=True),
)  # fmt: skip


#: approach -> the rows that hold for its tenants. By hand they share one gateway, whose identity no pod of theirs has:
#: what the mesh refuses can't have a control of a tenant's own
ROWS_OF: Mapping[str, tuple[Row, ...]] = {
    "gitops": ROWS,
    "manual": tuple(row for row in ROWS if row.group in (OUTSIDE, RIGHTS, HOME)),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one attempt came to, for a person. ``silent``: nothing answered, which a slow cluster does too."""

    kind: Kind
    text: str
    ms: float = 0.0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Isolation:
    """The whole matrix. ``notes`` tell of what could not be tidied up."""

    cells: tuple[CellRecord, ...]
    notes: tuple[str, ...] = ()


class Way(Protocol):
    """One way to try: from outside, by pods, by the rights of accounts. Each method may raise a KorthwebError."""

    name: str
    rows: tuple[str, ...]

    def controls(self, *, again: bool) -> Controls:
        """Do what the rightful tenants may do; ``again`` is the round after the attempts."""

    def attempts(self) -> Attempts:
        """Do what nobody may do, for every ordered pair."""

    def leave(self) -> tuple[str, ...]:
        """Remove all that was made, also after an interrupt; return a line for what is left."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one way. ``fault`` is why it was not finished."""

    rows: tuple[str, ...]
    before: Controls = field(default_factory=dict)
    tries: Attempts = field(default_factory=dict)
    after: Controls = field(default_factory=dict)
    fault: str = ""


def prove(
    ways: Sequence[Way],
    namespaces: Mapping[str, str],
    say: Callable[[str, str], None] = lambda *_: None,
    stop: Callable[[], None] = lambda: None,
    rows: Sequence[Row] = ROWS,
) -> Isolation:
    """Try all ways side by side and judge every cell; ``namespaces`` are those of the tenants, by name.

    ``say`` is told (way, what it does now); ``stop`` ends what runs, at Ctrl-C; ``rows`` are those that have to be
    there. Whatever happens, what was made is removed again. Raises UsageError for less than two tenants, and
    Interrupted.
    """
    if len(namespaces) < 2:
        raise UsageError("isolation is between tenants: there must be two of them", hint="add one to korthweb.yaml")
    notes: list[str] = []
    try:
        with ThreadPoolExecutor(len(ways)) as pool:
            futures = [pool.submit(_try, way, say) for way in ways]
            try:
                tried = [future.result() for future in futures]
            except BaseException:
                stop()  # and not wait for what the other ways would still do
                raise
    except KeyboardInterrupt as error:
        notes += _leave(ways)
        raise Interrupted(f"interrupted; {'; '.join(notes) or 'nothing is left behind'}") from error
    except BaseException:
        _leave(ways)
        raise
    notes += _leave(ways)
    return Isolation(tuple(judged(tried, namespaces, rows)), tuple(notes))


def _try(way: Way, say: Callable[[str, str], None]) -> Rounds:
    """Try one way: controls, attempts, controls again. A fault makes its cells unknown, and no others."""
    try:
        say(way.name, "what the rightful tenants may do")
        before = way.controls(again=False)
        say(way.name, "what nobody may do")
        tries = way.attempts()
        say(way.name, "the rightful tenants again")
        rounds = Rounds(way.rows, before, tries, way.controls(again=True))
    except (Interrupted, UsageError):
        raise
    except (KorthwebError, Broken) as error:
        rounds = Rounds(way.rows, fault=told(error))
    except (OSError, ValueError, httpx.HTTPError) as error:  # ValueError: an answer that is not JSON
        rounds = Rounds(way.rows, fault=_line(f"{type(error).__name__}: {error}"))
    say(way.name, UNFINISHED if rounds.fault else DONE)
    return rounds


def told(error: KorthwebError | Broken) -> str:
    """Return an error as one line: what failed, the last words about it, what to type."""
    last = (getattr(error, "details", "") or "").strip().splitlines()[-1:]
    return _line(": ".join((error.message, *last)) + (f" ({error.hint})" if error.hint else ""))


def _leave(ways: Iterable[Way]) -> list[str]:
    """Tidy up after every way, whatever becomes of another's tidying."""
    return [note for way in ways for note in _left(way)]


def _left(way: Way) -> tuple[str, ...]:
    try:
        return way.leave()
    except (KorthwebError, Broken, OSError, ValueError, httpx.HTTPError) as error:
        return (_line(f"{way.name}: {error}"),)


def judged(tried: Iterable[Rounds], namespaces: Mapping[str, str], rows: Iterable[Row] = ROWS) -> Iterable[CellRecord]:
    """Judge every cell, row by row."""
    by_row = {row: rounds for rounds in tried for row in rounds.rows}
    for row in rows:
        rounds = by_row.get(row.name, Rounds((row.name,), fault="this was not tried"))
        for a, b in permutations(namespaces, 2):
            yield judge(row, a, b, rounds, namespaces[b])


def judge(row: Row, a: str, b: str, rounds: Rounds, namespace: str) -> CellRecord:
    """Judge one cell: refused (passed), let in (broken), or nothing is proved (unknown).

    Whoever was let in was let in, whatever the controls say; nothing is green by default.
    """
    tries = rounds.tries.get((row.name, a, b), ())
    owners = (b, a) if row.both else (b,)
    checks = [round_.get((row.name, who)) for who in owners for round_ in (rounds.before, rounds.after)]
    control = "; ".join(dict.fromkeys(f"{who}: {_two(row.name, who, rounds)}" for who in owners))
    hint = row.hint(namespace)
    ms = round(max((seen.ms for seen in tries), default=0.0), 2)

    def cell(status: CellStatus, seen: str, hint: str = "") -> CellRecord:
        name, group, title = row.name, row.group, row.title
        return CellRecord(
            name=name, group=group, title=title, a=a, b=b, status=status, seen=seen, control=control, hint=hint, ms=ms
        )

    if let_in := [seen.text for seen in tries if seen.kind == "reached"]:
        return cell("broken", "; ".join(let_in), hint)
    if rounds.fault or not tries:
        return cell("unknown", rounds.fault or "this was not tried", "mend that, then try again")
    if failed := [check.text if check else "was not tried" for check in checks if not check or check.kind != "reached"]:
        return cell("unknown", f"the control failed: {failed[0]}", f"`{hints.task('verify.all', tenant=b)}` says more")
    if unclear := [seen.text for seen in tries if seen.kind == "unclear"]:
        return cell("unknown", "; ".join(unclear), "no refusal and no way in either: try again")
    if any(seen.silent for seen in tries) and (slowest := max(c.ms for c in checks if c)) > SLOW:
        silence = next(seen.text for seen in tries if seen.silent)
        return cell(
            "unknown", f"{silence}, but the control took {duration(slowest / 1000)}", "the cluster is slow: try again"
        )
    return cell("passed", "; ".join(dict.fromkeys(seen.text for seen in tries)))


def _two(row: str, who: str, rounds: Rounds) -> str:
    """Return what a control saw before and after, once where it is the same."""
    both = [round_.get((row, who)) for round_ in (rounds.before, rounds.after)]
    return ", then ".join(dict.fromkeys(seen.text if seen else "not tried" for seen in both))


def _line(text: str) -> str:
    return " ".join(text.split())
