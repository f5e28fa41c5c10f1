"""A log that is no terminal is short (U16): begin and end of each phase, a sign of life a minute, one form of time."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from korthweb_tasks.core.durations import about, duration, limit
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.core.tree import Tree
from korthweb_tasks.lab import graph
from korthweb_tasks.provision import builder, building, estimates
from korthweb_tasks.provision.estimates import compiling_line
from korthweb_tasks.run.console import BEAT, Console
from korthweb_tasks.run.tree_view import TreeView

PACKAGE = Path(__file__).parents[3] / "korthweb_tasks"
#: rows of a demo beside the builds: the lab, the images, the deployment, the rungs
ROWS = 14 + 20 + 16 + 27


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))


def console() -> tuple[Console, Clock, io.StringIO]:
    clock = Clock()
    return Console(stream=(stream := io.StringIO()), clock=clock), clock, stream


def built_side_by_side(tell: Console, clock: Clock, names: list[str]) -> None:
    """Play the builds of a cold cache, two at a time, each telling how far it is once a second."""
    todo, running = list(names), dict[str, float]()
    for name in names:
        tell.begin(f"build:{name}", f"build {name}")
        tell.note(f"build:{name}", "downloading modules")
        tell.note(f"build:{name}", "waiting for its turn")
    while todo or running:
        while todo and len(running) < 2:
            running[todo.pop(0)] = clock.now
        clock.now += 1
        for name, began in list(running.items()):
            seconds, packages = estimates._known()[name]
            gone = clock.now - began
            tell.note(f"build:{name}", compiling_line(name, int(packages * min(gone / seconds, 1)), gone))
            if gone >= seconds:
                del running[name]
                tell.end(StepRecord(f"build:{name}", f"build {name}", verdict="changed", end=gone))


def test_U16_a_cold_demo_writes_at_most_200_lines() -> None:
    """U16: it was 1,301, of which 1,156 said how many packages were compiled."""
    tell, clock, stream = console()
    names = list(estimates._usual())
    with tell.table("Lab 'lab' on this machine"):
        built_side_by_side(tell, clock, names)
        for number in range(ROWS):
            tell.begin(str(number), f"step {number}")
            for tenth in range(20):
                clock.now += 0.1
                tell.note(str(number), f"{tenth} of 20 ready")
            tell.end(StepRecord(str(number), f"step {number}", verdict="changed", end=2.0))
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 200
    assert all(any(f"build {name}: done" in line for line in lines) for name in names)
    signs = [line for line in lines if line.startswith("  … ")]
    assert len(signs) >= 20  # one for each minute of the builds
    assert re.search(r"build cert-manager: compiling, \d+ of about 1125 packages, about \d min left; ", signs[0])


def test_U16_what_moved_last_is_told_first_and_not_all_of_it() -> None:
    """U16: a line stays a line, however much waits."""
    tell, clock, stream = console()
    for name in "abcdefg":
        tell.begin(name, name)
    clock.now += BEAT
    tell.note("e", "compiling")
    assert stream.getvalue() == "  … e: compiling; a (1 min); b (1 min); 4 more\n"


def test_U16_work_that_tells_nothing_gives_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """U16: helm --wait says nothing for minutes."""
    monkeypatch.setattr("korthweb_tasks.run.console.PULSE", 0.01)
    tell, clock, stream = console()
    tell.begin("x", "Install Traefik")
    clock.now += BEAT + 1
    deadline = time.monotonic() + 5
    while not stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    tell.end(StepRecord("x", "Install Traefik", verdict="changed", end=61.0))
    assert stream.getvalue().splitlines() == [
        "  … Install Traefik (1 min 1 s)",
        "  ✓ Install Traefik: done (1 min 1 s)",
    ]


def test_U16_progress_that_differs_in_numbers_is_told_once_a_minute() -> None:
    """U16: the log of what the tests need, and a CLI that has to be built first."""
    tell, clock, stream = console()
    names = list(estimates._usual())
    for name in names:
        for line in ("downloading modules", "waiting for its turn"):
            tell.progress(f"{name}: {line}")
        for second in range(int(estimates._known()[name][0])):
            clock.now += 0.5  # two at a time
            tell.progress(f"{name}: {compiling_line(name, second, second)}")
        tell.progress(f"{name}: built")
    assert len(stream.getvalue().splitlines()) <= 200
    assert "sops: built" in stream.getvalue()


def test_U16_a_tree_that_stands_still_gives_a_sign_of_life() -> None:
    """U16: with its share."""
    view = TreeView(Console(stream=(stream := io.StringIO())))
    view.show(Tree(), 61.0)
    assert stream.getvalue() == ""  # nothing is known yet


def test_U16_how_long_and_how_much_disk_is_said_beforehand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """U16: before the first build."""
    monkeypatch.setattr(building, "built", lambda _: False)
    assert builder.forecast(["sops", "kubernetes"]) == (
        f"2 programs are built first (kubernetes, sops): about 8 min, up to 10 GB in {tmp_path}/cache meanwhile"
    )
    monkeypatch.setattr(building, "built", lambda _: True)
    assert builder.forecast(["sops", "kubernetes"]) == ""


def test_U16_waiting_for_a_turn_is_no_work() -> None:
    """U16: a build whose turn came late took only what it took itself."""
    turn: dict[str, float] = {}

    def build(_: graph.Note) -> bool:
        time.sleep(0.3)
        turn["x"] = time.monotonic()
        time.sleep(0.1)
        return True

    (record,) = graph.run(
        [graph.Work("x", "build x", build, begun=lambda: turn.get("x"))], Console(quiet=True), lambda: None
    )
    assert 0.05 < record.seconds < 0.25


@pytest.mark.parametrize("done", [0, 5, 50, 99, 100, 120])
def test_U16_a_build_tells_its_share(done: int) -> None:
    """U16: of what it was the last time; more than that is no share."""
    line = compiling_line("kubernetes", 2251 * done // 100, 457 * done / 100)
    assert ("left" in line) == (done < 100)


def test_U16_times_have_one_form() -> None:
    """U16: 149.2 s, 2 min 29 s and 00:02:29 were three."""
    assert [duration(s) for s in (0, 0.42, 29.2, 149.2, 3900)] == ["0 s", "0.4 s", "29 s", "2 min 29 s", "1 h 5 min"]
    assert [limit(s) for s in (0.5, 45, 90, 600)] == ["0.5 s", "45 s", "1 min 30 s", "10 min"]
    assert [about(s) for s in (3, 100, 4000)] == ["under a minute", "about 2 min", "about 1 h 7 min"]
    by_hand = re.compile(r"seconds\b[^{}]*:[>0-9]*\.?[0-9]?[fg]\} s\b|\{[^{}]*:\.[01]f\} s\b")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if by_hand.search(line) and path.name != "durations.py"
    ]
    assert found == []
