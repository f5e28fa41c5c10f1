"""The GitOps approach on a real lab, from an interrupted bootstrap to the end of the fleet's stay in the cluster."""

from __future__ import annotations

import json
import logging
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from korthweb_tasks.approaches.shared.policies import policy_objects
from korthweb_tasks.core import kstatus
from korthweb_tasks.core.command import Command
from korthweb_tasks.lab import addons, cluster, process
from korthweb_tasks.paths import lab_dir
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.settings.tenant import Replicas, Tenant
from korthweb_tasks.verify.endpoints import find_endpoint
from korthweb_tasks.verify.model import Endpoint
from tests.gitops_parts.clone import Clone
from tests.helm_parts.sender import Sender
from tests.lab_site import Project, holds

ROOT = Path(__file__).parents[3]
BHC = Tenant(name="BHC", domain="bhc.orthweb.com", replicas=Replicas(min=1, max=3))
MHR = Tenant(name="MHR", domain="mhr.orthweb.com", replicas=Replicas(min=1, max=2))
CHR = Tenant(name="CHR", domain="chr.orthweb.com")


class Fleet(Project):
    """A lab with a Git server, and a project that deploys to it."""

    def settings(self, *tenants: Tenant) -> None:
        shown = [one.model_dump(mode="json", include={"name", "domain", "replicas"}) for one in tenants]
        self.write(approach="gitops", tenants=shown)

    def ask(self, *args: str, namespace: str | None = None) -> str:
        return self.runner.run(self.kubectl.command(*args, namespace=namespace, repeatable=True)).stdout

    def data(self, *args: str, namespace: str) -> Any:
        return json.loads(self.ask("get", *args, "--output=json", namespace=namespace))

    def endpoint(self, tenant: Tenant) -> Endpoint:
        return find_endpoint(self.runner.run, self.kubectl, tenant, "gitops")

    def clone(self, folder: Path) -> Clone:
        access = addons.git_access(self.lab)
        assert access is not None
        return Clone.of(access, folder)

    def pods(self, tenant: Tenant) -> set[str]:
        """Return the UIDs of a tenant's pods, without the probes that verify.isolation lets go."""
        found = self.data("pods", "--selector=!korthweb/probe", namespace=tenant.namespace)["items"]
        return {pod["metadata"]["uid"] for pod in found}

    def is_ready(self, kustomization: str) -> bool:
        return kstatus.status(self.data("kustomization", kustomization, namespace="flux-system")).state == "current"

    def fetches(self) -> None:
        """Let Flux look at the repository now."""
        word = f"reconcile.fluxcd.io/requestedAt={time.time()}"
        self.ask("annotate", "gitrepository", "flux-system", "--overwrite", word, namespace="flux-system")

    def until_explained(self, name: str, *words: str, seconds: float = 120) -> str:
        """Ask gitops.explain until its first line tells of all ``words``; return what it says."""
        end = time.monotonic() + seconds
        while True:
            done = self.begins("gitops.explain", name)
            said = done.communicate(timeout=60)[0]
            if done.returncode and all(word.lower() in said.lower() for word in words):
                return said
            assert time.monotonic() < end, f"{words} never explained:\n{said}"
            time.sleep(2)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Give a lab of its own, and remove it."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    name = f"g{os.getpid()}"
    made = Fleet(tmp_path_factory.mktemp("project"), name)
    made.settings(BHC, MHR)
    try:
        made.inv("lab.up", "--name", name, "--with", "gitops")
        yield made
    finally:
        cluster.down(name, console=Console(quiet=True))


@pytest.fixture(scope="module")
def fleet(site: Fleet) -> Fleet:
    """Give both tenants, after a bootstrap that was killed, and one whose servers were killed."""
    with site.begins("gitops.bootstrap", "--yes") as child:
        seen = until_line(child, "BHC: passwords: done")  # flux is at work just then
        child.send_signal(signal.SIGKILL)
    assert seen
    with site.begins("gitops.bootstrap", "--yes") as child:
        until_exists(site, "kustomization", "bhc-dependency")
        for component in ("git", "kube-apiserver"):
            os.kill(process.components(lab_dir(site.lab))[component].pid, signal.SIGKILL)
        time.sleep(2)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=120)
    site.inv("lab.up", "--name", site.lab, "--with", "gitops")
    site.inv("gitops.bootstrap", "--yes")
    return site


def until_line(child: subprocess.Popen[str], moment: str) -> list[str]:
    """Return what a command printed until a line with ``moment`` came."""
    assert child.stdout is not None
    seen = []
    for line in child.stdout:
        seen.append(line)
        if moment.lower() in line.lower():
            return seen
    raise AssertionError(f"{moment!r} never came:\n{''.join(seen)}")


def until_exists(site: Fleet, kind: str, name: str, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = site.runner.check(site.kubectl.get(kind, name, namespace="flux-system"))
        if found.code == 0 and found.stdout.strip():
            return
        time.sleep(0.5)
    raise AssertionError(f"{kind} {name} never came")


def test_bootstrap_ends_green_though_task_git_server_and_api_server_were_killed(fleet: Fleet) -> None:
    names = {obj["metadata"]["name"] for obj in fleet.data("kustomizations", namespace="flux-system")["items"]}
    assert {"flux-system", "istio", "bhc-application", "mhr-application", "bhc-monitoring"} <= names
    assert all(fleet.is_ready(name) for name in names)


def test_a_second_bootstrap_changes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    clone = fleet.clone(tmp_path / "fleet")
    before = clone.latest()
    began = time.monotonic()
    report = json.loads(fleet.inv("gitops.bootstrap", "--yes", "--output", "json"))
    assert time.monotonic() - began < 60
    assert {step["verdict"] for step in report["steps"]} == {"unchanged"}
    assert clone.latest() == before
    fleet.inv("gitops.diff")
    fleet.inv("gitops.status")


def test_no_password_is_in_git_or_on_disk(fleet: Fleet, tmp_path: Path) -> None:
    shown = json.loads(fleet.inv("gitops.credentials", "--show", "--output", "json"))
    access = addons.git_access(fleet.lab)
    assert access is not None
    passwords = [row["password"] for row in shown] + [access.password]
    assert len(passwords) >= 3
    assert all(len(password) >= 16 for password in passwords)
    clone = fleet.clone(tmp_path / "fleet")
    for folder in (clone.folder, fleet.project / ".korthweb"):
        for path in folder.rglob("*"):
            if path.is_file():
                text = path.read_text("utf-8", "replace")
                assert not any(password in text for password in passwords), path


def test_every_rung_holds_for_both_tenants(fleet: Fleet) -> None:
    report = json.loads(fleet.inv("verify.all", "--approach", "gitops", "--yes", "--output", "json"))
    assert len(report["rungs"]) >= 46
    assert holds(report)


def test_no_tenant_reaches_another(fleet: Fleet) -> None:
    report = json.loads(fleet.inv("verify.isolation", "--yes", "--output", "json"))
    assert report["outcome"] == "passed"


def test_S1_no_route_of_one_tenant_binds_to_the_name_of_another(fleet: Fleet) -> None:
    """S1: refused by the API server, and told to nobody by the mesh; red once the dot before the host is away."""
    answer = {"status": 418, "body": {"string": "BHC"}}
    spec = {
        "gateways": [f"{MHR.namespace}/orthanc"],
        "exportTo": ["*"],
        "http": [{"match": [{"uri": {"exact": "/system"}}], "directResponse": answer}],
    }
    meta = {"name": "stolen", "namespace": BHC.namespace}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    stolen = {**kind, "metadata": meta, "spec": {"hosts": [MHR.web_host], **spec}}
    put = fleet.kubectl.apply([stolen])
    refused = fleet.runner.check(put)
    assert refused.code != 0
    assert "korthweb-tenant-routes" in refused.stderr
    fleet.inv("gitops.suspend", "MHR")
    fleet.ask("delete", "validatingadmissionpolicybinding", "korthweb-tenant-routes")
    try:
        until_applied(fleet, put)
        time.sleep(5)
        assert web_status(fleet, MHR) == 401
        open_to_all = [{"op": "replace", "path": "/spec/servers/0/hosts/0", "value": MHR.web_host}]
        patch = ("patch", "gateway.networking.istio.io", "orthanc", "--type=json", f"--patch={json.dumps(open_to_all)}")
        fleet.ask(*patch, namespace=MHR.namespace)
        end = time.monotonic() + 30
        while web_status(fleet, MHR) != 418:
            assert time.monotonic() < end, "the attack is none: it does not reach an open Gateway either"
            time.sleep(0.5)
    finally:
        fleet.ask("delete", "virtualservice.networking.istio.io", "stolen", namespace=BHC.namespace)
        names = {obj["metadata"]["name"]: obj for obj in policy_objects() if obj["kind"].endswith("Binding")}
        fleet.runner.run(fleet.kubectl.apply([names["korthweb-tenant-routes"]]))
        fleet.inv("gitops.resume", "MHR")
        fleet.inv("gitops.reconcile", "MHR")


def until_applied(site: Fleet, put: Command) -> None:
    """Apply until the API server has forgotten the policy."""
    end = time.monotonic() + 30
    while site.runner.check(put).code:
        assert time.monotonic() < end
        time.sleep(0.5)


def web_status(site: Fleet, tenant: Tenant) -> int:
    """Return what the tenant's web address answers to somebody without a password."""
    found = site.endpoint(tenant)
    context = ssl.create_default_context(cadata=found.ca_pem)
    with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
        url, more = f"https://{found.address}/system", {"sni_hostname": tenant.web_host}
        return client.get(url, headers={"Host": tenant.web_host}, extensions=more).status_code


def test_what_was_changed_by_hand_is_put_back(fleet: Fleet) -> None:
    fleet.ask("delete", "networkpolicy", "default-deny", namespace=BHC.namespace)
    fleet.ask("label", "service", "orthanc", "korthweb/tenant=nobody", "--overwrite", namespace=BHC.namespace)
    fleet.inv("gitops.diff", code=9)
    fleet.inv("gitops.reconcile", "BHC")  # what Flux does by itself at each interval, ten minutes here
    assert fleet.data("networkpolicy", "default-deny", namespace=BHC.namespace)
    labels = fleet.data("service", "orthanc", namespace=BHC.namespace)["metadata"]["labels"]
    assert labels["korthweb/tenant"] == "BHC"


def until_holes(site: Fleet, *ways: str, seconds: float = 90) -> None:
    """Look until BHC reaches MHR by ``ways`` and no other: sidecars and gateways take a change some seconds later."""
    end, expected = time.monotonic() + seconds, {(way, "BHC", "MHR") for way in ways}
    while True:
        done = site.runs("verify.isolation", "--yes", "--output", "json")
        cells = json.loads(done.stdout)["cells"]
        red = {(cell["name"], cell["a"], cell["b"]) for cell in cells if cell["status"] == "broken"}
        if red == expected and done.returncode == (8 if ways else 0):
            return
        assert time.monotonic() < end, f"{red}\n{done.stderr[-3000:]}"


def test_a_hole_between_tenants_is_seen_and_healed(fleet: Fleet) -> None:
    fleet.inv("gitops.suspend", "MHR")
    # alone, with mutual TLS and the network's walls in place
    fleet.ask("delete", "authorizationpolicy", "--all", namespace=MHR.namespace)
    until_holes(fleet, "own-mesh")
    fleet.ask("delete", "networkpolicy", "--all", namespace=MHR.namespace)
    for name in ("default", "postgres"):
        open_to_all = '{"spec":{"mtls":{"mode":"PERMISSIVE"}}}'
        fleet.ask("patch", "peerauthentication", name, "--type=merge", "--patch", open_to_all, namespace=MHR.namespace)
    ways = {f"{way}-{port}" for way in ("mesh", "plain") for port in (8042, 4242, 5432)}
    until_holes(fleet, *ways, "own-plain", "own-mesh")
    fleet.inv("gitops.resume", "MHR")
    fleet.inv("gitops.reconcile", "MHR")
    until_holes(fleet)


def test_more_replicas_in_the_settings_arrive_by_git_alone(fleet: Fleet) -> None:
    fleet.settings(BHC.model_copy(update={"replicas": Replicas(min=2, max=3)}), MHR)
    others = fleet.pods(MHR)
    fleet.inv("gitops.diff", code=9)
    fleet.inv("gitops.deploy", "--yes")
    assert fleet.data("hpa", "orthanc", namespace=BHC.namespace)["spec"]["minReplicas"] == 2
    fleet.ask("wait", "deployment/orthanc", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=120s",
              namespace=BHC.namespace)  # fmt: skip
    assert fleet.pods(MHR) == others
    fleet.inv("gitops.diff")


#: what somebody breaks: a file, what stands there, what stands there then, and what gitops.explain has to say of it;
#: tests/simulated/test_flux_live.py has more of them, without pods
BROKEN = {
    "an image that does not exist": (
        "clusters/*/tenants/bhc/application/kustomization.yaml", "newTag: ", "newTag: no-such-", ("no-such-", "image"),
    ),
    "a failing health check": (
        "tenants/bhc/application/orthanc.yaml", "/korthweb/ready.sh", "/korthweb/no-such.sh", ("readiness probe",),
    ),
    "a missing chart": (
        "clusters/*/infrastructure/cert-manager/sources.yaml", 'tag: "v1', 'tag: "v9', ("v9.11.4", "manifest unknown"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "what", [next(iter(BROKEN)), *(pytest.param(one, marks=pytest.mark.long) for one in list(BROKEN)[1:])]
)
def test_a_broken_commit_is_explained_and_a_revert_heals_it(fleet: Fleet, tmp_path: Path, what: str) -> None:
    pattern, old, new, words = BROKEN[what]
    others = fleet.pods(MHR)
    clone = fleet.clone(tmp_path / "fleet")
    (path,) = clone.folder.glob(pattern)
    clone.changes(str(path.relative_to(clone.folder)), old, new)
    fleet.fetches()
    said = fleet.until_explained("cert-manager" if "chart" in what else "BHC", *words)
    print(said)
    assert fleet.pods(MHR) == others
    # what all tenants share holds their layers back, but not their pods
    assert fleet.is_ready("mhr-application") or "chart" in what
    clone.reverts()
    fleet.inv("gitops.reconcile", "all")
    fleet.inv("gitops.status")
    assert fleet.pods(MHR) == others


def test_prometheus_is_answered_by_every_orthanc_database_and_sidecar(fleet: Fleet) -> None:
    argv = fleet.kubectl.command("port-forward", "service/prometheus-operated", ":9090", namespace="observability").argv
    program = str(locate("kubectl").path)
    with subprocess.Popen((program, *argv[1:]), stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = forward.stdout.readline().split("->")[0].rpartition(":")[2].strip()
            end = time.monotonic() + 240  # the reloader looks every three minutes
            while True:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/targets?state=active", trust_env=False).json()
                seen = {
                    (t["labels"]["namespace"], t["labels"]["job"]): t["health"] for t in answer["data"]["activeTargets"]
                }
                spaces = (BHC.namespace, MHR.namespace)
                wanted = {(one, job) for one in spaces for job in ("orthanc", "postgres-metrics", f"{one}/envoy")}
                if all(seen.get(one) == "up" for one in wanted):
                    return
                assert time.monotonic() < end, seen
                time.sleep(3)
        finally:
            forward.terminate()


def until_stored(senders: list[Sender], count: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while any(len(sender.stored) < count for sender in senders):
        assert time.monotonic() < end, [sender.faults for sender in senders]
        time.sleep(0.2)


def test_a_tenant_comes_and_goes_while_the_others_store_images(fleet: Fleet) -> None:
    senders = [Sender(fleet.endpoint(tenant), held=5).start() for tenant in (BHC, MHR)]
    until_stored(senders, 3)
    try:
        fleet.inv("gitops.add-tenant", "CHR", "--domain", CHR.domain, "--replicas-min", "1", "--yes")
        fleet.inv("verify.dicom", "--approach", "gitops", "--tenant", "CHR")
        text = (fleet.project / "korthweb.yaml").read_text()
        assert "# written by a test" in text
        assert "CHR" in text
        fleet.inv("gitops.remove-tenant", "CHR", "--yes")
        kept = fleet.data("cluster.postgresql.cnpg.io", "postgres", namespace=CHR.namespace)
        assert kept["metadata"]["annotations"]["cnpg.io/hibernation"] == "on"
        assert "CHR" not in (fleet.project / "korthweb.yaml").read_text()
    finally:
        for sender in senders:
            sender.stop()
    for sender in senders:
        assert sender.faults == []
        assert len(sender.stored) > 20


def test_destroy_leaves_the_volumes_and_the_repository(fleet: Fleet, tmp_path: Path) -> None:
    clone = fleet.clone(tmp_path / "fleet")
    before = clone.latest()
    fleet.inv("gitops.destroy", "--yes")
    assert clone.latest() == before
    spaces = {obj["metadata"]["name"] for obj in json.loads(fleet.ask("get", "namespaces", "--output=json"))["items"]}
    assert not spaces & {"flux-system", "istio-system", "cert-manager", "cnpg-system", "observability"}
    assert {BHC.namespace, MHR.namespace} <= spaces
    claims = fleet.data("persistentvolumeclaims", namespace=BHC.namespace)["items"]
    assert claims
