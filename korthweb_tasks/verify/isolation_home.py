"""What A's account makes in A's own namespace, and what that would do to B: dry runs on the API server itself.

Each attempt is an object of a kind that a tenant may make, with something in it that reaches beyond its namespace;
its control is a harmless object of the same kind, which must be admitted. Nothing is stored (``--dry-run=server``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.isolation import Attempts, Controls, Seen

Object = dict[str, Any]
#: what stderr says of an object that was not admitted: by RBAC, by an admission policy or webhook, by a schema
REFUSALS = ("forbidden", "denied", "is invalid")
#: ... and of a kind that the cluster does not have, where something is made, and where it is deleted
UNKNOWN, NO_TYPE = "no matches for kind", "the server doesn't have a resource type"
LACKING = "the cluster knows no"
#: walls of a tenant, none of which its own account may take away
WALLS = (
    "networkpolicy.networking.k8s.io/default-deny",
    "authorizationpolicy.security.istio.io/default-deny",
    "authorizationpolicy.security.istio.io/orthanc",
    "peerauthentication.security.istio.io/default",
    "sidecar.networking.istio.io/default",
    "resourcequota/tenant",
    "rolebinding.rbac.authorization.k8s.io/tenant",
)
#: ... of the manual approach
WALLS_BY_HAND = (
    *WALLS[:4],
    "networkpolicy.networking.k8s.io/orthanc",
    "networkpolicy.networking.k8s.io/postgres",
    "authorizationpolicy.security.istio.io/postgres",
)
#: Role and RoleBinding of who tries, where a tenant has no account of its own
GUEST = "korthweb-try"


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


#: what became of an attempt
Outcome = tuple[Try, Seen]


@dataclass
class AtHome:
    """Attempts in A's own namespace with the rights of A's own account. ``run`` may raise a KorthwebError."""

    homes: Mapping[str, Home]
    run: Callable[[Command], Result]
    kubectl: Kubectl
    name: str = "at home"
    rows: tuple[str, ...] = ("routes", "names", "privileged", "monitors", "walls")
    walls: tuple[str, ...] = WALLS

    def controls(self, *, again: bool) -> Controls:  # noqa: ARG002 - both rounds ask the same
        """Let every tenant's account make harmless objects; let who asks take the tenant's walls away."""
        found: dict[tuple[str, str], Seen] = {}
        for name, home in self.homes.items():
            for row, outcomes in self._made(home, harmless(home)).items():
                found[row, name] = _control(outcomes)
            found["walls", name] = self._walls(home, "")
        return found

    def attempts(self) -> Attempts:
        """Let every tenant's account make what reaches its neighbour, and take its own walls away."""
        found: dict[tuple[str, str, str], list[Seen]] = {}
        walls = {name: self._walls(home, home.account) for name, home in self.homes.items()}
        for a, b in permutations(self.homes, 2):
            for row, outcomes in self._made(self.homes[a], harmful(self.homes[a], self.homes[b])).items():
                found[row, a, b] = _attempt(outcomes)
            found["walls", a, b].append(walls[a])
        return found

    def leave(self) -> tuple[str, ...]:
        """Nothing was made."""
        return ()

    def _made(self, home: Home, tries: Mapping[str, Sequence[Try]]) -> dict[str, list[Outcome]]:
        """Make all objects in one dry run as ``home``'s account; each has a name of its own to know it by."""
        named = [
            (row, one, _named(one.obj, home.namespace, f"korthweb-try-{row}-{number}"))
            for row, some in tries.items()
            for number, one in enumerate(some)
        ]
        command = self.kubectl.create([obj for _, _, obj in named])
        words = ("--dry-run=server", "--output=name", f"--as={home.account}")
        result = self.run(replace(command, argv=(*command.argv, *words), repeatable=True, ok=frozenset({0, 1})))
        made = {line.rpartition("/")[2] for line in result.stdout.splitlines()}
        # kubectl names a kind that is not there once, and not the objects of it
        asked = [obj for _, one, obj in named if not _lacking(one, result.stderr)]
        refused = _refused(result.stderr, sum(obj["metadata"]["name"] not in made for obj in asked))
        found: dict[str, list[Outcome]] = {row: [] for row in tries}
        for row, one, obj in named:
            admitted = obj["metadata"]["name"] in made
            seen = Seen("reached", one.what) if admitted else _lacking(one, result.stderr) or refused
            found[row].append((one, seen))
        return found

    def _walls(self, home: Home, account: str) -> Seen:
        """Take the walls of ``home`` away, in a dry run."""
        who = (f"--as={account}",) if account else ()
        words = ("delete", *self.walls, "--dry-run=server", "--output=name", "--ignore-not-found", *who)
        command = self.kubectl.command(*words, namespace=home.namespace, repeatable=True, ok=(0, 1))
        result = self.run(command)
        gone = [line.strip() for line in result.stdout.splitlines() if line.strip()]
        if gone:
            return Seen("reached", f"{account.rpartition(':')[2] or 'an administrator'} may delete {', '.join(gone)}")
        seen = _refused(result.stderr, len(self.walls))
        return replace(seen, text=f"none of {len(self.walls)} walls") if seen.kind == "refused" else seen


@dataclass
class AsGuest(AtHome):
    """The same where no approach gave the tenants accounts: a user who has all rights in A's namespace for the while.

    What a site gives its tenants' people is not more than that. ``pause`` waits until the API server knows the rights.
    """

    walls: tuple[str, ...] = WALLS_BY_HAND
    pause: Callable[[float], None] = time.sleep
    _made_rights: bool = False

    def controls(self, *, again: bool) -> Controls:
        """Give the rights, the first time."""
        if not again:
            self._made_rights = True
            self.run(self.kubectl.apply([obj for home in self.homes.values() for obj in guest_rights(home)]))
            for home in self.homes.values():
                self._wait(home)
        return super().controls(again=again)

    def leave(self) -> tuple[str, ...]:
        """Take the rights away."""
        if self._made_rights:
            for home in self.homes.values():
                self.run(self.kubectl.delete("rolebinding,role", GUEST, namespace=home.namespace))
        return ()

    def _wait(self, home: Home) -> None:
        words = ("auth", "can-i", "create", "deployments", f"--as={home.account}")
        asked = self.kubectl.command(*words, namespace=home.namespace, repeatable=True, ok=(0, 1))
        for _ in range(40):
            if self.run(asked).stdout.strip().startswith("yes"):
                return
            self.pause(0.25)


def guest_rights(home: Home) -> list[Object]:
    """Return all rights in a namespace for its guest."""
    meta, group = {"name": GUEST, "namespace": home.namespace}, "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    subjects = [{"kind": "User", "name": home.account, "apiGroup": group}]
    role = {"kind": "Role", "name": GUEST, "apiGroup": group}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": subjects},
    ]


def _named(obj: Object, namespace: str, name: str) -> Object:
    made = deepcopy(obj)
    made["metadata"] = {"namespace": namespace, "name": name, **made.get("metadata", {})}
    return made


def _refused(stderr: str, count: int) -> Seen:
    """Return a refusal where there are as many refusals as objects that were not made, else what else went wrong."""
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("Warning: ")]
    refused = [line for line in lines if any(word in line.lower() for word in (*REFUSALS, NO_TYPE))]
    others = [line for line in lines if line not in refused and UNKNOWN not in line]
    if len(refused) >= count:
        return Seen("refused", refused[0][:200] if refused else "")
    return Seen("unclear", (others or lines or ["nothing was said"])[-1][:200])


def _lacking(one: Try, stderr: str) -> Seen | None:
    """Return what is seen of a kind that the cluster does not have."""
    kind = one.obj["kind"]
    lacking = any(UNKNOWN in line and f'"{kind}"' in line for line in stderr.splitlines())
    return Seen("refused", f"{LACKING} {kind}") if lacking else None


def _attempt(outcomes: list[Outcome]) -> list[Seen]:
    """Return what was admitted, else what is unclear, else one line for all that was refused."""
    for kind in ("reached", "unclear"):
        if some := [seen for _, seen in outcomes if seen.kind == kind]:
            return some
    return [Seen("refused", f"none of {len(outcomes)} ways")]


def _control(outcomes: list[Outcome]) -> Seen:
    """Return the first that was not admitted; a kind that the cluster does not have is nobody's."""
    for one, seen in outcomes:
        if seen.kind != "reached" and not seen.text.startswith(LACKING):
            return Seen("unclear", f"{one.what} is not admitted either: {seen.text}")
    return Seen("reached", "; ".join(dict.fromkeys(one.what for one, _ in outcomes)))


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
    yield Try("a Service with an address of the node", service_of({"externalIPs": ["192.0.2.1"]}))
    yield Try("a load balancer", service_of({"type": "LoadBalancer", "loadBalancerIP": "192.0.2.1"}))
    yield Try("a port of the nodes", service_of({"type": "NodePort"}))
    exported = service_of({"selector": {"app": "orthanc"}})
    exported["metadata"] = {"annotations": {"networking.istio.io/exportTo": "*"}}
    yield Try("a Service that all namespaces see", exported)
    yield Try("endpoints at B's pods", endpoints())
    yield Try(
        "a name of B in the mesh",
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "spec": {
                "hosts": [theirs, b.web],
                "exportTo": ["*"],
                "resolution": "STATIC",
                "ports": [{"name": "http", "number": 8042, "protocol": "HTTP"}],
                "endpoints": [{"address": "192.0.2.1"}],
            },
        },
    )
    yield Try(
        "an Ingress for B's host",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "spec": {
                "rules": [
                    {
                        "host": b.web,
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "orthanc", "port": {"number": 8042}}},
                                }
                            ]
                        },
                    }
                ]
            },
        },
    )
    yield Try(
        "a certificate for B's host",
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "spec": {"secretName": "tls", "dnsNames": [b.web], "issuerRef": {"name": "site", "kind": "ClusterIssuer"}},
        },
    )


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
    yield Try(
        "its namespace opened to all",
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}, "ingress": [{}]}},
    )
    yield Try(
        "a policy of the mesh",
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": {"rules": [{}]}},
    )
    yield Try(
        "no mutual TLS",
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "spec": {"mtls": {"mode": "DISABLE"}}},
    )
    yield Try(
        "a Sidecar that sees B",
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "spec": {"workloadSelector": {"labels": {"app": "a"}}, "egress": [{"hosts": [f"{b.namespace}/*"]}]},
        },
    )
    yield Try(
        "a filter of Envoy",
        {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "spec": {"configPatches": []}},
    )
    yield Try("a quota", {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "1000"}}})
    yield Try(
        "rights",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": a.namespace}],
        },
    )


def route(host: str, to: str, **spec: Any) -> Object:
    """Return a VirtualService for ``host``."""
    web = [{"route": [{"destination": {"host": to, "port": {"number": 8042}}}]}]
    found = {"hosts": [host], "gateways": ["orthanc"], "exportTo": ["."], "http": web}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": found | spec}


def tcp_route(host: str, to: str) -> Object:
    """Return a VirtualService for DICOM at ``host``."""
    made = route(host, to, tcp=[{"route": [{"destination": {"host": to, "port": {"number": 4242}}}]}])
    del made["spec"]["http"]
    return made


def gateway(host: str, port: int = 443, protocol: str = "HTTPS") -> Object:
    """Return a Gateway that opens ``host``."""
    tls = {"tls": {"mode": "SIMPLE", "credentialName": "orthanc-tls"}} if protocol == "HTTPS" else {}
    server = {"port": {"number": port, "name": "web", "protocol": protocol}, "hosts": [host], **tls}
    spec = {"selector": {"istio": "ingress"}, "servers": [server]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "spec": spec}


def rule(host: str, **spec: Any) -> Object:
    """Return a DestinationRule for ``host``."""
    found = {"host": host, "exportTo": ["."], "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "spec": found | spec}


def service_of(spec: Object) -> Object:
    """Return a Service."""
    return {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"name": "http", "port": 8042}], **spec}}


def endpoints() -> Object:
    """Return an EndpointSlice at an address of somebody else's."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}],
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
    made = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": made}


def monitor(spec: Mapping[str, Any] | None = None, **endpoint: Any) -> Object:
    """Return a ServiceMonitor of the tenant's own pods, but for what is laid over it."""
    asked = {"port": "http-web", "followRedirects": False} | endpoint
    found = {"selector": {"matchLabels": {"app": "orthanc"}}, "endpoints": [asked], **(spec or {})}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "spec": found}


def pod_monitor(spec: Mapping[str, Any] | None = None) -> Object:
    """Return a PodMonitor of the tenant's own pods, but for what is laid over it."""
    asked = {"port": "http-web", "followRedirects": False}
    found = {"selector": {"matchLabels": {"app": "orthanc"}}, "podMetricsEndpoints": [asked], **(spec or {})}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "spec": found}
