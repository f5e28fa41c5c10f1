"""Objects that a tenant makes in its own namespace: harmless ones, and those that would reach its neighbour. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome

Object = dict[str, Any]
MESH, MESH_RULES, NETWORK = "networking.istio.io/v1", "security.istio.io/v1", "networking.k8s.io/v1"
#: an address that nobody has (RFC 5737)
ELSEWHERE = "192.0.2.1"


@dataclass(frozen=True, slots=True)
class Home:
    """A tenant as its neighbour sees it: its namespace and the names by which it is reached."""

    tenant: str
    namespace: str
    web: str
    dicom: str
    flux: FluxHome | None = BY_BOOTSTRAP

    @property
    def account(self) -> str:
        """Return the account under which Flux applies what is the tenant's own, or a user of the tenant's."""
        return self.flux.account(self.tenant) if self.flux else f"korthweb:try:{self.namespace}"


@dataclass(frozen=True, slots=True)
class Try:
    """An object that A makes, and what it would do."""

    what: str
    obj: Object


def with_spec(api: str, kind: str, spec: Object) -> Object:
    """Return an object without a name."""
    return {"apiVersion": api, "kind": kind, "spec": spec}


def harmless(home: Home) -> dict[str, list[Try]]:
    """Return what a tenant may make, row by row."""
    service = f"orthanc.{home.namespace}.svc.cluster.local"
    return {
        "routes": [
            Try("a route for its own host", route(home.web, service)),
            Try("a Gateway for its own host", gateway(f"./{home.web}")),
            Try("a rule for its own service", rule(service)),
        ],
        "names": [Try("a Service of its own pods", service_of({"selector": {"app": "orthanc"}}))],
        "privileged": [Try("a Deployment that passes Pod Security restricted", deployment())],
        "monitors": [Try("monitors of its own pods", monitor()), Try("monitors of its own pods", pod_monitor())],
    }


def harmful(a: Home, b: Home) -> dict[str, list[Try]]:
    """Return what A would make against B, row by row."""
    return {
        "routes": list(_routes(a, b)),
        "names": list(_names(b)),
        "privileged": list(_pods()),
        "monitors": list(_monitors(b)),
        "walls": list(_openings(a, b)),
    }


def _routes(a: Home, b: Home) -> Iterable[Try]:
    theirs = f"orthanc.{b.namespace}.svc.cluster.local"
    own = f"orthanc.{a.namespace}.svc.cluster.local"
    yield Try("a route for B's host", route(b.web, own))
    yield Try("a route for every host", route("*", own))
    yield Try("a route for B's host at B's gateway", route(b.web, own, gateways=[f"{b.namespace}/orthanc"]))
    yield Try("a route at B's gateway", route(a.web, own, gateways=[f"{b.namespace}/orthanc"]))
    yield Try("a route at the gateway orthanc.B", route(a.web, own, gateways=[f"orthanc.{b.namespace}"]))
    yield Try("a route for B's service in the mesh", route(theirs, own, gateways=["mesh"], exportTo=["*"]))
    yield Try("a route that all namespaces see", route(a.web, own, exportTo=["*"]))
    yield Try("a route that B sees", route(a.web, own, exportTo=[b.namespace]))
    yield Try("a route to B's service", route(a.web, theirs))
    yield Try("a TCP route for B's host", tcp_route(b.dicom, own))
    yield Try("a Gateway for B's host", gateway(f"./{b.web}"))
    yield Try("a Gateway for routes of any namespace", gateway(a.web))
    yield Try("a Gateway for every host", gateway("*/*"))
    yield Try("a Gateway without TLS", gateway(f"./{a.web}", port=80, protocol="HTTP"))
    yield Try("a rule for B's service", rule(theirs))
    yield Try("a rule for every service", rule("*.svc.cluster.local"))
    yield Try("a rule that all namespaces see", rule(own, exportTo=["*"]))


def _names(b: Home) -> Iterable[Try]:
    theirs = f"orthanc.{b.namespace}.svc.cluster.local"
    yield Try("a Service that stands for B's", service_of({"type": "ExternalName", "externalName": theirs}))
    yield Try("a Service with an address of the node", service_of({"externalIPs": [ELSEWHERE]}))
    yield Try("a load balancer", service_of({"type": "LoadBalancer", "loadBalancerIP": ELSEWHERE}))
    yield Try("a port of the nodes", service_of({"type": "NodePort"}))
    exported = service_of({"selector": {"app": "orthanc"}})
    exported["metadata"] = {"annotations": {"networking.istio.io/exportTo": "*"}}
    yield Try("a Service that all namespaces see", exported)
    yield Try("endpoints at B's pods", endpoints())
    entry = {
        "hosts": [theirs, b.web],
        "exportTo": ["*"],
        "resolution": "STATIC",
        "ports": [{"name": "http", "number": 8042, "protocol": "HTTP"}],
        "endpoints": [{"address": ELSEWHERE}],
    }
    yield Try("a name of B in the mesh", with_spec(MESH, "ServiceEntry", entry))
    backend = {"service": {"name": "orthanc", "port": {"number": 8042}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    ingress = {"rules": [{"host": b.web, "http": {"paths": [path]}}]}
    yield Try("an Ingress for B's host", with_spec(NETWORK, "Ingress", ingress))
    wanted = {"secretName": "tls", "dnsNames": [b.web], "issuerRef": {"name": "site", "kind": "ClusterIssuer"}}
    yield Try("a certificate for B's host", with_spec("cert-manager.io/v1", "Certificate", wanted))


def _pods() -> Iterable[Try]:
    yield Try("a privileged container", deployment(container={"securityContext": {"privileged": True}}))
    yield Try("the node's files", deployment(volumes=[{"name": "node", "hostPath": {"path": "/"}}]))
    yield Try("the node's network", deployment(hostNetwork=True))
    yield Try("the node's processes", deployment(hostPID=True))
    yield Try("the node's memory", deployment(hostIPC=True))
    yield Try("a port of the node", deployment(container={"ports": [{"containerPort": 8080, "hostPort": 8080}]}))
    root = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 0, "runAsNonRoot": False}
    yield Try("root", deployment(container={"securityContext": root}))
    more = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}
    yield Try("a capability", deployment(container={"securityContext": more}))
    false_init = {"name": "istio-init", "image": "docker.io/istio/proxyv2:1", "command": ["sh"]}
    init = {**false_init, "securityContext": {**more, "runAsUser": 0, "runAsNonRoot": False}}
    yield Try("a container that is called istio-init", deployment(initContainers=[init]))
    yield Try("a node by its name", deployment(nodeName="node-0"))
    yield Try("a priority of the system", deployment(priorityClassName="system-node-critical"))
    yield Try("no seccomp profile", deployment(securityContext={"runAsNonRoot": True}))


def _monitors(b: Home) -> Iterable[Try]:
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    yield Try("Prometheus' own token", monitor(bearerTokenFile=token))
    yield Try("a file of Prometheus", monitor(tlsConfig={"caFile": token}))
    yield Try("pods of all namespaces", monitor(spec={"namespaceSelector": {"any": True}}))
    yield Try("pods of B", monitor(spec={"namespaceSelector": {"matchNames": [b.namespace]}}))
    yield Try("pods of B", pod_monitor({"namespaceSelector": {"matchNames": [b.namespace]}}))
    address = {"targetLabel": "__address__", "replacement": f"orthanc.{b.namespace}:8042"}
    yield Try("B's address", monitor(relabelings=[address]))
    yield Try("B's address by labelmap", monitor(relabelings=[{"action": "labelmap", "regex": "x(.*)"}]))
    yield Try("B's name", monitor(relabelings=[{"targetLabel": "tenant", "replacement": b.tenant}]))
    yield Try("B's name by metricRelabelings", monitor(metricRelabelings=[{"targetLabel": "namespace"}]))
    yield Try("another proxy", monitor(proxyUrl=f"http://orthanc.{b.namespace}:8042"))
    yield Try("redirections", monitor(followRedirects=True))
    yield Try("labels of B", monitor(honorLabels=True))


def _openings(a: Home, b: Home) -> Iterable[Try]:
    everybody: Object = {"podSelector": {}, "ingress": [{}]}
    yield Try("its namespace opened to all", with_spec(NETWORK, "NetworkPolicy", everybody))
    yield Try("a policy of the mesh", with_spec(MESH_RULES, "AuthorizationPolicy", {"rules": [{}]}))
    yield Try("no mutual TLS", with_spec(MESH_RULES, "PeerAuthentication", {"mtls": {"mode": "DISABLE"}}))
    egress = {"workloadSelector": {"labels": {"app": "a"}}, "egress": [{"hosts": [f"{b.namespace}/*"]}]}
    yield Try("a Sidecar that sees B", with_spec(MESH, "Sidecar", egress))
    yield Try("a filter of Envoy", with_spec("networking.istio.io/v1alpha3", "EnvoyFilter", {"configPatches": []}))
    yield Try("a quota", with_spec("v1", "ResourceQuota", {"hard": {"pods": "1000"}}))
    group = "rbac.authorization.k8s.io"
    admin = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": a.namespace}],
    }
    yield Try("rights", admin)


def route(host: str, to: str, **spec: Any) -> Object:
    """Return a VirtualService for ``host``."""
    web = [{"route": [{"destination": {"host": to, "port": {"number": 8042}}}]}]
    spec_of_route = {"hosts": [host], "gateways": ["orthanc"], "exportTo": ["."], "http": web}
    return with_spec(MESH, "VirtualService", spec_of_route | spec)


def tcp_route(host: str, to: str) -> Object:
    """Return a VirtualService for DICOM at ``host``."""
    tcp = route(host, to, tcp=[{"route": [{"destination": {"host": to, "port": {"number": 4242}}}]}])
    del tcp["spec"]["http"]
    return tcp


def gateway(host: str, port: int = 443, protocol: str = "HTTPS") -> Object:
    """Return a Gateway that opens ``host``."""
    tls = {"tls": {"mode": "SIMPLE", "credentialName": "orthanc-tls"}} if protocol == "HTTPS" else {}
    server = {"port": {"number": port, "name": "web", "protocol": protocol}, "hosts": [host], **tls}
    spec = {"selector": {"istio": "ingress"}, "servers": [server]}
    return with_spec(MESH, "Gateway", spec)


def rule(host: str, **spec: Any) -> Object:
    """Return a DestinationRule for ``host``."""
    whole = {"host": host, "exportTo": ["."], "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}
    return with_spec(MESH, "DestinationRule", whole | spec)


def service_of(spec: Object) -> Object:
    """Return a Service."""
    return with_spec("v1", "Service", {"ports": [{"name": "http", "port": 8042}], **spec})


def endpoints() -> Object:
    """Return an EndpointSlice at an address of somebody else's."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ELSEWHERE]}],
        "ports": [{"name": "http", "port": 8042}],
    }


def deployment(container: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    """Return a Deployment that passes Pod Security `restricted`, but for what is laid over it."""
    sound = {
        "name": "korthweb",
        "image": "korthweb.invalid/none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{**sound, **(container or {})}],
    }
    labels = {"app": "korthweb-try"}
    template = {"metadata": {"labels": labels}, "spec": pod | spec}
    whole = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return with_spec("apps/v1", "Deployment", whole)


def monitor(spec: Mapping[str, Any] | None = None, **endpoint: Any) -> Object:
    """Return a ServiceMonitor of the tenant's own pods, but for what is laid over it."""
    return _monitor("ServiceMonitor", "endpoints", spec or {}, endpoint)


def pod_monitor(spec: Mapping[str, Any] | None = None) -> Object:
    """Return a PodMonitor of the tenant's own pods, but for what is laid over it."""
    return _monitor("PodMonitor", "podMetricsEndpoints", spec or {}, {})


def _monitor(kind: str, ends: str, spec: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Object:
    asked = {"port": "http-web", "followRedirects": False, **endpoint}
    whole = {"selector": {"matchLabels": {"app": "orthanc"}}, ends: [asked], **spec}
    return with_spec("monitoring.coreos.com/v1", kind, whole)
