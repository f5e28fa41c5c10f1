"""The tasks that change the fleet repository, with a real git beside a scripted cluster."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import invoke
import pytest
import yaml

from korthweb_tasks.collections import gitops
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.paths import state_dir
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.guard import Identity
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.connection import Connection
from korthweb_tasks.services.gitops import fleet as gitops_fleet
from korthweb_tasks.services.gitops import flux as gitops_flux
from korthweb_tasks.services.session import Session
from korthweb_tasks.tools.git import Remote
from tests.fakes import NO_COMPONENTS, Answer, Namespaces, ScriptedRunner, put

SETTINGS = """\
# our site
approach: gitops
tenants:
- name: BHC
  domain: bhc.orthweb.com
- name: MHR
  domain: mhr.orthweb.com
gitops:
  url: https://git.example.org/fleet.git
"""
FLUXS_HOME = {"kind": "Namespace", "metadata": {"name": "flux-system", "labels": {"korthweb/component": "flux"}}}
LOOKING: dict[str, Any] = {"context": "hospital", "output": "text"}
CHANGING = {**LOOKING, "dry_run": False, "yes": True}
DEPLOY: dict[str, Any] = {**CHANGING}
NEW: dict[str, Any] = {"name": "NEW", "domain": "new.example.org"}
ADD = {**NEW, "replicas_min": 2, "replicas_max": 0, **CHANGING}


class Mixed(ScriptedRunner):
    """Runs git for real, and answers everything else by the script."""

    journal: Any = None
    record: Any = None

    def check(self, command: Command) -> Result:
        if command.argv[0] == "git":
            self.calls.append(command)
            return Runner(patience=0).check(command)
        return super().check(command)


class Site:
    """A hospital's cluster that Flux looks after, and its fleet repository."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bare = tmp_path / "fleet.git"
        self.followed: list[dict[str, Any]] = []
        self.namespaces = Namespaces()
        self.path, self.suspended = "./clusters/hospital", False
        subprocess.run(["git", "init", "--bare", "--quiet", "--initial-branch=main", str(self.bare)], check=True)
        config = tmp_path / "config"
        about = {"cluster": "hospital", "user": "hospital"}
        cluster = {"server": "https://198.18.0.9:6443"}
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "contexts": [{"name": "hospital", "context": about}],
            "clusters": [{"name": "hospital", "cluster": cluster}],
            "users": [{"name": "hospital", "user": {}}],
        }
        config.write_text(json.dumps(made))
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("KORTHWEB_SECRET_GIT_PASSWORD", "only for the settings")
        Path("korthweb.yaml").write_text(SETTINGS)
        self.runner = Mixed(self.script())
        shared = Connection(self.runner, Console(quiet=True), identity=Identity("https://198.18.0.9:6443", "1"))  # type: ignore[arg-type]
        monkeypatch.setattr(Session, "connection", shared)
        monkeypatch.setattr(Session, "lock", lambda _: None)
        put(
            monkeypatch,
            "korthweb_tasks.services.gitops.repository.remote",
            lambda *_, **__: Remote(f"file://{self.bare}"),
        )
        put(monkeypatch, "korthweb_tasks.services.gitops.flux.flux_version", lambda _: "2.9.5")
        put(monkeypatch, "korthweb_tasks.services.gitops.follow.followed", self.follow)

    def script(self) -> dict[tuple[str, ...], Answer | list[Answer] | Callable[[Command], Answer]]:
        return {
            **NO_COMPONENTS,
            ("get", "kustomization.kustomize.toolkit.fluxcd.io/flux-system"): lambda _: self.flux(),
            **self.namespaces.script("bhc-orthweb", "mhr-orthweb", "new-orthweb"),
            ("get", "namespace/flux-system"): Answer(items(FLUXS_HOME)),
            ("get", "secret/orthanc-users"): lambda command: self.passwords(command),
            ("apply", "--server-side"): Answer(),
            ("rollout", "restart"): Answer(),
            ("get", "cluster.postgresql.cnpg.io"): Answer(),
            ("annotate", "gitrepository/flux-system"): Answer(),
        }

    def flux(self) -> Answer:
        if not self.path:
            return Answer(stderr="error: the server doesn't have a resource type", code=1)
        source = {"kind": "GitRepository", "metadata": {"name": "flux-system"}, "spec": {"url": "file://x"}}
        root = {"kind": "Kustomization", "metadata": {"name": "flux-system"}, "spec": {"path": self.path}}
        return Answer(items(source, root))

    def passwords(self, _: Command) -> Answer:
        users = {"ORTHANC_ADMIN_PASSWORD": "known-long"}
        login = {"username": "admin", "password": "known-long"}
        return Answer(items(secret("orthanc-users", users), secret("orthanc-metrics", login)))

    def follow(self, _: Session, **words: Any) -> tuple[StepRecord, ...]:
        self.followed.append(words)
        return ()

    def git(self, *args: str) -> str:
        return subprocess.run(["git", *args], cwd=self.bare, capture_output=True, text=True, check=True).stdout.strip()

    def commits(self, branch: str = "main") -> list[str]:
        return self.git("log", "--format=%s", branch).splitlines()

    def kubectl(self) -> list[str]:
        return [" ".join(call.argv[3:6]) for call in self.runner.calls if call.argv[0] == "kubectl"]


def items(*objects: dict[str, Any]) -> str:
    return json.dumps({"kind": "List", "items": list(objects)})


def secret(name: str, keys: dict[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in keys.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def context() -> invoke.Context:
    return invoke.Context(invoke.Config())


def test_a_change_goes_to_git_and_is_followed_and_a_second_time_there_is_none(site: Site) -> None:
    gitops.deploy(context(), **DEPLOY)
    assert site.commits() == ["korthweb: BHC, MHR, shared parts on hospital"]
    head = site.git("rev-parse", "main")
    assert site.followed[0]["revision"] == head
    assert {"flux-system", "bhc-application", "mhr-dependency", "istio"} <= set(site.followed[0]["only"])
    gitops.deploy(context(), **DEPLOY)
    assert site.git("rev-parse", "main") == head
    Path("korthweb.yaml").write_text(SETTINGS.replace("- name: MHR", "  replicas: {min: 2, max: 5}\n- name: MHR"))
    gitops.deploy(context(), **{**DEPLOY, "tenant": "BHC"})
    assert site.commits()[0] == "korthweb: BHC on hospital"
    assert site.git("log", "-1", "--format=%b", "main") == "change tenants/bhc/application/orthanc.yaml"
    assert sorted(site.followed[-1]["only"]) == ["bhc-application", "bhc-dependency", "bhc-monitoring"]
    # one tenant is followed, but what is written is all of the cluster
    assert "clusters/hospital/tenant-mhr.yaml" in site.git("ls-tree", "-r", "--name-only", "main").splitlines()


def test_nothing_is_pushed_where_nobody_said_yes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for task, words in ((gitops.deploy, DEPLOY), (gitops.add_tenant, ADD)):
        with pytest.raises(KorthwebError) as raised:
            task(context(), **{**words, "yes": False})
        assert raised.value.exit_code == 5
        assert "--yes" in str(raised.value)
    assert site.git("for-each-ref") == ""
    assert Path("korthweb.yaml").read_text() == SETTINGS
    assert not [line for line in site.kubectl() if "apply" in line]


def test_a_dry_run_shows_and_changes_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    gitops.deploy(context(), **{**DEPLOY, "dry_run": True, "yes": False, "output": "json"})
    told = json.loads(capsys.readouterr().out)
    assert told["git"]["files"]["clusters/hospital/kustomization.yaml"] == "A"
    assert {"step": "credentials:bhc", "title": "BHC: passwords", "verdict": "unchanged"} in told["steps"]
    gitops.add_tenant(context(), **{**ADD, "dry_run": True, "yes": False})
    gitops.render(context(), **LOOKING, dry_run=True)
    assert site.git("for-each-ref") == ""
    assert Path("korthweb.yaml").read_text() == SETTINGS
    assert not [line for line in site.kubectl() if "apply" in line or "annotate" in line]


def test_a_pull_request_leaves_cluster_and_branch_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    gitops.deploy(context(), **DEPLOY)
    before = len(site.kubectl())
    Path("korthweb.yaml").write_text(SETTINGS.replace("domain: bhc", "storage: 20Gi\n  domain: bhc"))
    gitops.deploy(context(), **{**DEPLOY, "pull_request_branch": "more-room"})
    assert len(site.commits("more-room")) == 2
    assert len(site.commits()) == 1
    assert "merge more-room into main" in capsys.readouterr().out
    assert not [line for line in site.kubectl()[before:] if "apply" in line or "annotate" in line]
    assert len(site.followed) == 1


@pytest.mark.parametrize(
    ("path", "text"), [("", "does not look after"), ("./clusters/other", "follows clusters/other")]
)
def test_what_flux_does_not_follow_is_not_deployed_to(site: Site, path: str, text: str) -> None:
    site.path = path
    with pytest.raises(KorthwebError) as raised:
        gitops.deploy(context(), **DEPLOY)
    assert text in str(raised.value)
    assert "gitops.bootstrap" in str(raised.value)
    assert site.git("for-each-ref") == ""


def test_a_tenant_is_added_with_its_passwords_before_git_tells_flux(site: Site) -> None:
    gitops.deploy(context(), **DEPLOY)
    order: list[str] = []
    site.runner.script[("get", "secret/orthanc-users")] = Answer()

    def noted(word: str) -> Callable[[Command], Answer]:
        def note(_: Command) -> Answer:
            order.append(f"{word} at {len(site.commits())}")
            return Answer()

        return note

    site.runner.script[("apply", "--server-side")] = noted("apply")
    site.runner.script[("annotate", "gitrepository/flux-system")] = noted("fetch")
    commits = len(site.commits())
    gitops.add_tenant(context(), **ADD)
    assert order[0] == f"apply at {commits}"
    assert order[-1] == f"fetch at {commits + 1}"
    assert len(site.commits()) == commits + 1
    assert site.commits()[0].startswith("korthweb: NEW")
    assert sorted(site.followed[-1]["only"]) == ["new-application", "new-dependency", "new-monitoring"]
    text = Path("korthweb.yaml").read_text()
    assert text.startswith(SETTINGS.partition("gitops:")[0])
    assert yaml.safe_load(text)["tenants"][2] == {"name": "NEW", "domain": "new.example.org", "replicas": {"min": 2}}
    # killed after the file was written: the same words go on
    gitops.add_tenant(context(), **ADD)
    assert Path("korthweb.yaml").read_text() == text
    with pytest.raises(KorthwebError) as raised:
        gitops.add_tenant(context(), **{**ADD, "domain": "other.example.org"})
    assert "already, and it is not like that" in str(raised.value)


def test_a_tenant_that_can_not_be_is_refused_before_anything(site: Site) -> None:
    for change in ({"domain": "Not A Domain"}, {"domain": "bhc.orthweb.com"}, {"aet": "BHC"}, {"replicas_min": 50}):
        with pytest.raises(KorthwebError) as raised:
            gitops.add_tenant(context(), **{**ADD, **change})
        assert raised.value.exit_code == 2, change
    assert Path("korthweb.yaml").read_text() == SETTINGS


def removal(site: Site) -> None:
    """Let the cluster know the tenant MHR, and let it go."""
    site.runner.script |= {
        ("get", "kustomization.kustomize.toolkit.fluxcd.io/mhr-application"): Answer(),
        ("get", "serviceaccount"): Answer(),
        ("get", "cluster.postgresql.cnpg.io"): Answer(),
        ("wait", "--for=delete"): Answer(),
    }


def test_a_tenant_is_removed_and_what_a_killed_run_left_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    gitops.deploy(context(), **DEPLOY)
    removal(site)
    words = {"name": "mhr", "volumes": False, **CHANGING}
    gitops.remove_tenant(context(), **words)
    assert [one["name"] for one in yaml.safe_load(Path("korthweb.yaml").read_text())["tenants"]] == ["BHC"]
    assert not [path for path in site.git("ls-tree", "-r", "--name-only", "main").splitlines() if "mhr" in path]
    assert site.commits()[0].startswith("korthweb: MHR")
    gitops.remove_tenant(context(), **words)  # the file does not know it any more, the cluster does
    with pytest.raises(KorthwebError) as raised:
        gitops.remove_tenant(context(), **{**words, "name": "XYZ"})
    assert raised.value.exit_code == 2
    assert "known: BHC, MHR" in str(raised.value)


def test_files_are_written_where_they_are_wanted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    gitops.render(context(), out="out", **LOOKING)
    assert Path("out/clusters/hospital/kustomization.yaml").is_file()
    assert "files in out" in capsys.readouterr().out
    assert not site.runner.calls


def test_another_approachs_tenant_is_not_taken_over(site: Site) -> None:
    site.namespaces.record("bhc-orthweb", "BHC", "bhc.orthweb.com", "manual")
    site.namespaces.inside["bhc-orthweb"] = 'Deployment|orthanc|korthweb|{"app":"orthanc"}||\n'
    with pytest.raises(KorthwebError) as raised:
        gitops.deploy(context(), **DEPLOY)
    assert raised.value.exit_code == 5
    assert "the approach manual deployed" in str(raised.value)


def test_empty_files_never_reach_a_cluster_that_follows_git(site: Site) -> None:
    """Flux would take itself away: with its own files empty, what it had applied is to be pruned."""
    session = Session.open(context(), **{**CHANGING, "yes": True})
    with gitops_fleet.open_draft(session) as made:
        gitops_flux.with_flux(session.runner, session.kubectl, made)
        assert not [path for path in made.changes.files if "flux-system" in path]
    site.path = ""
    with gitops_fleet.open_draft(session) as made:
        gitops_flux.with_flux(session.runner, session.kubectl, made)
        assert {path.rpartition("/")[2] for path in made.changes.files if "/flux-system/" in path} == {
            "gotk-components.yaml",
            "gotk-sync.yaml",
            "kustomization.yaml",
        }


def test_passwords_in_git_are_encrypted_and_stay_as_they_are(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    Path("korthweb.yaml").write_text(f"{SETTINGS}  secrets: sops\n")
    key = "# public key: age1xyz\nAGE-SECRET-KEY-1ABC\n"
    sealed: dict[str, str] = {}

    def encrypt(command: Command) -> Answer:
        name = f"ENC[AES256_GCM,data:{len(sealed)},type:str]"
        sealed[name] = command.stdin or ""
        return Answer(f"kind: Secret\nstringData: {{A: '{name}'}}\nsops: {{}}\n")

    def decrypt(command: Command) -> Answer:
        assert command.env["SOPS_AGE_KEY"] == "AGE-SECRET-KEY-1ABC"
        return Answer(next(text for name, text in sealed.items() if name in (command.stdin or "")))

    known = {"ORTHANC_ADMIN_PASSWORD": "known-long"}
    site.runner.script |= {
        ("age-keygen", "-y"): Answer("age1xyz\n"),
        ("age-keygen",): Answer(key),
        ("get", "secret", "sops-age"): Answer(),
        ("get", "secret", "orthanc-users"): Answer(items(secret("orthanc-users", known))),
        ("get", "secret/sops-age"): Answer(),
        ("get", "secret/orthanc-metrics"): Answer(),
        ("sops", "encrypt"): encrypt,
        ("sops", "decrypt"): decrypt,
    }
    gitops.deploy(context(), **DEPLOY)
    path = "clusters/hospital/tenants/bhc/dependency/secrets.sops.yaml"
    assert "ENC[AES256_GCM" in site.git("show", f"main:{path}")
    assert all("known" in text for text in sealed.values())  # those that are at work already
    (kept,) = (state_dir() / "keys").glob("hospital-*.agekey")  # S22: not in the project, whatever is committed there
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (key, 0o600)
    head = site.git("rev-parse", "main")
    gitops.deploy(context(), **DEPLOY)
    assert site.git("rev-parse", "main") == head
    assert len(sealed) == 2
    told = capsys.readouterr()
    shown = "".join(map(repr, site.runner.calls)) + told.out + told.err
    assert "AGE-SECRET-KEY" not in shown
    # a password chosen anew is encrypted anew, that of nobody else
    Path(".env").write_text("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=chosen-anew\n")
    Path(".env").chmod(0o600)
    gitops.deploy(context(), **DEPLOY)
    assert len(sealed) == 3
    assert "chosen-anew" in list(sealed.values())[-1]
    # and its pods start again, when Flux has applied it
    assert [words["only"] for words in site.followed][-1] == ["bhc-application"]


def test_a_branch_for_a_pull_request_is_another_one(site: Site) -> None:
    for name in ("main", "-f", "a b", "x:y"):
        with pytest.raises(KorthwebError) as raised:
            gitops.deploy(context(), **{**DEPLOY, "pull_request_branch": name})
        assert raised.value.exit_code == 2, name
    assert site.git("for-each-ref") == ""


def test_a_provider_makes_the_repository_that_is_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("korthweb.yaml").write_text(
        SETTINGS.replace("git.example.org", "github.com/hospital") + "  provider: github\n"
    )
    gone = Remote(f"file://{site.bare}x", password="t" * 20)
    for module in (gitops_fleet, gitops_flux):
        monkeypatch.setattr(module, "remote", lambda *_, **__: gone)
    made: list[Command] = []

    def bootstrap(command: Command) -> Answer:
        made.append(command)
        site.bare.rename(f"{site.bare}x")
        return Answer()

    site.runner.script |= {
        ("patch", "kustomization.kustomize.toolkit.fluxcd.io/flux-system"): Answer(),
        ("flux", "bootstrap", "github"): bootstrap,
    }
    monkeypatch.setattr("korthweb_tasks.run.watch.Waiter.wait", lambda *_: None)
    session = Session.open(context(), **CHANGING)
    gitops_flux.ensure_repository(session)
    assert made[0].env["GITHUB_TOKEN"] == "t" * 20
    gitops_flux.ensure_repository(session)
    assert len(made) == 1
