"""A row of tasks ends with the first failure's code, and says which were not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import invoke
import pytest
import yaml

from korthweb_tasks import Executor, errors
from korthweb_tasks.collections.flags import task
from korthweb_tasks.main import Korthweb
from korthweb_tasks.main import program as installed
from korthweb_tasks.services.session import Session

TASKS = """
from invoke import Collection, call, task
from korthweb_tasks import manual, verify

@task(pre=[call(manual.check, context="gone")], post=[verify.dicom])
def mine(c):
    print("never")

ns = Collection(mine)
ns.add_collection(manual)
ns.add_collection(verify)
"""
LINE = "tasks: {executor_class: korthweb_tasks.Executor}\n"


@task(example="inv x.ours", cluster=False, changes=False, positional=("kind",))
def ours(session: Session, kind: str) -> None:
    """End as it is told."""
    raise {"step": errors.StepFailed("it broke"), "interrupt": KeyboardInterrupt(), "fault": RuntimeError("boo")}[kind]


@invoke.task
def theirs(c: invoke.Context, kind: str) -> None:
    """End as it is told."""
    if kind == "command":
        c.run("exit 3", hide=True, in_stream=False)
    raise invoke.Exit("enough", 4)


@invoke.task
def fine(c: invoke.Context, word: str = "") -> None:
    """Do nothing."""
    print("fine", word)


@invoke.task(pre=[fine], post=[invoke.call(fine, word="last")])
def around(c: invoke.Context) -> None:
    """Do nothing, with something before and after."""
    print("around")


def tree() -> invoke.Collection:
    return invoke.Collection(ours, theirs, fine, around, invoke.Collection("inner", fine, ours))


def run(*words: str, program: type[invoke.Program] = Korthweb) -> int:
    made = program(namespace=tree(), name="korthweb", binary="korthweb", executor_class=Executor)
    with pytest.raises(SystemExit) as end:
        made.run(["inv", *words])
    return int(end.value.code or 0)


@pytest.mark.parametrize("program", [invoke.Program, Korthweb])
@pytest.mark.parametrize(
    ("first", "code"),
    [
        (["ours", "step"], 7),
        (["ours", "interrupt"], 130),
        (["ours", "fault"], 1),
        (["theirs", "command"], 3),
        (["theirs", "exit"], 4),
    ],
    ids=lambda given: str(given[-1]) if isinstance(given, list) else "",
)
def test_the_first_failures_code_ends_the_row_and_what_was_not_run_is_said(
    first: list[str], code: int, program: type[invoke.Program], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fine", *first, "around", "ours", "later", "fine", "--word", "x", program=program) == code
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "fine "
    assert "around" not in out
    assert "not run: fine, around, ours" in err.splitlines()
    assert "Traceback" not in err


@pytest.mark.parametrize("dedupe", [True, False])
def test_what_was_run_is_not_among_them(dedupe: bool, capsys: pytest.CaptureFixture[str]) -> None:
    config = invoke.Config(overrides={"tasks": {"dedupe": dedupe}})
    with pytest.raises(errors.StepFailed):
        Executor(tree(), config).execute("around", ("inner.ours", {"kind": "step"}), "inner.fine", "around")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["fine ", "around", "fine last"]
    assert err == ("" if dedupe else "not run: inner.fine, fine, around\n")


def test_a_row_that_ends_well_or_fails_last_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fine", "ours", "step") == 7
    assert "not run" not in capsys.readouterr().err


def test_plain_inv_in_a_folder_of_ones_own(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(repository)}
    for line, says in (("", ""), (LINE, "not run: mine, verify.dicom, verify.certificates\n")):
        (tmp_path / "invoke.yaml").write_text(line)
        command = [sys.executable, "-m", "invoke", "mine", "verify.certificates"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"{says}error: no cluster or context 'gone'")


def test_plain_inv_in_the_checkout_has_it_too(repository: Path) -> None:
    assert yaml.safe_load((repository / "invoke.yaml").read_text()) == yaml.safe_load(LINE)
    assert installed.executor_class is Executor
