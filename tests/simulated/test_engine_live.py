"""The engine against a real API server: server-side apply, probes, watches, the lock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.plan import Gone, Plan, Probe, Ready, Step
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import ClusterUnreachable, LockHeld, NotReady
from korthweb_tasks.run import lock
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.run.watch import Waiter
from korthweb_tasks.tools.kubectl import Kubectl, items


class Silent:
    """An audience that does not listen."""

    def begin(self, name: str, title: str) -> None: ...

    def note(self, name: str, text: str) -> None: ...

    def end(self, record: StepRecord) -> None: ...


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def crd(plural: str, kind: str) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"plural": plural, "singular": plural[:-1], "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.korthweb"},
        "spec": {"group": "test.korthweb", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def deployment(name: str, image: str) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
    }


@pytest.fixture
def runner(simulated_programs: dict[str, str]) -> Runner:
    return Runner(programs=simulated_programs)


@pytest.fixture
def kubectl(simulated: Cluster, runner: Runner) -> Iterator[Kubectl]:
    built = Kubectl(simulated)
    yield built
    runner.run(built.command("delete", "configmap,deployment", "--all", "--namespace=default", "--wait=false"))


def test_apply_changes_once_and_the_probe_sees_drift(runner: Runner, kubectl: Kubectl) -> None:
    objects = [config_map("one", a="1"), config_map("two", b="2")]
    step = Step(kind="s", title="s", probes=(kubectl.applied(objects),), actions=(kubectl.apply(objects),))

    def verdict() -> str:
        return Executor(runner, kubectl, Silent()).apply(Plan("p", (step,)))[0].verdict

    assert verdict() == "changed"
    assert verdict() == "unchanged"
    runner.run(kubectl.command("patch", "configmap", "one", "--patch", '{"data":{"a":"by hand"}}'))
    assert verdict() == "changed"
    assert items(runner.run(kubectl.get("configmap", "one")))[0]["data"] == {"a": "1"}


def test_a_kind_or_namespace_that_is_not_there_yet_is_no_fault(runner: Runner, kubectl: Kubectl) -> None:
    thing = {"apiVersion": "test.korthweb/v1", "kind": "Nothing", "metadata": {"name": "x", "namespace": "default"}}
    for missing in (thing, {**config_map("x"), "metadata": {"name": "x", "namespace": "nowhere"}}):
        probe = kubectl.applied([missing])
        assert _holds(runner, probe) is False
    probe = kubectl.exists("nothing", "x")
    assert _holds(runner, probe) is False


def _holds(runner: Runner, probe: Probe) -> bool:
    result = runner.check(probe.command)
    assert result.answered
    return probe.read(result)


def test_objects_of_a_new_kind_are_applied_as_soon_as_it_is_served(runner: Runner, kubectl: Kubectl) -> None:
    definition = crd("gadgets", "Gadget")
    thing = {"apiVersion": "test.korthweb/v1", "kind": "Gadget", "metadata": {"name": "x", "namespace": "default"}}
    name = definition["metadata"]["name"]
    first = Step(kind="d", title="d", actions=(kubectl.apply([definition]),), waits=(Ready("crd", name),))
    second = Step(kind="o", title="o", needs=("d",), actions=(kubectl.apply([thing]),))
    records = Executor(runner, kubectl, Silent()).apply(Plan("p", (first, second)))
    assert [record.verdict for record in records] == ["changed", "changed"]
    runner.run(kubectl.delete("crd", name))


def test_a_wait_ends_when_the_pods_are_ready(runner: Runner, kubectl: Kubectl) -> None:
    ready = Ready("deployment", "web", "default")
    threading.Timer(0.5, lambda: runner.run(kubectl.apply([deployment("web", "x:1")]))).start()
    Waiter(runner, kubectl).wait((ready,), 30, lambda _: None)
    assert (
        items(runner.run(kubectl.get("deployment", "web", namespace="default")))[0]["status"]["availableReplicas"] == 2
    )
    runner.run(kubectl.delete("deployment", "web", namespace="default"))
    Waiter(runner, kubectl).wait((Gone("deployment", "web", "default"),), 30, lambda _: None)


def test_a_wait_gives_up_at_once_on_what_does_not_heal(runner: Runner, kubectl: Kubectl) -> None:
    broken = deployment("broken", "x:1")
    broken["spec"]["template"]["spec"]["nodeName"] = "nobody-runs-here"
    runner.run(kubectl.apply([broken]))
    pod = _first_pod(runner, kubectl)
    waiting = {"name": "c", "ready": False, "restartCount": 0, "image": "x:1", "imageID": ""}
    state = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    patch = json.dumps({"status": {"phase": "Pending", "containerStatuses": [{**waiting, **state}]}})
    runner.run(kubectl.command("patch", "pod", pod, "--subresource=status", "--patch", patch, namespace="default"))
    began = time.monotonic()
    with pytest.raises(NotReady, match="no such image"):
        Waiter(runner, kubectl).wait((Ready("deployment", "broken", "default"),), 60, lambda _: None)
    assert time.monotonic() - began < 12


def _first_pod(runner: Runner, kubectl: Kubectl) -> str:
    for _ in range(50):
        if pods := items(runner.run(kubectl.get("pods", namespace="default", selector="app=broken"))):
            return str(pods[0]["metadata"]["name"])
        time.sleep(0.1)
    raise AssertionError("no pod")


def test_two_at_once_is_one_too_many(runner: Runner, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = lock.Lock(runner, kubectl, print), lock.Lock(runner, kubectl, print)
    first.acquire()
    with pytest.raises(LockHeld):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    assert items(runner.run(kubectl.get("lease", lock.NAME, namespace=lock.NAMESPACE))) == []


@pytest.mark.parametrize("died_here", [True, False])
def test_a_dead_holder_is_replaced(
    runner: Runner, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, died_here: bool
) -> None:
    monkeypatch.setattr(lock, "DURATION", 60 if died_here else 3)
    host = lock.identity().split("/")[0] if died_here else "elsewhere"
    with monkeypatch.context() as patch:
        patch.setattr(lock, "identity", lambda: f"{host}/999999999/1")
        dead = lock.Lock(runner, kubectl, print)
        dead.holder = lock.identity()
        dead._take()
    said: list[str] = []
    began = time.monotonic()
    ours = lock.Lock(runner, kubectl, said.append)
    ours.acquire()
    ours.release()
    assert any("taking it over" in line for line in said)
    assert time.monotonic() - began < 30


def test_an_unreachable_cluster_is_not_an_empty_one(simulated_programs: dict[str, str], tmp_path: Any) -> None:
    config = tmp_path / "kubeconfig"
    server = {"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [server],
        "contexts": [context],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }
    config.write_text(json.dumps(body))
    away = Kubectl(Cluster("x", str(config)))
    impatient = Runner(programs=simulated_programs, patience=0)
    for command in (away.get("pods"), away.exists("pod", "x").command, away.diff([config_map("x")])):
        with pytest.raises(ClusterUnreachable):
            impatient.run(command)
