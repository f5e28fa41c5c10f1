"""A fleet of eight tenants, rendered and reconciled: the whole of it gets ready, at a cost that has a bound."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.fleet_cost import bench, rendered, settings
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.lab import cluster
from korthweb_tasks.lab.raising import Options
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner

TENANTS = 8
#: API requests for one tenant (some 40 objects, applied with a dry run first, watched until they are ready)
REQUESTS = 700
#: seconds of processor time of Flux and the API server for one tenant
PROCESSOR = 8.0


@pytest.fixture
def alone() -> Iterator[Cluster]:
    """Give a control plane of its own: a fleet without its Flux can't be taken away again."""
    name = f"f{os.getpid()}"
    try:
        info = cluster.up(name, simulated=True, console=Console(quiet=True), options=Options(fake_nodes=10))
        yield Cluster(info.context, info.kubeconfig)
    finally:
        cluster.down(name, console=Console(quiet=True))


def test_rendering_stays_cheap() -> None:
    rendered(settings(1))  # what is loaded and read once
    few, many = rendered(settings(5))[1], rendered(settings(50))[1]
    assert many < 25 * max(few, 0.01)


def test_eight_tenants(alone: Cluster, simulated_programs: dict[str, str]) -> None:
    with bench(alone, Runner(programs=simulated_programs)) as made:
        cost = made.measure(TENANTS)
    print(cost)
    assert cost.each["requests"] < REQUESTS
    assert cost.each["controllers"] + cost.each["server"] < PROCESSOR
    assert cost.change < cost.reconcile
