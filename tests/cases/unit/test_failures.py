"""What a machine reads of a failure (U15): one document on stdout, whatever failed, and the files of --report."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import invoke
import pytest

from korthweb_tasks.collections import assemble
from korthweb_tasks.collections.flags import task
from korthweb_tasks.errors import NotReady, VerifyFailed
from korthweb_tasks.main import program
from korthweb_tasks.report.formats import write
from korthweb_tasks.report.model import Report, RungRecord
from korthweb_tasks.run.answer import publish
from korthweb_tasks.services.session import Session
from tests.cases.unit.test_which_cluster import kubeconfig

FIELDS = {"task", "code", "message", "details", "next", "outcome"}


@lru_cache
def tasks() -> dict[str, Any]:
    root: Any = assemble()
    return {name: root[name] for name in root.task_names}


def with_flag(flag: str) -> list[str]:
    return [name for name, task in tasks().items() if flag in task.words.parameters]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config")))
    Path("korthweb.yaml").write_text("context: x\n")


def typed(name: str, *words: str) -> list[str]:
    """Return what is typed for a task, with a word for each that it must have."""
    given = "kubectl" if name == "tools.install" else "x"
    needed = [f"--{word}={given}" for word, p in tasks()[name].words.parameters.items() if p.default is p.empty]
    return ["korthweb", name, *needed, *words]


def run(*argv: str) -> int:
    try:
        program.run(list(argv))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def checked(out: str, name: str, code: int) -> dict[str, Any]:
    """Return the one document that ``out`` is, which tells of the failure of a task."""
    told: dict[str, Any] = json.loads(out)
    assert set(told) >= FIELDS
    assert (told["task"], told["code"]) == (name, code)
    assert told["message"]
    assert told["outcome"] == ("interrupted" if code == 130 else "failed")
    return told


OUTPUTS = with_flag("output")
VERIFIES = [name for name in OUTPUTS if name.startswith("verify.")]
NO_SETTINGS = ("test", "config.init", "config.keys", "config.schema", "lab.prune")
#: those that speak to a cluster: the others work without one
CONTEXTS = [name for name in OUTPUTS if tasks()[name].cluster and name != "manual.render"]
#: those that first refuse what the settings of GitOps lack
EARLIER = ("gitops.bootstrap", "gitops.deploy", "gitops.configure")


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name not in NO_SETTINGS])
def test_U15_broken_settings_are_a_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: of every task that reads them."""
    Path("broken.yaml").write_text("tenants: [{name: BHC}\n")
    assert run(*typed(name, "--output", "json", "--settings", "broken.yaml")) == 2
    checked(capsys.readouterr().out, name, 2)


@pytest.mark.parametrize("name", OUTPUTS)
def test_U15_a_settings_file_that_is_not_there_is_a_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: the first thing that can go wrong in every task."""
    assert run(*typed(name, "--output=json", "--settings", "nope.yaml")) == 2
    assert "nope.yaml" in checked(capsys.readouterr().out, name, 2)["message"]


@pytest.mark.parametrize("name", CONTEXTS)
def test_U15_an_unknown_context_is_a_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: where no cluster can be asked."""
    more = {"verify.isolation": ["--approach", "gitops"], "helm.rollback": ["--tenant", "BHC"]}.get(name, [])
    Path("korthweb.yaml").write_text("gitops: {url: ssh://git@git.example.org/fleet.git}\n")
    assert run(*typed(name, "--output", "json", "--context", "nope", *more)) == 2
    message = checked(capsys.readouterr().out, name, 2)["message"]
    assert "nope" in message or name in EARLIER


@pytest.mark.parametrize("name", OUTPUTS)
def test_U15_a_wrong_word_after_the_task_is_a_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: found before the task runs, but after it is known."""
    assert run(*typed(name, "--output", "json", "--no-such-flag")) == 2
    assert "--no-such-flag" in checked(capsys.readouterr().out, name, 2)["message"]


@pytest.mark.parametrize("name", VERIFIES)
@pytest.mark.parametrize("words", [("--context", "nope"), ("--settings", "nope.yaml"), ("--no-such-flag",)])
def test_U15_junit_and_the_report_have_a_failed_case(
    name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """U15: CI systems show it; --report gets its files, too."""
    assert run(*typed(name, "--output", "junit", "--report", "out", *words)) == 2
    printed, written = capsys.readouterr().out, Path("out/junit.xml").read_text()
    for text in (printed, written):
        (case,) = ElementTree.fromstring(text).iter("testcase")
        failure = case.find("failure")
        assert case.get("name") == name
        assert failure is not None
        assert "exit code 2" in str(failure.get("message"))
    assert checked(Path("out/report.json").read_text(), name, 2)["schema"]
    assert "exit code 2" in Path("out/report.html").read_text().lower()


def test_U15_a_report_folder_that_is_wrong_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """U15: and nothing is written over it."""
    Path("out").write_text("a file")
    assert run("korthweb", "verify.all", "--report", "out", "--context", "nope", "--output", "json") == 2
    assert "/out can't be used" in checked(capsys.readouterr().out, "verify.all", 2)["message"]
    assert Path("out").read_text() == "a file"


ENDS: dict[str, tuple[BaseException, int]] = {
    "ours": (NotReady("it is not ready", hint="look", details="why"), 7),
    "interrupted": (KeyboardInterrupt(), 130),
    "a fault": (RuntimeError("unforeseen"), 1),
    "a full disk": (OSError(28, "No space left on device", "/var/x"), 12),
    "a file": (PermissionError(13, "Permission denied", "/root/x"), 2),
}


@task(example="inv x.ends", cluster=False, changes=False)
def ends(session: Session, how: str, before: bool = False) -> None:
    """End as it is told to."""
    if before:
        session.emit({"rows": [1]}, "a row")
    raise ENDS[how][0]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("before", [False, True])
def test_U15_every_kind_of_end_is_a_document(how: str, before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: Ctrl-C and a fault of the program, too; what was seen before is in the same document."""
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each its own
        ends(invoke.Context(), how, before=before, output="json")
    told = checked(capsys.readouterr().out, "ends", ENDS[how][1])
    assert told.get("rows") == ([1] if before else None)
    assert how != "ours" or (told["details"], told["next"]) == ("why", "look")


@task(example="inv x.verifies", cluster=False, changes=False)
def verifies(session: Session, output: str = "text", report: str = "") -> None:
    """Verify, write the report, and end with its broken rung, as verify.* and demo do."""
    rung = RungRecord(tenant="BHC", name="echo", title="C-ECHO", status="broken", detail="no answer")
    seen = Report(title="Verification", context="x", started="2026-11-27T18:00:00+00:00", rungs=(rung,))
    write(seen, Path(report))
    publish(seen, output)
    raise VerifyFailed("the rung is broken")


@pytest.mark.parametrize("form", ["text", "json", "junit"])
def test_U15_a_failure_does_not_take_the_place_of_what_was_seen(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: the report that was written stays, and the one that is printed has both."""
    with pytest.raises(VerifyFailed):
        verifies(invoke.Context(), output=form, report="out")
    out = capsys.readouterr().out
    for text in (Path("out/junit.xml").read_text(), *([out] if form == "junit" else [])):
        (case,) = ElementTree.fromstring(text).iter("testcase")
        assert case.get("name") == "C-ECHO"
    assert json.loads(Path("out/report.json").read_text())["rungs"]
    assert form != "json" or checked(out, "verifies", 8)["rungs"]
    assert form != "text" or out == ""


@pytest.mark.parametrize("name", VERIFIES)
@pytest.mark.parametrize("form", ["json", "junit"])
def test_U15_a_preview_is_a_document_too(name: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U15: nothing but it is on stdout."""
    more = ["--approach", "gitops"] if name == "verify.isolation" else []
    assert run("korthweb", "--dry", *typed(name, "--output", form, *more)[1:]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["outcome"] == "planned" if form == "json" else ElementTree.fromstring(out) is not None


def test_U15_text_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    """U15: without --output nothing is added to stdout."""
    with pytest.raises(NotReady):
        ends(invoke.Context(), "ours", before=True)
    assert capsys.readouterr().out == "a row\n"
