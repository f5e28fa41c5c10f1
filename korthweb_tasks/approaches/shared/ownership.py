"""Whose a namespace is, and who made what is in it. Pure.

Ours is what korthweb created. At creation it writes an annotation on the namespace that holds the namespace's own UID:
copied to another namespace, kept in Git, or left over from one that was deleted and made anew, it means nothing.
The record stands for what is installed in the namespace too: Istio's is istio-system's, Flux's that of Flux's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from korthweb_tasks.approaches.base import approach as approach_of
from korthweb_tasks.approaches.base import removal
from korthweb_tasks.approaches.shared.blind import going
from korthweb_tasks.approaches.shared.contents import Item, foreign, made_by, named, of_others, told_apart, usual
from korthweb_tasks.approaches.shared.layers import Layers, applied_by
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import FluxHome
from korthweb_tasks.core.plan import Probe, Step
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.tools.kubectl import FIELD_MANAGER, Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant

#: annotation of a namespace: who made it, for which tenant, and the UID that it got
RECORD = "korthweb/record"
#: created: by korthweb · claimed: made by korthweb, which was stopped before it knew the UID · adopted: of others,
#: with their leave · foreign: of others
Standing = Literal["absent", "created", "claimed", "adopted", "foreign"]
#: what stderr says of the creation of a namespace that somebody has made since the look for it
EXISTS = "(AlreadyExists)"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written on a namespace. ``tenant`` is empty for one that tenants share.

    ``kept``: the tenant was removed, and the namespace is kept with its volumes.
    """

    approach: str
    tenant: str = ""
    domain: str = ""
    adopted: bool = False
    kept: bool = False
    uid: str = ""

    @classmethod
    def of(cls, namespace: Object) -> Record | None:
        """Read the record of a namespace; None where there is none that was written for this very namespace."""
        text = (namespace["metadata"].get("annotations") or {}).get(RECORD, "")
        try:
            found = cls(**json.loads(text))
        except (ValueError, TypeError):
            return None
        return found if found.uid in ("", namespace["metadata"].get("uid")) else None

    def text(self) -> str:
        """Return the annotation's value."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)


def standing(namespace: Object | None) -> Standing:
    """Return whose a namespace is.

    >>> standing({"metadata": {"uid": "1", "annotations": {RECORD: '{"approach":"helm","uid":"2"}'}}})
    'foreign'
    """
    if namespace is None:
        return "absent"
    record = Record.of(namespace)
    if record is None:
        return "foreign"
    if not record.uid:
        return "claimed"
    return "adopted" if record.adopted else "created"


def record_for(tenant: Tenant, approach: str) -> Record:
    """Return what is to be recorded of a tenant's namespace."""
    return Record(approach, tenant.name, tenant.domain)


@dataclass(frozen=True)
class Home:
    """Makes a namespace and records that korthweb made it.

    ``wanted`` is the Namespace object. A namespace that exists already is recorded as adopted, where ``adopt`` says
    that it may be used: it is never deleted then.
    """

    kubectl: Kubectl
    wanted: Object
    record: Record
    adopt: bool = False

    @property
    def name(self) -> str:
        """Return the namespace's name."""
        return str(self.wanted["metadata"]["name"])

    def probe(self) -> Probe:
        """Return what asks whether the namespace is there and recorded."""
        return Probe(self.kubectl.get("namespace", self.name), self._is_recorded)

    @property
    def command(self) -> Command:
        """Return a look at the namespace; its creation follows where there is none, and the record."""
        return replace(self.kubectl.get("namespace", self.name), follow=self._following)

    def _following(self, result: Result) -> Command | None:
        if EXISTS in result.stderr:
            return self.command  # another step made it since the look
        found = items(result)
        if not found:
            made = self.kubectl.create([self._claim()])
            return replace(made, argv=(*made.argv, "--output=json"), final=(EXISTS,), follow=self._following)
        (namespace,) = found
        if standing(namespace) == "foreign" and not self.adopt:
            raise GuardRefused(f"somebody else made the namespace {self.name} meanwhile", hint="the same command again")
        return None if self._is_recorded(result) else recorded(self.kubectl, namespace, self._as_of(namespace))

    def _claim(self) -> dict[str, Any]:
        """Return the namespace with a record that has no UID yet."""
        meta = dict(self.wanted["metadata"])
        annotations = {**(meta.get("annotations") or {}), RECORD: self.record.text()}
        return {**self.wanted, "metadata": {**meta, "annotations": annotations}}

    def _is_recorded(self, result: Result) -> bool:
        found = items(result)
        return bool(found) and Record.of(found[0]) == self._as_of(found[0])

    def _as_of(self, namespace: Object) -> Record:
        """Return the record that this namespace shall have."""
        adopted = standing(namespace) in ("foreign", "adopted")
        return replace(self.record, uid=namespace["metadata"]["uid"], adopted=adopted)


#: the level of Pod Security that a namespace carries, whatever the cluster's default is
POD_SECURITY = "pod-security.kubernetes.io/enforce"
_SHARED = {"app.kubernetes.io/managed-by": "korthweb", POD_SECURITY: "baseline"}


def plain_namespace(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a Namespace object; without labels, one for what tenants share."""
    meta = {"name": name, "labels": dict(labels or _SHARED)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def at_home(step: Step, home: Home) -> Step:
    """Return a step that makes and records its namespace before anything else."""
    return replace(step, probes=(home.probe(), *step.probes), actions=(home.command, *step.actions))


def recorded(kubectl: Kubectl, namespace: Object, record: Record) -> Command:
    """Return the writing of a record; the server refuses it where the namespace has another UID by now."""
    meta = namespace["metadata"]
    patch = {"metadata": {"uid": meta["uid"], "annotations": {RECORD: record.text()}}}
    words = ("--type=merge", f"--field-manager={FIELD_MANAGER}", f"--patch={json.dumps(patch)}")
    return kubectl.command("patch", "namespace", meta["name"], *words, repeatable=True)


def is_kept(kubectl: Kubectl, name: str) -> Probe:
    """Return what asks whether nothing is deployed in a namespace, by its record."""

    def nothing(result: Result) -> bool:
        records = [Record.of(namespace) for namespace in items(result)]
        return all(record is None or record.kept for record in records)

    return Probe(kubectl.get("namespace", name), nothing)


def kept(kubectl: Kubectl, namespace: Object) -> Command | None:
    """Return the record that a tenant was removed from a namespace which stays, or None where nothing was recorded.

    One that others made loses the labels that korthweb set, too.
    """
    record = Record.of(namespace)
    if record is None:
        return None
    command = recorded(kubectl, namespace, replace(record, kept=True))
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace["metadata"]["name"]}}
    return replace(command, follow=lambda _: kubectl.apply([bare])) if record.adopted else command


def delete_namespace(kubectl: Kubectl, namespace: Object, *, timeout: float) -> Command:
    """Return the deletion of this very namespace: one of the same name that was made since has another UID."""
    meta = namespace["metadata"]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
    words = ("delete", "--raw", f"/api/v1/namespaces/{meta['name']}", "--filename=-")
    return kubectl.command(*words, stdin=json.dumps(options), timeout=timeout, final=("(NotFound)",))


# ---- the one rule of all three approaches


@dataclass(frozen=True, slots=True)
class Place:
    """What the cluster says of a tenant's namespace: the Namespace, what is in it, and the Kustomization behind it.

    ``flux`` is the living Kustomization that applies the Namespace; ``ours``: it is one of korthweb's.
    """

    namespace: Object | None
    items: tuple[Item, ...] = ()
    flux: Ref | None = None
    ours: bool = False

    @classmethod
    def of(cls, namespace: Object | None, inside: Iterable[Item], layers: Layers) -> Place:
        """Return a namespace with what is in it, each by what applied it."""
        behind = applied_by((namespace or {"metadata": {}})["metadata"].get("labels") or {})
        flux = behind if behind in layers.living else None
        return cls(namespace, tuple(told_apart(inside, layers)), flux, layers.ours(flux))

    def of_tenant(self, tenant: str) -> bool:
        """Return True if it is one of korthweb's own Kustomizations, of this tenant, that applies the Namespace."""
        return self.ours and self.flux is not None and self.flux.name == f"{tenant.lower()}-dependency"

    @property
    def standing(self) -> Standing:
        """Return whose it is."""
        return standing(self.namespace)

    @property
    def record(self) -> Record | None:
        """Return what was recorded of it."""
        return Record.of(self.namespace) if self.namespace else None


def refusal(tenant: Tenant, approach: str, place: Place) -> GuardRefused | None:
    """Return why ``approach`` must not deploy ``tenant`` into its namespace, or None where it may.

    Refused are a namespace of others without their leave, another tenant or another facility of the same name, what
    another approach deployed, and objects of others that would be overwritten.
    """
    where, theirs = tenant.namespace, foreign(place.items, tenant.name)
    if place.namespace is None:
        return None
    if ends := going(place.namespace):
        return _ending(where, ends)
    found = _by_another(tenant, approach, place)
    if found is not None or tenant.adopt_namespace:
        return found or _in_the_way(tenant, approach, theirs)
    record = place.record
    if place.standing == "foreign" or (place.standing == "claimed" and theirs):
        if place.of_tenant(tenant.name) and approach_of(approach).by_flux:
            return _in_the_way(tenant, approach, theirs)
        what = f"it holds {named(theirs)}" if theirs else "nothing is in it"
        return GuardRefused(f"korthweb did not make the namespace {where}; {what}", hint=_word(tenant))
    if record is not None and (record.tenant, record.domain) != (tenant.name, tenant.domain):
        who = f"{record.tenant} ({record.domain})"
        text = f"the namespace {where} was made for {who}, not for {tenant.name} ({tenant.domain})"
        return GuardRefused(text, hint=_word(tenant))
    return _in_the_way(tenant, approach, theirs)


def shared_refusal(name: str, place: Place, adopted: Iterable[str]) -> GuardRefused | None:
    """Return why nothing that tenants share may be put into the namespace ``name``, or None where it may.

    ``adopted``: those of others that may be used. One that a Kustomization of ours applies is ours.
    """
    if place.namespace is None:
        return None
    if ends := going(place.namespace):
        return _ending(name, ends)
    if place.standing != "foreign" or name in adopted or place.ours:
        return None
    theirs = [item for item in place.items if not usual(item)]
    what = f"it holds {named(theirs)}" if theirs else "nothing is in it"
    word = f"if it may be used, adopt_namespaces: [{name}] in korthweb.yaml: it is never deleted then"
    return GuardRefused(f"korthweb did not make the namespace {name}, which tenants would share; {what}", hint=word)


def _ending(name: str, why: str) -> GuardRefused:
    hint = f"`{hints.kubectl('get', 'namespace', name, '--output=yaml')}` tells what holds it"
    return GuardRefused(f"the namespace {name} can't be used: {why}", hint=hint)


def removal_refusal(tenant: str, namespace: str, approach: str, place: Place) -> GuardRefused | None:
    """Return why ``approach`` must not remove a tenant from its namespace, or None where it may."""
    if place.standing == "absent":
        return None
    record = place.record
    if record is None:
        theirs = foreign(place.items, tenant)
        what = f": it holds {named(theirs)}" if theirs else ""
        text = f"korthweb deployed nothing in the namespace {namespace}, which it did not make{what}"
        return GuardRefused(text, hint="tenants[].namespace in korthweb.yaml, and --context: is it the right one?")
    if record.tenant.lower() != tenant.lower():
        text = f"the namespace {namespace} was made for {record.tenant}, not for {tenant}"
        return GuardRefused(text, hint=f"`{removal(record.approach, record.tenant)}`, with its own settings")
    if record.approach != approach:
        text = f"{tenant} in {namespace} was deployed by the approach {record.approach}"
        return GuardRefused(text, hint=_way_out(tenant, record.approach))
    return _deployed_by_another(tenant, namespace, approach, place)


def _way_out(tenant: str, approach: str) -> str:
    return f"`{removal(approach, tenant)}` takes it away; images stay there"


def _by_another(tenant: Tenant, approach: str, place: Place) -> GuardRefused | None:
    return _deployed_by_another(tenant.name, tenant.namespace, approach, place)


def _deployed_by_another(tenant: str, namespace: str, approach: str, place: Place) -> GuardRefused | None:
    others = of_others(place.items, tenant, approach)
    if others:
        who = made_by(others[0], tenant)
        theirs = [item for item in others if made_by(item, tenant) == who]
        text = f"{namespace} holds {named(theirs)}, which the approach {who} deployed"
        return GuardRefused(text, hint=_way_out(tenant, who))
    if place.flux and not (approach_of(approach).by_flux and place.of_tenant(tenant)):
        text = f"Flux looks after the namespace {namespace}, by its {place.flux}"
        verb = f"`{removal('gitops', tenant)}`" if place.ours else "take it out of Git"
        return GuardRefused(text, hint=f"{verb}; or another name in tenants[].namespace")
    return None


def _in_the_way(tenant: Tenant, approach: str, theirs: Iterable[Item]) -> GuardRefused | None:
    """Return the refusal where objects of others have names that the approach needs."""
    taken = [item for item in theirs if str(item) in approach_of(approach).makes]
    if not taken:
        return None
    who = " and ".join(sorted({made_by(item, tenant.name) for item in taken}))
    text = f"{tenant.namespace} holds {named(taken)}, which korthweb did not make (written by {who})"
    return GuardRefused(text, hint="another name in tenants[].namespace, or remove them yourself if nobody needs them")


def _word(tenant: Tenant) -> str:
    return (
        f"another name in tenants[].namespace; or, if it may be used, adopt_namespace: true for {tenant.name}"
        " in korthweb.yaml: it is never deleted then"
    )


# ---- what becomes of a namespace when a tenant is removed


#: why a namespace is kept where nobody asked for more
STAYS = "its volumes and passwords stay"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a namespace: it is deleted with what korthweb has in it, or kept for the reason ``kept``."""

    namespace: Object | None = None
    kept: str = ""

    @property
    def foreign(self) -> bool:
        """Return True for a namespace in which korthweb recorded nothing."""
        return standing(self.namespace) == "foreign"

    @property
    def goes(self) -> bool:
        """Return True for a namespace that is deleted."""
        return self.namespace is not None and not self.kept


def fate(place: Place, theirs: Iterable[Item], *, volumes: bool = True) -> Fate:
    """Return what becomes of a namespace in which ``theirs`` are the objects that korthweb did not make."""
    found = list(theirs)
    if place.namespace is None:
        return Fate()
    if not volumes:
        return Fate(place.namespace, STAYS)
    if place.standing in ("adopted", "foreign"):
        return Fate(place.namespace, "korthweb did not make it")
    return Fate(place.namespace, f"it holds {named(found)}, which korthweb did not make" if found else "")


# ---- what tenants share


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
    """Return the question for all kinds that operators brought."""
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
