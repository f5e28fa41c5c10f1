"""Whether everything that the autoscalers may start fits into a tenant's ResourceQuota. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.quantities import amount
from korthweb_tasks.settings.tenant import Tenant


def wanted(settings: Settings, tenant: Tenant) -> dict[str, float]:
    """Return what the pods of ``tenant`` may ask for together at the most, by the names of a quota's limits."""
    gates, bases = settings.istio.gateway_replicas.max, settings.postgres.instances
    kinds = (
        (tenant.replicas.max, settings.orthanc.resources, True),
        (gates, settings.istio.gateway_resources, False),
        (bases, settings.postgres.resources, True),
    )
    found = {"pods": float(sum(count for count, _, _ in kinds))}
    for what in ("cpu", "memory"):
        proxy = _request(settings.istio.proxy_resources, what)
        found[f"requests.{what}"] = sum(
            count * (_request(resources, what) + (proxy if meshed else 0.0)) for count, resources, meshed in kinds
        )
    found["persistentvolumeclaims"] = float(bases)
    found["services.loadbalancers"] = 1.0
    return found


def short(settings: Settings, tenant: Tenant) -> str:
    """Return what does not fit into the quota, as a person reads it; nothing where all of it fits."""
    return ", ".join(
        f"{what}: {plain(what, need)} of {tenant.quota[what]}"
        for what, need in wanted(settings, tenant).items()
        if what in tenant.quota and need > amount(tenant.quota[what])
    )


def plain(what: str, number: float) -> str:
    """Return a number of a quota for a person."""
    return f"{number / 2**30:.1f}Gi" if "memory" in what else f"{number:g}"


def _request(resources: object, what: str) -> float:
    requests = resources.get("requests", {}) if isinstance(resources, Mapping) else {}
    return amount(requests.get(what, "0"))
