"""The control plane alone, with nodes that kwok plays: no root, in seconds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks import paths
from korthweb_tasks.lab import cluster, process, store
from korthweb_tasks.lab.api import Api
from korthweb_tasks.lab.cluster import LabInfo
from korthweb_tasks.run.console import Console
from tests.own_state import state_in

QUIET = Console(quiet=True)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"initContainers": [{"name": "i", "image": "none"}], "containers": [{"name": "c", "image": "none"}]},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabInfo]:
    with state_in(tmp_path_factory.mktemp("state")):
        try:
            yield cluster.up("played", simulated=True, console=QUIET)
        finally:
            cluster.down("played", console=QUIET)


@pytest.fixture
def api(lab: LabInfo) -> Api:
    found = store.load(lab.name)
    assert found
    return Api("127.0.0.1", found.port, found.layout.pki)


def eventually(found: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)
    return value


def test_nodes_are_ready(api: Api) -> None:
    names = {item["metadata"]["name"] for item in api.get("/api/v1/nodes")["items"]}
    assert names == {"fake-0", "fake-1", "fake-2"}


def test_a_deployment_becomes_available(api: Api) -> None:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
    metadata = {"name": "x", "namespace": "default"}
    api.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}])
    path = "/apis/apps/v1/namespaces/default/deployments/x"
    eventually(lambda: api.get(path)["status"].get("availableReplicas") == 3)
    pods = "/api/v1/namespaces/default/pods"
    assert all(item["status"]["podIP"] for item in api.get(pods)["items"])
    api.request("DELETE", path)
    eventually(lambda: not api.get(pods)["items"])


def test_a_job_succeeds(api: Api) -> None:
    pod = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    metadata = {"name": "j", "namespace": "default"}
    api.apply([{"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod}}])
    eventually(lambda: api.get("/apis/batch/v1/namespaces/default/jobs/j")["status"].get("succeeded") == 1)


def test_a_load_balancer_gets_an_address(api: Api) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 443}]}
    metadata = {"name": "gateway", "namespace": "default"}
    api.apply([{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}])
    path = "/api/v1/namespaces/default/services/gateway"
    found = eventually(lambda: api.get(path)["status"]["loadBalancer"].get("ingress"))
    assert found[0]["ip"] == api.get(path)["spec"]["clusterIP"]


def test_everything_listens_on_the_loopback(lab: LabInfo) -> None:
    found = store.load(lab.name)
    assert found
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    pids = [one.pid for one in process.components(found.layout.root).values()]
    assert len(pids) == 5
    for pid in pids:
        own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                    assert fields[1].partition(":")[0] in loopback


def test_the_users_own_files_are_left_alone(lab: LabInfo) -> None:
    assert Path(lab.kubeconfig).is_relative_to(os.environ["KORTHWEB_STATE"])
    assert not (Path.home() / ".kwok").exists()


def test_a_second_up_changes_nothing(lab: LabInfo) -> None:
    assert not cluster.up(lab.name, simulated=True, console=QUIET).changed


@pytest.mark.parametrize("victims", [("kube-scheduler",), ("etcd",), ("kube-apiserver", "kwok-controller")])
def test_what_was_killed_is_started_again(lab: LabInfo, api: Api, victims: tuple[str, ...]) -> None:
    found = store.load(lab.name)
    assert found
    api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}])
    running = process.components(found.layout.root)
    for name in victims:
        os.kill(running[name].pid, signal.SIGKILL)
    assert cluster.up(lab.name, simulated=True, console=QUIET).changed
    assert cluster.status(lab.name).state == "running"
    assert api.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"


@pytest.mark.parametrize("missing", ["the end of kwok.yaml", "kubeconfig.yaml"])
def test_a_creation_cut_short_is_begun_again(lab: LabInfo, missing: str) -> None:
    try:
        made = cluster.up("cut", simulated=True, console=QUIET)
        found = store.load(made.name)
        assert found
        description, kubeconfig = (found.layout.kwok / name for name in ("kwok.yaml", "kubeconfig.yaml"))
        if missing == kubeconfig.name:
            kubeconfig.unlink()
        else:
            description.write_text(description.read_text()[:2000])
        process.end(process.of_lab(found.layout.root), found.layout.root)
        assert cluster.up("cut", simulated=True, console=QUIET).changed
    finally:
        cluster.down("cut", console=QUIET)


def test_kwok_that_ends_before_its_nodes_are_there_is_started_again(lab: LabInfo) -> None:
    """It gives up on an API server that is slow to come: here it is ended the moment that it is seen."""
    root, ended, over = paths.lab_dir("gone"), threading.Event(), threading.Event()

    def end() -> None:
        while not over.wait(0.01):
            with suppress(ProcessLookupError, KeyError):
                os.kill(process.components(root)["kwok-controller"].pid, signal.SIGKILL)
                ended.set()
                return

    watcher = threading.Thread(target=end)
    watcher.start()
    try:
        cluster.up("gone", simulated=True, console=QUIET)
        assert ended.is_set()
        assert cluster.status("gone").state == "running"
    finally:
        over.set()
        watcher.join()
        cluster.down("gone", console=QUIET)
