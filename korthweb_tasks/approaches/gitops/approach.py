"""What others need to know of the GitOps approach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import Approach, Key, Lookup
from korthweb_tasks.approaches.gitops.components import COMPONENTS, PARTS
from korthweb_tasks.approaches.gitops.secrets import FleetCredentials
from korthweb_tasks.approaches.shared.common import OBSERVABILITY
from korthweb_tasks.approaches.shared.component_checks import Wanted
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.common import Secrets
    from korthweb_tasks.approaches.shared.credentials import Credentials
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant


def _namespaces(settings: Settings) -> tuple[str, ...]:
    """Return them without those of Flux, which are its component's, unless it works beside another team's."""
    infrastructure = (part for part in PARTS if part.kind == "infrastructure")
    watched, own = settings.observability, tuple(one.namespace for one in infrastructure if not settings.uses(one.name))
    beside = (settings.flux.namespace,) if settings.flux.beside else ()
    return (*own, *((OBSERVABILITY,) if watched.prometheus or watched.kiali else ()), *beside)


def _wanted(settings: Settings, namespaces: tuple[str, ...]) -> Wanted:
    url = settings.gitops.url or ""
    return Wanted(settings, namespaces, repository=url, operator=settings.postgres.operator_namespace)


def _keeper(settings: Settings, target: Cluster, secrets: Secrets, tenant: Tenant) -> Credentials:
    """Return the tenant's Secrets; those that are in Git, encrypted, are looked at there."""
    in_git: dict[str, str] | None = {} if settings.gitops.secrets == "sops" else None
    return FleetCredentials(tenant, secrets, Kubectl(target), users_in_git=in_git)


#: in a tenant's namespace, by kinds that are looked at; a test compares it with the renders
_MAKES = frozenset({
    "deployment/orthanc", "service/orthanc", "configmap/orthanc-app", "deployment/ingress", "service/ingress",
    "service/postgres-metrics", "serviceaccount/orthanc", "serviceaccount/ingress", "networkpolicy/default-deny",
    "networkpolicy/way-out", "networkpolicy/mesh-metrics", "networkpolicy/ingress", "networkpolicy/orthanc",
    "networkpolicy/postgres", "secret/orthanc-users", "secret/orthanc-metrics",
})  # fmt: skip
APPROACH = Approach(
    name="gitops",
    lookup=Lookup(
        ingress=("{ns}", "ingress"),
        cas=(Key("{ns}", "orthanc-ca", "tls.crt"), Key("{ns}", "orthanc-tls", "ca.crt")),
        password=Key("{ns}", "orthanc-users", "{password}"),
    ),
    makes=_MAKES,
    components=lambda settings: tuple(
        name for name in COMPONENTS if name != "prometheus" or settings.observability.prometheus
    ),
    namespaces=_namespaces,
    wanted=_wanted,
    keeper=_keeper,
    by_flux=True,
    first="bootstrap",
    proofs=("verify.isolation", "gitops.status"),
    remover="gitops.remove-tenant",
)
