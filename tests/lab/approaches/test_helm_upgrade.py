"""The Helm approach on a real lab: proved from outside, upgraded under a stream of images, removed and found again."""

from __future__ import annotations

import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.lab import addons, cluster, namespaces, store
from korthweb_tasks.lab.packages import host_tools
from korthweb_tasks.provision import builder
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.tenant import Replicas, Tenant
from korthweb_tasks.tools.helm import pull
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.endpoints import address_of, find_endpoint
from korthweb_tasks.verify.model import Endpoint
from tests.helm_parts.sender import Sender
from tests.own_state import state_in

ROOT = Path(__file__).parents[3]
PROGRAM = "from korthweb_tasks.main import program; program.run()"
BHC = Tenant(name="BHC", domain="bhc.orthweb.com", replicas=Replicas(min=2, max=3))
MHR = Tenant(name="MHR", domain="mhr.orthweb.com", replicas=Replicas(min=1, max=2))
#: seconds that a sender may be without a way in
PATIENCE = 5.0
#: what every namespace has by itself
USUAL = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
KINDS = (
    "all,configmap,secret,serviceaccount,persistentvolumeclaim,networkpolicy,role,rolebinding,poddisruptionbudget,"
    "ingressroute.traefik.io,ingressroutetcp.traefik.io,tlsoption.traefik.io,tlsstore.traefik.io,"
    "serverstransport.traefik.io"
)


@dataclass(frozen=True)
class Site:
    """A lab, and a project that deploys to it."""

    project: Path
    kubeconfig: str
    context: str

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(Cluster(self.context, self.kubeconfig))

    def settings(self, **more: Any) -> None:
        tenants = [tenant.model_dump(mode="json", include={"name", "domain", "replicas"}) for tenant in (BHC, MHR)]
        text = yaml.safe_dump({"approach": "helm", "context": self.context, "tenants": tenants, **more})
        (self.project / "korthweb.yaml").write_text(text)

    def inv(self, *words: str, code: int = 0, helm: str = "helm") -> str:
        """Run a task as a person would; the CLI ``helm`` is 4, ``helm3`` is 3.22."""
        path = f"{self.cli(helm).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": self.kubeconfig, "PATH": path}
        argv = (sys.executable, "-c", PROGRAM, *words)
        done = subprocess.run(argv, cwd=self.project, env=env, text=True, capture_output=True, timeout=900)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + (done.stderr if code else "")

    def cli(self, component: str) -> Path:
        return builder.binary(component, "helm")

    def helm(self, *words: str, component: str = "helm") -> str:
        place = ("--kubeconfig", self.kubeconfig, "--kube-context", self.context)
        argv = (str(self.cli(component)), *words, *place)
        return subprocess.run(argv, check=True, text=True, capture_output=True, timeout=600).stdout

    def ask(self, *args: str, namespace: str | None = None) -> str:
        return Runner().run(self.kubectl.command(*args, namespace=namespace)).stdout

    def data(self, *args: str, namespace: str) -> Any:
        return json.loads(self.ask("get", *args, "--output=json", namespace=namespace))

    def endpoint(self, tenant: Tenant) -> Endpoint:
        return find_endpoint(Runner().run, self.kubectl, tenant, "helm")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a lab of its own, and remove it."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    with state_in(tmp_path_factory.mktemp("state")):
        try:
            info = cluster.up("kwhelm", console=Console(quiet=True))
            made = Site(tmp_path_factory.mktemp("project"), str(info.kubeconfig), info.context)
            made.settings()
            yield made
        finally:
            cluster.down("kwhelm", console=Console(quiet=True))


@pytest.fixture(scope="module")
def deployed(site: Site) -> Site:
    """Give both tenants, deployed by the tasks."""
    site.inv("helm.check")
    site.inv("helm.deploy")
    return site


def verdicts(text: str) -> set[str]:
    return {step["verdict"] for step in json.loads(text)["steps"]}


def instances(endpoint: Endpoint) -> set[str]:
    """Return the SOPInstanceUIDs that Orthanc has of the stream."""
    context = ssl.create_default_context(cadata=endpoint.ca_pem)
    login = (endpoint.username, endpoint.password.get_secret_value())
    query = {"Level": "Instance", "Query": {"PatientID": "KORTHWEB-VERIFY-STREAM"}, "Expand": True, "Limit": 0}
    with httpx.Client(verify=context, auth=login, timeout=120, trust_env=False) as web:
        answer = web.post(
            f"https://{endpoint.address}/tools/find",
            json=query,
            headers={"Host": endpoint.web_host},
            extensions={"sni_hostname": endpoint.web_host},
        )
    answer.raise_for_status()
    return {found["MainDicomTags"]["SOPInstanceUID"] for found in answer.json()}


def test_every_rung_holds_for_both_tenants(deployed: Site) -> None:
    deployed.inv("verify.all", "--approach", "helm")


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_a_second_deployment_changes_nothing(deployed: Site, helm: str) -> None:
    assert verdicts(deployed.inv("helm.deploy", "--output", "json", helm=helm)) == {"unchanged"}
    assert "nothing would change" in deployed.inv("helm.diff", helm=helm)


@pytest.mark.parametrize("helm", ["helm", pytest.param("helm3", marks=pytest.mark.long)])
def test_the_charts_own_test_passes(deployed: Site, helm: str) -> None:
    text = deployed.inv("helm.test", "--tenant", "BHC", helm=helm)
    assert "C-ECHO: BHC at orthanc:4242 answers" in text
    assert "TLS for dicom.bhc.orthweb.com: handshake" in text
    assert deployed.ask("get", "pods", "--selector=app.kubernetes.io/component=test", namespace=BHC.namespace) == ""


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong key": ({"replica": {"min": 4}}, "charts.orthanc.values.replica: the chart has no such value"),
    "a missing Secret": (
        {"certificates": {"source": "existingSecret", "existingSecret": "gone"}},
        "certificates.existingSecret names the Secret gone, which is not in bhc-orthweb",
    ),
    "a host that is none": ({"hosts": {"web": "not_a_host"}}, "hosts/web"),
    "no host of the database": ({"postgresql": {"mode": "external"}}, "postgresql.external.host is needed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_one_error_and_change_nothing(deployed: Site, case: str) -> None:
    given, words = BAD[case]
    before = deployed.helm("history", "orthanc", "--namespace", BHC.namespace)
    deployed.settings(charts={"orthanc": {"values": given}})
    try:
        text = deployed.inv("helm.deploy", "--tenant", "BHC", code=2)
    finally:
        deployed.settings()
    # what the settings' own checks find is told with its line in korthweb.yaml, what the chart finds with its tenant
    (error,) = (line for line in text.splitlines() if line.startswith("error: "))
    assert error.startswith("error: korthweb.yaml:" if case == "a wrong key" else "error: BHC: ")
    assert words in text
    assert deployed.helm("history", "orthanc", "--namespace", BHC.namespace) == before


def test_two_releases_do_not_meet(deployed: Site) -> None:
    one, other = deployed.endpoint(BHC), deployed.endpoint(MHR)
    assert one.address != other.address
    assert one.ca_pem != other.ca_pem
    assert one.password.get_secret_value() != other.password.get_secret_value()
    with pytest.raises(httpx.ConnectError):
        instances(Endpoint(**{**fields(one), "address": other.address}))
    for host, codes in (
        ("localhost", {"0"}),
        (f"orthanc.{MHR.namespace}", {"1", "124"}),
    ):  # refused, or no answer at all
        script = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/8042'; echo $?"
        pod = ("exec", "deployment/orthanc", "--container=orthanc", "--", "bash", "-c", script)
        assert deployed.ask(*pod, namespace=BHC.namespace).strip() in codes


def fields(endpoint: Endpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in endpoint.__dataclass_fields__}


def another_image() -> str:
    """Give the node Orthanc's image under another name, and return that."""
    found = store.load("kwhelm")
    assert found is not None
    name = "korthweb.lab/orthanc:1.12.7-next"
    ctr = (str(host_tools(print) / "ctr"), "--address", str(found.layout.socket), "--namespace", "k8s.io")
    argv = (*ctr, "images", "tag", "--force", "korthweb.lab/orthanc:1.12.7", name)
    subprocess.run(namespaces.inside(found.layout, argv), check=True, capture_output=True, timeout=60)
    return name


def test_no_image_is_lost_while_upgrading_and_going_back(
    deployed: Site, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = deployed.endpoint(BHC)
    kept = [deployed.data("secret", name, namespace=BHC.namespace)["data"] for name in ("orthanc-users", "orthanc-ca")]
    database = deployed.data("pod", "orthanc-postgres-0", namespace=BHC.namespace)["metadata"]["uid"]
    senders = [Sender(endpoint).start(), Sender(endpoint, pause=0.7, held=15).start()]
    time.sleep(3)
    deployed.settings(
        orthanc={"config": {"StableAge": 20}, "resources": {"requests": {"memory": "140Mi"}}},
        images={"orthanc": another_image()},
        charts={"orthanc": {"values": {"replicas": {"min": 3, "max": 4}}}},
    )
    began = time.monotonic()
    assert verdicts(deployed.inv("helm.deploy", "--tenant", "BHC", "--output", "json")) == {"unchanged", "changed"}
    upgraded = time.monotonic() - began
    three = ("wait", "deployment/orthanc", "--for=jsonpath={.spec.replicas}=3", "--timeout=60s")
    deployed.ask(*three, namespace=BHC.namespace)  # the autoscaler looks every 15 seconds
    time.sleep(3)
    began = time.monotonic()
    deployed.inv("helm.rollback", "--tenant", "BHC")
    back = time.monotonic() - began
    time.sleep(15)  # the old pods are leaving
    for sender in senders:
        sender.stop()
    sent = {uid for sender in senders for uid in sender.stored}
    longest = max(sender.longest for sender in senders)
    figures = {
        "stored": len(sent),
        "upgrade_s": round(upgraded, 1),
        "rollback_s": round(back, 1),
        "longest_gap_s": round(longest, 2),
        "faults": [fault for sender in senders for fault in sender.faults],
    }
    record_property("figures", json.dumps(figures))
    with capsys.disabled():
        print(f"\n  stream while upgrading and going back: {figures}")
    assert len(sent) > 50
    assert sent <= instances(endpoint)
    assert longest < PATIENCE
    again = [deployed.data("secret", name, namespace=BHC.namespace)["data"] for name in ("orthanc-users", "orthanc-ca")]
    assert again == kept
    assert deployed.data("pod", "orthanc-postgres-0", namespace=BHC.namespace)["metadata"]["uid"] == database


def test_an_upgrade_that_was_killed_is_recovered(deployed: Site) -> None:
    place = ("--namespace", BHC.namespace)
    where = ("--kubeconfig", deployed.kubeconfig, "--kube-context", deployed.context)
    chart = json.loads(deployed.inv("helm.dependencies", "--output", "json"))["chart"]
    words = ("upgrade", "orthanc", chart, "--reuse-values", "--set", "config.StableAge=33", "--wait", "--timeout", "5m")
    child = subprocess.Popen((str(deployed.cli("helm")), *words, *place, *where), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while "pending-upgrade" not in deployed.helm("list", "--pending", *place) and time.monotonic() < deadline:
        time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert "pending-upgrade" in deployed.helm("list", "--pending", *place)
    deployed.settings()
    deployed.inv("helm.deploy", "--tenant", "BHC")
    assert "deployed" in deployed.helm("list", *place)
    assert verdicts(deployed.inv("helm.deploy", "--tenant", "BHC", "--output", "json")) == {"unchanged"}


def test_only_the_volume_is_left_and_the_images_are_found_again(deployed: Site) -> None:
    before = instances(deployed.endpoint(BHC))
    assert before
    deployed.inv("helm.destroy", "--tenant", "BHC", "--yes")
    left = deployed.ask("get", KINDS, "--output=name", namespace=BHC.namespace).split()
    assert {name.replace(".v1", "") for name in left} - USUAL == {"persistentvolumeclaim/data-orthanc-postgres-0"}
    deployed.inv("helm.deploy", "--tenant", "BHC")
    assert instances(deployed.endpoint(BHC)) == before
    deployed.inv("helm.destroy", "--yes", "--volumes")
    assert "bhc-orthweb" not in deployed.ask("get", "namespaces", "--output=name")


def test_another_approachs_objects_are_not_taken_over(site: Site) -> None:
    site.ask("create", "namespace", MHR.namespace)
    site.ask("create", "configmap", "orthanc-app", namespace=MHR.namespace)
    text = site.inv("helm.deploy", "--tenant", "MHR", code=5)
    assert "configmap/orthanc-app" in text
    assert (
        site.helm(
            "list", "--deployed", "--failed", "--pending", "--namespace", MHR.namespace, "--output", "json"
        ).strip()
        == "[]"
    )
    site.ask("delete", "namespace", MHR.namespace)


def test_the_labs_registry_serves_our_chart_too(site: Site, tmp_path: Path) -> None:
    site.inv("helm.dependencies")
    there = addons.chart_source("kwhelm", "traefik")
    assert there is not None
    registry, authority = there[0].rpartition("/")[0], str(there[1])
    words = ("--push", registry, "--ca", authority, "--output", "json")
    archive = Path(json.loads(site.inv("helm.package", "--out", "pushed", *words))["archive"])
    Runner({"helm": str(site.cli("helm"))}).run(pull(f"{registry}/orthanc", "0.1.0", str(tmp_path), ca_file=authority))
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("helm", ["helm3", pytest.param("helm", marks=pytest.mark.long)])
def test_a_plain_installation_of_the_archive_comes_up(site: Site, helm: str) -> None:
    """Default values, no task of ours; and again after an uninstallation, with the same passwords."""
    site.inv("helm.dependencies")
    archive = json.loads(site.inv("helm.package", "--out", "dist", "--output", "json"))["archive"]
    place = ("--namespace", f"plain-{helm}")
    passwords = []
    for _ in range(2):
        site.helm("install", "orthanc", archive, *place, "--create-namespace", component=helm)
        for kind in ("statefulset/orthanc-postgres", "deployment/orthanc", "deployment/orthanc-traefik"):
            site.ask("rollout", "status", kind, "--timeout=300s", namespace=place[1])
        assert "answers" in site.helm("test", "orthanc", "--logs", *place, component=helm)
        passwords.append(site.data("secret", "orthanc-users", namespace=place[1])["data"])
        service = site.data("service", "orthanc-traefik", namespace=place[1])
        assert address_of(service)
        site.helm("uninstall", "orthanc", "--wait", *place, component=helm)
    assert passwords[0] == passwords[1]
    # with pods in it that end slowly, a namespace takes half of their grace period
    site.ask("delete", "pod", "--all", namespace=place[1])
    site.ask("delete", "namespace", place[1])
