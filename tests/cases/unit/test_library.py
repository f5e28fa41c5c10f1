"""The library's surface: `from korthweb_tasks import manual, verify` for a tasks.py of one's own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import invoke
import pytest
import yaml

import korthweb_tasks
from korthweb_tasks.collections.flags import Task
from tests.own_site import Site, entered

PAGE = (Path(__file__).parents[3] / "docs" / "library.md").read_text(encoding="utf-8")

GROUPS = ("manual", "helm", "gitops", "verify", "lab", "ci", "cli", "context", "config", "tools")


def blocks(kind: str) -> list[str]:
    """Return the examples of docs/library.md."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


TYPED = [line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line]

TASKS = """
from invoke import Collection, call, task
from korthweb_tasks import errors, manual, verify

@task
def mine(c):
    try:
        manual.check(c, context="no-such-cluster")
    except errors.SettingsError as error:
        print("caught", error.message)

@task(pre=[call(manual.check, context="no-such-cluster")], post=[verify.dicom])
def chained(c):
    print("never")

ns = Collection(mine, chained)
ns.add_collection(manual)
ns.add_collection(verify)
"""


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_a_collection_and_its_tasks_are_attributes(name: str) -> None:
    __import__("korthweb_tasks.lab.cluster")
    __import__("korthweb_tasks.verify.ladder")  # rooms of the same name do not take the place of the tasks
    group = getattr(korthweb_tasks, name)
    root = invoke.Collection()
    root.add_collection(group)
    assert all(task.startswith(f"{name}.") for task in root.task_names)
    assert len(root.task_names) >= 1
    assert any(isinstance(value, Task) for value in vars(group).values())


def test_what_is_exported_is_there_and_nothing_else() -> None:
    assert all(getattr(korthweb_tasks, name) for name in korthweb_tasks.__all__)
    with pytest.raises(AttributeError):
        korthweb_tasks.nothing  # noqa: B018
    assert (Path(korthweb_tasks.__file__).parent / "py.typed").is_file()


def test_a_users_tasks_file_under_plain_inv(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")

    def inv(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "invoke", *words]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(repository)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    listed = inv("--list").stdout
    assert "manual.install-istio" in listed
    assert "verify.dicom" in listed
    assert inv("mine").stdout == "caught no cluster or context 'no-such-cluster'\n"
    ended = inv("chained")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: no cluster or context 'no-such-cluster'\n")
    assert "Traceback" not in ended.stderr


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return entered(tmp_path, monkeypatch)


def module_of(text: str) -> invoke.Collection:
    """Return what `inv` makes of a tasks.py."""
    module = ModuleType("tasks")
    exec(compile(text, "tasks.py", "exec"), module.__dict__)
    made: invoke.Collection = invoke.Collection.from_module(module)
    return made


def run(tasks: invoke.Collection, *words: str) -> int:
    try:
        invoke.Program(namespace=tasks, name="inv", binary="inv").run(["inv", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("text", blocks("python"), ids=lambda text: re.findall(r"^def (\w+)", text, re.MULTILINE)[-1])
def test_each_tasks_file_of_the_page_does_what_it_says(
    text: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = module_of(text)
    own = [name for name in tasks.task_names if "." not in name]
    assert own
    for name in own:
        assert run(tasks, "--dry", name) == 0, capsys.readouterr()
    changing = {"apply", "create", "delete", "install", "patch", "uninstall", "upgrade"}
    assert not [call for call in site.calls() if changing & set(call)]


def test_what_the_page_says_of_the_wrapped_programs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = module_of(blocks("python")[2])
    assert run(tasks, "look") == run(tasks, "restart") == 0
    assert capsys.readouterr().out == "[]\nthe same\n\n"
    assert [call[3:] for call in site.calls()] == [
        ["get", "pods", "--namespace=bhc-orthweb", "--output=json"],
        ["diff", "--filename=-"],
        ["list", "--all-namespaces", "--output=json"],
        ["rollout", "restart", "deployment/orthanc", "--namespace=bhc-orthweb"],
        ["rollout", "status", "deployment/orthanc", "--namespace=bhc-orthweb", "--timeout=2m"],
    ]
    (site.folder / "bin" / "kubectl").write_text("#!/bin/sh\necho no >&2; exit 5\n")
    assert run(tasks, "restart") == 7


@pytest.mark.parametrize("line", TYPED)
def test_each_command_of_the_page_can_be_typed(
    line: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *words = shlex.split(line)
    tasks = module_of(blocks("python")[0])
    tasks.add_collection(korthweb_tasks.cli)
    monkeypatch.setattr("sys.argv", ["inv", "--dry", *words])
    assert program == "inv"
    assert run(tasks, "--dry", *words) == 0, capsys.readouterr()


def test_the_pages_other_examples_are_true(repository: Path) -> None:
    (line,) = blocks("yaml")
    assert yaml.safe_load(line) == yaml.safe_load((repository / "invoke.yaml").read_text())
    assert not {f"`{name}" for name in korthweb_tasks.__all__ if f"`{name}" not in PAGE}
