"""What others need to know of the manual approach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import Approach, Key, Lookup
from korthweb_tasks.approaches.shared.common import CERT_MANAGER, ISTIO, OBSERVABILITY
from korthweb_tasks.approaches.shared.component_checks import Wanted
from korthweb_tasks.approaches.shared.credentials import Credentials
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings


def _namespaces(settings: Settings) -> tuple[str, ...]:
    istio = () if settings.uses("istio") else (ISTIO,)
    issuer = () if settings.uses("cert-manager") else (CERT_MANAGER,)
    return (*istio, *issuer, *((OBSERVABILITY,) if settings.observability.chosen else ()))


#: in a tenant's namespace, by kinds that are looked at; a test compares it with the renders
_MAKES = frozenset({
    "deployment/orthanc", "service/orthanc", "statefulset/postgres", "service/postgres", "configmap/orthanc-app",
    "configmap/dbinit", "serviceaccount/orthanc", "serviceaccount/postgres", "serviceaccount/dbinit",
    "networkpolicy/default-deny", "networkpolicy/orthanc", "networkpolicy/mesh-metrics", "networkpolicy/postgres",
    "secret/orthanc-users", "secret/orthanc-database", "secret/postgres-admin",
    "persistentvolumeclaim/data-postgres-0",
})  # fmt: skip
APPROACH = Approach(
    name="manual",
    lookup=Lookup(
        ingress=("istio-system", "istio-ingressgateway"),
        # tls.crt of the authority's Secret is its certificate; its key in the same Secret is never read
        cas=tuple(
            Key(place, f"{{ns}}-{kind}", key)
            for place in ("istio-system", "{ns}")
            for kind, key in (("ca", "tls.crt"), ("tls", "ca.crt"))
        ),
        password=Key("{ns}", "orthanc-users", "{password}"),
        own=("{ns}", "ingress"),
    ),
    makes=_MAKES,
    components=lambda _: ("istio", "cert-manager"),
    namespaces=_namespaces,
    wanted=Wanted,
    keeper=lambda _, target, secrets, tenant: Credentials(tenant, secrets, Kubectl(target)),
)
