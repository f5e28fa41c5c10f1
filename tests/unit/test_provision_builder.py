"""Building: a tiny module for real, and a stand-in for Go where builds must fail, hang or be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from korthweb_tasks.errors import BuildFailed, Interrupted, NoSpace
from korthweb_tasks.provision import builder, building, compiling, estimates, gotool, recipes

REPOSITORY = Path(__file__).parents[2]
HELLO = 'package main\n\nvar version = "none"\n\nfunc main() { println(version) }\n'
RECIPES = """
hello:
  version: 1.2.3
  packages: [.]
  binaries: [hello]
  variables: ["main.version={version}"]
  extras: []
  go: 1.20.0
  disk: 0.1
again:
  version: 2.0.0
  packages: [.]
  binaries: [hello]
  module: hello
  go: 1.20.0
  disk: 0.1
"""
#: a "go" that does what the test's file says
STAND_IN = """#!/bin/sh
[ "$1" = list ] && exit 0
echo $$ > "{folder}/pid"
. "{folder}/script"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache, and recipes for a module of ours in ``tmp_path/recipes``."""
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))
    modules = tmp_path / "recipes" / "modules" / "hello"
    modules.mkdir(parents=True)
    (modules / "go.mod").write_text("module korthweb.lab/build/hello\n\ngo 1.20\n")
    (modules / "go.sum").write_text("")
    (modules / "main.go").write_text(HELLO)
    (tmp_path / "recipes" / "recipes.yaml").write_text(RECIPES)
    monkeypatch.setattr(recipes, "HERE", tmp_path / "recipes")
    return tmp_path


@pytest.fixture
def stand_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Go first on the PATH; the returned file is what its ``go build`` does."""
    root = place / "stand-in"
    (root / "bin").mkdir(parents=True)
    (root / "VERSION").write_text("go1.99.0\n")
    (root / "bin" / "go").write_text(STAND_IN.format(folder=root))
    (root / "bin" / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return root / "script"


@pytest.mark.skipif(not shutil.which("go") and not Path("/usr/local/go/bin/go").exists(), reason="no Go here")
def test_a_module_is_built_for_real_once(place: Path) -> None:
    lines: list[str] = []
    program = builder.binary("hello", "hello", progress=lines.append)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stderr == "1.2.3\n"
    assert program.parent == builder.folder("hello")
    assert program.parent.parent == place / "cache" / "bin"
    assert (place / "cache" / "logs" / "build-hello.log").is_file()
    assert json.loads((place / "cache" / "estimates.json").read_text())["hello"][0] > 0

    made = program.stat().st_mtime_ns
    assert builder.binary("hello", "hello").stat().st_mtime_ns == made, "the second time nothing is built"
    assert sorted(path.name for path in program.parent.parent.iterdir()) == [program.parent.name], (
        "no work folders left"
    )


def test_a_failed_build_shows_its_last_lines_and_its_log_and_leaves_nothing(stand_in: Path, place: Path) -> None:
    stand_in.write_text("echo '# a/b'; echo 'main.go:7:2: undefined: x' >&2; exit 3")
    with pytest.raises(BuildFailed) as raised:
        builder.build("hello")
    assert "hello" in raised.value.message
    assert "undefined: x" in raised.value.details
    assert str(place / "cache" / "logs" / "build-hello.log") in raised.value.hint
    assert not list((place / "cache" / "bin").iterdir())
    assert not builder.built("hello")


def test_a_build_that_makes_no_binary_has_failed(stand_in: Path, place: Path) -> None:
    stand_in.write_text("exit 0")
    with pytest.raises(BuildFailed, match="made no hello"):
        builder.build("hello")


def test_a_full_disk_is_told_apart(stand_in: Path, place: Path) -> None:
    stand_in.write_text("echo 'write /x/y: no space left on device' >&2; exit 1")
    with pytest.raises(NoSpace, match="GB are free"):
        builder.build("hello")


def test_too_little_space_is_said_before_anything_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "RESERVE", 10.0**9)
    with pytest.raises(NoSpace, match=r"needs \d+ GB"):
        builder.build_all(["hello"])
    assert not (place / "cache" / "bin").exists() or not list((place / "cache" / "bin").iterdir())


def test_a_stopped_build_ends_its_child(stand_in: Path, place: Path) -> None:
    stand_in.write_text("sleep 60")
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        builder.build("hello", stop=stop)
    assert _gone(int((stand_in.parent / "pid").read_text()))
    assert not [path for path in (place / "cache" / "bin").iterdir() if path.is_dir()]


def test_building_all_ends_with_an_event_of_somebody_else(stand_in: Path, place: Path) -> None:
    stand_in.write_text("sleep 60")
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        builder.build_all(["hello"], stop=stop)
    with pytest.raises(Interrupted):
        builder.build_all(["hello"], stop=stop)
    assert not builder.built("hello")


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_a_killed_korthweb_takes_its_builds_with_it(stand_in: Path, place: Path) -> None:
    stand_in.write_text("sleep 60")
    program = (
        f"import pathlib; from korthweb_tasks.provision import builder, recipes; "
        f"recipes.HERE = pathlib.Path({str(place / 'recipes')!r}); builder.build('hello')"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        pid = _number_in(stand_in.parent / "pid")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert _gone(pid)


def test_ctrl_c_ends_all_builds_and_sweeps_up(stand_in: Path, place: Path) -> None:
    stand_in.write_text("sleep 60")
    program = (
        f"import pathlib; from korthweb_tasks.provision import builder, recipes; "
        f"recipes.HERE = pathlib.Path({str(place / 'recipes')!r}); builder.build_all(['hello'])"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.PIPE)
    pid = _number_in(stand_in.parent / "pid")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)
    assert _gone(pid)
    assert not list((place / "cache" / "bin").iterdir())


def test_the_next_run_builds_what_the_last_could_not(stand_in: Path, place: Path) -> None:
    stand_in.write_text("exit 1")
    with pytest.raises(BuildFailed):
        builder.build("hello")
    stand_in.write_text("echo x > out/hello")
    assert (builder.build("hello") / "hello").is_file()


def test_two_at_once_build_it_once(stand_in: Path, place: Path) -> None:
    stand_in.write_text(f"echo built >> {place}/count; sleep 0.5; echo x > out/hello")
    threads = [threading.Thread(target=builder.build, args=("hello",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place / "count").read_text() == "built\n"


def test_all_are_built_and_then_the_caches_go(stand_in: Path, place: Path) -> None:
    stand_in.write_text("echo x > out/hello; mkdir -p $GOCACHE/00 $GOMODCACHE/a; chmod 555 $GOMODCACHE/a")
    told: list[tuple[str, str]] = []
    made = builder.build_all(["again", "hello"], progress=lambda name, line: told.append((name, line)))
    assert set(made) == {"again", "hello"}
    assert all((folder / "hello").is_file() for folder in made.values())
    assert ("hello", "built") in told
    assert not (place / "cache" / "go" / "build").exists()
    assert not (place / "cache" / "go" / "mod").exists()


def test_caches_stay_on_request(stand_in: Path, place: Path) -> None:
    stand_in.write_text("echo x > out/hello; mkdir -p $GOCACHE/00")
    builder.build_all(["hello"], keep_caches=True)
    assert (place / "cache" / "go" / "build").is_dir()


def test_the_first_failure_is_what_build_all_raises(stand_in: Path, place: Path) -> None:
    stand_in.write_text("case $PWD in */.hello*) exit 1;; esac; sleep 60")
    began = time.monotonic()
    with pytest.raises(BuildFailed, match="hello"):
        builder.build_all(["again", "hello"])
    assert time.monotonic() - began < 20


def test_an_estimate_is_told_from_the_second_time_on(place: Path) -> None:
    told: list[str] = []
    building._reporter("hello", told.append)(12)
    (place / "cache").mkdir()
    (place / "cache" / "estimates.json").write_text('{"hello": [130, 700]}')
    building._reporter("hello", told.append)(12)
    assert told == ["compiling, 12 packages, 0 s", "compiling, 12 of about 700 packages, about 2 min left"]


def test_a_build_that_only_went_on_does_not_spoil_the_estimate(place: Path) -> None:
    for seconds, packages in ((300.0, 1000), (10.0, 3)):
        estimates.remember("hello", seconds, packages)
    assert estimates.estimate("hello") == 300.0
    estimates.remember("hello", 200.0, 990)
    assert estimates.estimate("hello") == 200.0


@pytest.mark.parametrize("text", ["", "[]", '{"hello": 12}', '{"hello": ["x", 1]}'])
def test_a_damaged_note_is_no_estimate(place: Path, text: str) -> None:
    (place / "cache").mkdir()
    (place / "cache" / "estimates.json").write_text(text)
    assert estimates.estimate("hello") is None


def test_what_a_killed_build_left_is_swept_up_by_the_next(stand_in: Path, place: Path) -> None:
    stand_in.write_text("echo x > out/hello")
    left = place / "cache" / "bin" / ".hello-0a1b2c3d"
    left.mkdir(parents=True)
    builder.build("hello")
    assert not left.exists()


def test_builds_are_static_and_use_caches_of_our_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://goproxy.hospital.example")
    monkeypatch.setenv("GOARCH", "mips")
    found = gotool.environment()
    assert found["CGO_ENABLED"] == "0"
    assert found["GOMODCACHE"] == str(place / "cache" / "go" / "mod")
    assert found["GOPROXY"] == "https://goproxy.hospital.example"
    assert "GOARCH" not in found


@pytest.mark.parametrize(
    ("path", "spelt"),
    [("istio.io/istio", "istio.io/istio"), ("github.com/Azure/go-autorest", "github.com/!azure/go-autorest")],
)
def test_module_paths_are_spelt_as_the_cache_spells_them(path: str, spelt: str) -> None:
    assert compiling.escaped(path) == spelt


def _number_in(file: Path) -> int:
    for _ in range(100):
        if file.exists() and (text := file.read_text().strip()):
            return int(text)
        time.sleep(0.1)
    raise AssertionError(f"{file} did not come")


def _gone(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
