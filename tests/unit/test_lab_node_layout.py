"""Names and addresses of labs, and what is read off the host to choose them."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path

import pytest

from korthweb_tasks.lab import cgroups, namespaces
from korthweb_tasks.lab.layout import DEFAULT_SUBNET, Layout, blocks
from tests.fakes import Answer, ScriptedRunner

HYBRID = """tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""
FIRST = Layout("lab", Path("/state/labs/lab"))


def test_the_first_lab() -> None:
    assert FIRST.context == "korthweb-lab"
    assert (FIRST.host_address, FIRST.address) == ("198.18.0.1", "198.18.0.2")
    assert (str(FIRST.services), str(FIRST.pods)) == ("198.18.4.0/22", "198.18.8.0/21")
    assert (FIRST.api_service, FIRST.dns_service) == ("198.18.4.1", "198.18.4.10")
    assert FIRST.tag.startswith("korthweb-lab-")


def test_no_two_labs_share_an_address_or_a_name() -> None:
    labs = [Layout("lab", Path(f"/state/{index}"), index) for index in range(blocks(DEFAULT_SUBNET))]
    assert len(labs) == 32
    assert len({lab.tag for lab in labs}) == len({lab.host_interface for lab in labs}) == 32
    for one, other in combinations(labs, 2):
        assert not one.block.overlaps(other.block)
    assert all(lab.block.subnet_of(DEFAULT_SUBNET) for lab in labs)


@pytest.mark.parametrize("subnet", ["198.18.0.0/15", "10.99.0.0/16", "198.19.240.0/20", "198.18.64.0/24"])
def test_the_parts_of_a_block_do_not_overlap(subnet: str) -> None:
    network = IPv4Network(subnet)
    for index in {0, blocks(network) - 1}:
        lab = Layout("lab", Path("/x"), index, network)
        assert lab.block.subnet_of(network)
        for one, other in combinations((lab.link, lab.services, lab.pods), 2):
            assert not one.overlaps(other)
        assert {lab.api_service, lab.dns_service, lab.metrics_service} <= set(map(str, lab.services.hosts()))


def test_names_of_interfaces_fit_the_kernel() -> None:
    last = Layout("x" * 30, Path("/x"), 31)
    assert len(last.host_interface) <= 15
    assert len(last.lab_interface) <= 15


def test_a_simulated_lab_is_on_the_loopback() -> None:
    lab = Layout("lab", Path("/x"), simulated=True)
    assert lab.address == "127.0.0.1"
    assert namespaces.inside(lab, ("true",)) == ("true",)


def test_indices_are_taken_by_routes_of_the_host() -> None:
    text = "\n".join(
        [
            "default via 192.0.2.1 dev eth0",
            "198.18.20.0/22 via 198.18.16.2 dev somebody-elses",
            "local 198.18.48.1 dev x table local proto kernel scope host src 198.18.48.1",
            "10.0.0.0/8 dev eth1",
        ]
    )
    runner = ScriptedRunner({("ip", "route", "show"): Answer(text)})
    used = namespaces.taken(runner, DEFAULT_SUBNET)  # type: ignore[arg-type]
    assert {1, 3} <= used
    assert 0 not in used or (Path("/sys/class/net/kw0-host")).exists()


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", ([], ["/sys/fs/cgroup"])),
        (
            HYBRID,
            (["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"], ["/sys/fs/cgroup/unified"]),
        ),
        ("proc /proc proc rw 0 0\n", ([], [])),
    ],
)
def test_where_cgroups_are(mounts: str, expected: tuple[list[str], list[str]]) -> None:
    v1, v2 = cgroups.hierarchies(mounts)
    assert ([str(path) for path in v1], [str(path) for path in v2]) == expected


def test_the_host_keeps_its_kernel_settings() -> None:
    script = namespaces.furnish(Path("/state/labs/a lab"))
    assert "mount --bind /run/sysctl/kernel.panic /proc/sys/kernel/panic" in script
    assert "mount --bind '/state/labs/a lab' /run/lab" in script
    assert "> /proc/sys" not in script
