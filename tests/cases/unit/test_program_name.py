"""One name of the program: the one it was started by; in what lies in files, the installed one (U30)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.report import html, json, junit
from korthweb_tasks.report.model import Failure, Report
from korthweb_tasks.settings.example import env_example, yaml_example
from tests.cases.unit.test_failures import tasks

ROOT = Path(__file__).parents[3]
#: names that a command of ours may be typed with
NAMED = re.compile(
    r"(?P<program>\./korthweb|\binv(?:oke)?|\bkorthweb)(?= (?:--list|(?:--\S+ )*(?:\w[\w-]*\.[a-z]|demo\b|test\b)))"
)
ENTRY = "import sys; sys.argv[0] = {name!r}; from korthweb_tasks.main import program; program.run()"


def names(text: str) -> set[str]:
    return {found["program"] for found in NAMED.finditer(text)}


def started_as(name: str, *words: str, launcher: str = "") -> str:
    """Return all that the program prints when it is started by this name."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": "/nowhere"}
    env.pop("KORTHWEB_LAUNCHER", None)
    env |= {"KORTHWEB_LAUNCHER": launcher} if launcher else {}
    argv = [sys.executable, "-c", ENTRY.format(name=name), *words]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


WORDS = [("--help", "manual.deploy"), ("--help", "lab.logs"), ("manual.deploy",), ("manual.deploi",), ("--list",),
         ("lab.status", "--name", "nope"), ("verify.all", "--context", "nope", "--output", "junit")]  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
@pytest.mark.parametrize("name", ["korthweb", "inv", "./korthweb"])
def test_U30_the_program_is_called_as_it_was_started(
    name: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U30: in help, errors, hints and reports; Invoke's usage names its own program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    launcher = str(tmp_path / "korthweb") if name == "./korthweb" else ""
    said = started_as(name.removeprefix("./"), *words, launcher=launcher)
    assert names(said) <= {name}, said
    assert names(said) or words == ("--list",), said


@pytest.mark.parametrize("name", tasks())
def test_U30_each_example_is_of_this_program(name: str) -> None:
    """U30: none is written out under another name."""
    task = tasks()[name]
    assert names(f"{task.example} {task.usage}") == {"korthweb"} or not task.example.startswith("korthweb")
    assert not names(" ".join(task.texts.values()))


FILES = [
    path
    for folder in ("manual", "helm", "gitops")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in (".md", ".yaml", ".txt", ".tpl", ".j2", ".json", ".sh")
]
DOCS = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "library.md"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_U30_what_lies_in_files_names_the_installed_program(path: Path) -> None:
    """U30: who reads a manifest, a chart's notes or a fleet repository has no checkout."""
    assert names(path.read_text(encoding="utf-8")) <= {"korthweb"}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_U30_the_documents_name_one_program(path: Path) -> None:
    """U30: ./korthweb only where a checkout is meant; inv only for a tasks.py of one's own (library.md)."""
    assert names(path.read_text(encoding="utf-8")) <= {"korthweb", "./korthweb"}


def test_U30_what_config_init_writes_names_the_installed_program() -> None:
    """U30: korthweb.yaml and .env.example stay in the project."""
    assert names(yaml_example() + env_example()) <= {"korthweb"}


def test_U30_a_report_adds_no_name_of_its_own() -> None:
    """U30: HTML, JUnit and JSON say what the failure says."""
    failure = Failure("verify.all", 4, "no answer", "", "`inv context.list` shows more")
    steps = (StepRecord("a", "A", verdict="failed", detail="why"),)
    report = Report.of("verify.all", steps, context="x", failure=failure)
    for form in (html, junit, json):
        assert names(form.render(report)) == {"inv"}
