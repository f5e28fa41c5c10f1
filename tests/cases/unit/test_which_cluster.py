"""Which cluster, really: a context names a cluster and a user that exist (U7); --settings names the file (U6)."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import invoke
import pytest
import yaml

from korthweb_tasks import errors, gitops, helm, manual, namespace, paths, verify
from korthweb_tasks.approaches.helm.plan import ChartAt
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.flux.objects import Objects
from korthweb_tasks.services import session as sessions
from korthweb_tasks.services.session import Session
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import resolve
from tests.fakes import EmptyCluster, put
from tests.unit.test_helm_tasks import NONE as NO_RELEASE
from tests.unit.test_helm_tasks import used

TOOLS = ("kubectl", "helm", "istioctl", "flux", "sops", "age-keygen")
#: takes a cluster's settings, and asks none
NONE = ("manual.render",)
#: groups whose tasks may end before they ask the cluster: without Git there is nothing to bring
BEFORE = ("cli.", "gitops.")


def kubeconfig(
    path: Path, *, cluster: str | None = "c", user: str | None = "u", server: str = "https://x:6443"
) -> Path:
    """Write a kubeconfig whose context x names cluster c and user u."""
    body: dict[str, Any] = {
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": cluster, "cluster": {"server": server}}] if cluster else [],
        "users": [{"name": user, "user": {"token": "t"}}] if user else [],
    }
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    Path("korthweb.yaml").write_text("clusters: {hospital: {context: x}, own: {context: x, kubeconfig: config}}\n")


@pytest.mark.parametrize("word", ["x", "hospital", "own"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cluster": None}, "context x names cluster 'c', which no kubeconfig has"),
        ({"user": None}, "context x names user 'u', which no kubeconfig has"),
        ({"cluster": "other"}, "context x names cluster 'c', which no kubeconfig has"),
        ({"server": ""}, "context x names cluster 'c', which has no server"),
    ],
)
def test_U7_a_context_with_a_missing_cluster_or_user_is_refused(
    word: str, given: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """U7: whatever it is called by; kubectl itself would speak to localhost:8080, or as nobody."""
    kubeconfig(tmp_path / "config", **given)
    with pytest.raises(errors.SettingsError, match=says) as refused:
        resolve(load(), word)
    assert str(tmp_path / "config") in refused.value.details


@pytest.mark.parametrize("task", [manual.check, manual.deploy, helm.check, helm.deploy], ids=lambda task: task.name)
def test_U7_it_ends_each_approach_before_anything_is_asked(task: Any, tmp_path: Path) -> None:
    """U7: exit code 2, as for every other fault in the settings."""
    kubeconfig(tmp_path / "config", cluster=None)
    with pytest.raises(errors.SettingsError, match="which no kubeconfig has") as refused:
        task(invoke.Context(), context="hospital")
    assert refused.value.exit_code == 2


def test_U7_a_cluster_in_another_file_of_kubectls_search_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U7: kubectl merges the files of KUBECONFIG; a file that is named by its path stands alone."""
    kubeconfig(tmp_path / "config", cluster=None, user=None)
    other = kubeconfig(tmp_path / "other", server="https://y:6443")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'config'}:{other}")
    assert resolve(load(), "hospital").server == "https://y:6443"
    with pytest.raises(errors.SettingsError, match="which no kubeconfig has"):
        resolve(load(), "own")


def test_U6_a_link_that_leads_nowhere_is_no_empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U6: the file further above, or the defaults, do not take its place."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "korthweb.yaml").symlink_to(tmp_path / "gone.yaml")
    monkeypatch.chdir(inside)
    with pytest.raises(errors.SettingsError, match=r"is a link to .*gone\.yaml, which does not exist"):
        load()


def test_U6_settings_names_the_file(tmp_path: Path) -> None:
    """U6: `--settings FILE` in another folder: its tenants, its `.korthweb`; a missing one is refused."""
    other = tmp_path / "prod"
    other.mkdir()
    (other / "prod.yaml").write_text("tenants: [{name: ABC, domain: abc.example.org, aets: x}]\n")
    with pytest.raises(errors.SettingsError, match=r"prod\.yaml:1: .*aets"):
        manual.render(invoke.Context(), out="out", settings="prod/prod.yaml")
    with pytest.raises(errors.UsageError, match="there is no settings file"):
        manual.render(invoke.Context(), out="out", settings="prod/gone.yaml")
    with paths.settings_from(Path("prod/prod.yaml")):
        assert paths.work_dir() == other / ".korthweb"
    assert paths.work_dir() == tmp_path / ".korthweb"


@pytest.mark.parametrize("task", [manual.deploy, helm.deploy, gitops.check, verify.dicom], ids=lambda task: task.name)
@pytest.mark.parametrize("name", ["", "korthweb.yml.txt", "Korthweb.yaml", "korthwb.yaml"])
def test_U6_without_settings_a_cluster_that_is_no_lab_is_refused(task: Any, name: str, tmp_path: Path) -> None:
    """U6: in an empty or wrong folder, or with a misspelt name, the two example tenants are not deployed."""
    kubeconfig(tmp_path / "config")
    Path("korthweb.yaml").unlink()
    if name:
        Path(name).write_text("tenants: []\n")
    with pytest.raises(errors.SettingsError, match=r"no korthweb\.yaml here or above") as refused:
        task(invoke.Context(), context="x")
    assert refused.value.exit_code == 2
    assert name in refused.value.details
    assert not Path(".korthweb").exists()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_U6_an_empty_file_is_none(text: str, tmp_path: Path) -> None:
    """U6: a file of comments names no hospital either."""
    kubeconfig(tmp_path / "config")
    Path("korthweb.yaml").write_text(text)
    with pytest.raises(errors.SettingsError, match="says nothing"):
        manual.deploy(invoke.Context(), context="x")


def test_U6_a_headline_names_context_server_and_settings_file(tmp_path: Path) -> None:
    """U6: what is going to be changed, and by which file."""
    kubeconfig(tmp_path / "config")
    where = Session.open(invoke.Context(), context="hospital").where
    assert where == f"context x, https://x:6443, settings {tmp_path / 'korthweb.yaml'}"


#: says who asked, and that nobody may ask: final at once
REFUSES = """#!/bin/sh
echo "$0 $*" >>calls
echo 'Error from server (Forbidden): namespaces "kube-system" is forbidden' >&2
exit 1
"""


def _of_a_cluster() -> dict[str, Any]:
    root: Any = namespace()
    return {name: root[name] for name in root.task_names if getattr(root[name], "cluster", False) and name not in NONE}


@pytest.mark.parametrize("name", sorted(_of_a_cluster()))
def test_U6_each_task_names_context_server_and_settings_before_it_asks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U6: verify, isolation, status, diff, destroy, follow as well as what has a plan; said once."""
    kubeconfig(tmp_path / "config")
    with Path("korthweb.yaml").open("a") as file:
        file.write("gitops: {url: ssh://git@git.invalid/fleet.git}\n")
    script = tmp_path / "program"
    script.write_text(REFUSES)
    script.chmod(0o755)
    monkeypatch.setattr(sessions, "CONNECTIONS", {})
    put(monkeypatch, "korthweb_tasks.services.programs.Programs", lambda *_, **__: dict.fromkeys(TOOLS, str(script)))
    task = _of_a_cluster()[name]
    given = {"domain": "x.example.org", "approach": "gitops", "tenant": "BHC"}
    words = dict.fromkeys(task.positional, "x") | {w: text for w, text in given.items() if w in task.words.parameters}
    if name == "verify.isolation":  # it is between tenants
        words.pop("tenant")
    if "output" in task.words.parameters or "output" in task.flags:
        words["output"] = "json"
    with pytest.raises((errors.KorthwebError, invoke.Exit)):
        task(invoke.Context(), context="hospital", **words)
    said = f"hospital: context x, https://x:6443, settings {tmp_path / 'korthweb.yaml'}"
    asked = Path("calls").read_text() if Path("calls").exists() else ""
    assert name.startswith(BEFORE) or "kube-system" in asked
    if asked and not name.startswith("cli."):  # those say what the program says, and nothing else
        told = capsys.readouterr()
        assert told.err.count(said) == 1
        if "output" in words:  # a failure says it too
            answer = json.loads(told.out)
            assert {key: answer[key] for key in ABOUT} == ABOUT
            assert answer["settings"] == str(tmp_path / "korthweb.yaml")


ABOUT = {"context": "x", "server": "https://x:6443"}
LOOKS = [f"{approach}.{task}" for approach in ("manual", "helm", "gitops") for task in ("check", "status", "diff")]


@pytest.mark.parametrize("name", LOOKS)
def test_U6_the_json_of_what_looks_at_a_cluster_names_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U6: by the names that a report has, so that an answer that was kept says of which cluster it is."""
    kubeconfig(tmp_path / "config")
    used(monkeypatch, EmptyCluster({("helm", "manifest"): NO_RELEASE}))
    put(monkeypatch, "korthweb_tasks.services.shared.tool", lambda _, name: Finding(name, "ok", "1"))
    put(monkeypatch, "korthweb_tasks.services.chart.chart_at", lambda *_, **__: ChartAt("/chart", "0.1.0"))
    put(monkeypatch, "korthweb_tasks.services.gitops.follow.looked", lambda _: Objects([]))
    if name == "gitops.diff":
        made = SimpleNamespace(changes=SimpleNamespace(files={}, diff=""), checkout=SimpleNamespace(refresh=str))
        put(monkeypatch, "korthweb_tasks.services.gitops.fleet.open_draft", lambda *_, **__: nullcontext(made))
        put(monkeypatch, "korthweb_tasks.services.gitops.flux.require_flux", lambda *_: None)
        put(monkeypatch, "korthweb_tasks.services.gitops.differences.in_cluster", lambda *_: {})
    root: Any = namespace()
    with suppress(errors.KorthwebError):
        root[name](invoke.Context(), context="hospital", output="json")
    answer = json.loads(capsys.readouterr().out)
    assert {key: answer[key] for key in ABOUT} == ABOUT
    assert answer["settings"] == str(tmp_path / "korthweb.yaml")
    assert {"data"} <= answer.keys() or {"git", "cluster"} <= answer.keys(), "what was seen is beside it"


@pytest.mark.parametrize("word", ["x", "hospital", "own"])
def test_S18_a_server_whose_certificate_is_not_looked_at_needs_a_word(word: str, tmp_path: Path) -> None:
    """S18: insecure-skip-tls-verify sends passwords to whoever answers; accept_risks says that a person knows."""
    body = yaml.safe_load(kubeconfig(tmp_path / "config").read_text())
    body["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    (tmp_path / "config").write_text(yaml.safe_dump(body))
    with pytest.raises(errors.SettingsError, match="insecure-skip-tls-verify") as refused:
        resolve(load(), word)
    assert "accept_risks: [unverified-cluster]" in refused.value.hint
    with Path("korthweb.yaml").open("a") as file:
        file.write("accept_risks: [unverified-cluster]\n")
    assert resolve(load(), word).server == "https://x:6443"
