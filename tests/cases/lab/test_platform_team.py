"""A cluster that a platform team has filled before: other names, other namespaces, and an app that must notice nothing.

The team's Istio is the revision `platform` in the namespace `mesh`, its cert-manager plain manifests in `certs`, its
Flux follows a branch of its own with prune; in the long forms, Traefik, CloudNativePG and Prometheus are there, too.
Its app is asked in clear from outside of the mesh all the time (mesh-wide STRICT would refuse that) and calls out all
the time (mesh-wide REGISTRY_ONLY would stop that).
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.lab import addons, charts, cluster
from korthweb_tasks.paths import lab_dir
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.kubectl import Kubectl
from tests.gitops_parts.clone import Clone
from tests.own_state import state_in

ROOT = Path(__file__).parents[3]
LAB = "team"
#: namespaces of the platform team
THEIRS = ("mesh", "certs", "flux-system", "shop", "edge", "db", "watch")
KINDS = (
    "deployments,statefulsets,daemonsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,"
    "poddisruptionbudgets,gitrepositories.source.toolkit.fluxcd.io,kustomizations.kustomize.toolkit.fluxcd.io"
)
WIDE = (
    "mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions,clusterroles,"
    "clusterrolebindings"
)
OPERATOR = """\
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: platform, namespace: mesh}
spec:
  profile: minimal
  hub: korthweb.lab
  tag: 1.31.1
  revision: platform
  meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
  components:
    pilot:
      k8s:
        resources: {requests: {cpu: 20m, memory: 100Mi}}
        env:
        - {name: PILOT_ENABLE_ALPN_FILTER, value: "false"}
        - {name: PILOT_ENABLE_METADATA_EXCHANGE, value: "false"}
        - {name: PILOT_DISABLE_MX_ALPN, value: "true"}
  values:
    global: {istioNamespace: mesh, imagePullPolicy: IfNotPresent}
    pilot: {autoscaleEnabled: false}
    telemetry: {enabled: false}
"""
#: asks the world outside of the cluster five times a second, and says what came of it
CALLER = """\
while true; do
  if exec 3<>/dev/tcp/host.korthweb.lab/PORT && printf 'GET / HTTP/1.0\\r\\nHost: host.korthweb.lab\\r\\n\\r\\n' >&3 &&
    IFS= read -r -t 5 line <&3 && [[ $line == *200* ]]; then echo ok; else echo "failed: $line"; fi
  exec 3>&- 3<&-
  sleep 0.2
done
"""


class World(http.server.BaseHTTPRequestHandler):
    """What is outside of the cluster."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@dataclass
class Asking:
    """Asks the app all the time, from outside of the mesh; remembers every failure."""

    url: str
    asked: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as web:
            while not self.stop.wait(0.05):
                self.asked += 1
                try:
                    answer = web.get(f"{self.url}/system")
                    if answer.status_code != 200:
                        self.failures.append(f"{time.strftime('%X')} {answer.status_code}")
                except httpx.HTTPError as error:
                    self.failures.append(f"{time.strftime('%X')} {error!r}")


@dataclass(frozen=True)
class Site:
    """The lab, and a project that deploys to it."""

    project: Path
    context: str

    @property
    def target(self) -> Cluster:
        return Cluster(self.context, str(lab_dir(LAB) / "kubeconfig"))

    def settings(self, **more: Any) -> None:
        tenant = {"name": "BHC", "domain": "bhc.orthweb.com", "replicas": {"min": 1, "max": 2}}
        data = {"context": self.context, "tenants": [tenant], "observability": {"prometheus": False}, **more}
        (self.project / "korthweb.yaml").write_text(yaml.safe_dump(data))

    def inv(self, *words: str, code: int = 0) -> str:
        argv = (sys.executable, "-m", "korthweb_tasks.main", *words)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        done = subprocess.run(argv, cwd=self.project, env=env, text=True, capture_output=True, timeout=600)
        print(f"{words}: {time.monotonic() - began:.1f} s, exit code {done.returncode}")
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def kubectl(self, *args: str, namespace: str | None = None, stdin: str | None = None) -> str:
        runner = Runner(programs={"kubectl": str(locate("kubectl").path)})
        return runner.run(Kubectl(self.target).command(*args, namespace=namespace, stdin=stdin, repeatable=True)).stdout

    def applied(self, text: str, namespace: str | None = None) -> None:
        self.kubectl(
            "apply", "--server-side", "--field-manager=platform", "--filename=-", stdin=text, namespace=namespace
        )

    def program(self, name: str, *args: str, stdin: str | None = None) -> str:
        argv = (str(locate(name).path), *args)
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, f"{argv}: {done.stderr[-2000:]}"
        return done.stdout

    def theirs(self) -> dict[str, Any]:
        """Return everything of the platform team's as it is now: the whole object, without what controllers report."""
        found = {}
        listed = [json.loads(self.kubectl("get", KINDS, "--output=json", namespace=place)) for place in THEIRS]
        listed.append(json.loads(self.kubectl("get", WIDE, "--output=json")))
        for obj in (obj for one in listed for obj in one["items"]):
            meta = obj["metadata"]
            name = f"{obj['kind']}/{meta.get('namespace', '')}/{meta['name']}"
            if "korthweb" in meta["name"]:
                continue
            kept = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
            # who leads among their own controllers is renewed all the time
            marks = {key: text for key, text in meta.get("annotations", {}).items() if not key.endswith("/leader")}
            found[name] = {**kept, "labels": meta.get("labels"), "uid": meta["uid"], "marks": marks}
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a lab that a platform team has filled."""
    with state_in(tmp_path_factory.mktemp("state")):
        made = Site(tmp_path_factory.mktemp("project"), f"korthweb-{LAB}")
        made.settings()
        try:
            made.inv("lab.up", "--name", LAB, "--with", "gitops")
            yield made
        finally:
            cluster.down(LAB, console=Console(quiet=True))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Give the world outside of the cluster, which the app calls."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), World)  # noqa: S104 - the lab's pods call it
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def team(site: Site, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Let the platform team install what it has, and its app run."""
    where = ("--kubeconfig", str(site.target.kubeconfig), "--context", site.context)
    for name in ("mesh", "certs", "shop"):
        labels = {"istio.io/rev": "platform"} if name == "shop" else {}
        site.applied(
            json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        )
    site.program("istioctl", "install", "--filename", "-", "--skip-confirmation", *where, stdin=OPERATOR)
    chart = charts.chart_folder("v1.11.4") / "cert-manager-v1.11.4"
    hub = [
        f"--set={part}image.repository=korthweb.lab/cert-manager-{name}"
        for part, name in (("", "controller"), ("webhook.", "webhook"), ("cainjector.", "cainjector"))
    ]
    site.applied(
        site.program(
            "helm", "template", "platform", str(chart), "--namespace=certs", "--set=installCRDs=true",
            "--set=startupapicheck.enabled=false", "--set=global.leaderElection.namespace=certs", *hub,
        ),
        "certs",
    )  # fmt: skip
    site.program(
        "flux",
        "install",
        "--registry=korthweb.lab",
        "--components=source-controller,kustomize-controller,helm-controller",
        *where,
    )
    _follow(site, tmp_path_factory.mktemp("fleet"))
    site.applied(app(port), "shop")
    for kind in ("deployment/shop", "deployment/caller"):
        site.kubectl("rollout", "status", kind, "--timeout=180s", namespace="shop")
    for place in ("certs", "mesh", "flux-system"):
        site.kubectl("wait", "deployment", "--all", "--for=condition=Available", "--timeout=180s", namespace=place)
    address = site.kubectl("get", "service", "shop", "--output=jsonpath={.spec.clusterIP}", namespace="shop")
    asking = Asking(f"http://{address}:8042")
    thread = threading.Thread(target=asking.run, daemon=True)
    thread.start()
    yield asking
    asking.stop.set()
    thread.join(10)


DICOM = {"port": 11112, "exposedPort": 11112, "expose": {"default": True}}
#: release of the team -> chart, namespace, values
RELEASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "edge": (
        "traefik",
        "edge",
        {"ports": {"dicom": DICOM}},
    ),
    "databases": ("cloudnative-pg", "db", {}),
    "watch": ("kube-prometheus-stack", "watch", {}),
}


@pytest.fixture(scope="module")
def platform(site: Site, team: Asking, tmp_path_factory: pytest.TempPathFactory) -> Asking:
    """Let the team install the rest: Traefik, CloudNativePG and Prometheus, by releases of its own names."""
    site.inv("lab.up", "--name", LAB, "--with", "traefik")
    folder, helm = tmp_path_factory.mktemp("values"), locate("helm").path
    assert helm is not None
    where = ("--kubeconfig", str(site.target.kubeconfig), "--kube-context", site.context)
    for release, (chart, namespace, values) in RELEASES.items():
        version = Settings().charts[chart].version
        archive = charts.packaged(chart, version, Path(helm), Runner(programs={"helm": str(helm)}))
        file = folder / f"{release}.yaml"
        file.write_text(yaml.safe_dump(values))
        words = ("--namespace", namespace, "--create-namespace", "--values", str(file), "--wait", "--timeout", "180s")
        site.program("helm", "install", release, str(archive), *words, *where)
    return team


def _follow(site: Site, folder: Path) -> None:
    """Let the team's Flux follow a branch of its own, with prune."""
    access = addons.git_access(LAB)
    assert access is not None
    clone = Clone.of(access, folder / "clone")
    clone.git("checkout", "--quiet", "-B", "main")
    clone.git("commit", "--quiet", "--allow-empty", "--message", "the repository's first")
    clone.git("push", "--quiet", "origin", "main")
    clone.git("checkout", "--quiet", "--orphan", "platform")
    (clone.folder / "apps").mkdir()
    kept = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": "shop"},
        "data": {"a": "b"},
    }
    (clone.folder / "apps" / "kept.yaml").write_text(yaml.safe_dump(kept))
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "the platform team's")
    clone.git("push", "--quiet", "--set-upstream", "origin", "platform")
    login = {"username": access.username, "password": access.password, "ca.crt": Path(access.ca_file).read_text()}
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": login},
        {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "platform"},
         "spec": {"url": access.url, "interval": "1m", "ref": {"branch": "platform"}, "secretRef": {"name": "login"}}},
        {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "platform"},
         "spec": {"path": "./apps", "prune": True, "interval": "1m",
                  "sourceRef": {"kind": "GitRepository", "name": "platform"}}},
    ]  # fmt: skip
    site.applied("---\n".join(map(yaml.safe_dump, objects)), "flux-system")


def app(port: int) -> str:
    """Return the team's app: a web server, and a program that calls out all the time."""
    config = {
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": True,
        "HttpPort": 8042,
        "StorageDirectory": "/tmp/s",
    }

    def deployment(name: str, **container: Any) -> dict[str, Any]:
        pod = {
            "metadata": {"labels": {"app": name}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": name, "imagePullPolicy": "IfNotPresent", **container}],
                "volumes": [{"name": "config", "configMap": {"name": "shop"}}],
            },
        }
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}

    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"}, "data": {"c.json": json.dumps(config)}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shop"},
            "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 8042}]},
        },
        deployment(
            "shop",
            image="korthweb.lab/orthanc:1.12.7",
            command=[
                "sh",
                "-c",
                "mkdir -p /tmp/s; exec $(command -v Orthanc || echo /usr/sbin/Orthanc) /etc/shop/c.json",
            ],
            volumeMounts=[{"name": "config", "mountPath": "/etc/shop"}],
            readinessProbe={"httpGet": {"path": "/system", "port": 8042}, "periodSeconds": 2},
        ),
        deployment(
            "caller", image="korthweb.lab/postgres:17", command=["bash", "-c", CALLER.replace("PORT", str(port))]
        ),
    ]
    return "---\n".join(map(yaml.safe_dump, objects))


def calls(site: Site) -> list[str]:
    """Return what the app said of each of its calls to the outside."""
    pods = site.kubectl("logs", "--selector=app=caller", "--container=caller", "--tail=-1", namespace="shop")
    return pods.splitlines()


def nothing_happened(site: Site, team: Asking, before: dict[str, Any], what: str) -> None:
    """Assert that the team's app and objects are as they were."""
    said, now = calls(site), site.theirs()
    # the first calls may come before the sidecar has its configuration: from the first answer on, none may fail
    first = said.index("ok")
    failed = [line for line in said[first:] if line != "ok"]
    asked = f"app asked {team.asked} times, {len(team.failures)} failed"
    print(f"{what}: {asked}; called out {len(said) - first} times, {len(failed)} failed")
    assert team.failures == []
    assert failed == []
    changed = {name: (obj, now.get(name)) for name, obj in before.items() if obj != now.get(name)}
    assert not changed, json.dumps(changed)[:3000]


USE = {"components": {"istio": "use", "cert-manager": "use"}, "istio": {"namespace": "mesh", "revision": "platform"}}


def test_F3_F26_F2_a_platform_team_notices_nothing(site: Site, team: Asking) -> None:
    """F2, F3, F26: refused without a word; with it, deployed, proved, upgraded and destroyed beside the team's app."""
    before = site.theirs()
    refused = site.inv("manual.deploy", "--yes", code=5)
    assert "components: {istio: use} and istio: {namespace: mesh, revision: platform}" in refused
    site.inv("manual.install-cert-manager", "--yes", code=5)
    told = site.inv("manual.check", code=7)
    assert "written by platform" in told
    assert "IstioOperator" in told
    boot = site.inv("gitops.bootstrap", "--yes", code=5)
    assert "it is somebody else's" in boot
    nothing_happened(site, team, before, "refused")

    site.settings(**USE)
    site.inv("manual.check")
    site.inv("manual.deploy", "--yes")
    site.inv("verify.all", "--approach", "manual")
    site.settings(**USE, orthanc={"config": {"LimitFindResults": 321}})
    site.inv("manual.deploy", "--yes")
    nothing_happened(site, team, before, "manual: deployed, proved, upgraded")
    site.inv("manual.destroy", "--yes", "--volumes")
    nothing_happened(site, team, before, "manual: destroyed")


CHANGED = {"orthanc": {"config": {"LimitFindResults": 321}}}


@pytest.mark.long
def test_F26_the_helm_approach_beside_the_team(site: Site, platform: Asking) -> None:
    """F26: a release of our own behind the team's Traefik, with its cert-manager and CloudNativePG, comes and goes."""
    before = site.theirs()
    site.settings(approach="helm")
    assert "components: {traefik: use}" in site.inv("helm.deploy", "--yes", code=5)
    values = {"certificates": {"source": "certManager"}, "postgresql": {"mode": "cnpg"}}
    used = {"approach": "helm", "components": {"traefik": "use"}, "charts": {"orthanc": {"values": values}}}
    site.settings(**used)
    site.inv("helm.check")
    site.inv("helm.deploy", "--yes")
    site.inv("helm.test")
    nothing_happened(site, platform, before, "helm: deployed, tried")
    site.settings(**used, **CHANGED)
    site.inv("helm.deploy", "--yes")
    site.inv("helm.test")
    nothing_happened(site, platform, before, "helm: upgraded, tried")
    site.inv("helm.destroy", "--yes", "--volumes")
    nothing_happened(site, platform, before, "helm: destroyed")


@pytest.mark.long
def test_F2_F26_the_gitops_approach_beside_the_team(site: Site, platform: Asking) -> None:
    """F2, F26: followed by the team's own Flux, in its mesh, with its cert-manager, CloudNativePG and Prometheus."""
    before = site.theirs()
    used: dict[str, Any] = {
        "approach": "gitops",
        "components": dict.fromkeys(("istio", "cert-manager", "cloudnative-pg", "prometheus", "flux"), "use"),
        "istio": {"namespace": "mesh", "revision": "platform"},
        "postgres": {"operator_namespace": "db"},
        "observability": {"prometheus": True},
    }
    site.settings(**{**used, "components": {**used["components"], "flux": "install"}})
    assert "components: {flux: use}" in site.inv("gitops.bootstrap", "--yes", code=5)
    site.settings(**used)
    told = site.inv("gitops.check")
    assert "takes ServiceMonitors with release=watch" in told
    site.inv("gitops.bootstrap", "--yes")
    site.inv("verify.all", "--approach", "gitops")
    nothing_happened(site, platform, before, "gitops: bootstrapped, proved")
    site.settings(**used, **CHANGED)
    site.inv("gitops.deploy", "--yes")
    site.inv("verify.all", "--approach", "gitops")
    nothing_happened(site, platform, before, "gitops: upgraded, proved")
    site.inv("gitops.destroy", "--yes", "--volumes")
    nothing_happened(site, platform, before, "gitops: destroyed")
