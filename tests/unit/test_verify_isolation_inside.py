"""From inside, in a world that is sound or has one hole: just the cells of that hole are red, none green by chance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from korthweb_tasks.errors import ClusterUnreachable, Interrupted, NotReady
from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.verify.isolation.cells import Isolation, prove
from korthweb_tasks.verify.isolation.inside import ARRIVES, Inside, Place
from korthweb_tasks.verify.isolation.probes import OPEN_PORT
from tests.verify_doubles.probes import (
    ANSWERS,
    CLOSED,
    DENIED,
    NO_NAME,
    RESET,
    SILENT,
    FakeProbes,
    Line,
    Try,
    sound,
)

PLACES = {"BHC": Place("BHC", "bhc", "BHC"), "MHR": Place("MHR", "mhr", "MHR")}
NAMESPACES = {name: place.namespace for name, place in PLACES.items()}
ROWS = {f"{group}-{port}" for group in ("mesh", "plain") for port in (8042, 4242, 5432)} | {"own-mesh", "own-plain"}


def matrix(probes: FakeProbes, places: dict[str, Place] = PLACES) -> dict[tuple[str, str, str], CellRecord]:
    result = proved(probes, places)
    return {(cell.name, cell.a, cell.b): cell for cell in result.cells if cell.name in ROWS}


def proved(probes: FakeProbes, places: dict[str, Place] = PLACES) -> Isolation:
    return prove((Inside(places, probes),), {name: place.namespace for name, place in places.items()})


def red(cells: dict[tuple[str, str, str], CellRecord], status: str = "broken") -> set[tuple[str, str, str]]:
    return {key for key, cell in cells.items() if cell.status == status}


def hole(opened: Callable[[Try], bool]) -> Callable[[Try], Line]:
    """Return a sound world but for what is ``opened``."""
    return lambda asked: ANSWERS[asked.port] if opened(asked) else sound(asked)


def test_a_sound_world_is_green() -> None:
    probes = FakeProbes()
    cells = matrix(probes)
    assert len(cells) == 16
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert probes.removed == 1
    assert probes.raised == ["bhc", "mhr"]
    assert cells["mesh-8042", "BHC", "MHR"].seen == "orthanc.mhr:8042: connection reset"
    assert "401 Unauthorized" in cells["mesh-8042", "BHC", "MHR"].control
    assert "ip-of-database.mhr:5432" in cells["plain-5432", "BHC", "MHR"].seen


def test_everything_that_must_be_tried_is_tried() -> None:
    probes = FakeProbes()
    matrix(probes)
    tried = set(probes.tried)
    for a, b in permutations(("bhc", "mhr"), 2):
        for role, service, port in (
            ("gateway", "orthanc", 8042), ("gateway", "orthanc", 4242), ("database", "postgres-rw", 5432),
        ):  # fmt: skip
            assert Try(a, role, f"{service}.{b}", port) in tried  # type: ignore[arg-type]
            for home in (a, b):
                assert Try(home, "plain", f"{service}.{b}", port) in tried
                what = "database" if port == 5432 else "orthanc"
                assert Try(home, "plain", f"ip-of-{what}.{b}", port) in tried
    # patience is for what must be let in, never for what must be refused
    foreign = [p for asked, p in zip(probes.tried, probes.patience, strict=True)
               if not asked.rightful and asked.port != OPEN_PORT]  # fmt: skip
    assert set(foreign) == {0}
    assert max(probes.patience) == ARRIVES


HOLES: list[tuple[Callable[[Try], bool], set[tuple[str, str, str]]]] = [
    (lambda t: t.role == "gateway" and t.target == "mhr" and t.port == 8042, {("mesh-8042", "BHC", "MHR")}),
    (lambda t: t.role == "gateway" and t.target == "bhc" and t.port == 4242, {("mesh-4242", "MHR", "BHC")}),
    (lambda t: t.role == "database" and t.target == "mhr" and t.port == 5432, {("mesh-5432", "BHC", "MHR")}),
    (
        lambda t: t.role == "plain" and t.namespace == "bhc" and t.target == "mhr" and t.port == 5432 and t.by_pod,
        {("plain-5432", "BHC", "MHR")},
    ),
    (
        lambda t: t.role == "plain" and t.namespace == "bhc" and t.host == "orthanc.mhr" and t.port == 8042,
        {("plain-8042", "BHC", "MHR")},
    ),
    # no AuthorizationPolicy in MHR: any member of the mesh gets in that the network lets through
    (
        lambda t: t.role == "database" and t.namespace == t.target == "mhr" and t.port == 4242,
        {("own-mesh", "BHC", "MHR")},
    ),
    (
        lambda t: t.role == "gateway" and t.namespace == t.target == "mhr" and t.port == 5432,
        {("own-mesh", "BHC", "MHR")},
    ),
    # mutual TLS is not asked for in MHR: its own pods without a sidecar get in
    (lambda t: t.role == "plain" and t.namespace == t.target == "mhr", {("own-plain", "BHC", "MHR")}),
]


@pytest.mark.parametrize(("opened", "cells"), HOLES)
def test_a_hole_is_red_in_its_own_cells_alone(opened: Callable[[Try], bool], cells: set[tuple[str, str, str]]) -> None:
    found = matrix(FakeProbes(hole(opened)))
    assert red(found) == cells
    assert len(red(found, "passed")) == 16 - len(cells)
    assert all("mhr" in found[key].hint or "bhc" in found[key].hint for key in cells)


@pytest.mark.parametrize("wall", [RESET, CLOSED, SILENT])
def test_walls_of_every_kind_are_walls(wall: Line) -> None:
    cells = matrix(FakeProbes(lambda t: wall if sound(t) == RESET else sound(t)))
    assert {cell.status for cell in cells.values()} == {"passed"}


def test_a_proxy_that_says_no_is_a_wall() -> None:
    cells = matrix(FakeProbes(lambda t: DENIED if t.port == 8042 and not t.rightful else sound(t)))
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert "403 Forbidden from a proxy" in cells["mesh-8042", "BHC", "MHR"].seen


@pytest.mark.parametrize("dead", [RESET, CLOSED, SILENT, NO_NAME])
def test_a_network_in_which_nothing_works_is_not_green(dead: Line) -> None:
    cells = matrix(FakeProbes(lambda _: dead))
    assert {cell.status for cell in cells.values()} == {"unknown"}


def test_a_control_that_fails_makes_its_own_cells_unknown() -> None:
    down = FakeProbes(lambda t: RESET if t.target == "mhr" and t.port == 5432 else sound(t))
    cells = matrix(down)
    assert red(cells, "unknown") == {
        ("mesh-5432", "BHC", "MHR"), ("plain-5432", "BHC", "MHR"), ("own-plain", "BHC", "MHR"),
        ("own-mesh", "BHC", "MHR"),
    }  # fmt: skip
    assert len(red(cells, "passed")) == 12


def test_a_control_that_fails_only_afterwards_counts_too() -> None:
    probes = FakeProbes()

    def world(asked: Try) -> Line:
        # the second time that its rightful client asks, MHR's Orthanc is gone
        again = probes.tried.count(asked) > 1
        return RESET if asked.rightful and asked.target == "mhr" and asked.port == 4242 and again else sound(asked)

    probes.world = world
    assert ("mesh-4242", "BHC", "MHR") in red(matrix(probes), "unknown")


def test_a_name_that_is_not_found_is_no_refusal() -> None:
    cells = matrix(FakeProbes(lambda t: NO_NAME if t.namespace != t.target and t.role == "gateway" else sound(t)))
    assert red(cells, "unknown") == {
        (f"mesh-{port}", a, b) for port in (8042, 4242) for a, b in permutations(PLACES, 2)
    }  # fmt: skip


def test_a_probe_that_can_not_be_entered_is_unknown() -> None:
    cells = matrix(FakeProbes(mute=("plain",)))
    assert red(cells, "unknown") == {key for key in cells if "plain" in key[0]}


def test_a_pod_without_an_address_is_unknown_and_is_not_asked() -> None:
    probes = FakeProbes(missing=("database",))
    cells = matrix(probes)
    assert {row for row, _, _ in red(cells, "unknown")} == {"plain-5432", "own-plain"}
    assert "0.0.0.0" not in {asked.host for asked in probes.tried}  # noqa: S104


def test_pods_that_do_not_start_are_unknown_and_removed() -> None:
    probes = FakeProbes(fails=NotReady("a new pod can not start: no such image", hint="kubectl describe pod x"))
    cells = matrix(probes)
    assert {cell.status for cell in cells.values()} == {"unknown"}
    assert "no such image" in cells["own-plain", "BHC", "MHR"].seen
    assert probes.removed == 1


def test_ctrl_c_removes_the_probes() -> None:
    probes = FakeProbes()

    def interrupt(_: Try) -> Line:
        raise KeyboardInterrupt

    probes.world = interrupt
    with pytest.raises(Interrupted, match="nothing is left behind"):
        proved(probes)
    assert probes.removed == 1


def test_probes_that_can_not_be_removed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    probes = FakeProbes()

    def fail() -> None:
        raise ClusterUnreachable("no answer from the server")

    monkeypatch.setattr(probes, "remove", fail)
    assert proved(probes).notes == (
        "probe pods may be left, which end by themselves in 15 minutes: no answer from the server",
    )


def test_a_way_out_that_stays_closed_is_told_beside_the_refusal() -> None:
    shut = FakeProbes(lambda t: RESET if t.port == OPEN_PORT and t.namespace == "bhc" else sound(t))
    cells = matrix(shut)
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert "nothing in mhr is reached from there" in cells["mesh-8042", "BHC", "MHR"].seen
    assert "is reached from there" not in cells["mesh-8042", "MHR", "BHC"].seen


def test_three_tenants_try_each_other_all() -> None:
    places = {**PLACES, "XYZ": Place("XYZ", "xyz", "XYZ")}
    cells = matrix(FakeProbes(hole(lambda t: t.role == "database" and t.target == "xyz" and t.port == 5432)), places)
    assert len(cells) == 48
    assert red(cells) == {("mesh-5432", "BHC", "XYZ"), ("mesh-5432", "MHR", "XYZ")}
