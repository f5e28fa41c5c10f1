"""What ``korthweb`` says to words it does not know, and how errors leave it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import invoke
import pytest

from korthweb_tasks import errors
from korthweb_tasks.collections.errors_out import ends_clearly
from korthweb_tasks.core import hints
from korthweb_tasks.main import Korthweb


class Stop(BaseException):
    """Something that nobody may swallow."""


RAISES: dict[str, BaseException] = {
    "ours": errors.NotReady("orthanc is not ready", hint="korthweb manual.status", details="line one\nline two"),
    "fault": RuntimeError("boo"),
    "interrupt": KeyboardInterrupt(),
    "full": OSError(28, "No space left on device", "/var/x"),
    "exit": invoke.Exit("as it is", 44),
    "pipe": BrokenPipeError(),
    "stop": Stop(),
}


@invoke.task
def demo(c: invoke.Context) -> None:
    """Show everything."""
    print("demo", c.config.run.dry)


@invoke.task(positional=[])
def up(c: invoke.Context, name: str = "lab", timeout: int = 5, fail: str = "") -> None:
    """Bring a lab up.

    Example: korthweb lab.up
    """
    with ends_clearly():
        if fail:
            raise RAISES[fail]
    print("up", name, timeout)


@invoke.task
def logs(c: invoke.Context, component: str) -> None:
    """Show a log."""
    raise RuntimeError(component)  # outside of ends_clearly: the program's own net


@pytest.fixture
def program() -> Korthweb:
    lab = invoke.Collection("lab", up, logs)
    lab.__doc__ = "A real Kubernetes on this machine."
    return Korthweb(name="korthweb", binary="korthweb", namespace=invoke.Collection(demo, lab))


def run(program: Korthweb, *words: str) -> int:
    try:
        program.run(["korthweb", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["lab.upp"], "no task lab.upp (did you mean lab.up?)", "korthweb --list"),
        (["up"], "no task up (did you mean lab.up?)", "korthweb --list"),
        (["demoo"], "no task demoo (did you mean demo?)", "korthweb --list"),
        (["xyzzy"], "no task xyzzy", "korthweb --list"),
        (["lab"], "lab is a group of tasks: lab.up lab.logs", "korthweb --list lab"),
        (["lab.up", "--nmae", "x"], "no flag --nmae for lab.up (did you mean --name?)", "korthweb --help lab.up"),
        (["lab.up", "--nmae=x"], "no flag --nmae for lab.up (did you mean --name?)", "korthweb --help lab.up"),
        (["--lits"], "no flag --lits (did you mean --list?)", "korthweb --list"),
        (["lab.up", "--name"], "--name needs a value", "korthweb --help lab.up"),
        (["lab.up", "--timeout", "x"], "a number is wanted instead of 'x'", None),
        (["lab.up", "--timeout=x"], "a number is wanted instead of 'x'", None),
        (["lab.logs"], "lab.logs needs component", "korthweb --help lab.logs"),
        (["--help", "demoo"], "no task demoo (did you mean demo?)", "korthweb --list"),
        (["--list", "labb"], "no group of tasks labb (did you mean lab?)", "korthweb --list"),
        (["--print-completion-script", "csh"], 'Completion for shell "csh" not supported', None),
    ],
)
def test_a_wrong_word_is_one_clear_line(
    program: Korthweb, capsys: pytest.CaptureFixture[str], words: list[str], says: str, hint: str | None
) -> None:
    assert run(program, *words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"error: {says}")
    assert len(lines) == 2
    assert lines[1].startswith("Next: ")
    assert hint is None or lines[1] == f"Next: {hint}"


def test_right_words_run(program: Korthweb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(program, "lab.up", "--name", "two", "--timeout=7", "demo", "--dry") == 0
    assert capsys.readouterr().out.splitlines() == ["up two 7", "demo True"]


def test_an_error_is_its_line_its_details_and_what_is_next(
    program: Korthweb, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program, "lab.up", "--fail=ours") == 7
    said = capsys.readouterr().err
    assert said == "error: orthanc is not ready\n    line one\n    line two\nNext: korthweb manual.status\n"


@pytest.mark.parametrize(
    ("fail", "code", "says"),
    [
        ("interrupt", 130, "interrupted\n"),
        ("full", 12, "error: no space left on the device at /var/x\n"),
        ("exit", 44, "as it is\n"),
        ("pipe", 141, ""),
    ],
)
def test_other_ends(program: Korthweb, capsys: pytest.CaptureFixture[str], fail: str, code: int, says: str) -> None:
    assert run(program, "lab.up", f"--fail={fail}") == code
    assert capsys.readouterr().err.startswith(says)


@pytest.mark.parametrize("words", [["lab.up", "--fail=fault"], ["lab.logs", "boo"]])
def test_a_fault_keeps_its_traceback_in_a_private_file(
    program: Korthweb, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(program, *words) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: this is a fault of korthweb: RuntimeError: boo\n")
    assert "Traceback" not in said
    (kept,) = Path(".korthweb/faults").iterdir()
    assert str(kept) in said
    assert "RuntimeError: boo" in kept.read_text(encoding="utf-8")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_fault_where_nothing_can_be_written(program: Korthweb, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".korthweb").write_text("in the way", encoding="utf-8")
    assert run(program, "lab.up", "--fail=fault") == 1
    assert "KORTHWEB_DEBUG=1" in capsys.readouterr().err


def test_debugging_shows_the_traceback(program: Korthweb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boo"):
        run(program, "lab.up", "--fail=fault")


@pytest.mark.parametrize(
    ("launcher", "argv", "shown"),
    [
        ("/x/my tools/korthweb", "/x/.venv/bin/korthweb", "'/x/my tools/korthweb' context.use NAME"),
        ("HERE/korthweb", "/x/.venv/bin/korthweb", "./korthweb context.use NAME"),
        ("", "/usr/bin/inv", "inv context.use NAME"),
        ("", "/usr/bin/korthweb", "korthweb context.use NAME"),
    ],
)
def test_a_hint_names_the_program_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, launcher: str, argv: str, shown: str
) -> None:
    monkeypatch.setenv("KORTHWEB_LAUNCHER", launcher.replace("HERE", str(Path.cwd())))
    monkeypatch.setattr("sys.argv", [argv])
    assert hints.task("context.use", "NAME") == shown


def test_what_is_no_exception_passes(program: Korthweb) -> None:
    with pytest.raises(Stop):
        run(program, "lab.up", "--fail=stop")


def test_inv_renders_errors_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    plain = invoke.Program(namespace=invoke.Collection(up))
    with pytest.raises(SystemExit) as end:
        plain.run(["inv", "up", "--fail=ours"])
    assert end.value.code == 7
    assert capsys.readouterr().err.endswith("    line two\nNext: korthweb manual.status\n")


def test_the_list_has_a_heading_for_each_group(program: Korthweb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(program, "--list") == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line]
    assert lines[1:] == [
        "  demo      Show everything.",
        "lab: A real Kubernetes on this machine.",
        "  lab.up    Bring a lab up.",
        "  lab.logs  Show a log.",
    ]


def test_lists_of_one_group_and_other_formats_are_invokes_own(
    program: Korthweb, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program, "--list", "lab") == 0
    assert ".up" in capsys.readouterr().out
    assert run(program, "--list", "--list-format=json") == 0
    assert capsys.readouterr().out.startswith("{")


@pytest.mark.parametrize("name", ["korthweb", "./korthweb"])
def test_completion(program: Korthweb, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(program, "--complete", "--", name, "lab.") == 0
    assert capsys.readouterr().out.split() == ["demo", "lab.logs", "lab.up"]
    assert run(program, "--complete", "--", name, "lab.up", "--") == 0
    assert {"--name", "--timeout", "--fail"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_calls_the_launcher(
    program: Korthweb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("KORTHWEB_LAUNCHER", "/opt/my clone/korthweb")
    assert run(program, "--print-completion-script", shell) == 0
    said = capsys.readouterr().out
    assert "'/opt/my clone/korthweb' " in said
    assert "korthweb --complete" not in said.replace("clone/korthweb' --complete", "")


def test_bash_completes_tasks_of_a_group_and_their_flags(tmp_path: Path, repository: Path) -> None:
    """The real namespace, in a real bash, through a launcher whose path has a space."""
    launcher = tmp_path / "my korthweb"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m korthweb_tasks.main "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    script = """
        source <("$KORTHWEB_LAUNCHER" --print-completion-script bash)
        complete -p ./korthweb korthweb
        COMP_WORDS=(./korthweb tools.); _complete_korthweb ./korthweb tools.; echo "${COMPREPLY[@]}"
        COMP_WORDS=(korthweb tools.list --); _complete_korthweb korthweb --; echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "KORTHWEB_LAUNCHER": str(launcher), "PYTHONPATH": str(repository)}
    words = ["bash", "-c", script]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].endswith("_complete_korthweb ./korthweb")
    assert said[2] == "tools.install tools.list"
    assert "--output" in said[3].split()
