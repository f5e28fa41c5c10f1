"""Probe pods: made in every tenant's namespace in one go, waited for by watching, and removed whatever happens.

Beside them stand a NetworkPolicy and a Sidecar that are for probes alone and open their way out, so that what
refuses them are the walls of the tenant they try, not those of the tenant they come from.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools import kubectl as parse
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.pods import ready_pods, stays

#: every probe carries this, so that the next run finds what a killed one has left
LABEL, RUN = "korthweb/probe", "korthweb/probe-run"
CONTAINER = "probe"
#: what is removed by that label
KINDS = "pods,networkpolicies.networking.k8s.io,sidecars.networking.istio.io"
#: a probe without a sidecar answers here, to show that the way to its namespace is open
OPEN_PORT = 7777
#: seconds: until all probes must be ready, and until they end by themselves where nobody ends them
STARTS, LIVES = 90.0, 900
Role = Literal["gateway", "database", "plain"]
#: role -> service account. "database" is who speaks to it
ROLES: Mapping[Role, str] = {"gateway": "ingress", "database": "orthanc", "plain": "ingress"}
#: by these labels the tenant's own network policies admit every probe, so that it is the mesh's policies that refuse it
ADMITTED = ("korthweb/may-reach-orthanc", "korthweb/may-reach-database")
#: an empty Orthanc that admits nobody: its 401 is the answer. Where it can't run, nothing but that answer is missing
_LISTEN = f"""
read -r word < /proc/sys/kernel/random/uuid
cat > /tmp/orthanc.json <<END
{{"HttpPort": {OPEN_PORT}, "DicomServerEnabled": false, "RemoteAccessAllowed": true, "AuthenticationEnabled": true,
 "RegisteredUsers": {{"probe": "$word"}}, "StorageDirectory": "/tmp/db", "IndexDirectory": "/tmp/db", "Plugins": []}}
END
Orthanc /tmp/orthanc.json > /tmp/log 2>&1
exec sleep {LIVES}"""
_SLEEP = f"exec sleep {LIVES}"


class Probes(Protocol):
    """The pods of one run, by tenant's namespace and role."""

    def raise_all(self, namespaces: Iterable[str]) -> None:
        """Make them and return when all are ready. Raises KorthwebError."""

    def ask(self, namespace: str, role: Role, script: str, seconds: float) -> str:
        """Run a script in one of them and return what it printed. Raises KorthwebError."""

    def addresses(self, namespace: str) -> Mapping[str, str]:
        """Return the IP of one ready pod of ``orthanc``, of ``database`` (the primary) and of the probe ``plain``."""

    def remove(self) -> None:
        """Remove everything that carries the label, in all namespaces named before."""


@dataclass
class KubectlProbes:
    """Probe pods through kubectl. ``image`` is Orthanc's, which has bash and coreutils."""

    runner: Runner
    kubectl: Kubectl
    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    _namespaces: list[str] = field(default_factory=list, init=False)

    def raise_all(self, namespaces: Iterable[str]) -> None:
        """Remove what a killed run has left, make the probes and return when all are ready. Raises KorthwebError."""
        self._namespaces = list(namespaces)
        self._delete(self.runner)
        objects = [obj for namespace in self._namespaces for obj in self.objects(namespace)]
        self.runner.run(self.kubectl.create(objects))
        with ThreadPoolExecutor(len(self._namespaces)) as pool:
            list(pool.map(self._wait, self._namespaces))

    def ask(self, namespace: str, role: Role, script: str, seconds: float) -> str:
        """Run a script in one of them and return what it printed. Raises KorthwebError."""
        words = ("exec", self.name(role), "--stdin", f"--container={CONTAINER}", "--", "bash", "-s")
        command = self.kubectl.command(*words, stdin=script, namespace=namespace, repeatable=True, timeout=seconds)
        return self.runner.run(command).stdout

    def addresses(self, namespace: str) -> Mapping[str, str]:
        """Return the IP of one ready pod of ``orthanc``, of ``database`` (the primary) and of the probe ``plain``."""
        addresses: dict[str, str] = {}
        for pod in parse.items(self.runner.run(self.kubectl.get("pods", namespace=namespace))):
            if stays(pod) and (what := self._what(pod["metadata"])) and (ip := pod["status"].get("podIP")):
                addresses.setdefault(what, ip)
        return addresses

    def remove(self) -> None:
        """Remove everything that carries the label; works after an interrupt too. Raises KorthwebError."""
        # the shared runner refuses to run anything once it was stopped
        self._delete(
            Runner(programs=self.runner.programs, patience=10.0, default_timeout=30.0, passes=self.runner.passes)
        )

    def name(self, role: Role) -> str:
        """Return the name of a pod."""
        return f"korthweb-probe-{role}-{self.run}"

    def objects(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Return what is made in one namespace."""
        yield {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self._meta(f"korthweb-probe-{self.run}", namespace),
            "spec": {
                "podSelector": {"matchLabels": {LABEL: "true"}},
                "policyTypes": ["Ingress", "Egress"],
                "egress": [{}],
                "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {LABEL: "true"}}}]}],
            },
        }
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": self._meta(f"korthweb-probe-{self.run}", namespace),
            "spec": {
                "workloadSelector": {"labels": {LABEL: "true"}},
                "egress": [{"hosts": ["*/*"]}],
                "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
            },
        }
        yield from (self._pod(namespace, role) for role in ROLES)

    def _pod(self, namespace: str, role: Role) -> dict[str, Any]:
        meta = self._meta(self.name(role), namespace, dict.fromkeys(ADMITTED, "true"))
        if role == "plain":
            meta["labels"]["sidecar.istio.io/inject"] = "false"
        else:
            meta["annotations"] = {f"sidecar.istio.io/{key}": value for key, value in _PROXY.items()}
        container = {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["bash", "-c", _LISTEN if role == "plain" else _SLEEP],
            "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        spec = {
            "serviceAccountName": ROLES[role],
            "imagePullSecrets": [{"name": name} for name in self.pull_secrets],
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": LIVES,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def _meta(self, name: str, namespace: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {"name": name, "namespace": namespace, "labels": {LABEL: "true", RUN: self.run, **(labels or {})}}

    def _what(self, meta: Mapping[str, Any]) -> str:
        labels = meta.get("labels", {})
        if labels.get(LABEL):
            return "plain" if meta["name"] == self.name("plain") else ""
        if labels.get("cnpg.io/cluster") == "postgres" and labels.get("cnpg.io/instanceRole") == "primary":
            return "database"
        return "orthanc" if labels.get("app") == "orthanc" else ""

    def _wait(self, namespace: str) -> None:
        selector = f"{RUN}={self.run}"
        ready_pods(self.runner, self.kubectl, namespace, selector, count=len(ROLES), seconds=STARTS)

    def _delete(self, runner: Runner) -> None:
        def delete_in(namespace: str) -> KorthwebError | None:
            words = ("delete", KINDS, f"--selector={LABEL}=true", "--ignore-not-found", "--wait=false")
            try:
                runner.run(self.kubectl.command(*words, namespace=namespace, repeatable=True))
            except KorthwebError as error:
                return error
            return None

        if not self._namespaces:
            return
        with ThreadPoolExecutor(len(self._namespaces)) as pool:
            faults = [fault for fault in pool.map(delete_in, self._namespaces) if fault]
        if faults:
            raise faults[0]


_PROXY = {"proxyCPU": "10m", "proxyMemory": "64Mi", "proxyCPULimit": "1", "proxyMemoryLimit": "256Mi"}
