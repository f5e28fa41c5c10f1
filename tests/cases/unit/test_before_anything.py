"""What needs no cluster asks for none (U10), and what can't be right is said before anything is done (U28, U34)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import invoke
import pytest

from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.credentials import secret
from korthweb_tasks.collections import demo, gitops, helm, manual, verify
from korthweb_tasks.errors import SettingsError, StepFailed, UsageError
from korthweb_tasks.provision import charts
from tests.cases.unit.test_which_cluster import kubeconfig
from tests.fakes import NO_COMPONENTS, Answer, EmptyCluster, ScriptedRunner, put
from tests.unit.test_helm_tasks import scripted, used

SETTINGS = """\
gitops: {url: "https://git.hospital.example/fleet.git"}
clusters: {hospital-a: {context: prod-a, tenants: [BHC]}, hospital-b: {context: prod-b}}
tenants: [{name: BHC, domain: bhc.example}, {name: MHR, domain: mhr.example}]
"""


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    Path("korthweb.yaml").write_text(SETTINGS)


@pytest.mark.parametrize("words", [{}, {"context": "hospital-a"}], ids=["no cluster", "one that no kubeconfig knows"])
def test_U10_rendering_needs_no_cluster(
    words: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U10: manual.render and what helm.* makes of the settings; red where a session asks for the cluster's address."""
    c = invoke.Context(invoke.Config())
    manual.render(c, out="manifests", **words)
    assert list(Path("manifests").glob("*.yaml"))
    helm.dependencies(c, dry_run=True, **words)
    helm.package(c, dry_run=True, **words)
    made = charts.Staged(Path("chart"), "0.1.0")
    put(monkeypatch, "korthweb_tasks.services.chart.stage", lambda *_, **__: made)
    runner = ScriptedRunner({("helm", "lint"): Answer(), ("helm", "template"): Answer("kind: ConfigMap\n")})
    put(monkeypatch, "korthweb_tasks.run.runner.Runner", lambda **_: runner)
    monkeypatch.setattr("korthweb_tasks.services.session.CONNECTIONS", {})
    helm.lint(c, **words)
    helm.template(c, tenant="BHC", **words)
    assert [call.argv[1] for call in runner.calls] == ["lint", "lint", "template"]
    assert "kind: ConfigMap" in capsys.readouterr().out


def test_U10_a_fleet_is_rendered_for_a_cluster_by_its_name() -> None:
    """U10: the folder and the tenants of a cluster that no kubeconfig knows; without a name there is nothing to do."""
    c = invoke.Context(invoke.Config())
    gitops.render(c, out="fleet", context="hospital-a")
    assert {path.name for path in Path("fleet/clusters").iterdir()} == {"hospital-a"}
    assert {path.name for path in Path("fleet/clusters/hospital-a/tenants").iterdir()} == {"bhc"}
    gitops.render(c, out="other", context="hospital-c")
    assert {path.name for path in Path("other/clusters/hospital-c/tenants").iterdir()} == {"bhc", "mhr"}
    with pytest.raises(SettingsError, match="no cluster is chosen"):
        gitops.render(c, out="none")


def test_U28_a_study_that_is_not_there_is_noticed_before_the_lab_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """U28: demo and verify, whether the folder is missing or a file."""
    put(monkeypatch, "korthweb_tasks.services.lab.ensure_up", lambda *_: pytest.fail("a lab is made"))
    c = invoke.Context(invoke.Config())
    for study in ("/nope", "korthweb.yaml"):
        for task in (demo.demo, verify.everything, verify.dicom):
            with pytest.raises(UsageError, match=f"{study} is not a folder"):
                task(c, study=study)


def history(*revisions: int) -> Answer:
    return Answer(json.dumps([{"revision": one, "status": "superseded"} for one in revisions]))


@pytest.mark.parametrize(
    ("answer", "revision", "says"),
    [
        (Answer(stderr="Error: release: not found", code=1), 0, "BHC: the release orthanc in bhc-orthweb is not there"),
        (history(1), 0, "has no revision before this one"),
        (history(3, 4), 2, "has no revision 2"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_U34_a_rollback_of_what_is_not_there_is_an_error(
    answer: Answer, revision: int, says: str, dry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U34: --dry-run says what the run itself would say."""
    Path("korthweb.yaml").write_text("tenants: [{name: BHC, domain: bhc.orthweb.com}]\n")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(Path("config").absolute())))
    runner = scripted(monkeypatch, {("helm", "history"): answer, **NO_COMPONENTS})
    put(monkeypatch, "korthweb_tasks.services.ownership.refuse_others", lambda *_: None)
    with pytest.raises(UsageError, match=says):
        helm.rollback(invoke.Context(invoke.Config()), context="x", revision=revision, dry_run=dry, yes=True)
    assert [call.argv[:2] for call in runner.calls] == [("helm", "history")]


WEAK = {"orthanc-users": ("ORTHANC_ADMIN_PASSWORD", "qwertz"), "theirs": ("ORTHANC_POSTGRES_PASSWORD", "changeme")}
BROUGHT = "charts: {orthanc: {values: {postgresql: {existingSecret: theirs}}}}\n"
#: what would change something, by approach: the first step of each is not the passwords
CHANGING = {
    "manual": (manual.deploy, manual.configure, manual.check),
    "helm": (helm.deploy, helm.check),
    "gitops": (gitops.bootstrap, gitops.deploy, gitops.configure, gitops.check),
}


@pytest.mark.parametrize(
    ("approach", "name", "more"),
    [(approach, "orthanc-users", "") for approach in CHANGING] + [("helm", "theirs", BROUGHT)],
)
def test_S25_a_weak_password_is_found_before_the_first_change(
    approach: str, name: str, more: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S25: by check and by every task that changes something, before Istio or cert-manager are installed."""
    Path("korthweb.yaml").write_text(
        f"gitops: {{url: 'https://git.example/f.git'}}\n{more}tenants: [{{name: BHC, domain: bhc.example}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(Path("config").absolute())))
    monkeypatch.setenv("KORTHWEB_SECRET_GIT_PASSWORD", "only for the settings")
    key, password = WEAK[name]
    made = secret(name, "bhc-orthweb", {key: password}, "BHC")
    runner = EmptyCluster({("get", f"secret/{name}"): _listed(made), ("get", "secret", name): _listed(made)})
    used(monkeypatch, runner)
    put(monkeypatch, "korthweb_tasks.services.shared.located", lambda *_: pytest.fail("a program is brought"))
    put(monkeypatch, "korthweb_tasks.services.shared.tool", lambda _, name: Finding(name, "ok", "1"))
    c = invoke.Context(invoke.Config())
    for task in CHANGING[approach]:
        looking = task.name == "check"
        with pytest.raises(StepFailed if looking else SettingsError) as refused:
            task(c, context="x", output="json", **({} if looking else {"yes": True}))
        said = str(refused.value) + capsys.readouterr().out
        assert f"the Secret {name} in bhc-orthweb: {key} is " in said
        assert password not in said
    changes = {"apply", "create", "install", "upgrade", "patch"}
    asking = {"can-i", "--dry-run=server"}
    assert not [call for call in runner.calls if changes & set(call.argv) and not asking & set(call.argv)]


def _listed(*objects: dict[str, Any]) -> Answer:
    return Answer(json.dumps({"items": list(objects)}))
