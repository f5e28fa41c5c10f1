"""What every test gets. A unit test sees no home, no settings of its user, and no network but the loopback."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
#: the loopback, and the range that labs live in
NEAR = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "198.18.0.0/15")))


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of the folders ``simulated`` and ``lab``."""
    for item in items:
        if (kind := _kind(item)) in ("simulated", "lab"):
            item.add_marker(kind)


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


def _kind(item: Any) -> str:
    """Return ``unit``, ``simulated`` or ``lab``: the folder that the test is in."""
    return Path(item.path).relative_to(TESTS).parts[0]


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
