"""The wrappers of ci/: each step of each is run as its forge runs it, with an installed korthweb and no checkout.

What asks a cluster is only taken down, and has to be a command that korthweb knows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.forges import CI, GitHub, GitLab, Jenkins, Runner, Tekton, hook
from tests.package import Built, Installed, build, install
from tests.unit.test_docs import refused

SETTINGS = """\
tenants: [{name: RAD, domain: rad.hospital.example}]
clusters: {hospital-a: {context: admin@hospital-a}}
gitops: {url: "https://git.hospital.example/pacs/fleet.git"}
"""
KUBECONFIG = "apiVersion: v1\nkind: Config\nusers: [{name: ci, user: {token: correct-horse}}]\n"
#: korthweb as the wrappers find it: offline tasks are real, the others are taken down with what they were given
RECORDER = """\
#!/bin/sh
echo "$*" >>{log}
[ -z "$GITHUB_TOKEN" ] || echo "$1" >>{log}.token
[ -z "$KUBECONFIG" ] || cat "$KUBECONFIG" >>{log}.kubeconfig
[ -z "$KUBECONFIG" ] || stat -c %a "$KUBECONFIG" >>{log}.mode
case $1 in *.render | config.* | ci.diff) case "$*" in *.deploy*) ;; *) exec {real} "$@" ;; esac ;; esac
case " $* " in *" --report reports "*) mkdir -p reports && echo '<testsuites/>' >reports/junit.xml ;; esac
case $1 in *.diff) exit {drift} ;; esac
"""

#: python3, whose environments have a pip that writes down what it was told
PIP = r"""#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\necho "$@" >%s\n' "$3/told" >"$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(built.wheel, tmp_path_factory.mktemp("wheel"))


def git(site: Site, *words: str) -> str:
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(argv, cwd=site.runner.checkout, capture_output=True, text=True, check=True).stdout


class Site:
    """A hospital's repository on a runner, and the commands that were taken down there."""

    def __init__(self, base: Path, installed: Installed, drift: int = 0) -> None:
        self.log = base / "log"
        program = base / "bin" / "korthweb"
        for folder in ("checkout", "temp", "bin"):
            (base / folder).mkdir()
        program.write_text(RECORDER.format(log=self.log, real=installed.bin / "korthweb", drift=drift))
        program.chmod(0o755)
        self.runner = Runner(base / "checkout", base / "temp", f"{base / 'bin'}:/usr/bin:/bin")
        (self.runner.checkout / "korthweb.yaml").write_text(SETTINGS)
        (base / "kubeconfig").write_text(KUBECONFIG)
        (base / "kubeconfig").chmod(0o600)

    @property
    def commands(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def everybody_may_write(self) -> None:
        """Leave the checkout as a runner does that clones for another user."""
        self.runner.checkout.chmod(0o777)
        (self.runner.checkout / "korthweb.yaml").chmod(0o666)

    def pull_request(self) -> str:
        """Make the checkout that of a pull request which moves a tenant's AE title; returns the base's commit."""
        for words in ("init -q -b main", "add -A", "commit -qm base", "update-ref refs/remotes/origin/main HEAD"):
            git(self, *words.split())
        base = git(self, "rev-parse", "HEAD").strip()
        git(self, "checkout", "-q", "--detach")
        (self.runner.checkout / "korthweb.yaml").write_text(SETTINGS.replace("example}]", "example, aet: PACS}]"))
        git(self, "commit", "-qam", "another AE title")
        return base

    def check(self) -> None:
        """Every command is one that korthweb knows, and no secret was said."""
        assert not {command: why for command in self.commands if (why := refused(f"korthweb {command}"))}
        assert "correct-horse" not in self.runner.said + "".join(self.commands)


@pytest.fixture
def site(tmp_path: Path, installed: Installed) -> Site:
    return Site(tmp_path, installed)


@pytest.fixture
def drifted(tmp_path: Path, installed: Installed) -> Site:
    return Site(tmp_path, installed, drift=9)


def test_github_pull_request_checks_and_renders_without_a_secret(site: Site) -> None:
    site.pull_request()
    site.everybody_may_write()
    forge = GitHub(site.runner, secrets={})
    assert forge.job("pull-request.yml") == 0, site.runner.said
    assert site.commands == ["config.check", "manual.render rendered", "ci.diff --out changes", "ci.comment"]
    assert site.log.with_suffix(".token").read_text().split() == ["ci.comment"]
    assert [(site.runner.checkout / path).is_dir() for path in forge.uploaded] == [True, True]
    assert list((site.runner.checkout / "rendered").rglob("*.yaml"))
    assert [one["code"] for one in forge.outputs] == ["0", "0", "9", "0"]
    assert "PACS" in (site.runner.checkout / "changes" / "changes.md").read_text()
    site.check()


def test_github_pull_request_with_a_wrong_setting_is_red(site: Site) -> None:
    (site.runner.checkout / "korthweb.yaml").write_text("tennants: []\n")
    assert GitHub(site.runner, secrets={}).job("pull-request.yml") == 2
    assert "did you mean 'tenants'?" in site.runner.said
    assert site.commands == ["config.check"]


def test_github_merge_deploys_and_proves(site: Site) -> None:
    forge = GitHub(site.runner, secrets={"KUBECONFIG": KUBECONFIG})
    assert forge.job("merge.yml") == 0, site.runner.said
    assert [command.split()[:2] for command in site.commands] == [
        ["config.check", "manual.deploy"],
        ["verify.all", "--approach"],
    ]
    assert (site.runner.checkout / forge.uploaded[0] / "junit.xml").is_file()
    assert site.log.with_suffix(".mode").read_text().split() == ["600", "600"]
    assert "correct-horse" in site.log.with_suffix(".kubeconfig").read_text()
    site.check()


def test_github_nightly_tells_of_drift_by_its_code_and_keeps_the_reports(drifted: Site) -> None:
    forge = GitHub(drifted.runner, secrets={"KUBECONFIG": KUBECONFIG})
    assert forge.job("nightly.yml") == 9
    assert forge.uploaded == ["reports"]
    drifted.check()


def test_github_action_accepts_a_code_that_is_named(drifted: Site) -> None:
    forge = GitHub(drifted.runner, secrets={})
    assert forge.action({"tasks": "manual.diff --context hospital-a", "accept": "8 9"}) == 0
    assert forge.outputs == [{"code": "9"}]
    assert forge.action({"tasks": "manual.diff --context hospital-a", "accept": "8"}) == 9


def test_github_action_takes_words_and_no_shell(site: Site) -> None:
    forge = GitHub(site.runner, secrets={})
    assert forge.action({"tasks": "config.check; touch broken `touch broken` $(touch broken) *"}) == 2
    assert not (site.runner.checkout / "broken").exists()


def test_github_action_installs_the_korthweb_that_it_came_with(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "bin" / "python3"
    pip.write_text(PIP)
    pip.chmod(0o755)
    (tmp_path / "bin" / "korthweb").unlink()
    forge = GitHub(site.runner, secrets={})
    assert forge.action({"tasks": "config.check"}) == 127  # nothing was installed by such a pip
    told = (tmp_path / "temp" / "korthweb" / "told").read_text().split()
    assert Path(told[-1]).resolve() == CI.parent
    assert (Path(told[-1]) / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    "workflow", sorted(path.name for path in (CI / "github").glob("*.yml") if path.name != "action.yml")
)
def test_github_workflows_ask_for_little(workflow: str) -> None:
    body = yaml.safe_load((CI / "github" / workflow).read_text())
    comments = {"pull-requests": "write"} if workflow == "pull-request.yml" else {}
    assert body["permissions"] == {"contents": "read", **comments}
    on = body[True]  # what YAML makes of `on`
    assert "pull_request_target" not in on
    (job,) = body["jobs"].values()
    assert all(step["with"]["persist-credentials"] is False for step in job["steps"] if "checkout" in step["uses"])
    cluster = "secrets." in (CI / "github" / workflow).read_text()
    assert cluster == ("environment" in job)
    assert cluster == ("concurrency" in body)


def gitlab(site: Site) -> GitLab:
    site.everybody_may_write()
    folder = Path(f"{site.runner.checkout}.tmp")
    folder.mkdir()
    (folder / "KUBECONFIG").write_text(KUBECONFIG)
    (folder / "KUBECONFIG").chmod(0o666)  # as a runner leaves it
    return GitLab(site.runner, {"KUBECONFIG": str(folder / "KUBECONFIG")})


@pytest.mark.parametrize("approach", ["manual", "helm", "gitops"])
def test_gitlab_checks_deploys_and_proves(site: Site, approach: str) -> None:
    forge = gitlab(site)
    inputs = {"context": "hospital-a", "approach": approach}
    assert forge.job("korthweb-check", **inputs) == 0, site.runner.said
    assert forge.job("korthweb-deploy", **inputs) == 0, site.runner.said
    assert site.commands[1] == f"{approach}.deploy --context hospital-a --yes"
    job = forge.jobs(**inputs)["korthweb-deploy"]
    assert (site.runner.checkout / job["artifacts"]["reports"]["junit"]).is_file()
    assert job["resource_group"] == job["environment"] == "hospital-a"
    site.check()


def test_gitlab_merge_request_tells_what_changes(site: Site) -> None:
    base = site.pull_request()
    forge = gitlab(site)
    forge.variables["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = base
    job = forge.jobs(context="hospital-a")["korthweb-changes"]
    code = forge.job("korthweb-changes", context="hospital-a")
    assert code in job["allow_failure"]["exit_codes"], site.runner.said
    assert (site.runner.checkout / job["artifacts"]["paths"][0] / "changes.html").is_file()
    site.check()


def test_gitlab_nightly_ends_with_the_code_of_drift(drifted: Site) -> None:
    assert gitlab(drifted).job("korthweb-nightly", context="hospital-a") == 9
    drifted.check()


def test_gitlab_needs_the_cluster_and_knows_its_approaches(site: Site) -> None:
    with pytest.raises(AssertionError):
        gitlab(site).jobs()
    with pytest.raises(AssertionError):
        GitLab(site.runner, {}).jobs(context="a", approach="kustomize")


def jenkins(site: Site) -> Jenkins:
    place = site.runner.checkout / ".venv" / "bin"
    place.mkdir(parents=True)
    (place / "korthweb").symlink_to(site.log.parent / "bin" / "korthweb")
    return Jenkins(site.runner, {"kubeconfig": str(site.log.parent / "kubeconfig")})


def test_jenkins_checks_deploys_and_proves(drifted: Site) -> None:
    forge = jenkins(drifted)
    assert [forge.stage(name) for name in ("Check", "Deploy", "Prove it", "Drift")] == [0, 0, 0, 9], drifted.runner.said
    assert drifted.commands[1:3] == [
        "manual.deploy --context hospital-a --yes",
        "verify.all --approach manual --context hospital-a --no-restart --yes --report reports",
    ]
    assert (drifted.runner.checkout / "reports" / "junit.xml").is_file()
    drifted.check()


def test_jenkins_installs_what_is_named(site: Site, built: Built) -> None:
    (site.log.parent / "bin" / "python3").symlink_to(sys.executable)
    given = {"PACKAGE": str(built.wheel), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    assert Jenkins(site.runner, {}).stage("Install", **given) == 0, site.runner.said
    assert (site.runner.checkout / ".venv" / "bin" / "korthweb").is_file()


def test_jenkins_takes_a_parameter_as_a_word(site: Site) -> None:
    assert jenkins(site).stage("Deploy", CONTEXT='a"; touch broken; "') == 0
    assert not (site.runner.checkout / "broken").exists()


def test_tekton_checks_deploys_and_proves(site: Site) -> None:
    site.everybody_may_write()
    mounted = site.log.parent / "mounted"
    mounted.mkdir()
    (mounted / "kubeconfig").write_text(KUBECONFIG)  # 0644, as Secrets are mounted
    assert Tekton(site.runner, str(mounted)).pipeline(context="hospital-a") == 0, site.runner.said
    assert [command.split()[0] for command in site.commands] == ["config.check", "manual.deploy", "verify.all"]
    assert site.log.with_suffix(".mode").read_text().split() == ["600", "600"]
    site.check()


def test_tekton_names_what_is_wrong_with_the_settings(site: Site) -> None:
    (site.runner.checkout / "korthweb.yaml").write_text("tennants: []\n")
    assert Tekton(site.runner, "").pipeline(context="hospital-a") == 2
    assert site.commands == ["config.check"]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("korthweb-render", None),
        ("korthweb-render-fleet", ["--context", "hospital-a", "--out", "fleet"]),
    ],
)
def test_a_hook_leaves_nothing_to_commit_where_the_render_is_up_to_date(
    name: str, args: list[str] | None, site: Site
) -> None:
    git(site, "init", "-q")
    assert hook(name, site.runner, args) == 0, site.runner.said
    git(site, "add", "-A")
    git(site, "commit", "-qm", "rendered")
    assert hook(name, site.runner, args) == 0
    assert git(site, "status", "--porcelain") == ""
    (site.runner.checkout / "korthweb.yaml").write_text(SETTINGS.replace("RAD", "MRT"))
    assert hook(name, site.runner, args) == 0
    assert "fleet/" in git(site, "status", "--porcelain") or "rendered/" in git(site, "status", "--porcelain")
    site.check()


def test_the_hook_for_settings_is_red_where_they_are_wrong(site: Site) -> None:
    assert hook("korthweb-config-check", site.runner) == 0
    (site.runner.checkout / "korthweb.yaml").write_text("tennants: []\n")
    assert hook("korthweb-config-check", site.runner) == 2


def test_every_wrapper_is_run_here() -> None:
    tried = {"github/action.yml", "github/pull-request.yml", "github/merge.yml", "github/nightly.yml"}
    tried |= {"gitlab/template.yml", "Jenkinsfile", "tekton/task.yaml", "tekton/pipeline.yaml"}
    assert {str(path.relative_to(CI)) for path in CI.rglob("*") if path.is_file() and path.suffix != ".md"} == tried
