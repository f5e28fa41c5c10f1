"""What is there of a deployment, and how it is: questions, and a reading of the answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.common import CERT_MANAGER, GATEWAY, ISTIO, OBSERVABILITY
from korthweb_tasks.core import kstatus
from korthweb_tasks.core.command import Command
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.settings.parts import Tenant

OF_TENANT = "deployment,statefulset,job,horizontalpodautoscaler,persistentvolumeclaim,pod"
OF_SHARED = "deployment,service"
#: kinds whose being there says all
PLAIN = {"HorizontalPodAutoscaler"}


@dataclass(frozen=True, slots=True)
class Row:
    """One resource: where it is, what it is, and how it is."""

    namespace: str
    resource: str
    state: str
    message: str = ""

    def as_data(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


def questions(kubectl: Kubectl, tenants: Iterable[Tenant]) -> list[Command]:
    """Return the commands to ask, one for each namespace and one for the certificates."""
    shared = [_ask(kubectl, OF_SHARED, place) for place in (ISTIO, CERT_MANAGER, OBSERVABILITY)]
    own = [_ask(kubectl, OF_TENANT, tenant.namespace) for tenant in tenants]
    return [*shared, _ask(kubectl, "certificates.cert-manager.io", ISTIO), *own]


def rows(objects: Iterable[dict[str, Any]]) -> list[Row]:
    """Return a row for each resource; pods are shown only when they are not well, finished ones never."""
    found = [row for obj in objects if (row := _row(obj))]
    return sorted(found, key=lambda row: (row.namespace, row.resource))


def missing(found: Iterable[Row], tenants: Iterable[Tenant]) -> list[Row]:
    """Return a row for each of the main resources that is not there."""
    there = {(row.namespace, row.resource) for row in found}
    wanted = [
        (ISTIO, "deployment/istiod"),
        (ISTIO, f"deployment/{GATEWAY}"),
        (CERT_MANAGER, "deployment/cert-manager"),
        *((t.namespace, name) for t in tenants for name in ("deployment/orthanc", "statefulset/postgres")),
        *((ISTIO, f"certificate/{t.namespace}-tls") for t in tenants),
    ]
    return [Row(place, name, "missing") for place, name in wanted if (place, name) not in there]


def addresses(objects: Iterable[dict[str, Any]]) -> list[str]:
    """Return the addresses of the ingress gateway."""
    gateways = (obj for obj in objects if obj["kind"] == "Service" and obj["metadata"]["name"] == GATEWAY)
    given = (entry for obj in gateways for entry in obj["status"].get("loadBalancer", {}).get("ingress", ()))
    return [entry.get("ip") or entry["hostname"] for entry in given]


def table(lines: Iterable[tuple[str, ...]]) -> str:
    """Return columns as text."""
    cells = list(lines)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _ask(kubectl: Kubectl, kinds: str, namespace: str) -> Command:
    args = ("get", kinds, "--output", "json", "--ignore-not-found")
    return kubectl.command(*args, namespace=namespace, repeatable=True, final=ABSENT)


def _row(obj: dict[str, Any]) -> Row | None:
    meta, kind = obj["metadata"], obj["kind"]
    resource = f"{kind.lower()}/{meta['name']}"
    found = kstatus.status(obj)
    if kind == "Pod":
        fault = kstatus.pod_fault(obj)
        if not fault and (found.state == "current" or obj.get("status", {}).get("phase") == "Succeeded"):
            return None
        return Row(meta["namespace"], resource, "failed" if fault else found.state, fault or found.message)
    words = {"current": "ready", "progress": "not ready", "failed": "failed"}
    return Row(meta["namespace"], resource, words[found.state], found.message or _detail(obj))


def _detail(obj: dict[str, Any]) -> str:
    kind, spec, seen = obj["kind"], obj.get("spec", {}), obj.get("status", {})
    if kind in ("Deployment", "StatefulSet"):
        return f"{seen.get('readyReplicas', 0)} of {spec.get('replicas', 1)} pods"
    if kind == "HorizontalPodAutoscaler":
        return f"{seen.get('currentReplicas', 0)} pods, {spec['minReplicas']} to {spec['maxReplicas']} allowed"
    if kind == "Certificate":
        return f"until {seen.get('notAfter', 'unknown')}"
    if kind == "Service":
        return ", ".join(addresses([obj])) if spec.get("type") == "LoadBalancer" else str(spec.get("clusterIP", ""))
    if kind == "PersistentVolumeClaim":
        return str(seen.get("capacity", {}).get("storage", ""))
    return ""
