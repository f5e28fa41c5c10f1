"""What must be so before the manual approach begins: questions to the cluster, and a reading of the answers. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import KorthwebError, last_line
from korthweb_tasks.settings.versions import PINS
from korthweb_tasks.tools.helm import Release
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

Verdict = Literal["ok", "note", "broken"]
#: what a person must be allowed to make, cluster-wide and in a tenant's namespace
CLUSTER_WIDE = (
    "namespaces",
    "customresourcedefinitions.apiextensions.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
)
IN_NAMESPACE = ("secrets", "deployments.apps", "statefulsets.apps", "networkpolicies.networking.k8s.io")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    title: str
    verdict: Verdict
    text: str

    @classmethod
    def of(cls, title: str, refused: KorthwebError | None, good: str) -> Finding:
        """Return ``refused`` with what to type next, where there is something, else what is ``good``."""
        if refused is None:
            return cls(title, "ok", good)
        return cls(title, "broken", f"{refused.message} ({refused.hint})" if refused.hint else refused.message)


@dataclass(frozen=True, slots=True)
class Check:
    """A question to the cluster and how to read its answer; every exit code reaches ``read``."""

    title: str
    command: Command
    read: Callable[[Result], tuple[Verdict, str]]

    def finding(self, result: Result) -> Finding:
        """Return what the answer means."""
        return Finding(self.title, *self.read(result))


def from_settings(settings: Settings, tenants: tuple[Tenant, ...]) -> Iterator[Finding]:
    """Return what can be said without a cluster."""
    for tenant in tenants:
        budget = settings.connection_budget(tenant)
        text = f"{budget.needed} wanted at the most, {budget.available} allowed"
        more = "" if budget.ok else "; lower replicas.max or orthanc.connections, or raise orthanc.max_connections"
        yield Finding(f"{tenant.name}: database connections", "ok" if budget.ok else "broken", text + more)


def for_cluster(settings: Settings, target: Cluster, tenants: tuple[Tenant, ...]) -> list[Check]:
    """Return the questions to the cluster."""
    kubectl = Kubectl(target)
    version = kubectl.command("version", "--output", "json", repeatable=True)
    classes = kubectl.get("storageclass")
    hosts = kubectl.command(
        "get", "gateways.networking.istio.io", "--all-namespaces", "--output", "json", repeatable=True, final=ABSENT
    )
    return [
        Check("Kubernetes", version, kubernetes),
        *(permission(kubectl, kind, None) for kind in CLUSTER_WIDE),
        *(permission(kubectl, kind, tenants[0].namespace) for kind in IN_NAMESPACE if tenants),
        Check("Storage", classes, lambda result: storage(result, settings.storage_class)),
        Check("Host names", hosts, lambda result: free_hosts(result, tenants)),
    ]


def chart(release: Release) -> Check:
    """Return the question whether the chart can be had."""
    if release.local or release.source.startswith("oci://"):
        which: tuple[str, ...] = (release.source,)
    else:
        which = (release.chart, "--repo", release.source)
    wanted = () if release.local else ("--version", release.version)

    def read(result: Result) -> tuple[Verdict, str]:
        if result.code == 0:
            return "ok", f"{release.version} from {release.source}"
        return "broken", f"{release.source}: {last_line(result.stderr)}"

    return Check(f"Chart {release.chart}", Command(argv=("helm", "show", "chart", *which, *wanted)), read)


def kubernetes(result: Result) -> tuple[Verdict, str]:
    """Read ``kubectl version``."""
    if result.code != 0:
        return "broken", last_line(result.stderr)
    version = str(json.loads(result.stdout)["serverVersion"]["gitVersion"])
    pin = PINS["kubernetes"]
    if pin.accepts(version):
        return "ok", version
    return "note", f"{version} is outside of {pin.accepted}, which is what korthweb is tested with"


def storage(result: Result, wanted: str | None) -> tuple[Verdict, str]:
    """Read the storage classes: the wanted one, or a default one, must be there."""
    if result.code != 0:
        return "broken", last_line(result.stderr)
    mark = "storageclass.kubernetes.io/is-default-class"
    found = {obj["metadata"]["name"]: obj["metadata"].get("annotations", {}).get(mark) for obj in items(result)}
    if wanted is not None:
        there = ", ".join(found) or "none at all"
        return ("ok", wanted) if wanted in found else ("broken", f"no StorageClass {wanted}; there are: {there}")
    default = [name for name, marked in found.items() if marked == "true"]
    if default:
        return "ok", f"{default[0]} (the default)"
    return "broken", "no default StorageClass; storage_class in korthweb.yaml names one"


def free_hosts(result: Result, tenants: tuple[Tenant, ...]) -> tuple[Verdict, str]:
    """Read all Gateways: two namespaces must not claim the same host name."""
    if result.code != 0:
        return ("ok", "free") if any(text in result.stderr for text in ABSENT) else ("broken", last_line(result.stderr))
    wanted = {host: tenant.namespace for tenant in tenants for host in (tenant.web_host, tenant.dicom_host)}
    taken = sorted(
        f"{host} (gateway {obj['metadata']['name']} in {obj['metadata']['namespace']})"
        for obj in items(result)
        for host in _hosts(obj)
        if wanted.get(host, obj["metadata"]["namespace"]) != obj["metadata"]["namespace"]
    )
    return ("broken", f"claimed already: {', '.join(taken)}") if taken else ("ok", "free")


def _hosts(gateway: dict[str, Any]) -> set[str]:
    return {host.rpartition("/")[2] for server in gateway["spec"].get("servers", ()) for host in server["hosts"]}


def permission(kubectl: Kubectl, kind: str, namespace: str | None) -> Check:
    """Return the question whether a person may make something."""

    def read(result: Result) -> tuple[Verdict, str]:
        if result.stdout.strip().startswith("yes"):
            return "ok", "allowed"
        return "broken", "not allowed" if result.stdout.strip().startswith("no") else last_line(result.stderr)

    place = f" in {namespace}" if namespace else ""
    command = kubectl.command("auth", "can-i", "create", kind, namespace=namespace, repeatable=True)
    return Check(f"Make {kind.partition('.')[0]}{place}", command, read)
