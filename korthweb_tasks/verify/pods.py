"""The way to each Orthanc pod through kubectl."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from korthweb_tasks.core import hints, kstatus
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.documents import Documents
from korthweb_tasks.errors import NotReady
from korthweb_tasks.run.runner import Runner, Stream
from korthweb_tasks.tools import kubectl as parse
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.check_context import Get, Pod
from korthweb_tasks.verify.model import Endpoint

HTTP_PORT = 8042
#: seconds until kubectl port-forward must listen
FORWARD = 15.0
PAUSE = 0.4
_LISTENS = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")


@dataclass(frozen=True)
class KubectlAccess:
    """Reaches pods by port-forward, which ends at the pod's loopback: no mesh policy stands in its way."""

    runner: Runner
    kubectl: Kubectl
    namespace: str
    selector: str
    endpoint: Endpoint
    timeout: float = 15.0

    def pods(self) -> list[Pod]:
        """Return the tenant's Orthanc pods that are not being deleted."""
        result = self.runner.run(self.kubectl.get("pods", namespace=self.namespace, selector=self.selector))
        return [pod_of(obj) for obj in parse.items(result) if stays(obj)]

    @contextmanager
    def reach(self, pod: Pod) -> Iterator[Get]:
        """Give the way to ask this very pod."""
        args = ("port-forward", f"pod/{pod.name}", f":{HTTP_PORT}", "--address", "127.0.0.1")
        auth = (self.endpoint.username, self.endpoint.password.get_secret_value())
        with self.runner.stream(self.kubectl.command(*args, namespace=self.namespace)) as stream:
            base = f"http://127.0.0.1:{_local_port(stream, pod)}"
            with httpx.Client(base_url=base, auth=auth, timeout=self.timeout, trust_env=False) as session:

                def get(path: str, accept: str) -> tuple[int, str, bytes]:
                    answer = session.get(path, headers={"Accept": accept})
                    return answer.status_code, answer.headers.get("content-type", ""), answer.content

                yield get

    def delete(self, pods: list[Pod]) -> None:
        """Delete the pods; returns before they are gone."""
        self.runner.run(self.kubectl.delete("pods", *(pod.name for pod in pods), namespace=self.namespace))

    def wait(self, count: int, old: frozenset[str], seconds: float) -> list[Pod]:
        """Watch until ``count`` pods whose UID is not in ``old`` are ready, and return them."""
        return ready_pods(self.runner, self.kubectl, self.namespace, self.selector, count, seconds, old)


def ready_pods(
    runner: Runner,
    kubectl: Kubectl,
    namespace: str,
    selector: str,
    count: int,
    seconds: float,
    old: frozenset[str] = frozenset(),
) -> list[Pod]:
    """Watch until ``count`` pods whose UID is not in ``old`` are ready, and return them. Raises NotReady."""
    args = ("get", "pods", "--selector", selector, "--watch", "--output-watch-events", "--output", "json")
    watched = kubectl.command(*args, namespace=namespace)
    wait = _Wait(count, old, time.monotonic() + seconds, namespace)
    while not _watch(runner, watched, wait):
        wait.go_on()
        runner.sleep(PAUSE)  # the watch broke off: begin a new one
    return wait.ready()


def _watch(runner: Runner, watched: Command, wait: _Wait) -> bool:
    """Follow one watch; False when it broke off before the pods were ready."""
    documents = Documents()
    with runner.stream(watched) as stream:
        while not stream.ended:
            if select.select([stream], (), (), 0.5)[0]:
                for event in documents.feed(stream.read()):
                    wait.see(event)
            if wait.done():
                return True
            wait.go_on()
    return False


def _local_port(stream: Stream, pod: Pod) -> int:
    """Read the port that kubectl has chosen. Raises NotReady where it does not come."""
    said, end = b"", time.monotonic() + FORWARD
    while not stream.ended and time.monotonic() < end:
        if select.select([stream], (), (), 0.5)[0]:
            said += stream.read()
        if found := _LISTENS.search(said):
            return int(found[1])
    raise NotReady(
        f"kubectl port-forward to {pod.name} does not start",
        hint=hints.kubectl("port-forward", f"pod/{pod.name}", "8042", namespace=pod.namespace),
    )


class _Wait:
    """What a watch has told so far: pods by UID."""

    def __init__(self, count: int, old: frozenset[str], deadline: float, namespace: str) -> None:
        self.count, self.old, self.deadline, self.namespace = count, old, deadline, namespace
        self._pods: dict[str, Pod] = {}

    def see(self, event: Mapping[str, Any]) -> None:
        obj = event["object"]
        if obj.get("kind") != "Pod":
            return
        pod = pod_of(obj)
        if event["type"] == "DELETED" or not stays(obj):
            self._pods.pop(pod.uid, None)
        elif pod.uid not in self.old:
            self._pods[pod.uid] = pod

    def ready(self) -> list[Pod]:
        return [pod for pod in self._pods.values() if pod.ready]

    def done(self) -> bool:
        return len(self.ready()) >= self.count

    def go_on(self) -> None:
        """Raise NotReady where it is too late, or where a pod can not start."""
        for pod in self._pods.values():
            if pod.fault:
                raise NotReady(
                    f"a new pod can not start: {pod.fault}",
                    hint=hints.kubectl("describe", "pod", pod.name, namespace=pod.namespace),
                )
        if time.monotonic() > self.deadline:
            hint = hints.kubectl("get", "pods", namespace=self.namespace)
            raise NotReady(f"{len(self.ready())} of {self.count} new pods are ready", hint=hint)


def pod_of(obj: Mapping[str, Any]) -> Pod:
    """Read one pod."""
    conditions = obj.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    meta = obj["metadata"]
    return Pod(meta["name"], meta["uid"], ready, kstatus.pod_fault(obj), meta.get("namespace", ""))


def stays(obj: Mapping[str, Any]) -> bool:
    """Return True if a pod is neither being deleted nor at its end."""
    ended = obj.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return "deletionTimestamp" not in obj["metadata"] and not ended
