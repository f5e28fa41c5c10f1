"""Whether an approach may deploy into a namespace or remove a tenant from it, and what becomes of it then. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import approach_of, removal
from korthweb_tasks.approaches.shared.blind import going
from korthweb_tasks.approaches.shared.contents import Item, foreign, made_by, named, of_others, told_apart, usual
from korthweb_tasks.approaches.shared.layers import Layers, applied_by
from korthweb_tasks.approaches.shared.namespaces import Record, Standing, standing
from korthweb_tasks.core import hints
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.tools.kubectl import Object

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant


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
    found = _deployed_by_another(tenant.name, where, approach, place)
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
