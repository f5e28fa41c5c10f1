"""Flux's controllers as processes, against any API server that this machine reaches."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.provision.building import build, folder
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl

COMPONENTS = ("source-controller", "kustomize-controller", "helm-controller")


@dataclass
class Flux:
    """The running controllers, and where each writes its log."""

    target: Cluster
    runner: Runner
    logs: Path
    processes: Mapping[str, subprocess.Popen[bytes]]

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def seconds(self) -> dict[str, float]:
        """Return the processor time that each controller has used."""
        tick = os.sysconf("SC_CLK_TCK")
        found = {}
        for name, process in self.processes.items():
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(fields[11]) + int(fields[12])) / tick
        return found


@contextmanager
def flux(
    target: Cluster, runner: Runner, work: Path, *, options: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[Flux]:
    """Run the three controllers while the block runs; ``options``: more flags for each, ``work``: their files."""
    kubectl = Kubectl(target)
    crds = [str(build(name) / "share" / "crd") for name in COMPONENTS]
    for crd in crds:
        runner.run(kubectl.command("apply", "--server-side", "--kustomize", crd, repeatable=True))
    runner.run(kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}]))
    with ExitStack() as stack:
        storage = free_port()
        own = {
            "source-controller": (
                f"--storage-path={_made(work / 'storage')}", f"--storage-addr=127.0.0.1:{storage}",
                f"--storage-adv-addr=127.0.0.1:{storage}",
            ),
        }  # fmt: skip
        running = {}
        for name in COMPONENTS:
            flags = (*own.get(name, ()), *(options or {}).get(name, ()))
            running[name] = stack.enter_context(_running(name, target, work, flags))
        for name, (process, health) in running.items():
            _wait(name, process, health, work / f"{name}.log")
        yield Flux(target, runner, work, {name: process for name, (process, _) in running.items()})


@contextmanager
def _running(
    name: str, target: Cluster, work: Path, flags: tuple[str, ...]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    health = free_port()
    addresses = (f"--health-addr=127.0.0.1:{health}", f"--metrics-addr=127.0.0.1:{free_port()}", "--events-addr=")
    argv = (str(folder(name) / name), *addresses, "--log-encoding=json", *flags)
    tmp = _made(work / f"{name}-tmp")
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp), "TMPDIR": str(tmp), "RUNTIME_NAMESPACE": "flux-system",
        "KUBECONFIG": str(target.kubeconfig), "GOMAXPROCS": "2",
    }  # fmt: skip
    with (work / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=env, stdin=subprocess.DEVNULL)
        try:
            yield process, health
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _wait(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, f"{name} ended: {log.read_text()[-2000:]}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{name} does not start: {log.read_text()[-2000:]}")
