"""Access to "pods" that are real Orthancs on the loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx

from korthweb_tasks.errors import NotReady
from korthweb_tasks.verify.climb import Pod
from tests.verify_doubles.orthanc import PASSWORD, USER, Orthanc

_numbers = itertools.count(1)


def _pod() -> Pod:
    number = next(_numbers)
    return Pod(f"orthanc-{number}", f"uid-{number}", ready=True)


@dataclass
class LoopbackCluster:
    """Pods by the Orthanc that each one is; several may be one server, as replicas on one database are."""

    servers: list[Orthanc]
    on_delete: Callable[[], None] = lambda: None
    never_ready: bool = False
    running: dict[str, tuple[Pod, Orthanc]] = field(init=False)
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = {pod.name: (pod, server) for server in self.servers for pod in [_pod()]}

    def pods(self) -> list[Pod]:
        return [pod for pod, _ in self.running.values()]

    def get(self, pod: Pod, path: str, accept: str) -> tuple[int, str, bytes]:
        server = self.running[pod.name][1]
        url, auth = f"http://127.0.0.1:{server.http}{path}", (USER, PASSWORD)
        answer = httpx.get(url, auth=auth, headers={"Accept": accept}, trust_env=False)
        return answer.status_code, answer.headers.get("content-type", ""), answer.content

    def delete(self, pods: list[Pod]) -> None:
        self.deleted += [pod.name for pod in pods]
        servers = {id(server): server for _, server in self.running.values()}.values()
        self.running = {}
        for server in servers:
            server.stop()
        self.on_delete()
        for server in servers:
            server.start()

    def wait(self, count: int, old: frozenset[str], seconds: float) -> list[Pod]:
        if self.never_ready:
            raise NotReady(f"0 of {count} new pods are ready")
        for server in self.servers:
            pod = replace(_pod(), ready=True)
            assert pod.uid not in old
            self.running[pod.name] = (pod, server)
        return self.pods()
