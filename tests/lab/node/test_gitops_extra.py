"""What a real lab brings for the GitOps approach: a Git server that survives, charts that can be pulled."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.lab import addons, charts, cluster, process, store
from korthweb_tasks.lab.addon_install import addons as known
from korthweb_tasks.lab.addons import InstalledAddon
from korthweb_tasks.lab.charts import version_of
from korthweb_tasks.lab.cluster import LabInfo
from korthweb_tasks.lab.gitserver import GitAccess
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.raising import Options
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from tests.gitops_parts.clone import environment
from tests.own_state import state_in

NAME = "go1"
OPTIONS = Options(images=(), volumes=2)
QUIET = Console(io.StringIO())
CHARTS = known()["gitops"].charts
FLUX = ("source-controller", "kustomize-controller", "helm-controller")
#: minutes that Flux would wait for its next look; what is tested does not wait for it
INTERVAL = "10m"

#: chart, values -> a kind, and what must be in the first object of it
RENDERED: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (
        "cloudnative-pg",
        {},
        "Deployment",
        ["korthweb.lab/cloudnative-pg:1.28.0", '"name": "cloudnative-pg"', '"resources": {}'],
    ),
    (
        "cloudnative-pg",
        {"image": {"repository": "mirror/cnpg", "tag": 2}, "resources": {"requests": {"cpu": "7m"}}, "replicaCount": 2},
        "Deployment",
        ['"value": "mirror/cnpg:2"', '"image": "mirror/cnpg:2"', '"requests": {"cpu": "7m"}', '"replicas": 2'],
    ),
    ("cloudnative-pg", {}, "ValidatingWebhookConfiguration", ['"namespace": "edge"']),
    (
        "kube-prometheus-stack",
        {},
        "Prometheus",
        ['"matchLabels": {"release": "kube-prometheus-stack"}', "korthweb.lab/"],
    ),
    (
        "kube-prometheus-stack",
        {"prometheus": {"prometheusSpec": {"serviceMonitorSelectorNilUsesHelmValues": False, "retention": "2h"}}},
        "Prometheus",
        ['"serviceMonitorSelector": {}', '"retention": "2h"'],
    ),
    (
        "kube-prometheus-stack",
        {"prometheus": {"additionalServiceMonitors": [{"name": "one", "endpoints": [{"port": "http"}]}]}},
        "ServiceMonitor",
        ['"name": "one"', '"endpoints": [{"port": "http"}]'],
    ),
    ("istiod", {"global": {"hub": "korthweb.lab"}}, "Deployment", ["korthweb.lab/pilot:1.31.1"]),
    ("cert-manager", {}, "Deployment", ["quay.io/jetstack/cert-manager-cainjector:v1.11.4"]),
]


@pytest.mark.parametrize(("chart", "values", "kind", "expected"), RENDERED)
def test_values_reach_the_objects(chart: str, values: dict[str, Any], kind: str, expected: list[str]) -> None:
    helm = locate("helm").path
    archive = charts.packaged(chart, version_of(chart, {}), helm, Runner())
    text = call(str(helm), "template", chart, str(archive), "--namespace", "edge", "-f", "-", stdin=json.dumps(values))
    found = next(json.dumps(one) for one in yaml.safe_load_all(text) if one and one["kind"] == kind)
    assert [part for part in expected if part not in found] == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabInfo]:
    """Give a running lab apart from the user's, and remove it."""
    with state_in(tmp_path_factory.mktemp("state")):
        try:
            yield cluster.up(NAME, console=QUIET, options=OPTIONS)
        finally:
            cluster.down(NAME, console=QUIET)


@pytest.fixture(scope="module")
def brought(lab: LabInfo) -> InstalledAddon:
    """Give what the lab got."""
    return addons.install(lab.name, "gitops", QUIET)


@pytest.fixture(scope="module")
def access(lab: LabInfo, brought: InstalledAddon) -> GitAccess:
    """Give the way to the repository."""
    found = addons.git_access(lab.name)
    assert found is not None
    assert found.url == brought.git
    return found


@pytest.fixture
def clone(access: GitAccess, tmp_path: Path) -> Path:
    """Give a clone of the repository."""
    git(access, "clone", "--quiet", access.url, str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_a_second_time_changes_nothing_and_is_fast(lab: LabInfo, brought: InstalledAddon) -> None:
    before = {name: one.pid for name, one in process.components(layout().root).items()}
    began = time.monotonic()
    again = addons.install(lab.name, "gitops", QUIET)
    assert time.monotonic() - began < 10
    assert (brought.changed, again.changed) == (True, False)
    assert again.charts == brought.charts
    assert {name: one.pid for name, one in process.components(layout().root).items()} == before
    assert {"git", "registry"} <= before.keys()


def test_nobody_gets_in_without_the_password_or_past_another_ca(access: GitAccess) -> None:
    assert status(access, None) == 401
    assert status(access, "wrong") == 401
    assert status(access, access.password) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection(layout().address, 3443, timeout=5).request("GET", "/")
    for path in (layout().config).glob("git.*"):
        assert path.suffix in (".conf", ".crt") or path.stat().st_mode & 0o077 == 0, path


def test_what_is_pushed_survives_a_kill_of_the_server(lab: LabInfo, access: GitAccess, clone: Path) -> None:
    commit(access, clone, "kept.txt", "kept")
    (clone / "large").write_bytes(os.urandom(30_000_000))
    git(access, "-C", str(clone), "add", "large")
    git(access, "-C", str(clone), "commit", "--quiet", "--message", "large")
    words = ["git", "-C", str(clone), "push", "--quiet", "origin", "HEAD:main"]
    push = subprocess.Popen(words, env=environment(access), stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    os.kill(process.components(layout().root)["git"].pid, signal.SIGKILL)
    push.wait(30)
    assert cluster.status(lab.name).state == "degraded"
    assert cluster.up(lab.name, console=QUIET, options=OPTIONS).changed
    git(access, "--git-dir", str(layout().root / "git" / "fleet.git"), "fsck", "--strict")
    git(access, *words[1:])
    assert "large" in git(access, "ls-tree", "-r", "--name-only", "HEAD", where=layout().root / "git" / "fleet.git")


def test_several_clients_push_and_fetch_at_once(access: GitAccess, tmp_path: Path) -> None:
    def one(number: int) -> None:
        folder = tmp_path / f"clone{number}"
        git(access, "clone", "--quiet", access.url, str(folder))
        commit(access, folder, f"file{number}", "x", branch=f"branch{number}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    listed = git(access, "ls-remote", "--heads", access.url)
    assert {f"refs/heads/branch{number}" for number in range(6)} <= set(listed.split())


def test_helm_pulls_every_chart_from_the_registry(brought: InstalledAddon, tmp_path: Path) -> None:
    helm = str(locate("helm").path)
    for chart, (source, version) in brought.charts.items():
        words = ("pull", source, "--version", version, "--ca-file", brought.ca_file, "--destination", str(tmp_path))
        call(helm, *words, stdin="")
        assert (tmp_path / f"{chart}-{version}.tgz").is_file()
    found = addons.chart_source(NAME, "istiod", version_of("istiod", {}))
    assert found is not None
    assert found[0] == brought.charts["istiod"][0]
    assert addons.chart_source(NAME, "istiod", "1.30.0") is None


def test_flux_runs_here_and_takes_git_and_charts_from_the_lab(
    lab: LabInfo, brought: InstalledAddon, access: GitAccess, clone: Path
) -> None:
    flux = str(locate("flux").path)
    words = ("install", f"--components={','.join(FLUX)}", "--registry=korthweb.lab", "--timeout=2m")
    call(flux, *words, "--kubeconfig", lab.kubeconfig, "--context", lab.context, stdin="")
    commit(access, clone, "app/config.yaml", json.dumps(CONFIG_MAP))
    kubectl(
        lab,
        "apply",
        "--filename",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items(brought, access)}),
    )
    await_ready(lab, "ocirepository", CHARTS, seconds=90)
    await_ready(lab, "kustomization", ["app"], seconds=90)
    assert kubectl(lab, "get", "configmap", "proof", "-n", "default", "-o=jsonpath={.data.by}") == "flux"
    await_ready(lab, "helmrelease", ["cloudnative-pg"], seconds=120)
    kubectl(lab, "apply", "--filename", "-", stdin=json.dumps(DATABASE))
    await_ready(lab, "cluster.postgresql.cnpg.io", ["db"], namespace="default", seconds=150)


def test_nothing_is_left_when_the_lab_goes(lab: LabInfo, brought: InstalledAddon) -> None:
    root = layout().root
    assert cluster.down(lab.name, console=QUIET)
    assert list(process.of_lab(root)) == []
    assert not root.exists()
    assert addons.git_access(lab.name) is None


# ------------------------------------------------------------------------------------------------------ what Flux gets

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "proof", "namespace": "default"},
    "data": {"by": "flux"},
}
DATABASE = {
    "apiVersion": "postgresql.cnpg.io/v1",
    "kind": "Cluster",
    "metadata": {"name": "db", "namespace": "default"},
    "spec": {"instances": 1, "imageName": "korthweb.lab/postgresql:17.11", "storage": {"size": "1Gi"}},
}


def items(brought: InstalledAddon, access: GitAccess) -> list[dict[str, Any]]:
    """Return the sources, and what is made of them."""
    ca = base64.b64encode(access.ca_file.read_bytes()).decode()
    pair = {"username": access.username, "password": access.password}
    return [
        {**named("v1", "Secret", "registry-ca"), "data": {"ca.crt": ca}},
        {**named("v1", "Secret", "fleet"), "data": {"ca.crt": ca}, "stringData": pair},
        source("GitRepository", "fleet", url=access.url, ref={"branch": "main"}, secretRef={"name": "fleet"}),
        *(
            source("OCIRepository", chart, url=url, ref={"tag": version}, certSecretRef={"name": "registry-ca"})
            for chart, (url, version) in brought.charts.items()
        ),
        {
            **named("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "app"),
            "spec": {
                "interval": INTERVAL,
                "path": "app",
                "prune": True,
                "wait": True,
                "sourceRef": {"kind": "GitRepository", "name": "fleet"},
            },
        },
        {
            **named("helm.toolkit.fluxcd.io/v2", "HelmRelease", "cloudnative-pg"),
            "spec": {
                "interval": INTERVAL,
                "releaseName": "cloudnative-pg",
                "chartRef": {"kind": "OCIRepository", "name": "cloudnative-pg"},
                "driftDetection": {"mode": "enabled"},
            },
        },
    ]


def named(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "flux-system"}}


def source(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {**named("source.toolkit.fluxcd.io/v1", kind, name), "spec": {"interval": INTERVAL, **spec}}


def await_ready(lab: LabInfo, kind: str, names: Any, *, seconds: int, namespace: str = "flux-system") -> None:
    words = ("--for=condition=Ready", f"--timeout={seconds}s", "--namespace", namespace)
    kubectl(lab, "wait", kind, *names, *words, seconds=seconds + 10)


# -------------------------------------------------------------------------------------------------------------- helpers


def commit(access: GitAccess, clone: Path, name: str, text: str, branch: str = "main") -> None:
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text(text)
    git(access, "-C", str(clone), "add", name)
    git(access, "-C", str(clone), "commit", "--quiet", "--message", name)
    git(access, "-C", str(clone), "push", "--quiet", "origin", f"HEAD:{branch}")


def git(access: GitAccess, *words: str, where: Path | None = None) -> str:
    return call("git", *words, stdin="", env=environment(access), cwd=where)


def status(access: GitAccess, password: str | None) -> int:
    context = ssl.create_default_context(cafile=str(access.ca_file))
    connection = http.client.HTTPSConnection(layout().address, 3443, timeout=5, context=context)
    word = base64.b64encode(f"git:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {word}"} if password else {}
    connection.request("GET", "/fleet.git/info/refs?service=git-receive-pack", headers=headers)
    return connection.getresponse().status


def layout() -> Layout:
    found = store.load(NAME)
    assert found is not None
    return found.layout


def kubectl(lab: LabInfo, *args: str, stdin: str = "", seconds: int = 60) -> str:
    where = ("--kubeconfig", lab.kubeconfig, "--context", lab.context)
    return call(str(builder.binary("kubernetes", "kubectl")), *where, *args, stdin=stdin, seconds=seconds)


def call(*argv: str, stdin: str, seconds: int = 150, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=seconds, env=env, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
