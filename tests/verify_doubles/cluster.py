"""Access to "pods" that are real Orthancs on the loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import httpx

from korthweb_tasks.errors import NotReady
from korthweb_tasks.verify.check_context import Get, Pod
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
    refuses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = {pod.name: (pod, server) for server in self.servers for pod in [_pod()]}

    def pods(self) -> list[Pod]:
        return [pod for pod, _ in self.running.values()]

    @contextmanager
    def reach(self, pod: Pod) -> Iterator[Get]:
        base = f"http://127.0.0.1:{self.running[pod.name][1].http}"
        with httpx.Client(base_url=base, auth=(USER, PASSWORD), trust_env=False) as session:

            def get(path: str, accept: str) -> tuple[int, str, bytes]:
                if any(part in path for part in self.refuses.get(pod.name, ())):
                    return 404, "", b""
                answer = session.get(path, headers={"Accept": accept})
                return answer.status_code, answer.headers.get("content-type", ""), answer.content

            yield get

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
