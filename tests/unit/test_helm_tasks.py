"""What the tasks of the Helm approach ask for, and what they leave alone: ``--dry``, labs, servers that are silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import invoke
import pytest

from korthweb_tasks import paths
from korthweb_tasks.approaches.helm.plan import ChartAt
from korthweb_tasks.collections import helm
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.lab import addons
from korthweb_tasks.lab.addons import InstalledAddon
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.guard import Identity
from korthweb_tasks.services import chart
from korthweb_tasks.services.connection import Connection
from korthweb_tasks.services.helm import server_finding
from korthweb_tasks.services.session import Session
from tests.fakes import NO_COMPONENTS, Answer, ScriptedRunner

SILENT = Answer(stderr="Error: Kubernetes cluster unreachable: dial tcp 198.18.0.9:6443: connection refused", code=1)
NONE = Answer(stderr="Error: release: not found", code=1)
FORBIDDEN = Answer(stderr='Error: query: failed: secrets is forbidden: User "x" cannot list resource', code=1)
COMMON: dict[str, Any] = {"output": "text"}
LOOKING = {"context": "hospital", **COMMON}
CHANGING = {**LOOKING, "dry_run": False}
LAB = {"context": "korthweb-x", **COMMON}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a hospital and a lab by their kubeconfig, and a project with one tenant."""
    own = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(own))
    for name, file in (("hospital", own), ("korthweb-x", paths.lab_dir("x") / "kubeconfig")):
        about = {"cluster": name, "user": name}
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "contexts": [{"name": name, "context": about}],
            "clusters": [{"name": name, "cluster": {"server": "https://198.18.0.9:6443"}}],
            "users": [{"name": name, "user": {}}],
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(made))
    Path("korthweb.yaml").write_text("approach: helm\ntenants: [{name: BHC, domain: bhc.orthweb.com}]\n")


def scripted(monkeypatch: pytest.MonkeyPatch, script: dict[tuple[str, ...], Any]) -> ScriptedRunner:
    """Let every session use this runner, in a cluster that was met already."""
    runner = ScriptedRunner(script)
    used(monkeypatch, runner)
    return runner


def used(monkeypatch: pytest.MonkeyPatch, runner: ScriptedRunner) -> None:
    """Let every session use this runner, in a cluster that was met already."""
    shared = Connection(runner, Console(quiet=True), identity=Identity("https://198.18.0.9:6443", "1"))  # type: ignore[arg-type]
    monkeypatch.setattr(Session, "connection", shared)


def context(*, dry: bool = False) -> invoke.Context:
    return invoke.Context(invoke.Config(overrides={"run": {"dry": dry}}))


@pytest.mark.parametrize(("answer", "code"), [(SILENT, 4), (FORBIDDEN, 7)])
def test_what_can_not_be_known_is_not_taken_for_absent(
    answer: Answer, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, {("helm", "history"): answer, ("helm", "manifest"): answer})
    monkeypatch.setattr(chart, "chart_at", lambda *_, **__: ChartAt("/chart", "0.1.0"))
    for task in (helm.history, helm.diff):
        with pytest.raises(KorthwebError) as raised:
            task(context(), **LOOKING)
        assert raised.value.exit_code == code


def test_a_release_that_is_not_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(monkeypatch, {("helm", "history"): NONE, ("helm", "manifest"): NONE})
    monkeypatch.setattr(chart, "chart_at", lambda *_, **__: ChartAt("/chart", "0.1.0"))
    helm.history(context(), **{**LOOKING, "output": "json"})
    assert json.loads(capsys.readouterr().out) == []
    with pytest.raises(KorthwebError) as raised:
        helm.diff(context(), **LOOKING)
    assert raised.value.exit_code == 9
    assert "would be installed" in capsys.readouterr().out


@pytest.mark.parametrize(("dry", "flag"), [(True, False), (False, True)])
def test_nothing_is_done_where_nothing_may_change(
    dry: bool, flag: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = scripted(monkeypatch, {})
    words = {**CHANGING, "dry_run": flag}
    helm.test(context(dry=dry), **words)
    helm.package(context(dry=dry), out="dist", push="oci://r/charts", plain=False, **words)
    helm.dependencies(context(dry=dry), **words)
    said = capsys.readouterr().out
    assert "would run the test of the release orthanc in bhc-orthweb" in said
    assert "dist/orthanc-0.1.0.tgz and push it to oci://r/charts" in said
    assert "would bring traefik" in said
    assert runner.calls == []
    assert not Path("dist").exists()


def test_the_test_waits_for_nobody_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def tested(command: Command) -> Answer:
        order.append("test")
        return Answer("NAME: orthanc\nPOD LOGS: orthanc-test\nC-ECHO: BHC answers\n")

    scripted(monkeypatch, {("helm", "test"): tested, ("kubectl", "delete"): Answer()})
    monkeypatch.setattr(Session, "lock", lambda _: order.append("lock"))
    helm.test(context(), **CHANGING)
    assert order == ["lock", "test"]
    assert capsys.readouterr().out == "BHC: C-ECHO: BHC answers\n"


def test_a_production_cluster_is_asked_about_before_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("korthweb.yaml").open("a") as file:
        file.write("clusters: {live: {context: hospital, production: true}}\n")
    runner = scripted(monkeypatch, {})
    with pytest.raises(KorthwebError) as raised:
        helm.test(context(), **{**CHANGING, "context": "live"})
    assert raised.value.exit_code == 5
    assert runner.calls == []


def test_who_looks_only_does_not_build_for_a_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: dict[tuple[str, ...], Any] = {
        ("get", name): Answer() for name in ("namespace/bhc-orthweb", "secret/orthanc-users")
    }
    scripted(monkeypatch, {**NO_COMPONENTS, **nothing})
    monkeypatch.setattr(addons, "install", lambda *_, **__: pytest.fail("brought"))
    dry = {**LAB, "dry_run": True, "yes": False}
    for task, words in ((helm.lint, LAB), (helm.template, LAB), (helm.diff, LAB), (helm.deploy, dry)):
        with pytest.raises(KorthwebError) as raised:
            task(context(), **words)
        assert raised.value.exit_code == 2
        assert "lab.up --name x --with traefik" in str(raised.value)


def test_a_check_notes_that_a_lab_will_be_given_its_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, {})
    (found,) = chart.finding(Session.open(context(), context="korthweb-x"))
    assert (found.verdict, "helm.deploy brings it" in found.text) == ("note", True)


def test_a_lab_is_given_the_chart_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("korthweb.yaml").open("a") as file:
        file.write("charts: {traefik: {version: 41.9.9}}\nlab: {keep_build_caches: true}\n")
    runner = scripted(monkeypatch, {})
    asked: list[Any] = []

    def there(lab: str, chart: str, version: str) -> tuple[str, Path] | None:
        asked.append((lab, chart, version))
        return ("oci://198.18.0.9:5000/charts/traefik", Path("/ca")) if len(asked) > 1 else None

    def bring(lab: str, extra: str, console: Console, **words: Any) -> InstalledAddon:
        asked.append((lab, extra, words))
        return InstalledAddon(extra, "oci://198.18.0.9:5000/charts/traefik", words["versions"]["traefik"], "/ca", True)

    def run(self: ScriptedRunner, command: Command) -> Result:
        assert "41.9.9" in command.argv
        return Result(command, 0, "", "", 0.0)

    monkeypatch.setattr(addons, "chart_source", there)
    monkeypatch.setattr(addons, "install", bring)
    monkeypatch.setattr(ScriptedRunner, "run", run)
    helm.dependencies(context(), dry_run=False, **LAB)
    assert asked[0] == ("x", "traefik", "41.9.9")
    given = asked[1][2]
    assert asked[1][:2] == ("x", "traefik")
    assert given == {"versions": given["versions"], "runner": runner, "keep_build_caches": True}


@pytest.mark.parametrize(
    ("version", "verdict"), [("v1.34.2", "broken"), ("v1.35.0", "ok"), ("v1.37.9-eks", "ok"), ("v1.38.0", "note")]
)
def test_the_server_is_measured_by_the_one_table_of_pins(
    version: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(json.dumps({"serverVersion": {"gitVersion": version}}))
    scripted(monkeypatch, {("kubectl", "version"): answer})
    session = Session.open(context(), context="hospital")
    assert server_finding(session).verdict == verdict
