"""What a hostile tenant makes in its own namespace, on a real API server with the policies that korthweb renders.

Each defence is taken out once and its row is seen to turn red; then it is put back.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.approaches.shared.policies import policy_objects
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.render import parse
from korthweb_tasks.provision import builder
from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.kubectl import Kubectl as Commands
from korthweb_tasks.verify.isolation import manifests
from korthweb_tasks.verify.isolation.cells import ROWS_OF, prove
from korthweb_tasks.verify.isolation.home import AsGuest, AtHome
from korthweb_tasks.verify.isolation.manifests import Home
from tests.applied import Kubectl
from tests.fleet_share import REPOSITORY, fleet
from tests.fleet_share import objects as fleet_objects
from tests.own_passwords import Nobody

TENANTS = Settings().tenants
A, B = TENANTS[:2]
#: cluster rights of a careless site: everything, in the tenant's namespace
EVERYTHING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "korthweb-tenant"},
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
}
#: row -> the policy that guards it against an account with all rights in its namespace
GUARDED = {
    "routes": "korthweb-tenant-routes",
    "privileged": "korthweb-tenant-pods",
    "monitors": "korthweb-tenant-monitors",
}


@dataclass
class Site:
    """A cluster with two tenants of the GitOps approach, and no controllers."""

    kubectl: Kubectl
    target: Cluster
    program: str

    def run(self, command: Command) -> Result:
        argv = (self.program, *command.argv[1:])
        done = subprocess.run(argv, input=command.stdin, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode in command.ok, done.stderr
        return Result(command, done.returncode, done.stdout, done.stderr, 0.0)

    def cells(self) -> dict[str, CellRecord]:
        """Return what A sees at home, by row: these rows as `verify.isolation` judges them."""
        homes = {one.name: Home(one.name, one.namespace, one.web_host, one.dicom_host) for one in (A, B)}
        way = AtHome(homes, self.run, Commands(self.target))
        found = prove([way], {one.name: one.namespace for one in (A, B)}).cells
        return {cell.name: cell for cell in found if cell.a == A.name and cell.name in way.rows}

    def made(self, obj: dict[str, Any], namespace: str = A.namespace, account: str = "") -> str:
        """Make an object in a dry run; return what refused it, or nothing."""
        who = (f"--as={account}",) if account else ()
        words = ("create", "--dry-run=server", "--filename=-", f"--namespace={namespace}", *who)
        named = {**obj, "metadata": {"name": "korthweb-try", **obj.get("metadata", {})}}
        done = subprocess.run(
            (*self.kubectl.argv, *words), input=json.dumps(named), capture_output=True, text=True, timeout=100
        )
        return done.stderr if done.returncode else ""

    @contextmanager
    def without(self, *policies: str) -> Iterator[None]:
        """Take bindings out, and put them back."""
        all_ = policy_objects()
        chosen = [obj for obj in all_ if obj["kind"].endswith("Binding") and obj["spec"]["policyName"] in policies]
        self.kubectl("delete", "validatingadmissionpolicybinding", *(obj["metadata"]["name"] for obj in chosen))
        try:
            yield
        finally:
            self.kubectl.apply(chosen)


@pytest.fixture(scope="module")
def site(with_kinds: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give both tenants' namespaces with rights, walls and policies as the fleet repository has them."""
    kubectl = with_kinds
    folder = tmp_path_factory.mktemp("fleet")
    for name, text in fleet(tenants=TENANTS[:2]).files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    layers = ("infrastructure/istio", *(f"tenants/{one.name.lower()}/dependency" for one in TENANTS[:2]))
    made = [obj for layer in layers for obj in parse(kubectl("kustomize", str(folder / "clusters/hospital" / layer)))]
    made = [obj for obj in made if "fluxcd.io" not in obj["apiVersion"]]
    kubectl.apply(made)
    found = Site(kubectl, kubectl.target, kubectl.program)
    _until_it_holds(found)
    return found


def _until_it_holds(site: Site) -> None:
    """Wait until the API server has taken the policies up, which it does within some seconds."""
    end = time.monotonic() + 30
    while not site.made(manifests.deployment(hostNetwork=True)):
        assert time.monotonic() < end, "no policy holds"
        time.sleep(0.3)


def test_S4_nothing_that_a_tenant_makes_at_home_reaches_another(site: Site) -> None:
    """S4, S1, S2, S3: every attempt is refused, and its harmless sibling is admitted."""
    cells = site.cells()
    assert {row: (cell.status, cell.seen) for row, cell in cells.items() if cell.status != "passed"} == {}
    assert set(cells) == {"routes", "names", "privileged", "monitors", "walls"}


@pytest.mark.parametrize("row", GUARDED)
def test_S4_a_policy_that_is_taken_out_turns_its_row_red(site: Site, row: str) -> None:
    """S4: a mutation for each policy that guards what a tenant may make with the rights that it has."""
    with site.without(GUARDED[row]):
        _until(site, row, "broken")
        # none is refused by something else than the policy
        assert _admitted(site, row) == []
    _until(site, row, "passed")


def test_S2_a_tenant_with_all_rights_in_its_namespace_is_held_by_the_policies(site: Site) -> None:
    """S2: walls and names belong to an account that the tenant's layer is not, whatever its Role says."""
    role = json.loads(site.kubectl("get", "clusterrole", "korthweb-tenant", "--output=json"))
    role["metadata"] = {"name": "korthweb-tenant", "labels": role["metadata"]["labels"]}
    site.kubectl.apply([EVERYTHING])
    try:
        cells = site.cells()
        assert {row: cell.seen for row, cell in cells.items() if cell.status != "passed"} == {}
        for row, policies in (("walls", ["walls"]), ("names", ["walls", "names"])):
            with site.without(*(f"korthweb-tenant-{name}" for name in policies)):
                _until(site, row, "broken")
                assert _admitted(site, row) == []
            _until(site, row, "passed")
    finally:
        site.kubectl.apply([role])


@pytest.fixture
def by_hand(site: Site) -> Iterator[dict[str, Home]]:
    """Give two namespaces as the manual approach makes them, with its walls, and no account of a tenant's."""
    made = Manifests(Settings(), Nobody(), Artifacts.read(REPOSITORY / "manual"))
    pair = [one.model_copy(update={"namespace": f"{one.name.lower()}-by-hand"}) for one in (A, B)]
    for one in pair:
        site.kubectl.apply([obj for kind in ("namespace", "config") for obj in made.of(one, kind)])
    yield {one.name: Home(one.name, one.namespace, one.web_host, one.dicom_host, None) for one in pair}
    site.kubectl("delete", "namespace", *(one.namespace for one in pair), "--wait=false")


def _guests(site: Site, homes: dict[str, Home]) -> dict[str, CellRecord]:
    way = AsGuest(homes, site.run, Commands(site.target))
    found = prove([way], {name: home.namespace for name, home in homes.items()}, rows=ROWS_OF["manual"])
    assert not found.notes
    return {cell.name: cell for cell in found.cells if cell.a == A.name and cell.name in way.rows}


def test_S4_by_hand_nothing_that_a_tenant_makes_at_home_reaches_another(site: Site, by_hand: dict[str, Home]) -> None:
    """S4: with all rights in its namespace; each row turns red where its policy is taken out, and nothing is left."""
    cells = _guests(site, by_hand)
    assert {row: (cell.status, cell.seen) for row, cell in cells.items() if cell.status != "passed"} == {}
    assert set(cells) == {"routes", "names", "privileged", "monitors", "walls"}
    for row in ("routes", "names", "privileged", "walls"):
        with site.without(f"korthweb-tenant-{GUARDED_BY.get(row, row)}"):
            end = time.monotonic() + 30
            while _guests(site, by_hand)[row].status != "broken":
                assert time.monotonic() < end, row
                time.sleep(0.3)
    left = site.kubectl("get", "role,rolebinding", "--all-namespaces", "--output=name")
    assert "korthweb-try" not in left


#: row -> the policy that holds it, where it is called otherwise
GUARDED_BY = {"privileged": "pods"}


def _until(site: Site, row: str, status: str) -> None:
    """Wait until a change of policies or rights holds, which takes the API server some seconds."""
    end = time.monotonic() + 30
    while (cell := site.cells()[row]).status != status:
        assert time.monotonic() < end, cell
        time.sleep(0.3)


def _admitted(site: Site, row: str) -> list[str]:
    """Return what A tries that is not admitted now, with what refuses it."""
    home, other = (Home(one.name, one.namespace, one.web_host, one.dicom_host) for one in (A, B))
    tries = manifests.harmful(home, other)[row]
    said = [(one.what, site.made(one.obj, account=home.account)) for one in tries]
    return [f"{what}: {text}" for what, text in said if text]


def test_S2_what_korthweb_renders_is_admitted(site: Site) -> None:
    """S2, S1, S3: the control: everything of the three approaches passes, as whoever applies it."""
    files = fleet(tenants=TENANTS[:2]).files()
    account = f"--as=system:serviceaccount:flux-system:tenant-{A.name.lower()}"
    for layer in ("application", "monitoring"):
        objects = fleet_objects(files, f"tenants/{A.name.lower()}/{layer}/")
        site.kubectl.apply(objects, "--dry-run=server", account)
    manual = Manifests(Settings(), Nobody(), Artifacts.read(REPOSITORY / "manual"))
    kinds = ("namespace", "config", "postgres", "dbinit", "orthanc", "ingress")
    site.kubectl.apply([obj for kind in kinds for obj in manual.of(A, kind)], "--dry-run=server")
    site.kubectl.apply(manual.observability(), "--dry-run=server")
    text = (REPOSITORY / "tests/golden/helm/default.yaml").read_text(encoding="utf-8")
    chart = parse(
        text.replace("web.orthanc.example.org", A.web_host).replace("dicom.orthanc.example.org", A.dicom_host)
    )
    there = [obj for obj in chart if obj["kind"] != "Secret"]  # what is in a Secret is masked there
    for obj in there:
        obj["metadata"].setdefault("namespace", A.namespace)
    site.kubectl.apply(there, "--dry-run=server", f"--namespace={A.namespace}")


def nameless(kind: str, **change: Any) -> dict[str, Any]:
    """Return the Gateway or VirtualService of A for modalities without a server name, with a change."""
    given = {"tenants": [{"name": A.name, "domain": A.domain, "dicom": {"without_sni": 11115}}]}
    objects = fleet_objects(fleet(given=given).files(), f"tenants/{A.name.lower()}/application/")
    name = {"Gateway": "orthanc", "VirtualService": "orthanc-dicom-any"}[kind]
    (found,) = (obj for obj in objects if (obj["kind"], obj["metadata"]["name"]) == (kind, name))
    return {**found, "metadata": {"name": "korthweb-try"}, "spec": {**found["spec"], **change}}


def test_F10_a_way_in_for_any_name_is_at_one_port_of_the_own_gateway(site: Site) -> None:
    """F10: what the settings make is admitted; the same at another's gateway, another port or for the web is not."""
    for kind in ("Gateway", "VirtualService"):
        assert site.made(nameless(kind)) == ""
    (*_, server) = nameless("Gateway")["spec"]["servers"]
    assert server["hosts"] == ["./*"]
    (way,) = nameless("VirtualService")["spec"]["tcp"]
    theirs = [nameless("Gateway", selector={"korthweb/gateway": B.namespace}), nameless("Gateway", selector={})]
    theirs += [nameless("Gateway", servers=[{**server, "port": {**server["port"], "number": 11112}}])]
    theirs += [nameless("Gateway", servers=[{**server, "hosts": ["*/*"]}])]
    theirs += [nameless("VirtualService", gateways=["mesh"]), nameless("VirtualService", gateways=["orthanc", "mesh"])]
    theirs += [nameless("VirtualService", tcp=[{**way, "match": [{"port": 11112}]}])]
    theirs += [nameless("VirtualService", tcp=[{"route": way["route"]}])]
    theirs += [nameless("VirtualService", http=[{"route": way["route"]}])]
    assert [obj["spec"] for obj in theirs if not site.made(obj)] == []


def traefik(kind: str, spec: dict[str, Any], name: str = "korthweb-try") -> dict[str, Any]:
    return {"apiVersion": "traefik.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def web(match: str, **service: str) -> dict[str, Any]:
    route = {"kind": "Rule", "match": match, "services": [{"name": "orthanc", "port": 8042, **service}]}
    return traefik("IngressRoute", {"routes": [route]})


def tcp(match: str) -> dict[str, Any]:
    return traefik("IngressRouteTCP", {"routes": [{"match": match, "services": [{"name": "orthanc", "port": 4242}]}]})


#: what A would tell a Traefik that looks at the routes of all namespaces
TRAEFIK: dict[str, dict[str, Any]] = {
    "B's host": web(f"Host(`{B.web_host}`)"),
    "B's host beside its own": web(f"Host(`{A.web_host}`) || Host(`{B.web_host}`)"),
    "B's host after its own": web(f"Host(`{A.web_host}`) && Path(`/x`) || Host(`{B.web_host}`)"),
    "every host": web("HostRegexp(`.*`)"),
    "every path": web("PathPrefix(`/`)"),
    "not a host": web(f"!Host(`{A.web_host}`)"),
    "a name that begins alike": web(f"Host(`{A.web_host}.evil.example`)"),
    "B's service": web(f"Host(`{A.web_host}`)", namespace=B.namespace),
    "Traefik's own API": web(f"Host(`{A.web_host}`)", name="api@internal", kind="TraefikService"),
    "B's modalities": tcp(f"HostSNI(`{B.dicom_host}`)"),
    "every modality": tcp("HostSNI(`*`)"),
    "every option": traefik("TLSOption", {"minVersion": "VersionTLS10"}, "default"),
    "every certificate": traefik("TLSStore", {"defaultCertificate": {"secretName": "x"}}, "default"),
    "all UDP": traefik("IngressRouteUDP", {"routes": [{"services": [{"name": "orthanc", "port": 4242}]}]}),
}
HARMLESS = {
    "its own host": web(f"Host(`{A.web_host}`)"),
    "a path of its own host": web(f"Host(`{A.web_host}`) && PathPrefix(`/dicom-web`)"),
    "its own modalities": tcp(f"HostSNI(`{A.dicom_host}`)"),
    "its own options": traefik("TLSOption", {"minVersion": "VersionTLS12"}),
}


def test_S1_a_shared_traefik_is_told_of_own_names_only(site: Site) -> None:
    """S1: the same attack in the Helm approach, where one Traefik reads the routes of all namespaces."""
    account = Home(A.name, A.namespace, A.web_host, A.dicom_host).account
    role = json.loads(site.kubectl("get", "clusterrole", "korthweb-tenant", "--output=json"))
    role["metadata"] = {"name": "korthweb-tenant", "labels": role["metadata"]["labels"]}
    site.kubectl.apply([EVERYTHING])
    try:
        told = {what: site.made(obj, account=account) for what, obj in TRAEFIK.items()}
        assert [what for what, text in told.items() if "korthweb-tenant-traefik" not in text] == []
        assert {what: site.made(obj, account=account) for what, obj in HARMLESS.items()} == dict.fromkeys(HARMLESS, "")
        with site.without("korthweb-tenant-traefik"):
            end = time.monotonic() + 30
            while site.made(TRAEFIK["every host"], account=account):
                assert time.monotonic() < end
                time.sleep(0.3)
            assert {what: site.made(obj, account=account) for what, obj in TRAEFIK.items()} == dict.fromkeys(
                TRAEFIK, ""
            )
    finally:
        site.kubectl.apply([role])


TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def prometheus(**over: Any) -> dict[str, Any]:
    """Return the Prometheus that the fleet asks of its chart, with what is laid over it."""
    files = fleet(tenants=TENANTS[:2]).files()
    (release,) = fleet_objects(files, "observability/prometheus/release.yaml")
    asked = release["spec"]["values"]["prometheus"]["prometheusSpec"]
    taken = ("arbitraryFSAccessThroughSMs", "ignoreNamespaceSelectors", "scrapeClasses", "ruleNamespaceSelector")
    every: dict[str, Any] = {f"{kind}{part}": {} for kind in ("serviceMonitor", "podMonitor")
                             for part in ("Selector", "NamespaceSelector")}  # fmt: skip
    spec = {**every, "replicas": 0, **{key: asked[key] for key in taken}, **over}
    meta = {"name": "watching", "namespace": "observability"}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": meta, "spec": spec}


def jobs(site: Site) -> dict[str, dict[str, Any]]:
    """Return what the operator made of the monitors: Prometheus' own configuration, by job."""
    words = ("get", "secret", "prometheus-watching", "--namespace=observability", "--ignore-not-found", "--output=json")
    text = site.kubectl(*words)
    packed = json.loads(text)["data"].get("prometheus.yaml.gz", "") if text.strip() else ""
    config = yaml.safe_load(gzip.decompress(base64.b64decode(packed))) if packed else {}
    return {job["job_name"].split("/")[2]: job for job in config.get("scrape_configs") or ()}


def until_job(site: Site, name: str) -> dict[str, dict[str, Any]]:
    end = time.monotonic() + 60
    while name not in (found := jobs(site)):
        assert time.monotonic() < end, sorted(found)
        time.sleep(0.5)
    return found


def test_S3_prometheus_tells_nobody_its_token_and_looks_at_no_neighbour(site: Site, tmp_path: Path) -> None:
    """S3: by the real operator, with the admission policy taken out; red where its switches are taken out."""
    program = builder.build("prometheus-operator") / "operator"
    hostile = {
        "token": manifests.monitor(bearerTokenFile=TOKEN),
        "file": manifests.monitor(tlsConfig={"caFile": TOKEN}),
        "neighbours": manifests.monitor({"namespaceSelector": {"any": True}}),
        "own": manifests.monitor({"scrapeClass": "mesh"}, scheme="https"),
    }
    for name, obj in hostile.items():
        obj["metadata"] = {"name": name, "namespace": A.namespace}
    argv = (str(program), "--web.listen-address=127.0.0.1:0")
    env = {**os.environ, "KUBECONFIG": site.target.kubeconfig or ""}
    with site.without("korthweb-tenant-monitors"), (tmp_path / "log").open("wb") as log:
        end = time.monotonic() + 30
        while site.made(hostile["token"]):
            assert time.monotonic() < end
            time.sleep(0.3)
        site.kubectl.apply([*hostile.values(), prometheus()])
        with subprocess.Popen(argv, stdout=log, stderr=log, env=env) as child:
            try:
                made = until_job(site, "own")
                assert sorted(made) == ["neighbours", "own"]
                for job in made.values():
                    assert [found["namespaces"]["names"] for found in job["kubernetes_sd_configs"]] == [[A.namespace]]
                assert made["own"]["tls_config"]["key_file"] == "/etc/istio-certs/key.pem"
                site.kubectl.apply(
                    [prometheus(arbitraryFSAccessThroughSMs={"deny": False}, ignoreNamespaceSelectors=False)]
                )
                made = until_job(site, "token")
                assert TOKEN in json.dumps(made["token"])
                assert "namespaces" not in made["neighbours"]["kubernetes_sd_configs"][0]
            finally:
                child.terminate()
                site.kubectl("delete", "prometheus/watching", "--namespace=observability", "--timeout=60s")
                words = ("delete", "servicemonitor", *hostile, f"--namespace={A.namespace}", "--timeout=60s")
                site.kubectl(*words)
