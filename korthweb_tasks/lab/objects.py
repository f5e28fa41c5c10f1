"""What the lab itself puts into its cluster: DNS and metrics Services, rights of its components, volumes, nodes."""

from __future__ import annotations

import base64
from typing import Any

from korthweb_tasks.lab.config import INSIDE
from korthweb_tasks.lab.layout import NODE, Layout

Object = dict[str, Any]
STORAGE_CLASS = "lab"
METRICS_PORT = 10251
#: users that the components' certificates name
COREDNS, ROUTER, METRICS = "korthweb:coredns", "korthweb:kube-router", "korthweb:metrics-server"
_READ = ["get", "list", "watch"]


def of_lab(layout: Layout, volume_size: str, volumes: int, ca: bytes) -> list[Object]:
    """Return everything for a real lab; ``ca`` (PEM) signed metrics-server's certificate."""
    return [*dns(layout), *rights(), *metrics(layout, ca), *storage(layout, volume_size, volumes)]


def of_simulation(layout: Layout, volume_size: str, volumes: int, nodes: int) -> list[Object]:
    """Return everything for a control plane alone."""
    return [*storage(layout, volume_size, volumes), *(fake_node(number) for number in range(nodes))]


def dns(layout: Layout) -> list[Object]:
    """Return the Service of CoreDNS, which runs outside of pods."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    return _outside("kube-dns", layout.dns_service, layout.address, ports, ports)


def metrics(layout: Layout, ca: bytes) -> list[Object]:
    """Return the Service of metrics-server and its registration with the API server."""
    port = {"name": "https", "port": 443, "protocol": "TCP"}
    target = {**port, "port": METRICS_PORT}
    registration = _object(
        "apiregistration.k8s.io/v1",
        "APIService",
        "v1beta1.metrics.k8s.io",
        spec={
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system"},
            "caBundle": base64.b64encode(ca).decode(),
        },
    )
    service = _outside("metrics-server", layout.metrics_service, layout.address, [port], [target])
    return [*service, registration]


def rights() -> list[Object]:
    """Return what CoreDNS, kube-router and metrics-server may do."""
    aggregated = _role(
        "korthweb:metrics-reader",
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": _READ},
    )
    names = ("view", "edit", "admin")
    aggregated["metadata"]["labels"] = {f"rbac.authorization.k8s.io/aggregate-to-{name}": "true" for name in names}
    reader = "extension-apiserver-authentication-reader"
    return [
        _role(COREDNS, _rule("", "services", "pods", "namespaces", "nodes"), _slices()),
        _binding(COREDNS, COREDNS, COREDNS),
        _role(
            ROUTER,
            _rule("", "services", "pods", "namespaces", "nodes", "endpoints"),
            _rule("networking.k8s.io", "networkpolicies"),
            _slices(),
        ),
        _binding(ROUTER, ROUTER, ROUTER),
        _role(METRICS, _rule("", "pods", "nodes", "namespaces", "nodes/metrics")),
        _binding(METRICS, METRICS, METRICS),
        _binding(f"{METRICS}:delegation", "system:auth-delegator", METRICS),
        _binding(f"{METRICS}:authentication", reader, METRICS, namespace="kube-system"),
        aggregated,
    ]


def storage(layout: Layout, size: str, count: int) -> list[Object]:
    """Return the default StorageClass and the volumes that stand ready for it."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage_class = {
        **_object("storage.k8s.io/v1", "StorageClass", STORAGE_CLASS, annotations=default),
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    return [storage_class, *(volume(layout, number, size) for number in range(count))]


def volume(layout: Layout, number: int, size: str) -> Object:
    """Return one volume: a folder of the node (kind "local", since that one gets a pod's fsGroup)."""
    spec: Object = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
    }
    if layout.simulated:
        spec["hostPath"] = {"path": f"/nowhere/{volume_name(number)}"}
    else:
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
        spec["local"] = {"path": str(INSIDE / "volumes" / volume_name(number))}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    return _object("v1", "PersistentVolume", volume_name(number), spec=spec)


def volume_name(number: int) -> str:
    """Return the name of a volume and of its folder."""
    return f"lab-{number:02d}"


def fake_node(number: int) -> Object:
    """Return a node that kwok plays."""
    name = f"fake-{number}"
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    node = _object("v1", "Node", name, annotations={"kwok.x-k8s.io/node": "fake"})
    node["metadata"]["labels"] = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
    return {**node, "status": {"allocatable": room, "capacity": room}}


def _outside(name: str, cluster_ip: str, address: str, ports: list[Object], targets: list[Object]) -> list[Object]:
    """Return a Service without a selector, and where its one endpoint is."""
    service = _object("v1", "Service", name, "kube-system", spec={"clusterIP": cluster_ip, "ports": ports})
    endpoints = {
        **_object("discovery.k8s.io/v1", "EndpointSlice", f"{name}-lab", "kube-system"),
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": targets,
    }
    endpoints["metadata"]["labels"] = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "korthweb",
    }
    return [service, endpoints]


def _role(name: str, *rules: Object) -> Object:
    return {**_object("rbac.authorization.k8s.io/v1", "ClusterRole", name), "rules": list(rules)}


def _rule(group: str, *resources: str) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": _READ}


def _slices() -> Object:
    return _rule("discovery.k8s.io", "endpointslices")


def _binding(name: str, role: str, user: str, namespace: str | None = None) -> Object:
    group = "rbac.authorization.k8s.io"
    kind = "Role" if namespace else "ClusterRole"
    return {
        **_object(f"{group}/v1", f"{kind}Binding", name, namespace),
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def _object(
    version: str,
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    spec: Object | None = None,
    annotations: dict[str, str] | None = None,
) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | ({"spec": spec} if spec else {})
