"""What tasks hand on to the parts that do the work: the runner, the wish to stop, settings, ``--dry``."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import invoke
import pytest

from korthweb_tasks.collections import lab as lab_tasks
from korthweb_tasks.collections import manual
from korthweb_tasks.errors import Interrupted
from korthweb_tasks.lab import cluster
from korthweb_tasks.services import lab
from korthweb_tasks.services import session as sessions
from korthweb_tasks.services.programs import Programs
from korthweb_tasks.services.session import Session
from tests.fakes import put


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sessions, "CONNECTIONS", {})
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"KORTHWEB_{name}", str(tmp_path / name))


def context(**run: Any) -> invoke.Context:
    return invoke.Context(invoke.Config(overrides={"run": run}))


def test_a_build_that_a_command_waits_for_ends_with_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def locate(name: str, *, stop: threading.Event, **_: object) -> Any:
        begun.set()
        assert stop.wait(10)
        raise Interrupted("interrupted")

    put(monkeypatch, "korthweb_tasks.provision.tools.locate", locate)
    session = Session.open(context(), cluster=False)
    programs = session.runner.programs
    assert isinstance(programs, Programs)
    ended: list[BaseException] = []

    def look() -> None:
        try:
            programs["helm"]
        except Interrupted as error:
            ended.append(error)

    worker = threading.Thread(target=look)
    worker.start()
    assert begun.wait(10)
    session.runner.stop()
    worker.join(10)
    assert ended


@pytest.mark.parametrize("keep", [True, False])
def test_the_settings_say_whether_a_cli_leaves_build_caches(keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("korthweb.yaml").write_text(f"lab: {{keep_build_caches: {str(keep).lower()}}}\n")
    asked: dict[str, Any] = {}

    def locate(name: str, **words: Any) -> Any:
        asked.update(words)
        return SimpleNamespace(path="/x/helm")

    put(monkeypatch, "korthweb_tasks.provision.tools.locate", locate)
    assert Session.open(context(), cluster=False).runner.programs["helm"] == "/x/helm"
    assert asked["keep_caches"] is keep


def test_a_lab_is_raised_and_removed_by_the_sessions_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("korthweb.yaml").write_text("storage_volumes: 3\nlab: {volume_size: 1Gi}\n")
    asked: dict[str, Any] = {}

    def up(name: str, **words: Any) -> Any:
        asked.update(words)
        return SimpleNamespace(context=f"korthweb-{name}")

    monkeypatch.setattr(cluster, "up", up)
    session = Session.open(context(), cluster=False, yes=True)
    lab.ensure_up(session, "x", simulated=True)
    assert asked["runner"] is session.runner
    assert (asked["options"].volumes, asked["options"].volume_size) == (3, "1Gi")

    def down(name: str, **words: Any) -> bool:
        asked["down"] = words["runner"]
        return True

    monkeypatch.setattr(cluster, "down", down)
    monkeypatch.setattr(Session, "confirm", lambda *_: None)
    lab_tasks.down(context(), name="x", dry_run=False, yes=True, output="text")
    assert asked["down"] is session.runner


@pytest.mark.parametrize(("dry", "flag"), [(True, False), (False, True), (False, False)])
def test_rendering_writes_nothing_where_nothing_may_change(
    dry: bool, flag: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"context": None, "tenant": None, "dry_run": flag, "output": "text"}
    manual.render(context(dry=dry), out=str(tmp_path / "made"), **words)
    said = capsys.readouterr().out
    if dry or flag:
        assert "would write" in said
        assert not (tmp_path / "made").exists()
    else:
        assert (tmp_path / "made" / "README.md").is_file()
