"""S11, U1, U2, U3 against a real API server: another team's things stay as they are, whatever is typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.gitops.plan import Bootstrap
from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
from korthweb_tasks.approaches.shared.namespaces import RECORD, Home, Record, plain_namespace
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Plan
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.flux import Repository
from korthweb_tasks.tools.kubectl import Kubectl

ROOT = Path(__file__).parents[3]
APPROACHES = ("manual", "helm", "gitops")
#: the rule is one: the short form tries it once, the long one for each approach
FIRST = [pytest.param(name, marks=() if name == "manual" else pytest.mark.long, id=name) for name in APPROACHES]
PAIRS = [
    pytest.param(a, b, marks=() if f"{a}-{b}" in ("helm-manual", "gitops-helm", "manual-gitops") else pytest.mark.long)
    for a in APPROACHES
    for b in APPROACHES
    if a != b
]
#: what changes something in a tenant's namespace, by approach
CHANGING = {
    "manual": ("manual.configure", "manual.deploy"),
    "helm": ("helm.deploy", "helm.rollback"),
    "gitops": ("gitops.configure", "gitops.bootstrap"),
}
#: kinds that the approaches use and whose operators are not here; the real schemas are tests/simulated's affair
KINDS = {
    "traefik.io/v1alpha1": (
        "IngressRoute",
        "IngressRouteTCP",
        "TLSOption",
        "TLSStore",
        "ServersTransport",
        "Middleware",
    ),
    "networking.istio.io/v1": ("Gateway", "VirtualService", "DestinationRule"),
    "security.istio.io/v1": ("PeerAuthentication", "AuthorizationPolicy"),
    "telemetry.istio.io/v1": ("Telemetry",),
    "cert-manager.io/v1": ("Certificate", "Issuer"),
    "kustomize.toolkit.fluxcd.io/v1": ("Kustomization",),
}
CHART = ROOT / "helm" / "orthanc"
LOOKED_AT = "deployment,configmap,secret,persistentvolumeclaim,service,serviceaccount,networkpolicy"


def definition(group: str, version: str, kind: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plural = f"{kind.lower().removesuffix('y')}ies" if kind.endswith("Policy") else f"{kind.lower()}s"
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }


@dataclass
class Site:
    """A cluster under a name of its own, and kubectl for it."""

    target: Cluster
    program: str

    def kubectl(self, *args: str, text: str = "") -> str:
        argv = (self.program, *self.target.kubectl_args(), *args)
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, objects: list[dict[str, Any]], manager: str = "kubectl-create") -> None:
        words = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "--filename=-")
        self.kubectl(*words, text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def namespace(self, name: str) -> dict[str, Any]:
        text = self.kubectl("get", "namespace", name, "--output=json", "--ignore-not-found")
        return dict(json.loads(text)) if text else {}

    def versions(self, name: str = "radiology") -> dict[str, str]:
        """Return the version of every object in a namespace, and of the namespace: what was touched has another."""
        found = json.loads(self.kubectl("get", LOOKED_AT, f"--namespace={name}", "--output=json"))["items"]
        every = [*found, self.namespace(name)]
        return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["uid"] for obj in every} | {
            f"{obj['kind']}/{obj['metadata']['name']} version": obj["metadata"]["resourceVersion"]
            for obj in every
            if obj["kind"] != "Deployment"  # its status moves
        }

    def settled(self, name: str = "radiology") -> dict[str, str]:
        """Return :meth:`versions` once the cluster's own controllers are done.

        They give a new namespace its account and its authority, and claims their finalizers.
        """
        usual = {"ServiceAccount/default", "ConfigMap/kube-root-ca.crt"}
        before: dict[str, str] = {}
        for _ in range(60):
            now = self.versions(name)
            if now == before and usual <= now.keys():
                return now
            before = now
            time.sleep(1.0)
        raise AssertionError(f"{name} does not settle: {before}")

    def run(self, plan: Plan) -> None:
        runner = Runner(programs={"kubectl": self.program, "helm": str(locate("helm").path)})
        executor = Executor(runner, Kubectl(self.target), Console(quiet=True))
        executor.apply(plan)
        assert not executor.faults, [(fault.message, fault.details) for fault in executor.faults.values()]


@dataclass
class Folder:
    """Somebody's project folder."""

    path: Path
    site: Site

    def settings(self, *tenants: dict[str, Any]) -> None:
        text = {
            "profile": "lab",
            "observability": dict.fromkeys(("prometheus", "kiali", "grafana", "jaeger"), False),
            "charts": {"traefik": {"values": {"enabled": False}}},
            "gitops": {"url": "https://127.0.0.1:1/fleet.git"},
            "tenants": list(tenants),
        }
        (self.path / "korthweb.yaml").write_text(yaml.safe_dump(text))

    def inv(self, *words: str, code: int = 0) -> str:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": str(self.site.target.kubeconfig)}
        env["KORTHWEB_SECRET_GIT_PASSWORD"] = "not-asked-for"
        argv = (sys.executable, "-m", "korthweb_tasks.main", *words, "--context", self.site.target.context)
        done = subprocess.run(
            argv,
            cwd=self.path,
            env=env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def deploy(self, approach: str, tenant: dict[str, Any]) -> None:
        """Deploy as far as it goes without pods and without a Git server."""
        if approach == "manual":
            self.inv("manual.configure", "--yes")
            self.inv("manual.install-postgres", "--yes")
        elif approach == "helm":
            self.site.run(_release(self.site, self.path, Tenant(**tenant)))
        else:
            bootstrap = Bootstrap(
                target=self.site.target,
                secrets=Secrets(),
                repository=Repository(url="https://127.0.0.1:1/fleet.git", branch="main", path="clusters/x"),
                namespaces={tenant["name"]: plain_namespace(tenant["namespace"], {"korthweb/tenant": tenant["name"]})},
                hub="",
                version="",
                in_git=False,
            )
            one = Tenant(**tenant)
            steps = (bootstrap.namespace(one), bootstrap.credentials(one))
            self.site.run(Plan("configured", steps))

    def destroy(self, approach: str, tenant: str, *more: str, code: int = 0) -> str:
        which = ("--tenant", tenant) if approach != "gitops" else ()
        return self.inv(f"{approach}.destroy", *which, "--yes", *more, code=code)


def _release(site: Site, folder: Path, tenant: Tenant) -> Plan:
    """Return the steps of helm.deploy, with our chart as it is but for Traefik, whose chart is not here."""
    chart = folder / "chart"
    if not chart.exists():
        shutil.copytree(CHART, chart)
        about = yaml.safe_load((chart / "Chart.yaml").read_text())
        version = about.pop("dependencies") and about["version"]
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": version}))
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["version"]
    settings = Settings(tenants=(tenant,), charts={"traefik": {"values": {"enabled": False}}})
    whole = Builder(settings, site.target, Secrets(), ChartAt(str(chart), version)).plan([tenant])
    steps = [replace(step, waits=()) for step in whole.steps]  # no pods are here
    return Plan("released", tuple(steps))


@pytest.fixture(scope="module")
def site(
    simulated: Cluster, simulated_programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Give the simulated cluster under the name of a hospital's, with the kinds that the approaches use."""
    config = yaml.safe_load(Path(str(simulated.kubeconfig)).read_text())
    config["contexts"][0]["name"] = config["current-context"] = "hospital"
    file = tmp_path_factory.mktemp("kube") / "config"
    os.environ["KUBECACHEDIR"] = str(file.parent / "cache")  # another cluster may have had this port before
    file.write_text(yaml.safe_dump(config))
    found = Site(Cluster("hospital", str(file)), simulated_programs["kubectl"])
    kinds = [definition(api.partition("/")[0], api.partition("/")[2], kind) for api in KINDS for kind in KINDS[api]]
    found.apply(kinds)
    names = [f"crd/{obj['metadata']['name']}" for obj in kinds]
    found.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    yield found
    found.kubectl("delete", "--timeout=100s", *names)
    del os.environ["KUBECACHEDIR"]


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Iterator[Folder]:
    yield Folder(tmp_path, site)
    spaces = ("radiology", "other-orthweb", "copied", "istio-system", "cert-manager")
    # policies for tenants' pods would hold for the next test's, too
    site.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "--all")
    site.kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--timeout=100s")


RAD = {"name": "RAD", "domain": "rad.example.org", "namespace": "radiology"}
ADOPTING = {**RAD, "adopt_namespace": True}


def others_work(name: str = "radiology") -> list[dict[str, Any]]:
    """Return a namespace of the radiology team, with labels that look like ours."""
    labels = {"app.kubernetes.io/managed-by": "korthweb", "team": "radiology"}
    pod = {"metadata": {"labels": {"app": "viewer"}}, "spec": {"containers": [{"name": "c", "image": "viewer"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "viewer"}}, "template": pod}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"namespace": name, "labels": {"app.kubernetes.io/part-of": "orthweb"}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "pacs-list"}, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**meta, "name": "archive"}, "spec": claim},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "name": "viewer"}, "spec": spec},
    ]


@pytest.mark.parametrize("approach", APPROACHES)
def test_U1_the_namespace_of_another_team_is_refused_and_not_touched(approach: str, folder: Folder, site: Site) -> None:
    """U1, S11: by check, by each task that would change it, by destroy; with what is in it, and the word."""
    site.apply(others_work())
    folder.settings(RAD)
    before = site.settled()
    if approach != "gitops":  # whose check asks Git, registries and charts, too: tests/unit/test_gitops_check.py
        assert "deployment/viewer" in folder.inv(f"{approach}.check", code=7)
    for task in CHANGING[approach]:
        said = folder.inv(task, "--yes", code=5)
        assert "deployment/viewer" in said
        assert "adopt_namespace: true" in said
    # gitops.destroy is of what GitOps has in the cluster, which is nothing
    destroyed = folder.destroy(approach, "RAD", "--volumes", code=0 if approach == "gitops" else 5)
    assert ("radiology" in destroyed) is (approach != "gitops")
    assert {name: text for name, text in site.versions().items() if name in before} == before
    assert site.versions().keys() == before.keys()


GONE = "v1beta1.gone.example.com"


@pytest.fixture
def blind(site: Site) -> Iterator[None]:
    """Give a part of the API whose server is gone, as a metrics-server that nobody has removed in whole."""
    service = {"name": "gone", "namespace": "default"}
    spec = {
        "group": "gone.example.com",
        "version": "v1beta1",
        "service": service,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
    }
    about = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": GONE}, "spec": spec}
    site.apply([about])
    site.kubectl("wait", f"apiservice/{GONE}", "--for=condition=Available=False", "--timeout=60s")
    yield
    site.kubectl("delete", "apiservice", GONE, "--ignore-not-found")


@pytest.mark.parametrize("approach", APPROACHES)
def test_U2_nothing_is_removed_while_a_part_of_the_api_does_not_answer(
    approach: str, folder: Folder, site: Site, blind: None
) -> None:
    """U2: what a namespace holds can't be asked then, and none would go: told within seconds, nothing touched."""
    folder.settings(RAD)
    site.apply(others_work())
    before = site.settled()
    began = time.monotonic()
    said = folder.destroy(approach, "RAD", "--volumes", code=5)
    took = time.monotonic() - began
    print(f"{approach}.destroy with a broken APIService: {took:.1f} s")
    assert f"APIService {GONE} (Service default/gone) does not answer" in said
    assert f"kubectl --context hospital delete apiservice {GONE}" in said
    assert took < 45
    assert site.versions() == before


def test_U2_a_namespace_that_stays_terminating_is_explained(folder: Folder, site: Site) -> None:
    """U2: a tenant is not deployed into it, and what holds it is said."""
    folder.settings(RAD)
    site.apply(others_work())
    name = ("configmap", "pacs-list", "--namespace=radiology")
    site.kubectl("patch", *name, '--patch={"metadata":{"finalizers":["example.org/held"]}}', "--type=merge")
    site.kubectl("delete", "namespace", "radiology", "--wait=false")
    held = "--for=condition=NamespaceFinalizersRemaining=True"
    try:
        site.kubectl("wait", "namespace/radiology", held, "--timeout=60s")
        said = folder.inv("manual.configure", "--yes", code=5)
        assert "the namespace radiology can't be used: it is being removed since" in said
        assert "example.org/held in 1 resource instances" in said
    finally:
        site.kubectl("patch", *name, '--patch={"metadata":{"finalizers":null}}', "--type=merge")


def test_S11_a_namespace_of_others_for_what_tenants_share_needs_a_word(folder: Folder, site: Site) -> None:
    """S11: istio-system that somebody made before is refused; it is not taken for korthweb's own."""
    folder.settings(RAD)
    site.apply(others_work("istio-system"))
    said = folder.inv("manual.deploy", "--yes", code=5)
    assert "korthweb did not make the namespace istio-system" in said
    assert "deployment/viewer" in said
    assert "adopt_namespaces: [istio-system]" in said


@pytest.mark.parametrize("approach", FIRST)
def test_S11_an_adopted_namespace_is_kept_with_all_that_others_have_in_it(
    approach: str, folder: Folder, site: Site
) -> None:
    """S11: with the word; destroy --volumes takes our objects, our volume and our labels, and nothing else."""
    site.apply(others_work())
    folder.settings(ADOPTING)
    before = site.settled()
    folder.deploy(approach, ADOPTING)
    assert json.loads(site.namespace("radiology")["metadata"]["annotations"][RECORD])["adopted"] is True
    assert "secret/orthanc-users" in site.kubectl("get", "secret", "--namespace=radiology", "--output=name")
    said = folder.destroy(approach, "RAD", "--volumes")
    assert "radiology stays: korthweb did not make it" in said
    after = site.versions()
    assert after.keys() == before.keys()
    del before["Namespace/radiology version"], after["Namespace/radiology version"]  # it has the record
    assert after == before
    labels = site.namespace("radiology")["metadata"]["labels"]
    assert labels["team"] == "radiology"
    assert "istio-injection" not in labels


@pytest.mark.parametrize("approach", FIRST)
def test_S11_what_others_put_into_our_namespace_keeps_it(approach: str, folder: Folder, site: Site) -> None:
    """S11: the namespace goes when nothing else is in it, and what keeps it is told by name."""
    folder.settings(RAD)
    folder.deploy(approach, RAD)
    site.apply(others_work()[1:2])
    said = folder.destroy(approach, "RAD", "--volumes")
    assert "it holds configmap/pacs-list" in said
    assert "configmap/pacs-list" in site.kubectl("get", "configmap", "--namespace=radiology", "--output=name")
    assert site.kubectl("get", "statefulset,persistentvolumeclaim", "--namespace=radiology", "--output=name") == ""
    site.kubectl("delete", "configmap", "pacs-list", "--namespace=radiology")
    folder.destroy(approach, "RAD", "--volumes")
    assert site.namespace("radiology") == {}


@pytest.mark.long
@pytest.mark.parametrize("approach", FIRST)
def test_S11_a_record_that_was_copied_or_outlived_its_namespace_means_nothing(
    approach: str, folder: Folder, site: Site
) -> None:
    """S11: labels and annotations on another namespace; a namespace deleted and made anew from what Git has."""
    folder.settings(RAD)
    folder.deploy(approach, RAD)
    saved = site.namespace("radiology")["metadata"]
    meta = {"labels": saved["labels"], "annotations": saved["annotations"]}
    copy = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "copied", **meta}}
    site.apply([copy])
    folder.settings({**RAD, "namespace": "copied"})
    folder.inv(CHANGING[approach][0], "--yes", code=5)
    folder.destroy(approach, "RAD", "--volumes", code=5)
    site.kubectl("delete", "namespace", "radiology", "copied", "--timeout=100s")
    site.apply([{**copy, "metadata": {"name": "radiology", **meta}}])
    folder.settings(RAD)
    folder.inv(CHANGING[approach][0], "--yes", code=5)
    folder.destroy(approach, "RAD", "--volumes", code=5)
    assert site.namespace("radiology")


@pytest.mark.long
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_U3_what_one_approach_deployed_no_other_deploys_over_or_removes(
    first: str, second: str, folder: Folder, site: Site
) -> None:
    """U3: refused before the first change, with what was found and the way."""
    folder.settings(ADOPTING)
    folder.deploy(first, RAD)
    if first == "gitops":  # no controllers are here: what Flux applies is applied as Flux does
        _as_flux(site)
    before = site.versions()
    said = folder.inv(CHANGING[second][0], "--yes", code=5)
    assert f"approach {first} deployed" in said or "Flux looks after" in said
    assert f"{first}.destroy --tenant RAD" in said or "gitops.remove-tenant RAD" in said
    if second != "gitops":  # gitops.destroy is of all that GitOps has, which is nothing here
        assert f"approach {first}" in folder.destroy(second, "RAD", "--volumes", code=5)
    assert site.versions() == before
    site.kubectl("delete", "kustomization", "--all", "--namespace=default")


def _as_flux(site: Site) -> None:
    marks = {
        "kustomize.toolkit.fluxcd.io/name": "rad-application",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    }
    config = {"name": "orthanc-app", "namespace": "radiology", "labels": marks}
    site.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": {}}], "kustomize-controller")


def test_U3_a_namespace_of_somebodys_kustomization_is_left_to_flux(folder: Folder, site: Site) -> None:
    """U3: the mark alone does not hold it, the Kustomization that lives does."""
    marks = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "default"}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "radiology", "labels": marks}}
    theirs = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "spec": {}}
    site.apply([home, {**theirs, "metadata": {"name": "apps", "namespace": "default"}}], "kustomize-controller")
    folder.settings(ADOPTING)
    for task in ("manual.configure", "helm.deploy", "gitops.configure"):
        assert "default/apps" in folder.inv(task, "--yes", code=5)
    site.kubectl("delete", "kustomization", "apps", "--namespace=default")
    folder.inv("manual.configure", "--yes")


def test_U3_what_another_teams_kustomization_of_our_name_applied_is_theirs(folder: Folder, site: Site) -> None:
    """U3: it lies in Flux's own namespace and is called like the tenant's layer, but follows the team's repository."""
    folder.settings(RAD)
    folder.deploy("manual", RAD)
    source = {"kind": "GitRepository", "name": "team-b"}
    theirs = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}
    meta = {"name": "rad-application", "namespace": "flux-system"}
    site.apply([home, {**theirs, "metadata": meta, "spec": {"path": "./clusters/x", "sourceRef": source}}])
    try:
        marks = {f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in meta.items()}
        viewer = {"name": "viewer", "namespace": "radiology", "labels": marks}
        site.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": viewer, "data": {}}], "kustomize-controller")
        folder.inv("manual.configure", "--yes")
        assert "configmap/viewer" in folder.destroy("manual", "RAD", "--volumes")
        assert site.kubectl("get", "configmap", "viewer", "--namespace=radiology")
    finally:
        site.kubectl("delete", "kustomization", "rad-application", "--namespace=flux-system")
        site.kubectl("delete", "namespace", "flux-system")


@pytest.mark.long
def test_U3_a_release_of_another_chart_is_neither_upgraded_nor_uninstalled(
    folder: Folder, site: Site, tmp_path: Path
) -> None:
    """U3: a release called orthanc that somebody installed from a chart of their own."""
    chart = tmp_path / "their-chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: pacs-suite\nversion: 2.0.0\n")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "suite"}, "data": {"a": "b"}}
    (chart / "templates" / "all.yaml").write_text(json.dumps(theirs))
    folder.settings(ADOPTING)
    folder.deploy("helm", ADOPTING)
    _helm(site, "uninstall", "orthanc", "--wait")
    _helm(site, "install", "orthanc", str(chart))
    for words in (("helm.deploy", "--yes"), ("helm.destroy", "--yes", "--volumes")):
        assert "pacs-suite-2.0.0" in folder.inv(*words, code=5)
    assert "configmap/suite" in site.kubectl("get", "configmap", "--namespace=radiology", "--output=name")


def _helm(site: Site, *words: str) -> None:
    argv = (str(locate("helm").path), *words, "--namespace=radiology", *site.target.helm_args())
    subprocess.run(argv, check=True, capture_output=True, timeout=100)


@pytest.mark.long
def test_U3_fields_of_another_program_are_not_taken_and_hands_are_put_right(folder: Folder, site: Site) -> None:
    """U3: no --force-conflicts over Argo CD; what somebody changed with kubectl edit is put back as before."""
    folder.settings(RAD)
    folder.deploy("manual", RAD)
    name = ("configmap", "dbinit", "--namespace=radiology")
    site.kubectl("patch", *name, '--patch={"data":{"dbinit.sh":"by hand"}}')
    folder.inv("manual.configure", "--yes")
    assert "by hand" not in site.kubectl("get", *name, "--output=json")
    meta = {"name": "dbinit", "namespace": "radiology"}
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"dbinit.sh": "argo"}}
    site.apply([theirs], "argocd-controller")
    assert "argocd-controller" in folder.inv("manual.configure", "--yes", code=5)
    assert "argo" in site.kubectl("get", *name, "--output=json")


@pytest.mark.long
@pytest.mark.parametrize("other", FIRST)
def test_U2_what_tenants_share_stays_while_the_cluster_has_another_tenant(
    other: str, folder: Folder, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """U2: of another folder, by another approach; --tenant never removes what is shared; without it, refused."""
    site.run(_shared(site))
    elsewhere = Folder(tmp_path_factory.mktemp("elsewhere"), site)
    theirs = {"name": "OTHER", "domain": "other.example.org", "namespace": "other-orthweb"}
    elsewhere.settings(theirs)
    elsewhere.deploy(other, theirs)
    folder.settings(RAD)
    folder.deploy("manual", RAD)
    before = site.versions("other-orthweb")
    assert f"other-orthweb (OTHER, {other})" in folder.inv("manual.destroy", "--yes", "--volumes", code=5)
    assert site.namespace("radiology")
    folder.inv("manual.destroy", "--tenant", "RAD", "--yes", "--volumes")
    assert site.namespace("radiology") == {}
    assert site.namespace("istio-system")
    assert site.versions("other-orthweb") == before
    assert "other-orthweb" in folder.inv("manual.destroy", "--yes", code=5)


@pytest.mark.long
def test_U2_what_tenants_share_goes_with_the_last_unless_others_use_it(folder: Folder, site: Site) -> None:
    """U2: a VirtualService of a team that korthweb never heard of keeps the mesh; a namespace of theirs stays."""
    site.run(_shared(site))
    folder.settings(RAD)
    folder.deploy("manual", RAD)
    meta = {"name": "shop", "namespace": "default"}
    route = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": {}}
    site.apply([route])
    assert "virtualservice/shop in default" in folder.inv("manual.destroy", "--yes", "--volumes", code=5)
    site.kubectl("delete", "virtualservice", "shop", "--namespace=default")
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
    site.apply([{**foreign, "metadata": {"name": "theirs", "namespace": "cert-manager"}}])
    said = folder.inv("manual.destroy", "--yes", "--volumes")
    assert "cert-manager stays: it holds configmap/theirs" in said
    assert site.namespace("cert-manager")
    assert (site.namespace("istio-system"), site.namespace("radiology")) == ({}, {})


def _shared(site: Site) -> Plan:
    """Return the steps that make the namespaces of Istio and cert-manager, as manual.deploy does."""
    from korthweb_tasks.core.plan import Step

    homes = [
        Home(Kubectl(site.target), plain_namespace(name), Record("manual")) for name in ("istio-system", "cert-manager")
    ]
    steps = [Step(kind=one.name, title="", probes=(one.probe(),), actions=(one.command,)) for one in homes]
    return Plan("shared", tuple(steps))


@pytest.mark.long
def test_S11_a_run_that_was_killed_before_the_record_is_gone_on_with(folder: Folder, site: Site) -> None:
    """S11: the namespace is there, its record has no UID yet, and nothing is in it."""
    record = Record("manual", "RAD", "rad.example.org").text()
    meta = {"name": "radiology", "annotations": {RECORD: record}}
    site.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": meta}], "korthweb")
    folder.settings(RAD)
    folder.inv("manual.configure", "--yes")
    found = site.namespace("radiology")["metadata"]
    told = json.loads(found["annotations"][RECORD])
    assert (told["uid"], told["adopted"]) == (found["uid"], False)


def test_S11_a_namespace_made_anew_is_not_deleted_in_the_place_of_the_old_one(site: Site) -> None:
    """S11: the server itself compares the UID at the deletion."""
    from korthweb_tasks.approaches.shared.namespaces import delete_namespace

    site.kubectl("create", "namespace", "copied")
    found = site.namespace("copied")
    older = {"metadata": {**found["metadata"], "uid": "00000000-0000-0000-0000-000000000000"}}
    command: Command = delete_namespace(Kubectl(site.target), older, timeout=30)
    result = Runner(programs={"kubectl": site.program}).check(command)
    assert "Precondition failed" in result.stderr
    assert not result.answered
    site.kubectl("delete", "namespace", "copied")
