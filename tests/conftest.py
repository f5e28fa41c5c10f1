"""What every test gets. A unit test sees no home, no settings of its user, and no network but the loopback."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from korthweb_tasks.core.cluster import Cluster

if TYPE_CHECKING:
    from tests.applied import Kubectl
    from tests.verify_doubles.orthanc import Orthanc

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
#: the loopback, and the range that labs live in
NEAR = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "198.18.0.0/15")))


def pytest_configure() -> None:
    """Take Ctrl-C back: a shell that runs a command in the background has it ignored, by all children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of the folders ``simulated`` and ``lab``; leave the long forms out unless they are asked for."""
    long = bool(os.environ.get("KORTHWEB_LONG"))
    for item in items:
        if (kind := _kind(item)) in ("simulated", "lab"):
            item.add_marker(kind)
        if not long and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="a long form: ./korthweb test --long runs it"))


@pytest.fixture(scope="session")
def simulated() -> Iterator[Cluster]:
    """Give the context of one simulated lab (a real API server, pretended nodes) for all simulated tests of a run."""
    from korthweb_tasks.lab import cluster

    name = f"t{os.getpid()}"
    try:
        info = cluster.up(name, simulated=True)
        yield Cluster(info.context, info.kubeconfig)
    finally:
        cluster.down(name)


@pytest.fixture(scope="session")
def packages() -> Path:
    """Give the packages of a real Orthanc, of the real cache: later each test gets an empty one of its own."""
    from tests.verify_doubles.orthanc import root

    return root()


@pytest.fixture
def another(packages: Path, tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start real Orthancs on the loopback, each with a configuration of its own."""
    from tests.verify_doubles.orthanc import started

    with started(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def with_kinds() -> Iterator[Kubectl]:
    """Give kubectl for a simulated lab that has the kinds and namespaces of a fleet: removing them takes longer."""
    from korthweb_tasks.lab import cluster
    from korthweb_tasks.provision.tools import locate
    from tests.applied import NAMESPACES, Kubectl, definitions

    name = f"k{os.getpid()}"
    try:
        info = cluster.up(name, simulated=True)
        kubectl = Kubectl(Cluster(info.context, info.kubeconfig), str(locate("kubectl").path))
        crds = list(definitions())
        kubectl.apply(crds)
        names = [f"crd/{crd['metadata']['name']}" for crd in crds]
        kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES])
        yield kubectl
    finally:
        cluster.down(name)


@pytest.fixture(scope="session")
def simulated_programs(simulated: Cluster) -> dict[str, str]:
    """Return where kubectl is."""
    from korthweb_tasks.provision.tools import locate

    return {"kubectl": str(locate("kubectl").path)}


@pytest.fixture
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY


@pytest.fixture(autouse=True)
def nothing_leaks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Give a unit test an empty home, project, cache and state, and refuse connections to the outside."""
    _refuse_far_connections(monkeypatch)
    if _kind(request.node) != "unit":
        return
    for name in [
        name for name in os.environ if name.startswith(("KORTHWEB", "INVOKE_", "XDG_")) or name == "KUBECONFIG"
    ]:
        monkeypatch.delenv(name)
    base = tmp_path_factory.mktemp("alone")
    for name, folder in (("HOME", "home"), ("KORTHWEB_CACHE", "cache"), ("KORTHWEB_STATE", "state")):
        (base / folder).mkdir()
        monkeypatch.setenv(name, str(base / folder))
    (base / "project").mkdir()
    monkeypatch.chdir(base / "project")
    # the cache is empty: a test that wants a real kubectl or helm belongs to simulated/, and does not compile one here
    monkeypatch.setenv("GOPROXY", "off")


def _kind(item: Any) -> str:
    """Return ``unit``, ``simulated`` or ``lab``: the folder that the test is in, in tests/ or in tests/cases/."""
    parts = Path(item.path).relative_to(TESTS).parts
    return parts[1] if parts[0] == "cases" else parts[0]


def _refuse_far_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def near(self: socket.socket, address: Any) -> None:
        if self.family not in (socket.AF_INET, socket.AF_INET6):
            return
        try:
            found = ipaddress.ip_address(address[0])
        except ValueError:  # a name: only those that mean this machine
            assert address[0] == "localhost", f"a test wants to connect to {address}"
            return
        assert any(found in network for network in NEAR), f"a test wants to connect to {address}"

    def guarded(self: socket.socket, address: Any) -> None:
        near(self, address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        near(self, address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)
