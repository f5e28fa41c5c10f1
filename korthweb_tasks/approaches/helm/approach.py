"""What others need to know of the Helm approach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import Approach, Key, Lookup
from korthweb_tasks.approaches.helm.plan import SELECTOR, Builder, ChartAt
from korthweb_tasks.approaches.helm.values import (
    brought_secrets,
    entry_points,
    needed_operators,
    own_traefik,
    password_keys,
    routed,
    values,
)
from korthweb_tasks.approaches.shared.component_checks import Wanted

if TYPE_CHECKING:
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant


def _wanted(settings: Settings, namespaces: tuple[str, ...]) -> Wanted:
    foreign: tuple[Component, ...] = () if own_traefik(settings) else ("traefik",)
    return Wanted(settings, namespaces, entries=entry_points(settings), used=(*foreign, *needed_operators(settings)))


def _brings(settings: Settings, tenant: Tenant) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    chart = values(settings, tenant)
    return {value: (name, password_keys(chart, value)) for value, name in brought_secrets(chart).items()}


#: in a tenant's namespace, by kinds that are looked at; a test compares it with the renders
_MAKES = frozenset({
    "deployment/orthanc", "service/orthanc", "statefulset/orthanc-postgres", "service/orthanc-postgres",
    "configmap/orthanc-app", "configmap/orthanc-postgres", "configmap/orthanc-test", "pod/orthanc-test",
    "serviceaccount/orthanc", "serviceaccount/orthanc-postgres", "networkpolicy/orthanc",
    "networkpolicy/orthanc-postgres", "secret/orthanc-users", "secret/orthanc-database", "secret/orthanc-ca",
    "secret/orthanc-tls", "secret/orthanc-postgres-tls", "persistentvolumeclaim/data-orthanc-postgres-0",
})  # fmt: skip
APPROACH = Approach(
    name="helm",
    lookup=Lookup(
        ingress=("{ns}", "orthanc-traefik"),
        cas=(Key("{ns}", "orthanc-tls", "ca.crt"), Key("{ns}", "orthanc-ca", "tls.crt")),
        password=Key("{ns}", "orthanc-users", "{password}"),
        selector=f"{SELECTOR},app.kubernetes.io/component=orthanc",
    ),
    makes=_MAKES,
    components=lambda settings: (*(("traefik",) if routed(settings) else ()), *needed_operators(settings)),
    namespaces=lambda _: (),
    wanted=_wanted,
    keeper=lambda settings, target, secrets, tenant: Builder(settings, target, secrets, ChartAt("", "")).keeper(tenant),
    brings=_brings,
    releases=True,
)
