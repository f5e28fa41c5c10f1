"""What a tenant costs: rendering, and reconciling in a simulated control plane, for fleets of several sizes.

``python -m bench.fleet_cost [10 25 50]`` in a checkout. The rendered fleet is reconciled by Flux's real source- and
kustomize-controller, against a real API server, followed by korthweb. Pretended are: nodes and pods (kwok),
and what cert-manager and CloudNativePG would do, for which a thread here marks Issuers, Certificates and Clusters as
ready. Left out are the HelmReleases of the infrastructure, and observability. Wanted: flat columns per tenant.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.render import parse
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.flux.tree import build
from korthweb_tasks.provision.building import build as built
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.follow import Follow, Goal, Requests
from korthweb_tasks.run.informer import Informer, Lost
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.run.tree_view import TreeView
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.flux import KINDS, Flux, asking
from korthweb_tasks.tools.kubectl import Kubectl
from tests.flux_doubles import fleet as small
from tests.flux_doubles.control import Flux as Running
from tests.flux_doubles.control import flux
from tests.flux_doubles.git import Repository, served

CLUSTER, TOP = "bench", "flux-system"
#: as korthweb sets it up: a request ends a running health check
GATE = ("--feature-gates=CancelHealthCheckOnNewRevision=true",)
#: kinds whose controllers are missing here
PRETENDED = ("Issuer", "Certificate", "Cluster")


@dataclass(frozen=True)
class Cost:
    """What one fleet has cost, in seconds but for ``files`` and ``requests`` (to the API server).

    ``reconcile`` is from the first commit to all being ready, ``change`` the same for a commit that changes one tenant.
    ``controllers``, ``server`` and ``korthweb`` are processor time of ``reconcile``.
    """

    tenants: int
    render: float
    files: int
    reconcile: float
    requests: float
    controllers: float
    server: float
    korthweb: float
    change: float

    @property
    def each(self) -> dict[str, float]:
        """Return each figure per tenant."""
        return {one.name: getattr(self, one.name) / self.tenants for one in fields(self)}


def settings(count: int) -> Settings:
    """Return settings with so many tenants, and no observability."""
    off = dict.fromkeys(("prometheus", "kiali", "grafana", "jaeger"), False)
    tenants = [
        {"name": f"T{number:02}", "domain": f"t{number:02}.example.org", "replicas": {"min": 1, "max": 2}}
        for number in range(count)
    ]
    return Settings.model_validate({"tenants": tenants, "observability": off})


def rendered(wanted: Settings) -> tuple[dict[str, str], float]:
    """Return the files of the fleet, and how long it took to render them."""
    artifacts = Artifacts.read(Path(__file__).parents[1] / "gitops")
    charts = {name: ChartAt(chart.source, chart.version) for name, chart in wanted.charts.items()}
    began = time.process_time()
    files = Fleet(wanted, CLUSTER, wanted.tenants, artifacts, charts).files()
    return files, time.process_time() - began


def without_charts(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files with an infrastructure of namespaces and rights alone."""
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
    found = dict(files)
    for part in ("cert-manager", "istio", "cloudnative-pg"):
        kept = ["namespace.yaml", *(["tenant-role.yaml"] if part == "istio" else [])]
        found[f"infrastructure/{part}/kustomization.yaml"] = head + "".join(f"- {name}\n" for name in kept)
        overlay = f"clusters/{CLUSTER}/infrastructure/{part}/kustomization.yaml"
        found[overlay] = f"{head}- ../../../../infrastructure/{part}\n"
    return found | {
        f"clusters/{CLUSTER}/flux-system/kustomization.yaml": head.replace("resources:\n", "resources: []\n")
    }


def definitions() -> list[dict[str, Any]]:
    """Return the kinds of Istio, cert-manager and CloudNativePG, from what this machine has built."""
    paths = [
        built("istio") / "share/charts/base/files/crd-all.gen.yaml",
        *sorted((built("cert-manager") / "share/crds").glob("crd-*.yaml")),
        built("cloudnative-pg") / "share/release.yaml",
    ]
    found = [obj for path in paths for obj in parse(path.read_text(), path.name)]
    crds = [obj for obj in found if obj["kind"] == "CustomResourceDefinition"]
    for crd in crds:
        crd["metadata"].pop("labels", None)  # a template's words in cert-manager's
        crd["spec"].pop("conversion", None)
    return crds


@contextmanager
def pretending(informer: Informer) -> Iterator[None]:
    """Mark what missing controllers would make as ready while the block runs."""
    over = threading.Event()

    def work() -> None:
        done: set[Ref] = set()
        while not over.is_set():
            informer.news(0.2)
            for ref, obj in list(informer.objects.items()):
                if ref.kind in PRETENDED and ref not in done and _mark(informer, ref, obj):
                    done.add(ref)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5.0)


def _mark(informer: Informer, ref: Ref, obj: Mapping[str, Any]) -> bool:
    ready = {"type": "Ready", "status": "True", "reason": "Pretended", "message": "by the bench",
             "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    status: dict[str, Any] = {"conditions": [ready]}
    if ref.kind == "Cluster":
        status |= {"phase": "Cluster in healthy state", "readyInstances": obj["spec"]["instances"]}
    try:
        return informer.patch(ref, {"status": status}, part="/status") < 300
    except Lost:
        return False


@dataclass
class Bench:
    """A simulated control plane with Flux, and one fleet in it."""

    running: Running
    repository: Repository

    @property
    def target(self) -> Cluster:
        """Return the context."""
        return self.running.target

    def measure(self, count: int, *, seconds: float = 900.0) -> Cost:
        """Render and reconcile a fleet, change one tenant, and return what that has cost."""
        files, render = rendered(settings(count))
        runner, kubectl = self.running.runner, Kubectl(self.target)
        runner.run(kubectl.apply(definitions()))
        revision = self.repository.commit(dict(without_charts(files)))
        pretended = [kind for kind in KINDS if kind.kind in PRETENDED]
        before, began = self._spent(), time.monotonic()
        top = small.kustomization(TOP, f"./clusters/{CLUSTER}", wait=False, timeout="5m")
        runner.run(kubectl.apply([small.source(self.repository.url), top]))
        with Informer(runner, Flux(self.target).proxy, pretended).opened() as informer, pretending(informer):
            self._follow(revision, seconds)
            reconcile, after = time.monotonic() - began, self._spent()
            began = time.monotonic()
            self._follow(self.repository.commit(_changed(files)), seconds)
            change = time.monotonic() - began
        requests, controllers, server, mine = (then - now for then, now in zip(after, before, strict=True))
        return Cost(count, render, len(files), reconcile, requests, controllers, server, mine, change)

    def _follow(self, revision: str, seconds: float) -> None:
        informer = Informer(self.running.runner, Flux(self.target).proxy, KINDS)

        view = TreeView(Console(quiet=True))
        with informer.opened():
            Follow(informer, build, Goal(revision=revision), view, Requests(informer, asking)).run(seconds)

    def _spent(self) -> tuple[float, float, float, float]:
        """Return API requests, and seconds of processor time of the controllers, the API server, and this program."""
        text = self.running.runner.run(Kubectl(self.target).command("get", "--raw", "/metrics", repeatable=True)).stdout
        requests = sum(
            float(value) for value in re.findall(r"^apiserver_request_total\{.*\} (\S+)$", text, re.MULTILINE)
        )
        server = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
        times = os.times()
        mine = times.user + times.system
        return requests, sum(self.running.seconds().values()), float(server[1]) if server else 0.0, mine


def _changed(files: Mapping[str, str]) -> dict[str, str | None]:
    """Return the files in which the first tenant's Orthanc has another size."""
    path = f"clusters/{CLUSTER}/tenants/t00/application/orthanc.yaml"
    text = files[path].replace('"cpu": "250m"', '"cpu": "300m"')
    assert text != files[path]
    return {path: text}


@contextmanager
def bench(target: Cluster, runner: Runner) -> Iterator[Bench]:
    """Run Flux and a Git server beside a control plane while the block runs."""
    with tempfile.TemporaryDirectory(prefix="korthweb-bench-") as folder:
        work = Path(folder)
        options = {"kustomize-controller": GATE}
        with served(work / "git") as repository, flux(target, runner, work, options=options) as running:
            yield Bench(running, repository)


def main(counts: list[int]) -> None:
    from korthweb_tasks.lab import cluster
    from korthweb_tasks.lab.raising import Options

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left behind
    names = [one.name for one in fields(Cost)]
    rows: list[Cost] = []
    for count in counts:
        lab = f"cost{os.getpid() % 1000}"
        try:
            info = cluster.up(lab, simulated=True, console=Console(quiet=True), options=Options(fake_nodes=10))
            with bench(Cluster(info.context, info.kubeconfig), Runner()) as made:
                rows.append(made.measure(count))
        finally:
            cluster.down(lab, console=Console(quiet=True))
        print(f"{count} tenants: {rows[-1]}", file=sys.stderr, flush=True)
    for title, each in (("in all", False), ("per tenant", True)):
        print(f"{title:<12}" + "".join(f"{name:>13}" for name in names))
        for row in rows:
            figures = row.each if each else asdict(row)
            print(f"{row.tenants:<12}" + "".join(f"{figures[name]:>13.2f}" for name in names))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10, 25, 50])
