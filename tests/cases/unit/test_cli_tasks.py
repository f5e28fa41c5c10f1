"""`inv cli.kubectl -- get pods`: the program itself, with the right context, and nothing else between."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.own_site import Site, site_in

PROGRAMS = {"inv": "invoke", "korthweb": "korthweb_tasks.main"}
TASKS = "from korthweb_tasks.collections import assemble\n\nnamespace = assemble()\n"
STRANGE = ["--output=jsonpath={.items[*]} x", "", "a  b", "'", '"', "$HOME", "*", "--", "--yes", "ü"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "tasks.py").write_text(TASKS)
    return site_in(tmp_path)


def words_of(site: Site, repository: Path, program: str, *words: str) -> dict[str, Any]:
    environment = {**site.environment, "PYTHONPATH": str(repository)}
    return {"args": [sys.executable, "-m", PROGRAMS[program], *words], "cwd": site.folder, "env": environment}


@pytest.fixture
def run(site: Site, repository: Path) -> Any:
    def typed(*words: str, stdin: str = "", program: str = "korthweb") -> tuple[int, str, str]:
        given = words_of(site, repository, program, *words)
        done = subprocess.run(**given, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return typed


@contextmanager
def running(site: Site, repository: Path, *words: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    given = words_of(site, repository, "korthweb", *words)
    with subprocess.Popen(**given, text=True, start_new_session=True, **streams) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_word_arrives_as_it_was_typed_and_the_end_is_the_programs_own(program: str, run: Any, site: Site) -> None:
    words = ["get", "cat", "code=17", *STRANGE]
    assert run("cli.kubectl", "--", *words, stdin="in\n", program=program) == (17, "in\n", "it broke\n")
    assert site.calls() == [["kubectl", "--context", "admin", *words]]


@pytest.mark.parametrize("name", ["kubectl", "helm"])
def test_a_dry_run_prints_the_command(name: str, run: Any, site: Site) -> None:
    flag = "--kube-context" if name == "helm" else "--context"
    given = (f"cli.{name}", "--context", "hospital-b", "--dry-run", "--", "a b")
    assert run(*given) == (0, f"{name} {flag} other 'a b'\n", "")
    assert site.calls() == []


def test_a_change_of_a_production_cluster_needs_a_yes_and_reading_does_not(run: Any, site: Site) -> None:
    real = ("cli.kubectl", "--context", "hospital-b")
    assert run(*real, "--", "get", "pods")[0] == 0
    code, _, err = run(*real, "--", "delete", "pod", "x")
    assert (code, err.splitlines()[0]) == (
        5, "error: hospital-b (https://10.0.0.2:6443) is a production cluster and nobody can be asked",
    )  # fmt: skip
    assert run(*real, "--yes", "--", "delete", "pod", "x")[0] == 0
    assert [call[3] for call in site.calls()] == ["get", "delete"]


@pytest.mark.parametrize("words", [[], ["--", "--context", "other", "get", "pods"]])
def test_words_that_are_missing_or_name_another_cluster_are_refused(words: list[str], run: Any, site: Site) -> None:
    code, out, err = run("cli.kubectl", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert site.calls() == []


def test_output_comes_as_the_program_writes_it(site: Site, repository: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running(site, repository, "cli.flux", "--", "get", "cat", **pipes) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write("first\n")
        child.stdin.flush()
        assert child.stdout.readline() == "first\n"
        child.stdin.close()
        assert child.wait(10) == 0


def test_the_terminal_is_the_programs(site: Site, repository: Path) -> None:
    ours, theirs = pty.openpty()
    with running(site, repository, "cli.kubectl", "--", "exec", "tty", stdin=theirs, stdout=theirs) as child:
        os.close(theirs)
        assert child.wait(10) == 0
        assert os.read(ours, 1000).decode().strip().startswith("/dev/pts/")
    os.close(ours)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 42), (signal.SIGTERM, 43), (signal.SIGHUP, 129)])
def test_a_signal_is_the_programs_affair(number: int, code: int, site: Site, repository: Path) -> None:
    """Ctrl-C comes to both by the terminal; what is sent to us alone is handed on."""
    with running(site, repository, "cli.kubectl", "--", "logs", "stay", stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == "waiting\n"
        (os.killpg if number == signal.SIGINT else os.kill)(child.pid, number)
        assert child.wait(10) == code
