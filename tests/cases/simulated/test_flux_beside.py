"""F2 with Flux's real controllers: a platform team's Flux, and korthweb's own sources and Kustomizations beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.fleet_cost import PRETENDED, definitions, pretending
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.lab import cluster
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.informer import Informer
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.flux import COMPONENTS, KINDS, Flux
from korthweb_tasks.tools.kubectl import Kubectl
from tests.flux_doubles import fleet
from tests.flux_doubles.control import flux
from tests.flux_doubles.git import Repository, served
from tests.verify_doubles.pki import Authority, server_context

ROOT = Path(__file__).parents[3]
Object = dict[str, Any]
#: what the team has of Flux, and what its Flux applied
OBJECTS = "gitrepositories.source.toolkit.fluxcd.io,kustomizations.kustomize.toolkit.fluxcd.io,deployments,secrets"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "shop"}}
OPTIONS = {"kustomize-controller": ("--requeue-dependency=5s",)}


@dataclass
class Site:
    """A hospital's cluster, our project, and the repositories of the team and of ours."""

    target: Cluster
    runner: Runner
    project: Path
    theirs: Repository
    ours: Repository

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.runner.run(Kubectl(self.target).command(*args, stdin=stdin, repeatable=True)).stdout

    def applied(self, *objects: Object) -> None:
        words = ("apply", "--server-side", "--field-manager=platform", "--filename=-")
        self.kubectl(*words, stdin=fleet.text(*objects))

    def settings(self, **more: Any) -> None:
        off = dict.fromkeys(("prometheus", "kiali", "grafana", "jaeger"), False)
        text = {
            "profile": "lab",
            "tenants": [{"name": "BHC", "domain": "bhc.orthweb.com", "replicas": {"min": 1, "max": 2}}],
            "observability": off,
            "gitops": {"url": self.ours.url, "ca_file": "ca.pem", "cluster": "a"},
            "timeouts": {"run": 180},
            **more,
        }
        (self.project / "korthweb.yaml").write_text(yaml.safe_dump(text))

    def inv(self, *words: str, code: int = 0) -> str:
        argv = (sys.executable, "-m", "korthweb_tasks.main", *words, "--context", self.target.context)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": str(self.target.kubeconfig)}
        env["KORTHWEB_SECRET_GIT_PASSWORD"] = "not-asked-for"
        done = subprocess.run(argv, cwd=self.project, env=env, capture_output=True, text=True, timeout=400)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def seen(self) -> dict[str, Any]:
        """Return all of the team's as it is now, and whether it is ready; without what controllers renew."""
        found = {}
        for place in ("flux-system", "shop"):
            listed = self.kubectl("get", f"{OBJECTS},configmaps", f"--namespace={place}", "--output=json")
            for obj in json.loads(listed)["items"]:
                meta, status = obj["metadata"], obj.get("status", {})
                conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
                kept = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
                marks = (meta["uid"], meta.get("labels"), meta.get("annotations"), meta.get("generation"))
                ready = (conditions.get("Ready"), status.get("artifact", {}).get("revision"))
                found[f"{obj['kind']}/{place}/{meta['name']}"] = (kept, marks, ready)
        return found


def workload(name: str, place: str, image: str, **labels: str) -> Object:
    made = fleet.deployment(name, place)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = image
    made["metadata"]["labels"] = labels
    return made


def webhook(name: str, kind: str, place: str, **more: Any) -> Object:
    about = {"service": {"name": "none", "namespace": place}}
    hook = {
        "name": name, "clientConfig": about, "rules": [], "failurePolicy": "Ignore", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], **more,
    }  # fmt: skip
    meta = {"name": name.replace(".", "-")}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta, "webhooks": [hook]}


def platform() -> list[Object]:
    """Return what the team runs: Flux's controllers, a mesh, cert-manager and CloudNativePG, each by its marks."""
    marks = {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.5"}
    controllers = [workload(name, "flux-system", f"ghcr.io/fluxcd/{name}:v1.8.0", **marks) for name in COMPONENTS]
    enabled = {"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]}
    spaces = [fleet.namespace(name) for name in ("flux-system", "shop", "istio-system", "certs", "cnpg-system")]
    return [
        *spaces,
        *controllers,
        workload("istiod", "istio-system", "korthweb.lab/pilot:1.31.1"),
        workload("certs", "certs", "korthweb.lab/cert-manager-controller:v1.11.4"),
        workload("cnpg", "cnpg-system", "korthweb.lab/cloudnative-pg:1.28.0"),
        webhook(
            "namespace.sidecar-injector.istio.io",
            "MutatingWebhookConfiguration",
            "istio-system",
            namespaceSelector=enabled,
        ),
        webhook("webhook.cert-manager.io", "ValidatingWebhookConfiguration", "certs"),
    ]


def followed(url: str) -> list[Object]:
    """Return what `flux bootstrap` has made for the team, with prune."""
    return [fleet.source(url), fleet.kustomization("flux-system", "./clusters", retryInterval="10s")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a control plane of its own, in which a platform team's Flux is at work."""
    work, name = tmp_path_factory.mktemp("beside"), f"b{os.getpid()}"
    project, authority = work / "project", Authority()
    project.mkdir()
    (project / "ca.pem").write_text(authority.pem)
    try:
        info = cluster.up(name, simulated=True, console=Console(quiet=True))
        target, runner = _renamed(info.kubeconfig, work), Runner(programs={"kubectl": str(locate("kubectl").path)})
        tls = server_context(authority.leaf("localhost"))
        with (
            served(work / "theirs") as theirs,
            served(work / "ours", tls) as ours,
            flux(target, runner, work, options=OPTIONS),
        ):
            made = Site(target, runner, project, theirs, ours)
            made.kubectl("apply", "--server-side", "--filename=-", stdin=fleet.text(*definitions()))
            made.applied(*platform())

            # their layer has the name of one of ours
            layer = fleet.kustomization("istio", "./layers/istio")
            theirs.commit({"clusters/all.yaml": fleet.text(layer), "layers/istio/all.yaml": fleet.text(CONFIG)})
            made.applied(*followed(theirs.url))
            names = ("kustomization/flux-system", "kustomization/istio")
            for one in names:
                made.kubectl("wait", "--for=create", one, "--namespace=flux-system", "--timeout=60s")
                made.kubectl("wait", "--for=condition=Ready", one, "--namespace=flux-system", "--timeout=60s")
            made.kubectl("wait", "deployment", "--all", "--all-namespaces", "--for=condition=Available")
            yield made
    finally:
        cluster.down(name, console=Console(quiet=True))


def _renamed(kubeconfig: str | None, work: Path) -> Cluster:
    """Return the context under the name of a hospital's: it is no lab of ours."""
    config = yaml.safe_load(Path(str(kubeconfig)).read_text())
    config["contexts"][0]["name"] = config["current-context"] = "hospital"
    (work / "kubeconfig").write_text(yaml.safe_dump(config))
    return Cluster("hospital", str(work / "kubeconfig"))


USE = {"components": dict.fromkeys(("istio", "cert-manager", "cloudnative-pg", "flux"), "use")}


def test_F2_korthweb_comes_and_goes_beside_another_teams_flux(site: Site) -> None:
    """F2: refused without a word; with it bootstrapped, changed and destroyed; theirs ready and as it was."""
    before = site.seen()
    assert {name: state[2][0] for name, state in before.items() if "Kustomization" in name} == {
        "Kustomization/flux-system/flux-system": "True",
        "Kustomization/flux-system/istio": "True",
    }
    site.settings(components={**USE["components"], "flux": "install"})
    assert "components: {flux: use}" in site.inv("gitops.bootstrap", "--yes", code=5)
    assert site.seen() == before

    site.settings(**USE)
    pretended = [kind for kind in KINDS if kind.kind in PRETENDED]
    with Informer(site.runner, Flux(site.target).proxy, pretended).opened() as informer, pretending(informer):
        site.inv("gitops.bootstrap", "--yes")
        assert site.seen() == before
        tree, _ = json.JSONDecoder().raw_decode(site.inv("gitops.status", "--output=json"))
        assert [(top["kind"], top["namespace"]) for top in tree["data"]] == [("GitRepository", "korthweb-flux")]
        site.inv("gitops.suspend", "istio", "--yes")
        assert site.seen() == before, "theirs has the same name, and is not suspended"
        site.inv("gitops.resume", "istio", "--yes")
        site.settings(**USE, orthanc={"config": {"LimitFindResults": 321}})
        site.inv("gitops.deploy", "--yes")
        told = site.kubectl("get", "configmap", "orthanc-app", "--namespace=bhc-orthweb", "--output=json")
        assert "321" in told
        assert "unchanged" in site.inv("gitops.bootstrap", "--yes")
        assert site.seen() == before
        site.inv("gitops.destroy", "--yes", "--volumes")
    assert site.seen() == before
    left = site.kubectl("get", "namespace", "bhc-orthweb", "korthweb-flux", "--ignore-not-found", "--output=name")
    assert left == ""
    # their Flux is still at work
    data = {**CONFIG, "data": {"a": "b"}}
    site.theirs.commit({"layers/istio/all.yaml": fleet.text(data)})
    for kind in ("gitrepository/flux-system", "kustomization/istio"):
        site.kubectl("annotate", kind, "reconcile.fluxcd.io/requestedAt=1", "--namespace=flux-system")
        site.kubectl("wait", kind, "--for=condition=Ready", "--namespace=flux-system", "--timeout=60s")
    found = site.kubectl("wait", "configmap/kept", "--for=jsonpath={.data.a}=b", "--namespace=shop", "--timeout=60s")
    assert "condition met" in found
