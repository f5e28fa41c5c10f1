"""Waiting for binaries that are built in the background."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.errors import BuildFailed, Interrupted
from korthweb_tasks.lab.programs import Programs
from korthweb_tasks.provision import builder


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the components that count as built."""
    done: set[str] = set()
    monkeypatch.setattr(builder, "built", done.__contains__)
    monkeypatch.setattr(builder, "folder", lambda name: Path("/bin") / name)
    return done


def programs(monkeypatch: pytest.MonkeyPatch, build: Any, told: list[str] | None = None) -> Programs:
    monkeypatch.setattr(builder, "build_all", build)
    made = Programs(
        ["a", "b"], lambda name, line: (told if told is not None else []).append(f"{name} {line}"), keep_caches=True
    )
    made.start()
    return made


def test_a_component_is_used_the_moment_it_is_built(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    more = threading.Event()

    def build(names: list[str], *, progress: Any, **_: object) -> None:
        progress("a", "compiling")
        built.add("a")
        assert more.wait(10)
        built.add("b")

    told: list[str] = []
    made = programs(monkeypatch, build, told)
    assert made.folder("a") == Path("/bin/a")
    assert told == ["a compiling"]
    more.set()
    assert made.folder("b") == Path("/bin/b")


def test_a_failed_build_is_told_to_whoever_waits(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    def build(*_: Any, **__: Any) -> None:
        raise BuildFailed("a can not be built", details="the last lines")

    with pytest.raises(BuildFailed, match="can not be built"):
        programs(monkeypatch, build).folder("b")


def test_an_interrupted_build_ends_at_its_next_line(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    ended = threading.Event()

    def build(names: list[str], *, progress: Any, **_: object) -> None:
        try:
            while True:
                progress("a", "compiling")
        finally:
            ended.set()

    made = programs(monkeypatch, build)
    made.stopped.set()
    with pytest.raises(Interrupted):
        made.folder("a")
    assert ended.wait(10)


def test_what_was_left_out_is_said(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    with pytest.raises(BuildFailed, match="b was not built"):
        programs(monkeypatch, lambda *_, **__: None).folder("b")


def test_a_build_is_given_the_event_that_ends_it(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    stop, seen = threading.Event(), threading.Event()

    def build(names: list[str], *, stop: threading.Event, **_: object) -> None:
        seen.set()
        assert stop.wait(10)  # a download tells nothing
        raise Interrupted("interrupted")

    monkeypatch.setattr(builder, "build_all", build)
    made = Programs(["a"], lambda *_: None, keep_caches=True, stop=stop)
    made.start()
    assert seen.wait(10)
    stop.set()
    with pytest.raises(Interrupted):
        made.folder("a")
    made._thread.join(10)
    assert not made._thread.is_alive()


def test_more_is_built_once_the_rest_is_there(monkeypatch: pytest.MonkeyPatch, built: set[str]) -> None:
    asked: list[list[str]] = []

    def build(names: list[str], **_: object) -> None:
        asked.append(list(names))
        built.update(names)

    made = programs(monkeypatch, build)
    made.finish(["c", "a"])
    assert asked == [["a", "b"], ["c"]]
