"""The node and what serves its pods: containerd, images, kubelet, kube-proxy, kube-router, CoreDNS, metrics-server."""

from __future__ import annotations

import json
import shutil
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import BuildFailed, ClusterUnreachable, CommandFailed, NoSpace
from korthweb_tasks.lab import config, namespaces, objects, pki
from korthweb_tasks.lab.api import kubeconfig, write_private
from korthweb_tasks.lab.config import INSIDE
from korthweb_tasks.lab.layout import API_PORT, DOMAIN, NODE, Layout
from korthweb_tasks.lab.pki import Identity
from korthweb_tasks.lab.site import Site

Note = Callable[[str], None]
#: component -> who it is for the API server
USERS = {
    "kubelet": Identity(f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": Identity("system:kube-proxy"),
    "coredns": Identity(objects.COREDNS),
    "kube-router": Identity(objects.ROUTER),
    "metrics-server": Identity(objects.METRICS),
}
#: what the API server calls metrics-server
METRICS_NAME = "metrics-server.kube-system.svc"


def containerd(site: Site, tools: Path, sandbox: str) -> bool:
    """Start containerd and wait until it answers; return True if it was started."""
    layout = site.layout
    write_private(layout.config / "containerd.toml", config.containerd(sandbox, tools))
    write_private(layout.config / "cni" / "10-lab.conflist", config.cni(layout))
    started = site.start("containerd", (str(tools / "containerd"), "--config", f"{INSIDE}/config/containerd.toml"))
    site.until("containerd", lambda: _ctr(site, tools, "version").code == 0, seconds=60, needs=("containerd",))
    return started


def import_images(site: Site, tools: Path, archives: Mapping[str, Path], names: Mapping[str, str], note: Note) -> bool:
    """Import the archives that containerd does not hold yet; return True if there were any.

    ``names`` are the images' full names; an archive's own name tells its content.
    """
    path = site.layout.root / "images.json"
    imported: dict[str, str] = {}
    with suppress(OSError, ValueError):
        imported = json.loads(path.read_text())
    held = set(_ctr(site, tools, "--namespace", "k8s.io", "images", "list", "--quiet").stdout.split())
    todo = {n: a for n, a in archives.items() if imported.get(n) != a.name or names.get(n, n) not in held}

    def one(name: str) -> None:
        note(f"importing {name}")
        result = _ctr(site, tools, "--namespace", "k8s.io", "images", "import", str(todo[name]), timeout=600)
        if result.code != 0:
            kind = NoSpace if "no space left" in result.stderr else BuildFailed
            raise kind(
                f"image {name} can not be imported",
                hint=hints.task("lab.logs", "containerd", name=site.layout.name),
                details=result.stderr,
            )
        imported[name] = todo[name].name
        write_private(path, json.dumps(imported, indent=1))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, todo))
    return bool(todo)


def identities(site: Site) -> None:
    """Give each component a certificate and kubeconfig of its own."""
    layout = site.layout
    server = f"https://{layout.address}:{API_PORT}"
    for component, identity in USERS.items():
        into = layout.config / component
        pki.issue(layout.pki, into, identity)
        text = kubeconfig("lab", server, layout.pki / "ca.crt", into.with_suffix(".crt"), into.with_suffix(".key"))
        write_private(into.with_suffix(".kubeconfig"), text)
    here = (layout.address,)
    pki.issue(layout.pki, layout.config / "kubelet-serving", Identity(f"system:node:{NODE}", addresses=here))
    pki.issue(layout.pki, layout.config / "metrics-serving", Identity(METRICS_NAME, "", (METRICS_NAME,), here))


def kubelet(site: Site, program: Path) -> bool:
    """Start the kubelet (containerd must answer by now, or it exits); return True if it was started."""
    layout = site.layout
    for folder in ("kubelet", "kubelet-plugins", "logs/pods", "volumes"):
        (layout.root / folder).mkdir(parents=True, exist_ok=True)
    write_private(layout.config / "kubelet.yaml", config.kubelet(layout))
    flags = {
        "config": INSIDE / "config/kubelet.yaml",
        "kubeconfig": INSIDE / "config/kubelet.kubeconfig",
        "hostname-override": NODE,
        "node-ip": layout.address,
        "root-dir": INSIDE / "kubelet",
        "cert-dir": INSIDE / "kubelet/pki",
    }
    return site.start("kubelet", _argv(program, flags))


def kube_proxy(site: Site, program: Path) -> bool:
    """Start kube-proxy; return True if it was started."""
    write_private(site.layout.config / "kube-proxy.json", config.kube_proxy(site.layout))
    return site.start("kube-proxy", _argv(program, {"config": INSIDE / "config/kube-proxy.json"}))


def kube_router(site: Site, program: Path) -> bool:
    """Start kube-router, which enforces NetworkPolicies and does nothing else; return True if it was started."""
    flags = {
        "run-firewall": "true",
        "run-router": "false",
        "run-service-proxy": "false",
        "kubeconfig": INSIDE / "config/kube-router.kubeconfig",
        "hostname-override": NODE,
        "service-cluster-ip-range": site.layout.services,
        "health-port": "0",
        "metrics-port": "0",
    }
    return site.start("kube-router", _argv(program, flags))


def coredns(site: Site, program: Path) -> bool:
    """Start CoreDNS; return True if it was started."""
    write_private(site.layout.config / "Corefile", config.corefile(site.layout))
    return site.start("coredns", (str(program), "-conf", f"{INSIDE}/config/Corefile"))


def metrics_server(site: Site, program: Path) -> bool:
    """Start metrics-server; return True if it was started."""
    own = INSIDE / "config/metrics-server.kubeconfig"
    flags = {
        "kubeconfig": own,
        "authentication-kubeconfig": own,
        "authorization-kubeconfig": own,
        "bind-address": site.layout.address,
        "secure-port": objects.METRICS_PORT,
        "tls-cert-file": INSIDE / "config/metrics-serving.crt",
        "tls-private-key-file": INSIDE / "config/metrics-serving.key",
        "kubelet-certificate-authority": site.layout.pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "metric-resolution": "10s",
        "kubelet-request-timeout": "5s",
    }
    return site.start("metrics-server", _argv(program, flags))


def node_ready(site: Site) -> bool:
    """Return True if the node is Ready and takes pods."""
    return ready_nodes(site) > 0


def kubelet_knows(site: Site) -> bool:
    """Return True if the kubelet has heard of every pod of its node: just started, it denies them to exec and logs."""
    try:
        held = site.api.get(f"/api/v1/nodes/{NODE}/proxy/pods") or {}
        wanted = site.api.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}") or {}
    except (ClusterUnreachable, CommandFailed):
        return False
    uids = [{item["metadata"]["uid"] for item in found.get("items") or ()} for found in (held, wanted)]
    return uids[1] <= uids[0]


def ready_nodes(site: Site) -> int:
    """Return how many nodes are Ready and take pods; none where the API server does not say."""
    try:
        nodes = (site.api.get("/api/v1/nodes") or {}).get("items", ())
    except (ClusterUnreachable, CommandFailed):
        return 0
    return sum(takes_pods(one) for one in nodes)


def takes_pods(item: Mapping[str, Any]) -> bool:
    """Return True if a Node is Ready and not tainted against pods."""
    if any(taint["effect"] == "NoSchedule" for taint in item["spec"].get("taints", ())):
        return False
    conditions = item.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def metrics_ready(site: Site) -> bool:
    """Return True if the API server has metrics-server's API: registered and silent, it breaks discovery."""
    try:
        return site.api.request("GET", "/apis/metrics.k8s.io/v1beta1")[0] == 200
    except ClusterUnreachable:
        return False


def dns_ready(layout: Layout) -> bool:
    """Ask for the API server's name over the Service's address: CoreDNS, kube-proxy and the host's route at once."""
    name = f"kubernetes.default.svc.{DOMAIN}"
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack(">6H", 0x6B77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        try:
            sock.sendto(query, (layout.dns_service, 53))
            answer = sock.recv(512)
        except OSError:
            return False
    return answer[:2] == query[:2] and answer[3] & 0x0F == 0 and socket.inet_aton(layout.api_service) in answer


def recycle(site: Site) -> int:
    """Make volumes whose claim was deleted ready for another, with nothing in them; return how many."""
    count = 0
    for volume in (site.api.get("/api/v1/persistentvolumes") or {}).get("items", ()):
        name = volume["metadata"]["name"]
        if volume["status"].get("phase") == "Released" and volume["spec"].get("storageClassName") == "lab":
            shutil.rmtree(site.layout.volumes / name, ignore_errors=True)
            make_volume(site.layout, name)
            site.api.patch(f"/api/v1/persistentvolumes/{name}", {"spec": {"claimRef": None}})
            count += 1
    return count


def make_volume(layout: Layout, name: str) -> None:
    """Make a volume's folder; any user may write to it, as containers have users of their own."""
    folder = layout.volumes / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def _ctr(site: Site, tools: Path, *args: str, timeout: float = 10) -> Any:
    argv = (str(tools / "ctr"), "--address", str(site.layout.socket), *args)
    return site.runner.check(Command(argv=namespaces.inside(site.layout, argv), timeout=timeout))


def _argv(program: Path, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(program), *(f"--{name}={value}" for name, value in flags.items()))
