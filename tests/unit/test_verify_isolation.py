"""How a cell is judged, and that everything made is removed: with ways that are told what they see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from korthweb_tasks.errors import ClusterUnreachable, CommandFailed, Interrupted, NotReady, UsageError
from korthweb_tasks.report.model import CellRecord, Report
from korthweb_tasks.verify.isolation.cells import (
    ROWS,
    Attempts,
    Controls,
    Rounds,
    Row,
    Seen,
    judge,
    prove,
)

TENANTS = {"BHC": "bhc-orthweb", "MHR": "mhr-orthweb"}
ROW = Row("r", "from somewhere", "B's thing", "look at {}".format)
OK = Seen("reached", "200", 4.0)
NO = Seen("refused", "connection reset", 2.0)
LEAK = Seen("reached", "401 from Orthanc", 3.0)
UNCLEAR = Seen("unclear", "no such name")
SILENT = Seen("refused", "no answer in 3 s", 3000.0, silent=True)
FAILS = Seen("unclear", "503")


def judged(
    *tries: Seen, before: Seen | None = OK, after: Seen | None = OK, fault: str = "", row: Row = ROW
) -> CellRecord:
    rounds = Rounds(
        ("r",),
        {("r", "MHR"): before, ("r", "BHC"): OK} if before else {},
        {("r", "BHC", "MHR"): tries},
        {("r", "MHR"): after, ("r", "BHC"): OK} if after else {},
        fault,
    )
    return judge(row, "BHC", "MHR", rounds, "mhr-orthweb")


@pytest.mark.parametrize(
    ("tries", "more", "status", "says"),
    [
        ((NO,), {}, "passed", "connection reset"),
        ((NO, replace(NO, text="closed")), {}, "passed", "connection reset; closed"),
        ((NO, LEAK), {}, "broken", "401 from Orthanc"),
        ((LEAK,), {"before": FAILS, "after": FAILS}, "broken", "401 from Orthanc"),
        ((NO,), {"before": FAILS}, "unknown", "the control failed: 503"),
        ((NO,), {"after": FAILS}, "unknown", "the control failed: 503"),
        ((NO,), {"before": None}, "unknown", "the control failed: was not tried"),
        ((NO,), {"after": NO}, "unknown", "the control failed: connection reset"),
        ((NO, UNCLEAR), {}, "unknown", "no such name"),
        ((), {}, "unknown", "not tried"),
        ((), {"fault": "no pod started"}, "unknown", "no pod started"),
        ((SILENT,), {}, "passed", "no answer in 3 s"),
        ((SILENT,), {"after": replace(OK, ms=2500.0)}, "unknown", "the control took 2.5 s"),
        ((NO,), {"after": replace(OK, ms=2500.0)}, "passed", "connection reset"),
    ],
)
def test_a_cell_is_green_only_where_the_refusal_and_its_controls_were_seen(
    tries: tuple[Seen, ...], more: dict[str, Seen], status: str, says: str
) -> None:
    cell = judged(*tries, **more)  # type: ignore[arg-type]
    assert (cell.a, cell.b, cell.status) == ("BHC", "MHR", status)
    assert says in cell.seen
    assert bool(cell.hint) == (status != "passed")


def test_a_leak_says_where_to_look() -> None:
    assert judged(LEAK).hint == "look at mhr-orthweb"


def test_the_control_is_told_once_where_it_is_the_same() -> None:
    assert judged(NO).control == "MHR: 200"
    assert judged(NO, after=replace(OK, text="200 again")).control == "MHR: 200, then 200 again"


def test_a_row_may_need_the_control_of_both() -> None:
    both = replace(ROW, both=True)
    assert judged(NO, row=both).status == "passed"
    rounds = Rounds(("r",), {("r", "MHR"): OK}, {("r", "BHC", "MHR"): (NO,)}, {("r", "MHR"): OK})
    assert judge(both, "BHC", "MHR", rounds, "mhr").status == "unknown"


@dataclass
class Told:
    """A way that is told what it sees in every cell."""

    control: Seen = OK
    attempt: Seen = NO
    rows: tuple[str, ...] = tuple(row.name for row in ROWS)
    name: str = "told"
    fails: BaseException | None = None
    note: str = ""
    left: list[str] = field(default_factory=list)

    def controls(self, *, again: bool) -> Controls:
        if self.fails and not again:
            raise self.fails
        return {(row, name): self.control for row in self.rows for name in TENANTS}

    def attempts(self) -> Attempts:
        return {(row, a, b): (self.attempt,) for row in self.rows for a in TENANTS for b in TENANTS}

    def leave(self) -> tuple[str, ...]:
        self.left.append("once")
        return (self.note,) if self.note else ()


def test_every_ordered_pair_has_a_cell_in_every_row() -> None:
    result = prove((Told(),), TENANTS)
    assert len(result.cells) == 2 * len(ROWS)
    assert {(cell.a, cell.b) for cell in result.cells} == {("BHC", "MHR"), ("MHR", "BHC")}
    assert {cell.status for cell in result.cells} == {"passed"}


def test_three_tenants_are_six_pairs() -> None:
    result = prove((Told(),), {**TENANTS, "XYZ": "xyz"})
    assert len(result.cells) == 6 * len(ROWS)
    # nobody told what happens at XYZ: that is not known, and not green
    assert {cell.status for cell in result.cells if "XYZ" in (cell.a, cell.b)} == {"unknown"}


def test_the_first_broken_cell_comes_before_any_unknown_one() -> None:
    leak = Told(attempt=LEAK, rows=("exec",))
    unknown = Told(control=FAILS, rows=("certificate",))
    rest = Told(rows=tuple(row.name for row in ROWS if row.name not in ("exec", "certificate")))
    result = prove((unknown, rest, leak), TENANTS)
    (first, *_) = Report(title="", context="", started="", cells=result.cells).red_cells
    assert (first.name, first.status) == ("exec", "broken")
    assert [cell.status for cell in result.cells if cell.name == "certificate"] == ["unknown"] * 2


@pytest.mark.parametrize(
    "fault", [NotReady("a pod can not start", hint="look"), OSError("gone"), ValueError("no JSON")]
)
def test_a_way_that_can_not_be_gone_is_unknown_and_hides_no_other(fault: BaseException) -> None:
    lame = Told(rows=("aet",), fails=fault)
    sound = Told(rows=tuple(row.name for row in ROWS if row.name != "aet"))
    result = prove((lame, sound), TENANTS)
    assert {cell.name for cell in result.cells if cell.status == "unknown"} == {"aet"}
    assert {cell.status for cell in result.cells if cell.name != "aet"} == {"passed"}
    assert lame.left == sound.left == ["once"]


def test_a_command_that_failed_is_told_with_its_last_words() -> None:
    refused = CommandFailed(
        "`kubectl create` ended with code 1", stderr="a\npods are forbidden: exceeded quota: tenant"
    )
    (cell, *_) = prove((Told(rows=("certificate",), fails=refused),), TENANTS).cells
    assert cell.seen == "`kubectl create` ended with code 1: pods are forbidden: exceeded quota: tenant"


def test_a_way_that_nobody_went_is_not_green() -> None:
    result = prove((Told(rows=("aet",)),), TENANTS)
    assert {cell.status for cell in result.cells if cell.name != "aet"} == {"unknown"}


def test_one_tenant_has_nobody_to_be_kept_from() -> None:
    with pytest.raises(UsageError, match="two of them"):
        prove((Told(),), {"BHC": "bhc"})


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), Interrupted("stopped"), UsageError("no")])
def test_whatever_ends_it_all_is_removed_and_the_others_are_stopped(fault: BaseException) -> None:
    ways = (Told(fails=fault), Told())
    stopped: list[str] = []
    stop: Callable[[], None] = lambda: stopped.append("once")  # noqa: E731
    with pytest.raises((Interrupted, UsageError)):
        prove(ways, TENANTS, stop=stop)
    assert stopped == ["once"]
    assert [way.left for way in ways] == [["once"], ["once"]]


def test_what_is_left_is_told_even_where_tidying_fails() -> None:
    class Fails(Told):
        def leave(self) -> tuple[str, ...]:
            raise ClusterUnreachable("no answer from the server")

    result = prove((Fails(name="from inside"), Told(rows=(), note="images may be left")), TENANTS)
    assert result.notes == ("from inside: no answer from the server", "images may be left")


def test_what_goes_on_is_told() -> None:
    said: list[tuple[str, str]] = []
    prove((Told(),), TENANTS, lambda *words: said.append(words))
    assert [text for _, text in said] == [
        "what the rightful tenants may do", "what nobody may do", "the rightful tenants again", "done",
    ]  # fmt: skip
    said.clear()
    prove((Told(fails=OSError("gone")),), TENANTS, lambda *words: said.append(words))
    assert [text for _, text in said] == ["what the rightful tenants may do", "not finished"]
