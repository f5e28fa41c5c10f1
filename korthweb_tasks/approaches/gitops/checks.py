"""What must be so before GitOps begins: quota, questions to the cluster, images. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.approaches.shared.checks import CLUSTER_WIDE, Check, Verdict, kubernetes, permission, storage
from korthweb_tasks.settings import quota as room
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

#: beside Flux's objects: what korthweb makes there itself, and, where it installs Flux, what flux does
IN_SYSTEM, INSTALLED = ("secrets", "kustomizations.kustomize.toolkit.fluxcd.io"), ("deployments.apps",)


def quota(settings: Settings, tenant: Tenant) -> tuple[Verdict, str]:
    """Return True if everything that the autoscalers may start fits into the tenant's quota."""
    if missing := room.short(settings, tenant):
        return "broken", f"too small for replicas.max and instances ({missing}); raise tenants.*.quota"
    wanted = room.wanted(settings, tenant)
    memory = room.plain("memory", wanted["requests.memory"])
    return "ok", f"{wanted['pods']:.0f} pods and {memory} at the most fit in"


def for_cluster(settings: Settings, target: Cluster) -> list[Check]:
    """Return the questions to the cluster."""
    kubectl, home = Kubectl(target), settings.flux
    version = kubectl.command("version", "--output", "json", repeatable=True)
    return [
        Check("Kubernetes", version, kubernetes),
        *(permission(kubectl, kind, None) for kind in CLUSTER_WIDE),
        *(permission(kubectl, kind, home.namespace) for kind in (*IN_SYSTEM, *(() if home.beside else INSTALLED))),
        Check("Storage", kubectl.get("storageclass"), lambda result: storage(result, settings.storage_class)),
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
