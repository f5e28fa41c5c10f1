"""`korthweb_tasks.cluster(c)`: the four CLIs for a task of one's own, with all that ours have."""

from __future__ import annotations

import doctest
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import invoke
import pytest

import korthweb_tasks
from korthweb_tasks import errors
from korthweb_tasks.services import session as sessions
from korthweb_tasks.services.cli import Answer
from korthweb_tasks.tools import clis
from korthweb_tasks.tools.clis import CLIS, with_flags
from tests.fakes import put
from tests.own_site import SETTINGS, Site, entered

NAMES = ("kubectl", "helm", "istioctl", "flux")
READS = {
    "kubectl": [
        "get pods",
        "-n x describe pod y",
        "--namespace=x logs y",
        "rollout -n x status d/y",
        "auth can-i get x",
    ],
    "helm": ["list -A", "status x", "get values x", "--namespace x history y"],
    "istioctl": ["analyze", "proxy-config cluster x", "pc secret x", "proxy-status"],
    "flux": ["get all", "logs", "tree kustomization x", "diff kustomization x"],
}
CHANGES = {
    "kubectl": [
        "delete pod x",
        "apply -f x",
        "exec x -- get pods",
        "rollout restart d/x",
        "--foo get delete pod x",
        "xyz",
    ],
    "helm": ["upgrade x y", "uninstall x", "rollback x", "test x"],
    "istioctl": ["install", "uninstall --purge", "proxy-config log x --level debug", "pc log x"],
    "flux": ["reconcile source git x", "suspend ks x", "install", "bootstrap git"],
}
NOTHING = {
    "kubectl": ["", "--help", "delete --help", "kustomize x", "config view"],
    "helm": ["lint x", "template x", "package x"],
    "istioctl": ["manifest generate", "validate -f x"],
    "flux": ["completion bash"],
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return entered(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("effect", "table"), [("reads", READS), ("changes", CHANGES), ("nothing", NOTHING)])
def test_it_is_known_which_words_change_something(name: str, effect: str, table: dict[str, list[str]]) -> None:
    assert {words: CLIS[name].effect(words.split()) for words in table[name]} == dict.fromkeys(table[name], effect)


def test_the_examples_are_true() -> None:
    assert doctest.testmod(clis).attempted == 2
    assert not doctest.testmod(clis).failed


def test_keywords_are_flags() -> None:
    words: dict[str, Any] = {
        "output": "json", "all_namespaces": True, "wait": False, "container": None, "set": ["a=1", "b=2"], "n": "x",
        "from_": "y", "replicas": 3,
    }  # fmt: skip
    assert with_flags(["get", "pods", "--", "ls"], words) == (
        "get", "pods", "--output=json", "--all-namespaces", "--wait=false", "--set=a=1", "--set=b=2", "-n=x",
        "--from=y", "--replicas=3", "--", "ls",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_program_is_called_with_the_context_before_its_words(name: str, site: Site) -> None:
    cluster = korthweb_tasks.cluster(invoke.Context(), context="hospital-a")
    answer = getattr(cluster, name)("get", "pods", output="json")
    flag = "--kube-context" if name == "helm" else "--context"
    assert site.calls() == [[name, flag, "admin", "get", "pods", "--output=json"]]
    assert (answer.ok, answer.return_code, answer.stderr) == (True, 0, "")


def test_an_answer_is_a_result_of_invokes_and_has_data(site: Site) -> None:
    kubectl = korthweb_tasks.cluster(invoke.Context()).kubectl
    assert kubectl("get", "items").json() == {"items": [1]}
    assert kubectl("get", "pods").json() is None
    assert isinstance(kubectl("get", "pods"), invoke.Result)
    assert kubectl("apply", "cat", _stdin="text\n").stdout == "text\n"
    assert kubectl("diff", "code=1", _ok=(0, 1)).return_code == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_end_that_is_not_accepted_is_our_error(name: str, site: Site) -> None:
    site.folder.joinpath(".env").write_text("KORTHWEB_SECRET_GIT_PASSWORD=geheim-geheim\n")
    site.folder.joinpath(".env").chmod(0o600)
    program = getattr(korthweb_tasks.cluster(invoke.Context()), name)
    with pytest.raises(errors.CommandFailed, match="ended with code 3") as failed:
        program("get", "code=3", password="geheim-geheim")
    assert (failed.value.code, failed.value.stderr) == (3, "it broke\n")
    assert "geheim" not in failed.value.message
    site.folder.joinpath("bin", name).write_text("#!/bin/sh\nsleep 20\n")
    with pytest.raises(errors.CommandFailed, match="timed out after"):
        program("template" if name == "helm" else "help", "x", _timeout=0.3)


def test_what_only_reads_is_tried_again_and_a_change_is_not(site: Site) -> None:
    kubectl = korthweb_tasks.cluster(invoke.Context()).kubectl
    with pytest.raises(errors.ClusterUnreachable):
        kubectl("delete", "flaky")
    site.folder.joinpath("calls.again").unlink()
    assert kubectl("get", "flaky").ok
    assert [call[3] for call in site.calls()] == ["delete", "get", "get"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flag", ["--context", "--kubeconfig"])
def test_words_that_name_another_cluster_are_refused(name: str, flag: str, site: Site) -> None:
    flag = "--kube-context" if (name, flag) == ("helm", "--context") else flag
    program = getattr(korthweb_tasks.cluster(invoke.Context()), name)
    for words in ([flag, "other", "get"], ["get", f"{flag}=other"]):
        with pytest.raises(errors.UsageError, match=f"{flag} in the words of {name}"):
            program(*words)
    with pytest.raises(errors.UsageError, match=f"{flag} in the words of {name}"):
        program("get", **{flag.strip("-").replace("-", "_"): "other"})
    program("get", "--", flag, "other")
    assert len(site.calls()) == 1


def test_a_wrong_context_is_told_at_once(site: Site) -> None:
    with pytest.raises(errors.SettingsError, match="no cluster or context 'nope'"):
        korthweb_tasks.cluster(invoke.Context(), context="nope")
    with pytest.raises(errors.UsageError, match="is empty"):
        korthweb_tasks.cluster(invoke.Context(), context="")


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_a_production_cluster_is_asked_once_and_reading_is_not(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = getattr(korthweb_tasks.cluster(invoke.Context(), context="hospital-b"), name)
    program(*READS[name][0].split())
    with pytest.raises(errors.GuardRefused, match="production cluster"):
        program("install")
    assert len(site.calls()) == 1
    answers = iter(["hospital-b\n"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: next(answers), raising=False)
    program("install")
    program("install")
    getattr(korthweb_tasks.cluster(invoke.Context(), context="hospital-b", yes=True), name)("install")
    assert len(site.calls()) == 4


def test_another_cluster_than_the_recorded_one_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    korthweb_tasks.cluster(invoke.Context()).kubectl("delete", "pod", "x")
    recorded = json.loads(site.folder.joinpath(".korthweb/guards.json").read_text())
    assert recorded == {"hospital-a": {"server": "https://10.0.0.1:6443", "uid": "uid-1"}}
    site.servers(admin="https://10.9.9.9:6443")
    monkeypatch.setattr(sessions, "CONNECTIONS", {})
    with pytest.raises(errors.GuardRefused, match="is not the cluster that was recorded"):
        korthweb_tasks.cluster(invoke.Context()).kubectl("get", "pods")
    assert len(site.calls()) == 1


@pytest.mark.parametrize("by", ["argument", "invoke"])
def test_a_dry_run_shows_changes_and_reads(by: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    c = invoke.Context(invoke.Config(overrides={"run": {"dry": by == "invoke"}}))
    cluster = korthweb_tasks.cluster(c, dry_run=by == "argument")
    assert cluster.kubectl("get", "items").json() == {"items": [1]}
    assert isinstance(cluster.helm("uninstall", "x"), Answer)
    assert capsys.readouterr().err == "would run: helm --kube-context admin uninstall x\n"
    assert [call[0] for call in site.calls()] == ["kubectl"]


def test_settings_are_those_of_the_file_that_is_named(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "site.yaml").write_text(SETTINGS.replace("context: hospital-a", "context: hospital-b"))
    cluster = korthweb_tasks.cluster(invoke.Context(), settings=other / "site.yaml", yes=True)
    cluster.kubectl("delete", "pod", "x")
    assert site.calls()[0][:3] == ["kubectl", "--context", "other"]
    assert (other / ".korthweb/guards.json").is_file()


def test_the_bastion_is_gone_through(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def through(_: Any, cluster: Any, *__: Any) -> Any:
        yield replace(cluster, kubeconfig="/tunnelled")

    put(monkeypatch, "korthweb_tasks.run.bastion.through", through)
    site.settings(SETTINGS.replace("{context: admin}", "{context: admin, bastion: {host: jump}}"))
    korthweb_tasks.cluster(invoke.Context()).flux("get", "all")
    assert site.calls() == [["flux", "--kubeconfig", "/tunnelled", "--context", "admin", "get", "all"]]
