"""What must be so before GitOps begins: quota, questions to the cluster, images. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.checks import CLUSTER_WIDE, Check, Verdict, kubernetes, permission, storage
from korthweb_tasks.approaches.gitops import followed_at, occupants, strangers
from korthweb_tasks.errors import last_line
from korthweb_tasks.tools.kubectl import Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.core.target import Target
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.parts import Tenant

_UNITS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_UNITS |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
#: in flux-system: what korthweb makes there itself, and what flux does
IN_SYSTEM = ("secrets", "deployments.apps", "kustomizations.kustomize.toolkit.fluxcd.io")


def amount(quantity: str) -> float:
    """Return a Kubernetes quantity as a number: cores, bytes or pieces."""
    match = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", quantity)
    return float(match[1]) * _UNITS[match[2]] if match else 0.0


def quota(settings: Settings, tenant: Tenant) -> tuple[Verdict, str]:
    """Say whether everything that the autoscalers may start fits into the tenant's quota."""
    gates, bases = settings.istio.gateway_replicas.max, settings.postgres.instances
    kinds = (
        (tenant.replicas.max, settings.orthanc.resources, True),
        (gates, settings.istio.gateway_resources, False),
        (bases, settings.postgres.resources, True),
    )
    wanted = {"pods": float(sum(count for count, _, _ in kinds))}
    for what in ("cpu", "memory"):
        proxy = _request(settings.istio.proxy_resources, what)
        wanted[f"requests.{what}"] = sum(
            count * (_request(resources, what) + (proxy if meshed else 0.0)) for count, resources, meshed in kinds
        )
    wanted["persistentvolumeclaims"] = float(bases)
    wanted["services.loadbalancers"] = 1.0
    short = [
        f"{what}: {_plain(what, need)} of {tenant.quota[what]}"
        for what, need in wanted.items()
        if what in tenant.quota and need > amount(tenant.quota[what])
    ]
    if short:
        return "broken", f"too small for replicas.max and instances ({', '.join(short)}); raise tenants.*.quota"
    return "ok", f"{wanted['pods']:.0f} pods and {_plain('memory', wanted['requests.memory'])} at the most fit in"


def for_cluster(settings: Settings, target: Target, tenants: tuple[Tenant, ...]) -> list[Check]:
    """Return the questions to the cluster."""
    kubectl = Kubectl(target)
    version = kubectl.command("version", "--output", "json", repeatable=True)
    return [
        Check("Kubernetes", version, kubernetes),
        *(permission(kubectl, kind, None) for kind in CLUSTER_WIDE),
        *(permission(kubectl, kind, "flux-system") for kind in IN_SYSTEM),
        Check("Storage", kubectl.get("storageclass"), lambda result: storage(result, settings.storage_class)),
        Check("Flux", followed_at(kubectl), _flux),
        *(Check(f"{one.name}: namespace {one.namespace}", occupants(kubectl, one), _free) for one in tenants),
    ]


def images(settings: Settings) -> list[str]:
    """Return the images that nodes will pull and whose full names the settings say, through the mirror if there is one.

    Those of charts that name their own images are not among them.
    """
    given, versions = settings.images, settings.versions
    named = [given.orthanc, given.cloudnative_pg, given.cnpg_postgres]
    named += [f"{given.istio_hub}/{part}:{versions['istio']}" for part in ("pilot", "proxyv2")]
    if settings.observability.kiali:
        named.append(given.kiali)
    return [given.mirrored(image) for image in named]


def _request(resources: object, what: str) -> float:
    requests = resources.get("requests", {}) if isinstance(resources, dict) else {}
    return amount(requests.get(what, "0"))


def _plain(what: str, number: float) -> str:
    return f"{number / 2**30:.1f}Gi" if "memory" in what else f"{number:g}"


def _flux(result: Result) -> tuple[Verdict, str]:
    if result.code != 0:
        return "ok", "not installed yet"
    specs = {obj["kind"]: obj["spec"] for obj in items(result)}
    if not specs:
        return "ok", "not installed yet"
    where, root = specs.get("GitRepository", {}), specs.get("Kustomization", {})
    return "ok", f"follows {root.get('path')} of {where.get('url')}"


def _free(result: Result) -> tuple[Verdict, str]:
    if result.code != 0:
        return "broken", last_line(result.stderr)
    found = strangers(items(result))
    return ("broken", f"{', '.join(found)} of another approach") if found else ("ok", "free, or Flux'")
