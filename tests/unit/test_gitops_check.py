"""What the settings mean for GitOps, what is refused at once, and what gitops.check says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import invoke
import pytest

from korthweb_tasks.approaches.gitops.fleet import ChartAt
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.collections import gitops
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.lab import addons, registry
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.guard import Identity
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.connection import Connection
from korthweb_tasks.services.gitops import check as gitops_check
from korthweb_tasks.services.gitops import fleet as gitops_fleet
from korthweb_tasks.services.gitops import repository
from korthweb_tasks.services.lab import NotInLab
from korthweb_tasks.services.session import Session
from korthweb_tasks.tools.git import Remote
from tests.fakes import NO_COMPONENTS, Answer, Namespaces, ScriptedRunner, put
from tests.unit.test_gitops_tasks import Mixed, items

CHARTS = ("cert-manager", "istio-base", "istiod", "cloudnative-pg")
LOOKING: dict[str, Any] = {"context": "hospital", "tenant": None, "timeout": None, "output": "json"}


def settings(text: str, name: str = "hospital", **env: str) -> Session:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": "https://198.18.0.9:6443"}}],
        "users": [{"name": name, "user": {}}],
    }
    Path("config").write_text(json.dumps(config))
    Path("korthweb.yaml").write_text(text)
    Path(".env").write_text("".join(f"{key}={value}\n" for key, value in env.items()))
    Path(".env").chmod(0o600)
    return Session.open(invoke.Context(invoke.Config()), context=name)


@pytest.fixture(autouse=True)
def kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(Path("config").resolve()))


@pytest.mark.parametrize(
    ("text", "env", "message", "hint"),
    [
        ("approach: gitops", {}, "not said where the fleet repository is", "gitops.url"),
        ("gitops: {url: 'https://h/x.git'}", {}, "no password or token", "KORTHWEB_SECRET_GIT_PASSWORD"),
        ("gitops: {url: 'http://h/x.git'}", {"KORTHWEB_SECRET_GIT_PASSWORD": "x" * 8}, "in clear", "https://"),
        ("gitops: {url: lab}", {}, "hospital is no lab", "gitops.url"),
        ("gitops: {url: 'ssh://git@h/x.git', private_key: nowhere}", {}, "there is no file", "gitops.private_key"),
    ],
)
def test_a_repository_that_can_not_be_reached_is_refused_with_what_to_set(
    text: str, env: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(KorthwebError) as raised:
        repository.remote(settings(text, **env))
    assert message in raised.value.message
    assert hint in f"{raised.value.message} {raised.value.hint}"


def test_a_token_of_ci_is_taken_and_files_are_found_from_the_project() -> None:
    Path("ca.pem").write_text("PEM")
    text = "gitops: {url: 'https://github.com/h/x.git', provider: github, ca_file: ca.pem, username: bot}"
    found = repository.remote(settings(text, GITHUB_TOKEN="t" * 20))
    assert (found.password, found.username) == ("t" * 20, "bot")
    assert found.ca_file == str(Path("ca.pem").resolve())


def test_a_cluster_has_a_folder_and_its_own_tenants() -> None:
    text = "clusters: {live: {context: hospital, tenants: [mhr]}}\ncontext: live"
    session = settings(text)
    session.context_flag = "live"
    assert repository.folder_of(session.ref, session.settings) == "live"
    assert [tenant.name for tenant in repository.tenants_of(session.ref, session.settings)] == ["MHR"]
    unknown = settings(text.replace("mhr", "xyz"))
    unknown.context_flag = "live"
    with pytest.raises(KorthwebError, match="there is no tenant xyz"):
        repository.tenants_of(unknown.ref, unknown.settings)
    odd = settings("profile: production", "arn:aws:eks:eu-1:1:cluster/x")
    with pytest.raises(KorthwebError) as raised:
        repository.folder_of(odd.ref, odd.settings)
    assert "gitops.cluster" in raised.value.hint


def test_charts_that_flux_can_not_read_are_refused() -> None:
    with pytest.raises(KorthwebError, match="not from korthweb"):
        gitops_fleet.sources(settings("charts: {istiod: {source: korthweb}}"))
    found = gitops_fleet.sources(settings("observability: {kiali: false}"))
    assert set(found.charts) == {"cert-manager", "istio-base", "istiod", "cloudnative-pg", "kube-prometheus-stack"}
    assert found.registry_ca == ""


def test_a_lab_is_brought_what_it_lacks_only_where_something_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    there: dict[str, tuple[str, Path]] = {}
    monkeypatch.setattr(addons, "chart_source", lambda _lab, name, _version: there.get(name))

    def brought(_session: Session, lab: str, extra: str) -> None:
        asked.append(f"{lab} {extra}")
        authority = Path("ca.pem")
        authority.write_text("PEM")
        there.update({name: (f"oci://r/{name}", authority) for name in CHARTS})

    monkeypatch.setattr("korthweb_tasks.services.lab.install_addon", brought)
    charts = ", ".join(f"{name}: {{source: lab}}" for name in CHARTS)
    session = settings(f"charts: {{{charts}}}\nobservability: {{kiali: false, prometheus: false}}", "korthweb-x")
    with pytest.raises(NotInLab) as raised:
        gitops_fleet.sources(session)
    assert "lab.up --name x --with gitops" in raised.value.hint
    assert asked == []
    found = gitops_fleet.sources(session, bring=True)
    assert asked == ["x gitops"]
    assert found.charts["istiod"] == ChartAt("oci://r/istiod", session.settings.charts["istiod"].version)
    assert found.registry_ca == "PEM"


def checked(monkeypatch: pytest.MonkeyPatch, script: dict[tuple[str, ...], Any], tmp_path: Path) -> ScriptedRunner:
    version = {"serverVersion": {"gitVersion": "v1.36.3"}}
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    usual: dict[tuple[str, ...], Any] = {
        **NO_COMPONENTS,
        ("kubectl", "version"): Answer(json.dumps(version)),
        ("auth", "can-i"): Answer("yes\n"),
        ("get", "storageclass"): Answer(items({"metadata": {"name": "fast", "annotations": mark}})),
        ("get", "kustomization.kustomize.toolkit.fluxcd.io/flux-system"): Answer(
            stderr="error: the server doesn't have a resource type", code=1
        ),
        ("get", "namespace/bhc-orthweb"): Answer(),
        ("get", "secret/orthanc-users"): Answer(),
        ("helm", "show", "chart"): Answer(),
    }
    runner = Mixed({**script, **{words: answer for words, answer in usual.items() if words not in script}})
    identity = Identity("https://198.18.0.9:6443", "1")
    monkeypatch.setattr(Session, "connection", Connection(runner, Console(quiet=True), identity=identity))  # type: ignore[arg-type]
    put(monkeypatch, "korthweb_tasks.services.shared.tool", lambda _, name: Finding(name, "ok", "1"))
    monkeypatch.setattr(registry.Registry, "missing", lambda *_: {})
    Runner().run(
        Command(argv=("git", "init", "--bare", "--quiet", "--initial-branch=main", str(tmp_path / "fleet.git")))
    )
    monkeypatch.setattr(gitops_check, "remote", lambda _: Remote(f"file://{tmp_path}/fleet.git"))
    return runner


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {one["title"]: one for one in json.loads(capsys.readouterr().out)["data"]}


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings("gitops: {url: 'ssh://git@h/x.git', private_key: config}")
    runner = checked(monkeypatch, {}, tmp_path)
    gitops.check(invoke.Context(invoke.Config()), **LOOKING)
    found = told(capsys)
    assert {one["verdict"] for one in found.values()} == {"ok"}
    assert "empty: main will be made" in found["Fleet repository"]["text"]
    assert found["Flux"]["text"] == "not installed yet"
    base = next(call for call in runner.calls if "show" in call.argv and "base" in call.argv)
    assert "--repo" in base.argv
    words = {word for call in runner.calls for word in call.argv}
    assert not words & {"apply", "create", "annotate", "push", "commit"} - {"create"}  # can-i create


def test_what_is_broken_is_said_and_the_rest_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(
        "gitops: {url: 'ssh://git@h/x.git'}\n"
        "tenants: [{name: BHC, domain: b.example.org, quota: {pods: '3'}}]\n"
        "images: {registry: mirror.hospital/x}"
    )
    spaces = Namespaces(inside={"bhc-orthweb": "Deployment|orthanc|kubectl-create|||\n"})
    spaces.known["bhc-orthweb"] = {"kind": "Namespace", "metadata": {"name": "bhc-orthweb", "uid": "1"}}
    script: dict[tuple[str, ...], Any] = {
        ("show", "oci://quay.io/jetstack/charts/cert-manager"): Answer(stderr="Error: not found", code=1),
        ("auth", "clusterroles.rbac.authorization.k8s.io"): Answer("no\n", code=1),
        **spaces.script("bhc-orthweb"),
    }
    checked(monkeypatch, script, tmp_path)
    images = {"mirror.hospital/x/istio/pilot:1.31.1": "no answer from mirror.hospital (ConnectError)"}
    images["mirror.hospital/x/istio/proxyv2:1.31.1"] = "not there"
    monkeypatch.setattr(registry.Registry, "missing", lambda *_: images)
    with pytest.raises(KorthwebError) as raised:
        gitops.check(invoke.Context(invoke.Config()), **LOOKING)
    assert raised.value.exit_code == 7
    found = told(capsys)
    broken = {title for title, one in found.items() if one["verdict"] == "broken"}
    assert broken == {
        "Settings",
        "BHC: quota",
        "Make clusterroles",
        "BHC: namespace bhc-orthweb",
        "Chart cert-manager",
        "Image mirror.hospital/x/istio/proxyv2:1.31.1",
    }
    assert "Flux needs an SSH key of its own" in found["Settings"]["text"]
    assert found["Image mirror.hospital/x/istio/pilot:1.31.1"]["verdict"] == "note"
    assert found["Chart istiod"]["verdict"] == "ok"
