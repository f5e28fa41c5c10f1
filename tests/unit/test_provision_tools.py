"""Where a CLI comes from: the order of sources, supported ranges, and how little it costs to know."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.errors import BuildFailed, ToolMissing, UsageError
from korthweb_tasks.provision import building, download, known_versions, tools

ANSWERS = [
    ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1\n", "1.36.3"),
    ("kubectl", "Client Version: v1.37.0-rc.1+abc\n", "1.37.0"),
    ("kubectl", "WARNING: This version information is deprecated.\n", None),
    ("helm", "v4.3.1+g0a1b2c3\n", "4.3.1"),
    ("helm", "v3.22.0\n", "3.22.0"),
    ("istioctl", "1.31.1\n", "1.31.1"),
    ("istioctl", "client version: 1.31.1\n", "1.31.1"),
    ("flux", "flux version 2.9.5\n", "2.9.5"),
    ("git", "git version 2.39.5 (Apple Git-154)\n", "2.39.5"),
    ("git", "git version 2.47\n", "2.47"),
    ("git", "", None),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))

    def never(component: str, name: str, **_: object) -> Path:
        raise AssertionError(f"{component} must not be built here")

    monkeypatch.setattr(building, "binary", never)
    monkeypatch.setattr(building, "folder", lambda component: tmp_path / "cache" / "bin" / component)
    return tmp_path / "cache"


def program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("name", "text", "version"), ANSWERS)
def test_answers_are_read(name: str, text: str, version: str | None) -> None:
    assert tools.TOOLS[name].parse_version(text) == version


def test_one_on_the_path_in_the_supported_range_is_used(tmp_path: Path) -> None:
    made = program(tmp_path / "bin", "helm", "v3.22.4+gabc")
    assert tools.locate("helm", path=str(tmp_path / "bin")) == tools.Located("helm", made, "3.22.4", "PATH")


def test_an_old_one_does_not_hide_a_newer_one_behind_it(tmp_path: Path) -> None:
    program(tmp_path / "old", "helm", "v3.9.0")
    made = program(tmp_path / "new", "helm", "v4.3.1")
    found = tools.locate("helm", path=f"{tmp_path / 'old'}{os.pathsep}{tmp_path / 'new'}")
    assert found.path == made


def test_knowing_costs_no_process_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path / "bin", "helm", "v4.3.1")
    first = tools.locate("helm", path=str(tmp_path / "bin"))

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    with monkeypatch.context() as quiet:
        quiet.setattr(subprocess, "run", never)
        assert tools.locate("helm", path=str(tmp_path / "bin")) == first
    made.write_text("#!/bin/sh\necho v4.3.10\n")
    assert tools.locate("helm", path=str(tmp_path / "bin")).version == "4.3.10", "another file is asked again"


@pytest.mark.parametrize("says", ["exit 1", "sleep 0; echo nonsense"])
def test_one_that_does_not_say_its_version_is_passed_over(tmp_path: Path, says: str) -> None:
    program(tmp_path / "bin", "helm", f"'; {says}; '")
    with pytest.raises(ToolMissing, match="of unknown version"):
        tools.locate("helm", source="path", path=str(tmp_path / "bin"))


def test_only_the_path_means_only_the_path(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"helm .*not on the PATH") as raised:
        tools.locate("helm", source="path", path=str(tmp_path))
    assert "tools.install helm" in raised.value.hint


def test_what_was_built_is_found_again(cache: Path, tmp_path: Path) -> None:
    made = program(cache / "bin" / "kubernetes", "kubectl", "Client Version: v1.36.3")
    assert tools.locate("kubectl", path="") == tools.Located("kubectl", made, "1.36.3", "built")


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        tools.locate("kubctl")
    assert "kubectl" in raised.value.hint


def test_the_list_says_for_each_which_one_is_used_or_why_none(tmp_path: Path) -> None:
    program(tmp_path / "bin", "helm", "v2.17.0")
    made = program(tmp_path / "bin", "git", "git version 2.47.1")
    listed = {status.tool.name: status for status in tools.listing(path=str(tmp_path / "bin"))}
    assert set(listed) == set(tools.TOOLS)
    assert listed["git"].located == tools.Located("git", made, "2.47.1", "PATH")
    assert listed["helm"].located is None
    assert "2.17.0" in listed["helm"].note
    assert listed["flux"].note == "not on the PATH"


@pytest.mark.parametrize("name", sorted(set(tools.TOOLS) - {"git", "age-keygen"}))
def test_the_pinned_version_is_supported_and_has_an_official_address(name: str) -> None:
    tool = tools.TOOLS[name]
    assert tool.accepts(tool.version)
    assert tool.address(tool.release).startswith("https://")
    assert tool.version in tool.address(tool.checksums)
    assert "{" not in tool.address(tool.release) + tool.address(tool.checksums) + tool.address(tool.member)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder as a release host on the loopback; gives the folder and the address."""
    folder = tmp_path / "releases"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(folder: Path, base: str, name: str, says: str) -> Path:
    """Put a release of ``name`` that says ``says`` where its official address would have it; returns the archive."""
    tool = tools.TOOLS[name]
    archive = folder / tool.address(tool.release, base).removeprefix(f"{base}/")
    archive.parent.mkdir(parents=True, exist_ok=True)
    script = f"#!/bin/sh\necho '{says}'\n".encode()
    if tool.member:
        with tarfile.open(archive, "w:gz") as tar:
            entry = tarfile.TarInfo(tool.address(tool.member))
            entry.size = len(script)
            tar.addfile(entry, io.BytesIO(script))
    else:
        archive.write_bytes(script)
    sums = folder / tool.address(tool.checksums, base).removeprefix(f"{base}/")
    sums.write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    return archive


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("kubectl", "Client Version: v1.36.4"),
        ("helm", "v4.3.1"),
        ("istioctl", "client version: 1.31.1"),
        ("flux", "flux version 2.9.5"),
    ],
)
def test_a_release_is_downloaded_checked_and_kept(
    releases: tuple[Path, str], cache: Path, name: str, says: str
) -> None:
    folder, base = releases
    archive = publish(folder, base, name, says)
    found = tools.locate(name, base=base, path="")
    assert found.origin == "release"
    assert found.path.is_relative_to(cache / "downloads")
    archive.unlink()
    assert tools.locate(name, base=base, path="") == found, "it is kept"
    assert [path.name for path in found.path.parent.iterdir()] == [name]


def test_a_release_with_a_wrong_checksum_is_never_passed_over(releases: tuple[Path, str]) -> None:
    folder, base = releases
    archive = publish(folder, base, "helm", "v4.3.1")
    archive.write_bytes(archive.read_bytes() + b"!")
    with pytest.raises(download.WrongChecksum):
        tools.locate("helm", base=base, path="")


def test_a_release_that_is_something_else_is_refused(releases: tuple[Path, str]) -> None:
    folder, base = releases
    publish(folder, base, "helm", "v2.0.0")
    with pytest.raises(ToolMissing, match=r"holds helm 2\.0\.0"):
        tools.locate("helm", source="download", base=base, path="")


def test_where_no_release_host_answers_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def build(component: str, name: str, **_: object) -> Path:
        asked.append((component, name))
        return program(tmp_path / "built", name, "v4.3.1")

    monkeypatch.setattr(building, "binary", build)
    found = tools.locate("helm", base="http://127.0.0.1:9", path="")
    assert found == tools.Located("helm", tmp_path / "built" / "helm", "4.3.1", "built")
    assert asked == [("helm", "helm")]


def test_a_failed_build_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(component: str, name: str, **_: object) -> Path:
        raise BuildFailed(f"building {component} failed")

    monkeypatch.setattr(building, "binary", build)
    with pytest.raises(BuildFailed):
        tools.locate("helm", source="build", path="")


def test_every_source_that_was_tried_is_named(releases: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, base = releases

    def no_go(component: str, name: str, **_: object) -> Path:
        raise ToolMissing("Go 1.26.4 or newer is needed")

    monkeypatch.setattr(building, "binary", no_go)
    with pytest.raises(ToolMissing) as raised:
        tools.locate("flux", base=base, path="")
    assert all(word in raised.value.message for word in ("not on the PATH", "answers 404", "Go 1.26.4"))


def test_installing_brings_each_and_says_which(
    tmp_path: Path, releases: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "bin", "helm", "v4.3.1")
    program(tmp_path / "bin", "flux", "flux version 2.9.5")
    assert [one.version for one in tools.install(["helm", "flux"])] == ["4.3.1", "2.9.5"]


@pytest.mark.parametrize(("keep", "left"), [(True, True), (False, False)])
def test_what_a_build_needed_stays_only_on_request(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, left: bool
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(building, "binary", lambda _, name, **__: program(tmp_path / "built", name, "v4.3.1"))
    (cache / "go" / "build").mkdir(parents=True)
    (located,) = tools.install(["helm"], source="build", keep_caches=keep)
    assert located.origin == "built"
    assert (cache / "go" / "build").exists() is left


@pytest.mark.parametrize("keep", [True, False])
def test_finding_one_that_has_to_be_built_leaves_no_build_caches(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    asked: list[object] = []

    def build(component: str, name: str, **words: object) -> Path:
        asked.append(words["stop"])
        return program(tmp_path / "built", name, "v4.3.1")

    monkeypatch.setattr(building, "binary", build)
    (cache / "go" / "build").mkdir(parents=True)
    stop = threading.Event()
    tools.locate("helm", source="build", path="", stop=stop, keep_caches=keep)
    assert (cache / "go" / "build").exists() is keep
    assert asked == [stop], "whoever looks for it can end the build"


def test_a_tool_that_was_there_already_prunes_nothing(cache: Path) -> None:
    program(cache / "bin" / "helm", "helm", "v4.3.1")
    (cache / "go" / "build").mkdir(parents=True)
    assert tools.install(["helm"], source="build", keep_caches=False)[0].origin == "built"
    assert (cache / "go" / "build").exists()


def test_a_damaged_note_of_versions_is_no_error(cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    (cache / "tools.json").write_text("{broken")
    made = program(tmp_path / "bin", "helm", "v4.3.1")
    assert known_versions.version_of(tools.TOOLS["helm"], made) == "4.3.1"
