"""One simulated control plane for all simulated tests of a run: a real API server, pretended nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from korthweb_tasks.core.target import Target


@pytest.fixture(scope="session")
def simulated() -> Iterator[Target]:
    """Return the context of a simulated lab, which is removed at the end."""
    from korthweb_tasks.lab import cluster

    name = f"t{os.getpid()}"
    try:
        info = cluster.up(name, simulated=True)
        yield Target(info.context, info.kubeconfig)
    finally:
        cluster.down(name)


@pytest.fixture(scope="session")
def simulated_programs(simulated: Target) -> dict[str, str]:
    """Return where kubectl is."""
    from korthweb_tasks.provision.tools import locate

    return {"kubectl": str(locate("kubectl").path)}
