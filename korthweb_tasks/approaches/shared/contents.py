"""What is in a namespace, and who made it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from korthweb_tasks.approaches.shared.layers import TENANT_LAYERS, Layers, applied_by
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.settings.approaches import APPROACHES
from korthweb_tasks.tools.kubectl import FIELD_MANAGER, Kubectl


@dataclass(frozen=True, slots=True)
class Item:
    """An object in a namespace: what it is called, and what tells who made it. No contents.

    ``layer`` is the name of the Kustomization of korthweb that applied it.
    """

    kind: str
    name: str
    managers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    owned: bool = False
    layer: str = ""

    def __str__(self) -> str:
        """Return ``kind/name``, as kubectl takes it."""
        return f"{self.kind.lower()}/{self.name}"


_COLUMNS = (
    "{.kind}", "{.metadata.name}", "{.metadata.managedFields[*].manager}", "{.metadata.labels}",
    r"{.metadata.annotations.meta\.helm\.sh/release-name}", "{.metadata.ownerReferences[*].kind}",
)  # fmt: skip
_FORM = "jsonpath={range .items[*]}" + "|".join(_COLUMNS) + '{"\\n"}{end}'
#: the field manager of what Flux applies
_KUSTOMIZE = "kustomize-controller"
#: what is looked at before a deployment: where another team's work shows itself
USUAL_KINDS = (
    "deployment", "statefulset", "daemonset", "job", "cronjob", "service", "configmap", "secret", "serviceaccount",
    "persistentvolumeclaim", "ingress", "networkpolicy", "pod",
)  # fmt: skip
#: what the cluster itself, and its mesh, write in every namespace
_DEFAULTS = (
    ("configmap", "kube-root-ca.crt"), ("configmap", "openshift-service-ca.crt"),
    ("configmap", "istio-ca-root-cert"), ("configmap", "istio-ca-crl"),
    ("serviceaccount", "default"), ("serviceaccount", "builder"), ("serviceaccount", "deployer"),
)  # fmt: skip
#: kinds that tell nothing: they come and go with others
_PASSING = (
    "events",
    "events.events.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "leases.coordination.k8s.io",
)


def kinds(kubectl: Kubectl) -> Command:
    """Return the question for every kind of object that a namespace can hold."""
    return kubectl.command("api-resources", "--namespaced", "--verbs=list,delete", "--output=name", repeatable=True)


def read_kinds(result: Result) -> tuple[str, ...]:
    """Read :func:`kinds`, without those that come and go with others."""
    return tuple(kind for kind in result.stdout.split() if kind not in _PASSING and ".metrics.k8s.io" not in kind)


def contents(kubectl: Kubectl, namespace: str, which: Iterable[str] = USUAL_KINDS) -> Command:
    """Return the question for what is in a namespace: names and marks, not contents."""
    return kubectl.command("get", ",".join(which), f"--output={_FORM}", namespace=namespace, repeatable=True)


def read_contents(result: Result) -> list[Item]:
    """Read :func:`contents`."""
    return [_item(line) for line in result.stdout.splitlines() if line.strip()]


def of_flux(item: Item) -> bool:
    """Return True for what Flux applied, as the server notes of its writer and Flux of its Kustomization."""
    return _KUSTOMIZE in item.managers and applied_by(item.labels) is not None


def told_apart(found: Iterable[Item], layers: Layers) -> list[Item]:
    """Return the objects with the layer that applied each, where it is one of ours."""
    return [_with_layer(item, layers) for item in found]


def _with_layer(item: Item, layers: Layers) -> Item:
    ref = applied_by(item.labels)
    return replace(item, layer=ref.name) if ref and layers.ours(ref) else item


def _item(line: str) -> Item:
    kind, name, managers, rest = line.split("|", 3)
    labels, release, owners = rest.rsplit("|", 2)
    return Item(kind, name, tuple(managers.split()), json.loads(labels or "{}"), release, bool(owners))


def usual(item: Item) -> bool:
    """Return True for what the cluster itself has in every namespace, and for what goes with its owner."""
    by_default = (item.kind.lower(), item.name) in _DEFAULTS
    return item.owned or by_default or (item.kind == "Secret" and item.name.startswith("default-token-"))


def made_by(item: Item, tenant: str) -> str:
    """Return the approach that made an object of ``tenant``, ``korthweb`` for what all three make, or who else did.

    Labels alone prove nothing, for they are copied with a manifest: the server itself notes who wrote which field.
    """
    if of_flux(item):
        own = item.layer in [f"{tenant.lower()}-{layer}" for layer in TENANT_LAYERS]
        return "gitops" if own else f"Flux, by its {applied_by(item.labels)}"
    if _of_release(item):
        return "helm"
    if FIELD_MANAGER in item.managers:
        return "korthweb" if item.kind == "Secret" else "manual"
    if _follows(item):
        return "korthweb"
    return f"the field manager {item.managers[0]}" if item.managers else "somebody"


def _of_release(item: Item) -> bool:
    """Return True for what helm made for the release ``orthanc``, Helm's own records and the test's objects too."""
    if not any(name in ("helm", "Helm") for name in item.managers):
        return False
    of_chart = re.match(r"orthanc-[0-9]", item.labels.get("helm.sh/chart", "")) is not None
    return (
        item.release == "orthanc"
        or (item.labels.get("owner") == "helm" and item.labels.get("name") == "orthanc")
        or (of_chart and item.labels.get("app.kubernetes.io/instance") == "orthanc")
    )


_CLAIM = re.compile(r"data-(orthanc-)?postgres-[0-9]+")


def _follows(item: Item) -> bool:
    """Return True for what controllers made for our objects without saying so in an owner."""
    claim = item.kind == "PersistentVolumeClaim" and _CLAIM.fullmatch(item.name) is not None
    issued = item.kind == "Secret" and any(name.startswith("cert-manager") for name in item.managers)
    return (claim and "kube-controller-manager" in item.managers) or issued


def foreign(found: Iterable[Item], tenant: str) -> list[Item]:
    """Return those objects that are neither the tenant's, by any approach, nor the cluster's own."""
    return [item for item in found if not usual(item) and made_by(item, tenant) not in (*APPROACHES, "korthweb")]


def of_others(found: Iterable[Item], tenant: str, approach: str) -> list[Item]:
    """Return those of the tenant's objects that another approach made."""
    others = {*APPROACHES} - {approach}
    return [item for item in found if not usual(item) and made_by(item, tenant) in others]


def named(found: Iterable[object], most: int = 8) -> str:
    """Return a list of names for a person, not longer than it is read."""
    names = [str(one) for one in found]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
