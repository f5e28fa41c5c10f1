"""Where one lab has its things: names, addresses and paths, all derived from its folder and its index."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

#: reserved for benchmarks (RFC 2544), so it meets no hospital and no VPN
DEFAULT_SUBNET = IPv4Network("198.18.0.0/15")
BLOCK_PREFIX = 20
NODE = "lab-node"
API_PORT = 6443
DOMAIN = "cluster.local"
HOST_ALIAS = "host.korthweb.lab"


@dataclass(frozen=True, slots=True)
class Layout:
    """One lab: its name, its folder, and which block of the subnet it has.

    The block (a /20) holds the link to the host (first /30), Services (second /22) and pods (upper /21).
    A ``simulated`` lab has neither block nor namespaces: its control plane is on the host's loopback.
    """

    name: str
    root: Path
    index: int = 0
    subnet: IPv4Network = DEFAULT_SUBNET
    simulated: bool = False

    @property
    def context(self) -> str:
        """Return the kubeconfig context."""
        return f"korthweb-{self.name}"

    @property
    def tag(self) -> str:
        """Return what namespace and cgroups are called: unique even when two users have a lab of one name."""
        return f"korthweb-{self.name}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:4]}"

    @property
    def block(self) -> IPv4Network:
        """Return the addresses of this lab."""
        prefix = max(BLOCK_PREFIX, self.subnet.prefixlen)
        size = 2 ** (32 - prefix)
        return IPv4Network((int(self.subnet.network_address) + self.index * size, prefix))

    @property
    def link(self) -> IPv4Network:
        """Return the network of the cable between host and lab."""
        return next(self.block.subnets(new_prefix=30))

    @property
    def services(self) -> IPv4Network:
        """Return the range of Services, addresses of load balancers among them."""
        return list(self.block.subnets(prefixlen_diff=2))[1]

    @property
    def pods(self) -> IPv4Network:
        """Return the range of pods."""
        return list(self.block.subnets(prefixlen_diff=1))[1]

    @property
    def host_address(self) -> str:
        """Return the host's end of the cable."""
        return str(self.link[1])

    @property
    def address(self) -> str:
        """Return the lab's end of the cable: node, API server and DNS listen there."""
        return "127.0.0.1" if self.simulated else str(self.link[2])

    @property
    def api_service(self) -> str:
        """Return the ClusterIP of the API server."""
        return str(self.services[1])

    @property
    def dns_service(self) -> str:
        """Return the ClusterIP of DNS."""
        return str(self.services[10])

    @property
    def metrics_service(self) -> str:
        """Return the ClusterIP of metrics-server."""
        return str(self.services[11])

    @property
    def host_interface(self) -> str:
        """Return the name of the cable's end on the host."""
        return f"kw{self.index}-host"

    @property
    def lab_interface(self) -> str:
        """Return the name of the cable's end in the lab."""
        return f"kw{self.index}-lab"

    @property
    def netns(self) -> Path:
        """Return the file that holds the network namespace."""
        return Path("/run/netns") / self.tag

    @property
    def namespaces(self) -> Path:
        """Return the folder (a private mount) of the file that holds the mount namespace."""
        return self.root / "ns"

    @property
    def mountns(self) -> Path:
        """Return the file that holds the mount namespace."""
        return self.namespaces / "mnt"

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig for people and tasks."""
        return self.root / "kubeconfig"

    @property
    def kwok(self) -> Path:
        """Return kwokctl's folder of this cluster."""
        return self.root / "kwok" / "clusters" / self.name

    @property
    def pki(self) -> Path:
        """Return the folder of the cluster's CA and admin certificate."""
        return self.kwok / "pki"

    @property
    def config(self) -> Path:
        """Return the folder of the components' settings."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """Return the folder of the components' logs."""
        return self.root / "logs"

    @property
    def volumes(self) -> Path:
        """Return the folder of the persistent volumes."""
        return self.root / "volumes"

    @property
    def socket(self) -> Path:
        """Return containerd's socket as it is called inside the mount namespace (short: sockets end at 107 bytes)."""
        return Path("/run/containerd/containerd.sock")


def blocks(subnet: IPv4Network) -> int:
    """Return how many labs a subnet has room for."""
    return 1 << max(0, BLOCK_PREFIX - subnet.prefixlen)
