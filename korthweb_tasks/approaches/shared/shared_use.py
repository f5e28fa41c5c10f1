"""Who uses what tenants share: other tenants, other teams, foreign resources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from korthweb_tasks.approaches.shared.contents import Item, usual
from korthweb_tasks.approaches.shared.namespaces import Record
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import FluxHome
from korthweb_tasks.tools.kubectl import FIELD_MANAGER, Kubectl, Object

#: releases of what tenants share, and who writes objects in their namespaces without saying so in an owner
_RELEASES = ("cert-manager", "istio-base", "istiod", "cloudnative-pg", "kube-prometheus-stack", "kiali")
_WORKERS = (
    FIELD_MANAGER, "helm", "helm-controller", "kustomize-controller", "source-controller", "notification-controller",
    "flux", "istio", "pilot-discovery", "cert-manager", "cainjector", "webhook", "controller", "manager", "kiali",
    "PrometheusOperator", "kube-controller-manager", "kube-scheduler", "kubelet", "Go-http-client",
)  # fmt: skip


def foreign_in_shared(found: Iterable[Item]) -> list[Item]:
    """Return those objects in a namespace of what tenants share that belong neither to it nor to a tenant."""

    def theirs(item: Item) -> bool:
        if item.release and item.release not in _RELEASES:
            return True
        return not any(name.startswith(_WORKERS) for name in item.managers)

    return [item for item in found if not usual(item) and theirs(item)]


#: component -> groups of the kinds that go, or are served no more, with it
_GROUPS = {
    "istio": ("istio.io",),
    "cert-manager": ("cert-manager.io",),
    "cloudnative-pg": ("cnpg.io",),
    "prometheus": ("monitoring.coreos.com",),
    "flux": ("toolkit.fluxcd.io",),
}


def groups_of(components: Mapping[Any, str], among: Iterable[str]) -> tuple[str, ...]:
    """Return the groups of kinds that go with those components that korthweb installs; those it uses stay anyway.

    >>> groups_of({"istio": "use", "cert-manager": "install"}, ["istio", "cert-manager"])
    ('cert-manager.io',)
    """
    return tuple(group for name in among if components.get(name) == "install" for group in _GROUPS[name])


def other_tenants(namespaces: Iterable[Object], going: Iterable[str]) -> list[str]:
    """Return ``namespace (tenant, approach)`` for every tenant of the cluster but those in the namespaces ``going``.

    A tenant of whatever approach and settings counts. One that was removed does not, though its namespace was kept.
    A label without a record counts too: what is not known is not absent.
    """
    gone, found = set(going), []
    for namespace in namespaces:
        meta, record = namespace["metadata"], Record.of(namespace)
        tenant = record.tenant if record else (meta.get("labels") or {}).get("korthweb/tenant", "")
        if tenant and meta["name"] not in gone and not (record and record.kept):
            found.append(f"{meta['name']} ({tenant}, {record.approach if record else 'not recorded'})")
    return found


def in_the_mesh(namespaces: Iterable[Object], own: Iterable[str]) -> list[str]:
    """Return the namespaces of others whose pods are given Istio's sidecar."""
    known, found = set(own), []
    for namespace in namespaces:
        meta = namespace["metadata"]
        labels = meta.get("labels") or {}
        meshed = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
        if meshed and meta["name"] not in known and Record.of(namespace) is None:
            found.append(meta["name"])
    return found


def definitions(kubectl: Kubectl) -> Command:
    """Return the question for all kinds that are not Kubernetes' own."""
    return kubectl.command("get", "customresourcedefinition", "--output=name", repeatable=True)


def read_definitions(result: Result, groups: tuple[str, ...]) -> list[str]:
    """Read those of :func:`definitions` that are of these groups (``istio.io`` means ``networking.istio.io`` too)."""
    names = [line.partition("/")[2] for line in result.stdout.split()]
    return [name for name in names if name.partition(".")[2].endswith(groups)]


_WHERE = (
    "jsonpath={range .items[*]}{.metadata.namespace}|{.kind}|{.metadata.name}|{.metadata.managedFields[*].manager}"
    '{"\\n"}{end}'
)


def custom_resources(kubectl: Kubectl, which: Iterable[str]) -> Command:
    """Return the question for all objects of these kinds in the whole cluster."""
    args = ("get", ",".join(which), "--all-namespaces", f"--output={_WHERE}")
    return kubectl.command(*args, repeatable=True)


def read_users(result: Result, own: Iterable[str], flux: FluxHome) -> list[str]:
    """Read those of :func:`custom_resources` that are of others: outside of the namespaces ``own``.

    In Flux's namespace those count that nothing in Git asks for.
    """
    known, found = set(own), []
    for line in filter(None, result.stdout.splitlines()):
        namespace, kind, name, managers = line.split("|", 3)
        by_hand = namespace == flux.namespace and name != flux.name and "-controller" not in managers
        if namespace not in known or by_hand:
            found.append(f"{kind.lower()}/{name}{f' in {namespace}' if namespace else ''}")
    return found
