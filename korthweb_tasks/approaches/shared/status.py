"""What is there of a deployment, and how it is: questions, and a reading of the answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.common import CERT_MANAGER, GATEWAY, ISTIO, OBSERVABILITY
from korthweb_tasks.core import kstatus
from korthweb_tasks.core.command import Command
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

OF_TENANT = "deployment,statefulset,job,horizontalpodautoscaler,persistentvolumeclaim,pod"
OF_SHARED = "deployment,service"
#: how a resource or a release is that needs no look
WELL = ("ready", "deployed")
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


def questions(kubectl: Kubectl, tenants: Iterable[Tenant], settings: Settings | None = None) -> list[Command]:
    """Return the commands to ask, one for each namespace and one for the certificates; nothing of somebody else's."""
    chosen, places = tuple(tenants), dict(_homes(settings))
    shared = [_ask(kubectl, OF_SHARED, place) for place in (*places.values(), OBSERVABILITY)]
    own = [_ask(kubectl, OF_TENANT, tenant.namespace) for tenant in chosen]
    issued = [ISTIO] if "istio" in places else [tenant.namespace for tenant in chosen]
    return [*shared, *(_ask(kubectl, "certificates.cert-manager.io", place) for place in issued), *own]


def _homes(settings: Settings | None) -> Iterator[tuple[str, str]]:
    """Yield the namespace of each component that is korthweb's own."""
    homes: tuple[tuple[Component, str], ...] = (("istio", ISTIO), ("cert-manager", CERT_MANAGER))
    yield from ((name, place) for name, place in homes if settings is None or not settings.uses(name))


def rows(objects: Iterable[dict[str, Any]]) -> list[Row]:
    """Return a row for each resource; pods are shown only when they are not well, finished ones never."""
    found = [row for obj in objects if (row := _row(obj))]
    return sorted(found, key=lambda row: (row.namespace, row.resource))


def missing(found: Iterable[Row], tenants: Iterable[Tenant], settings: Settings | None = None) -> list[Row]:
    """Return a row for each of the main resources that is not there."""
    there = {(row.namespace, row.resource) for row in found}
    chosen, places = tuple(tenants), dict(_homes(settings))
    shared = {"istio": ("deployment/istiod", f"deployment/{GATEWAY}"), "cert-manager": ("deployment/cert-manager",)}
    wanted = [
        *((place, one) for name, place in places.items() for one in shared[name]),
        *((t.namespace, name) for t in chosen for name in ("deployment/orthanc", "statefulset/postgres")),
        *((places.get("istio", t.namespace), f"certificate/{t.namespace}-tls") for t in chosen),
        *((t.namespace, "deployment/ingress") for t in chosen if "istio" not in places),
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
        fault = kstatus.fault_of(obj)
        if not fault and (found.state == "current" or obj.get("status", {}).get("phase") == "Succeeded"):
            return None
        state = "failed" if fault and not fault.passing else found.state
        return Row(meta["namespace"], resource, state, fault.text if fault else found.message)
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
