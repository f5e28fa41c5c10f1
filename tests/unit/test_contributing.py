"""What people develop with, and the example of a hospital's repository: each is true of this checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from korthweb_tasks.main import program
from korthweb_tasks.settings.versions import PINS
from tests.forges import CI, GitLab, Runner
from tests.unit.test_docs import refused

ROOT = Path(__file__).parents[2]
HOSPITAL = ROOT / "examples" / "hospital"


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(HOSPITAL, tmp_path / "hospital"))
    monkeypatch.chdir(folder)
    return folder


def test_the_example_is_right_and_renders(hospital: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.run(["korthweb", "config.check"], exit=False)
    assert capsys.readouterr().out.endswith("settings: fine\n")
    program.run(["korthweb", "manual.render", "rendered"], exit=False)
    names = {path.name.split("-")[1] for path in (hospital / "rendered").glob("*-namespace.yaml")}
    assert {"rad", "card"} <= names


def test_the_tasks_of_the_example_stand_beside_korthwebs(hospital: Path) -> None:
    argv = [sys.executable, "-m", "invoke"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([*argv, "--list"], env=environ, capture_output=True, text=True, check=True).stdout
    assert "  bring " in said
    assert "  manual.deploy " in said
    failed = subprocess.run([*argv, "bring"], env=environ, capture_output=True, text=True, check=False)
    assert failed.returncode == 7
    assert "no context 'admin@hospital-a' is known" in failed.stdout
    assert "not deployed: RAD, CARD" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_pipeline_of_the_example_is_one_of_the_template(hospital: Path) -> None:
    (include,) = yaml.safe_load((hospital / ".gitlab-ci.yml").read_text())["include"]
    assert (ROOT / include["file"]) == CI / "gitlab" / "template.yml"
    jobs = GitLab(Runner(hospital, hospital, ""), {}).jobs(**include["inputs"])
    assert (
        jobs["korthweb-deploy"]["environment"] in yaml.safe_load((hospital / "korthweb.yaml").read_text())["clusters"]
    )


def test_the_hooks_of_the_example_are_there(hospital: Path) -> None:
    (repository,) = yaml.safe_load((hospital / ".pre-commit-config.yaml").read_text())["repos"]
    known = {one["id"] for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert {one["id"] for one in repository["hooks"]} <= known


def test_the_page_on_support_has_every_pin() -> None:
    page = (ROOT / "docs" / "support.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and "`" in line]
    assert lines == [f"| {name} | {pin.version} | `{pin.accepted}` |" for name, pin in PINS.items()]


def test_the_projects_workflow_calls_the_command_of_the_readme() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"].values()
    runs = [
        step["run"].partition(" #")[0].removeprefix("sudo ") for job in jobs for step in job["steps"] if "run" in step
    ]
    assert "./korthweb test" in runs
    assert not [command for command in runs if refused(command)]
    assert "./korthweb test " in (ROOT / "README.md").read_text("utf-8")


def test_the_projects_hooks_call_what_the_dev_extra_installs() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert programs == {".venv/bin/ruff", ".venv/bin/mypy"}
    assert all(f'"{Path(name).name}>=' in (ROOT / "pyproject.toml").read_text() for name in programs)


def test_an_editor_breaks_lines_where_ruff_does() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(f"[top]\n{(ROOT / '.editorconfig').read_text()}")
    assert f"line-length = {parser['*.py']['max_line_length']}\n" in (ROOT / "pyproject.toml").read_text()


def test_contributing_is_one_page_whose_files_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert text.count("\n") < 60
    assert (ROOT / "tests/unit/test_settings_load.py").is_file()


@pytest.mark.parametrize("form", sorted(path.name for path in (ROOT / ".github/ISSUE_TEMPLATE").iterdir()))
def test_a_form_for_issues_can_be_read(form: str) -> None:
    body = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / form).read_text("utf-8"))
    assert {"name", "description", "body"} <= set(body)
    assert all(one["attributes"]["label"] for one in body["body"])
