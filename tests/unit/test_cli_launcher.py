"""The launcher, with a Python that only pretends to make environments and to install."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PYTHON = r"""#!/bin/sh
# stands for python3 outside of an environment, and (through a copy) inside of one
world={world}
case "$*" in
"-m venv "*)
    echo venv >>"$world/calls"; sleep "$(cat "$world/slow" 2>/dev/null || echo 0)"
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
*"-m pip install"*)
    for target in "$@"; do :; done
    echo "pip $target" >>"$world/calls"
    if [ -e "$world/fails" ]; then cat "$world/fails"; exit 1; fi
    printf '#!/bin/sh\necho "ran in $PWD: $*"\nexit 5\n' >"$(dirname "$0")/korthweb"
    chmod +x "$(dirname "$0")/korthweb" ;;
*"import ensurepip"*) [ ! -e "$world/no-ensurepip" ] ;;
*"print(sys.executable)"*) [ ! -e "$world/too-old" ] && echo "$0" ;;
*) exec {python} "$@" ;;
esac
"""

USED = ["sh", "env", "cksum", "readlink", "date", "sleep", "tail", "sed", "grep", "rm", "mv", "mkdir", "cat", "id"]
USED += ["cp", "dirname", "chmod"]  # by the pretended Python


@dataclass
class World:
    """A clone with a launcher, and what its Python was asked to do."""

    folder: Path
    clone: Path = field(init=False)

    def __post_init__(self) -> None:
        self.clone = self.folder / "my clone"
        self.clone.mkdir()
        launcher = Path(__file__).parents[2] / "korthweb"
        shutil.copy(launcher, self.clone / "korthweb")
        (self.clone / "pyproject.toml").write_text("one", encoding="utf-8")
        python = self.folder / "python3"
        python.write_text(PYTHON.replace("{world}", str(self.folder)).replace("{python}", sys.executable))
        python.chmod(0o755)
        tools = self.folder / "bin"  # no apt-get here
        tools.mkdir()
        for name in USED:
            (tools / name).symlink_to(str(shutil.which(name)))

    def program(self, name: str, script: str) -> None:
        """Put a program of ours on the launcher's PATH."""
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def start(self, *words: str, cwd: Path | None = None, path: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [path or self.clone / "korthweb", *words],
            cwd=cwd or self.clone,
            env={**os.environ, "PATH": str(self.folder / "bin"), "KORTHWEB_PYTHON": str(self.folder / "python3")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # where the tests themselves run in the background, SIGINT is ignored, and a shell can't trap it then
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )

    def launch(self, *words: str, cwd: Path | None = None, path: Path | None = None) -> tuple[int, str, str]:
        child = self.start(*words, cwd=cwd, path=path)
        out, err = child.communicate(timeout=30)
        return child.returncode, out, err

    def calls(self) -> list[str]:
        """Return and forget the calls so far."""
        log = self.folder / "calls"
        found = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [call.replace(str(self.clone), "CLONE") for call in found]

    def set(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def unset(self, name: str) -> None:
        (self.folder / name).unlink()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_launch_makes_the_environment_and_the_second_does_not(world: World, tmp_path: Path) -> None:
    code, out, err = world.launch("demo", "--flag", "a b")
    assert (code, out) == (5, f"ran in {world.clone}: demo --flag a b\n")
    assert [line.split("  ")[0] for line in err.splitlines()] == [
        f"korthweb: making .venv with Python {sys.version.split()[0]}",
        "korthweb: installing korthweb's packages",
    ]
    assert world.calls() == ["venv", "pip CLONE"]
    code, out, err = world.launch("demo", cwd=tmp_path)
    assert (code, out, err) == (5, f"ran in {tmp_path}: demo\n", "")
    assert world.calls() == []


def test_the_dev_extra_comes_with_the_first_test(world: World) -> None:
    world.launch("demo")
    world.calls()
    world.launch("-e", "test", "--only=unit")
    assert world.calls() == ["pip CLONE[dev]"]
    world.launch("test")
    world.launch("lab.logs", "test")
    assert world.calls() == []


def test_a_first_test_installs_once(world: World) -> None:
    world.launch("test")
    assert world.calls() == ["venv", "pip CLONE[dev]"]
    world.launch("test")
    world.launch("demo")
    assert world.calls() == []


def test_a_changed_pyproject_makes_it_again(world: World) -> None:
    world.launch("test")
    world.calls()
    (world.clone / "pyproject.toml").write_text("two", encoding="utf-8")
    world.launch("demo")
    assert world.calls() == ["venv", "pip CLONE"]
    assert not (world.clone / ".venv.old").exists()


def test_a_clone_that_moved_makes_it_again(world: World) -> None:
    world.launch("demo")
    world.calls()
    world.clone = world.clone.rename(world.folder / "moved")
    assert world.launch("demo")[0] == 5
    assert world.calls() == ["venv", "pip CLONE"]


def test_by_a_symbolic_link_from_elsewhere(world: World, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "kw"
    link.symlink_to(world.clone / "korthweb")
    relative = tmp_path / "kw2"
    relative.symlink_to("bin/kw")
    assert world.launch("x", cwd=tmp_path, path=link)[1] == f"ran in {tmp_path}: x\n"
    assert world.launch("x", cwd=tmp_path, path=relative)[1] == f"ran in {tmp_path}: x\n"
    assert world.calls() == ["venv", "pip CLONE"]


def test_two_at_once_make_it_once(world: World) -> None:
    world.set("slow", "1")
    both = [world.start("demo"), world.start("demo")]
    ends = [child.communicate(timeout=30) for child in both]
    assert [child.returncode for child in both] == [5, 5]
    assert sum("waiting for it" in err for _, err in ends) == 1
    assert world.calls() == ["venv", "pip CLONE"]


def test_a_failed_install_says_why_and_is_tried_again(world: World) -> None:
    world.set("fails", "ERROR: no matching distribution\n")
    code, out, err = world.launch("demo")
    assert (code, out) == (3, "")
    assert "    ERROR: no matching distribution\n" in err
    assert "error: installing korthweb's packages failed" in err
    assert err.splitlines()[-1].startswith("Next: ")
    world.unset("fails")
    assert world.launch("demo")[0] == 5


def test_what_worked_before_is_kept_when_the_new_one_fails(world: World) -> None:
    world.launch("demo")
    (world.clone / "pyproject.toml").write_text("two", encoding="utf-8")
    world.set("fails", "OSError: [Errno 28] No space left on device\n")
    code, _, err = world.launch("demo")
    assert code == 12
    assert "no space left" in err
    (world.clone / "pyproject.toml").write_text("one", encoding="utf-8")
    world.calls()
    assert world.launch("demo")[0] == 5
    assert world.calls() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_the_next_launch_is_whole(world: World, number: int) -> None:
    world.set("slow", "1")
    child = world.start("demo")
    while not (world.folder / "calls").exists():
        time.sleep(0.02)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert child.returncode == 130
        assert err.endswith("korthweb: interrupted\n")
        assert not (world.clone / ".venv").exists()
    world.set("slow", "0")
    assert world.launch("demo")[0] == 5


def test_no_python_that_is_new_enough(world: World) -> None:
    world.set("too-old")
    code, _, err = world.launch("demo")
    assert code == 3
    assert "error: no Python 3.10 or newer was found" in err
    assert not (world.clone / ".venv").exists()


def test_a_python_without_ensurepip(world: World) -> None:
    world.set("no-ensurepip")
    code, _, err = world.launch("demo")
    assert code == 3
    assert f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in err


@pytest.mark.parametrize(("user", "code"), [("0", 5), ("1000", 3)])
def test_root_gets_the_missing_package_by_apt(world: World, user: str, code: int) -> None:
    world.set("no-ensurepip")
    world.program("id", f"echo {user}")
    world.program("apt-get", f'echo "apt $*" >>{world.folder}/calls; rm {world.folder}/no-ensurepip')
    assert world.launch("demo")[0] == code
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    installed = [f"apt install -y --no-install-recommends {package}", "venv", "pip CLONE"]
    assert world.calls() == (installed if user == "0" else [])


def test_an_environment_of_somebody_else_is_left_alone(world: World) -> None:
    (world.clone / ".venv").mkdir()
    (world.clone / ".venv" / "mine").touch()
    code, _, err = world.launch("demo")
    assert code == 3
    assert "not made by this launcher" in err
    assert (world.clone / ".venv" / "mine").exists()


def test_it_is_plain_sh() -> None:
    launcher = Path(__file__).parents[2] / "korthweb"
    subprocess.run(["sh", "-n", launcher], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, launcher, launcher.parent / ".ci" / "run"], check=True)
