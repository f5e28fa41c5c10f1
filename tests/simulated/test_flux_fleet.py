"""A fleet of twelve tenants, rendered and reconciled: the whole of it gets ready, at a cost that has a bound."""

from __future__ import annotations

from bench.fleet_cost import bench, rendered, settings
from korthweb_tasks.core.target import Target
from korthweb_tasks.run.runner import Runner

TENANTS = 12
#: API requests for one tenant (some 40 objects, applied with a dry run first, watched until they are ready)
REQUESTS = 700
#: seconds of processor time of Flux and the API server for one tenant
PROCESSOR = 8.0


def test_rendering_stays_cheap() -> None:
    rendered(settings(1))  # what is loaded and read once
    few, many = rendered(settings(5))[1], rendered(settings(50))[1]
    assert many < 25 * max(few, 0.01)


def test_twelve_tenants(simulated: Target, simulated_programs: dict[str, str]) -> None:
    with bench(simulated, Runner(programs=simulated_programs)) as made:
        cost = made.measure(TENANTS)
    print(cost)
    assert cost.each["requests"] < REQUESTS
    assert cost.each["controllers"] + cost.each["server"] < PROCESSOR
    assert cost.change < cost.reconcile
