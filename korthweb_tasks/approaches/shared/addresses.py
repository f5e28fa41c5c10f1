"""Whether every tenant's own way in can have an address: read from nodes, load balancers and pools. Pure.

k3s gives all load balancers the addresses of its nodes, so that a port can be had once in the cluster; MetalLB has as
many addresses as its pools. Then tenants share one, by ports of their own (``tenants[].ports``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.checks import Check, Verdict
from korthweb_tasks.core.command import Result
from korthweb_tasks.errors import last_line
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant

Object = Mapping[str, Any]


def questions(kubectl: Kubectl, tenants: Iterable[Tenant], service: str) -> list[Check]:
    """Return the questions; ``service`` is the name of a tenant's own Service of type LoadBalancer."""
    chosen = tuple(tenants)
    every = kubectl.command("get", "nodes,services", "--all-namespaces", "--output", "json", repeatable=True)
    words = ("get", "ipaddresspools.metallb.io", "--all-namespaces", "--output", "json")
    pools = kubectl.command(*words, repeatable=True, final=ABSENT)
    return [
        Check("Ports", every, lambda result: ports(result, chosen, service)),
        Check("Addresses", pools, lambda result: addresses(result, chosen)),
    ]


def ports(result: Result, tenants: tuple[Tenant, ...], service: str) -> tuple[Verdict, str]:
    """Read nodes and Services: on k3s a port of a load balancer can be had once."""
    if result.code != 0:
        return "broken", last_line(result.stderr)
    objects = items(result)
    if not any(_of_k3s(obj) for obj in objects):
        return "ok", "each load balancer has all ports"
    holders = {port: who for obj in objects for port, who in _held(obj)}
    for tenant in tenants:
        mine = f"{service} in {tenant.namespace}"
        for port in (tenant.ports.https, tenant.ports.dicom):
            holder = holders.setdefault(port, mine)
            if holder != mine:
                return "broken", f"k3s has one address, and its port {port} is {holder}'s; {_way_out(tenant)}"
    return "ok", "one address for all load balancers (k3s), and each port is asked for once"


def addresses(result: Result, tenants: tuple[Tenant, ...]) -> tuple[Verdict, str]:
    """Read MetalLB's pools: tenants with the same ports need an address each."""
    if result.code != 0:
        known = any(text in result.stderr for text in ABSENT)
        return ("ok", "chosen by the cluster") if known else ("broken", last_line(result.stderr))
    there = sum(_size(one) for pool in items(result) for one in pool["spec"].get("addresses", ()))
    needed: dict[int, int] = {}
    for tenant in tenants:
        for port in {tenant.ports.https, tenant.ports.dicom}:
            needed[port] = needed.get(port, 0) + 1
    most = max(needed.values(), default=0)
    if there >= most:
        return "ok", f"MetalLB has {there}"
    return "broken", f"MetalLB has {there} for {most} load balancers with the same port; {_way_out(tenants[-1])}"


def _way_out(tenant: Tenant) -> str:
    return f"ports of its own: tenants.{tenant.name}.ports: {{https: 8444, dicom: 11113}}"


def _of_k3s(obj: Object) -> bool:
    info = obj.get("status", {}).get("nodeInfo", {}) if obj["kind"] == "Node" else {}
    return "+k3s" in str(info.get("kubeletVersion", "")) or "+rke2" in str(info.get("kubeletVersion", ""))


def _held(obj: Object) -> Iterator[tuple[int, str]]:
    """Give the ports of a load balancer, and whose they are."""
    if obj["kind"] == "Service" and obj["spec"].get("type") == "LoadBalancer":
        who = f"{obj['metadata']['name']} in {obj['metadata']['namespace']}"
        yield from ((port["port"], who) for port in obj["spec"].get("ports", ()))


def _size(text: str) -> int:
    """Return how many addresses a pool's line has: a network, or first and last.

    >>> _size("198.18.0.1/32"), _size("10.0.0.1-10.0.0.4")
    (1, 4)
    """
    first, _, last = text.partition("-")
    if not last:
        return ip_network(first.strip(), strict=False).num_addresses
    return int(ip_address(last.strip())) - int(ip_address(first.strip())) + 1
