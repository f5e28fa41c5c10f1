"""Traefik on request in a real lab: image, registry, chart; and the chart comes up from there by plain helm."""

from __future__ import annotations

import http.client
import io
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.lab import addons, cluster, mirror, process, store
from korthweb_tasks.lab.addons import InstalledAddon
from korthweb_tasks.lab.cluster import LabInfo
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.packages import RECIPES
from korthweb_tasks.lab.raising import Options
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from tests.own_state import state_in

NAME = "tr1"
CHART = RECIPES / "charts" / "traefik"
OPTIONS = Options(images=(), volumes=1)
QUIET = Console(io.StringIO())
VALUES: dict[str, Any] = {
    "rbac": {"namespaced": True},
    "ports": {
        "web": {"expose": {"default": False}},
        "websecure": {"transport": {"respondingTimeouts": {"readTimeout": 0}}},
        "dicom": {"port": 11112, "exposedPort": 11112, "expose": {"default": True}},
    },
}


#: values -> what must be among Traefik's arguments, and what must not
ARGUMENTS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, ["--entryPoints.websecure.http.tls=true", "--providers.kubernetescrd"], ["namespaces=", "kubernetesingress"]),
    (VALUES, ["--entryPoints.websecure.transport.respondingTimeouts.readTimeout=0"], []),
    (
        {"rbac": {"namespaced": True}},
        ["--providers.kubernetescrd.namespaces=edge", "--providers.kubernetescrd.disableClusterScopeResources=true"],
        [],
    ),
    ({"providers": {"kubernetesCRD": {"namespaces": ["a", "b"]}}}, ["--providers.kubernetescrd.namespaces=a,b"], []),
    (
        {"providers": {"kubernetesCRD": {"allowCrossNamespace": True}}},
        ["--providers.kubernetescrd.allowCrossNamespace=true"],
        [],
    ),
    (
        {"providers": {"kubernetesIngress": {"enabled": True}}},
        [
            "--providers.kubernetesingress",
            "--providers.kubernetesingress.ingressEndpoint.publishedService=edge/edge-traefik",
        ],
        [],
    ),
    (
        {"ports": {"web": {"http": {"redirections": {"entryPoint": {"to": "websecure"}}}}}},
        ["--entryPoints.web.http.redirections.entryPoint.to=websecure"],
        [],
    ),
    ({"ports": {"websecure": {"http": {"tls": {"enabled": False}}}}}, [], ["http.tls"]),
    ({"ports": {"web": None}}, [], ["entryPoints.web."]),
    (
        {"ports": {"web": {"forwardedHeaders": {"trustedIPs": ["10.0.0.0/8", "198.18.0.0/15"]}}}},
        ["--entryPoints.web.forwardedHeaders.trustedIPs=10.0.0.0/8,198.18.0.0/15"],
        [],
    ),
    ({"additionalArguments": ["--api.insecure=false"]}, ["--api.insecure=false"], []),
    ({"unknownToUs": {"a": 1}}, [], ["unknownToUs"]),
]


def test_the_chart_lints() -> None:
    call(str(locate("helm").path), "lint", "--strict", str(CHART), stdin="")


@pytest.mark.parametrize(("values", "present", "absent"), ARGUMENTS)
def test_values_become_arguments(values: dict[str, Any], present: list[str], absent: list[str]) -> None:
    words = ("template", "edge", str(CHART), "--namespace", "edge", "--values", "-")
    rendered = yaml.safe_load_all(call(str(locate("helm").path), *words, stdin=json.dumps(values)))
    (deployment,) = (one for one in rendered if one["kind"] == "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert set(present) <= set(arguments)
    assert not [argument for argument in arguments for text in absent if text in argument]


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
    return addons.install(lab.name, "traefik", QUIET)


@pytest.fixture(scope="module")
def address(lab: LabInfo, brought: InstalledAddon) -> str:
    """Give the address of a release made by plain helm from the registry."""
    chart = (brought.source, "--version", brought.version, "--ca-file", brought.ca_file)
    words = ("install", "edge", *chart, "--namespace", "edge", "--create-namespace", "--values", "-")
    helm(lab, *words, "--wait", "--timeout", "120s", stdin=json.dumps(VALUES))
    return kubectl(lab, "get", "svc", "edge-traefik", "-n", "edge", "-o=jsonpath={.status.loadBalancer.ingress[0].ip}")


def test_a_second_time_changes_nothing_and_is_fast(lab: LabInfo, brought: InstalledAddon) -> None:
    before = {name: one.pid for name, one in process.components(layout().root).items()}
    began = time.monotonic()
    again = addons.install(lab.name, "traefik", QUIET)
    assert time.monotonic() - began < 10
    assert brought.changed
    assert not again.changed
    assert addons.chart_source(lab.name, "traefik", "41.0.0") is None
    assert again.source == brought.source == addons.chart_source(lab.name, "traefik")[0]  # type: ignore[index]
    assert {name: one.pid for name, one in process.components(layout().root).items()} == before


def test_the_registry_is_a_part_of_the_lab(lab: LabInfo, brought: InstalledAddon) -> None:
    found = {one.name: one for one in cluster.status(lab.name).components}["registry"]
    assert found.state == "running"
    assert found.address == f"{layout().address}:5000"
    assert Path(f"/proc/{found.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def test_the_registry_comes_again_with_the_lab(lab: LabInfo, brought: InstalledAddon) -> None:
    one = process.components(layout().root)["registry"]
    assert process.end([one], layout().root) == []
    assert cluster.status(lab.name).state == "degraded"
    assert cluster.up(lab.name, console=QUIET, options=OPTIONS).changed
    assert mirror.answers(layout())
    assert not addons.install(lab.name, "traefik", QUIET).changed, "the chart is still there"


def test_strangers_are_not_taken_for_the_registry(lab: LabInfo, brought: InstalledAddon) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection(layout().address, 5000, timeout=5).request("GET", "/v2/")


def test_traefik_answers_on_443_and_11112_and_not_where_it_is_not_exposed(lab: LabInfo, address: str) -> None:
    anyone = ssl._create_unverified_context()  # it has made itself one
    connection = http.client.HTTPSConnection(address, 443, timeout=5, context=anyone)
    connection.request("GET", "/")
    assert connection.getresponse().status == 404
    http.client.HTTPConnection(address, 11112, timeout=5).connect()
    with pytest.raises((ConnectionError, TimeoutError)):
        http.client.HTTPConnection(address, 80, timeout=2).connect()


def test_a_route_through_the_crds_is_served(lab: LabInfo, address: str) -> None:
    ping = {"kind": "TraefikService", "name": "ping@internal"}
    route = {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "IngressRoute",
        "metadata": {"name": "ping", "namespace": "edge"},
        "spec": {
            "entryPoints": ["websecure"],
            "routes": [{"kind": "Rule", "match": "Path(`/alive`)", "services": [ping]}],
        },
    }
    kubectl(lab, "apply", "--filename", "-", stdin=json.dumps(route))
    deadline = time.monotonic() + 20
    while (status := get(address, "/alive")) != 200:
        assert time.monotonic() < deadline, status
        time.sleep(0.3)


def test_nothing_is_left_when_the_lab_goes(lab: LabInfo, brought: InstalledAddon) -> None:
    root = layout().root
    assert cluster.down(lab.name, console=QUIET)
    assert list(process.of_lab(root)) == []
    assert not root.exists()


def get(address: str, path: str) -> int:
    anyone = ssl._create_unverified_context()  # it has made itself one
    connection = http.client.HTTPSConnection(address, 443, timeout=5, context=anyone)
    connection.request("GET", path)
    return connection.getresponse().status


def layout() -> Layout:
    found = store.load(NAME)
    assert found is not None
    return found.layout


def helm(lab: LabInfo, *args: str, stdin: str = "") -> str:
    where = ("--kubeconfig", lab.kubeconfig, "--kube-context", lab.context)
    return call(str(locate("helm").path), *args, *where, stdin=stdin)


def kubectl(lab: LabInfo, *args: str, stdin: str = "") -> str:
    where = ("--kubeconfig", lab.kubeconfig, "--context", lab.context)
    return call(str(builder.binary("kubernetes", "kubectl")), *where, *args, stdin=stdin)


def call(*argv: str, stdin: str) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout
