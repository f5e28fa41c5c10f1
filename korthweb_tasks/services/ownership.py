"""Whose is it? Asked of the cluster before an approach changes or removes anything, in the same way by all three."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import approach_of, removal
from korthweb_tasks.approaches.shared.blind import blind, extensions
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.contents import (
    USUAL_KINDS,
    contents,
    foreign,
    kinds,
    named,
    of_flux,
    read_contents,
    read_kinds,
    told_apart,
)
from korthweb_tasks.approaches.shared.layers import Layers, applied_by, question
from korthweb_tasks.approaches.shared.namespaces import Record
from korthweb_tasks.approaches.shared.ownership import Place, fate, refusal, removal_refusal, shared_refusal
from korthweb_tasks.approaches.shared.shared_use import (
    custom_resources,
    definitions,
    foreign_in_shared,
    in_the_mesh,
    other_tenants,
    read_definitions,
    read_users,
)
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.tools.helm import Helm, chart_name, rows
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.contents import Item
    from korthweb_tasks.approaches.shared.ownership import Fate
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant
    from korthweb_tasks.tools.kubectl import Object

CHART = "orthanc"


def refuse_others(session: Session, approach: str, tenants: Iterable[Tenant] | None = None) -> None:
    """Raise GuardRefused for the first tenant that ``approach`` must not deploy; what can't be asked is raised too."""
    chosen = session.tenants if tenants is None else tuple(tenants)
    for found in _refusals(session, approach, chosen):
        if found is not None:
            raise found


def findings(session: Session, approach: str, tenants: Iterable[Tenant] | None = None) -> list[Finding]:
    """Return for each tenant whether ``approach`` may deploy it, as a check tells it."""
    chosen = session.tenants if tenants is None else tuple(tenants)
    return [
        Finding.of(f"{tenant.name}: namespace {tenant.namespace}", refused, "free, or this tenant's")
        for tenant, refused in zip(chosen, _refusals(session, approach, chosen), strict=True)
    ]


def refuse_removal(session: Session, approach: str, homes: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Return the places of tenants, (name, namespace) each, by namespace.

    Raises GuardRefused where ``approach`` did not deploy one of them.
    """
    chosen = tuple(homes)
    found = places(session, chosen)
    for tenant, namespace in chosen:
        refused = removal_refusal(tenant, namespace, approach, found[namespace])
        if refused is None and approach_of(approach).releases:
            refused = _other_release(session, namespace)
        if refused is not None:
            raise refused
    return found


def refuse_blind(session: Session) -> None:
    """Raise GuardRefused where a part of the API does not answer: what is not known is not taken for nothing."""
    if refused := blind(session.runner.run(extensions(session.kubectl))):
        raise refused


def shared_findings(session: Session, names: Iterable[str]) -> list[Finding]:
    """Return for each namespace of what tenants share whether it may be used, as a check tells it."""
    adopt = session.settings.adopt_namespaces
    return [
        Finding.of(f"Namespace {name}", shared_refusal(name, place, adopt), "free, or korthweb's")
        for name, place in places(session, [("", name) for name in names]).items()
    ]


def places(session: Session, homes: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Ask the cluster for what there is of tenants, (name, namespace) each; raises what says that it is not known."""
    names = [namespace for _, namespace in homes]
    if not names:
        return {}
    question = session.kubectl.get_these([("namespace", name) for name in names])
    there = {obj["metadata"]["name"]: obj for obj in items(session.runner.run(question))}
    inside = _inside(session, list(there))
    layers = _layers(session, there.values(), inside.values())
    return {name: Place.of(there.get(name), inside.get(name, ()), layers) for name in names}


def _layers(session: Session, namespaces: Iterable[Object], inside: Iterable[Iterable[Item]]) -> Layers:
    """Return the Kustomizations of the cluster, asked for only where Flux marked something."""
    labels = [obj["metadata"].get("labels") or {} for obj in namespaces]
    marked = any(applied_by(one) for one in labels) or any(of_flux(item) for found in inside for item in found)
    return Layers.read(session.settings.flux, session.runner.run(question(session.kubectl)) if marked else None)


def _refusals(session: Session, approach: str, tenants: tuple[Tenant, ...]) -> list[GuardRefused | None]:
    found = places(session, [(tenant.name, tenant.namespace) for tenant in tenants])
    refused = [refusal(tenant, approach, found[tenant.namespace]) for tenant in tenants]
    if not approach_of(approach).releases:
        return refused
    return [
        one or (_other_release(session, tenant.namespace) if found[tenant.namespace].namespace else None)
        for one, tenant in zip(refused, tenants, strict=True)
    ]


def _other_release(session: Session, namespace: str) -> GuardRefused | None:
    """Return the refusal where the release of our name is of another chart."""
    found = rows(session.runner.run(Helm(session.target).list(CHART, namespace=namespace)))
    others = [row["chart"] for row in found if chart_name(row["chart"]) != CHART]
    if not others:
        return None
    text = f"the Helm release {CHART} in {namespace} is of the chart {others[0]}, which is not korthweb's"
    return GuardRefused(text, hint="another name in tenants[].namespace; helm.deploy would replace that release")


def fates(session: Session, approach: str, homes: Iterable[tuple[str, str]], *, volumes: bool) -> dict[str, Fate]:
    """Return what becomes of the namespaces of tenants, (name, namespace) each, that ``approach`` removes.

    Where every image goes, all that is in them is looked at. Raises GuardRefused where the approach did not deploy one,
    and where a part of the API does not answer.
    """
    chosen = tuple(homes)
    refuse_blind(session)
    found = refuse_removal(session, approach, chosen)
    inside = _everything(session, [name for _, name in chosen if volumes and found[name].namespace])
    layers = _layers(session, (), inside.values())
    theirs = {name: foreign(told_apart(inside.get(name, ()), layers), who) for who, name in chosen}
    return {name: fate(found[name], theirs[name], volumes=volumes) for _, name in chosen}


def shared_fates(session: Session, names: Iterable[str]) -> dict[str, Fate]:
    """Return what becomes of the namespaces of what tenants share."""
    wanted = tuple(names)
    answer = session.runner.run(session.kubectl.get_these([("namespace", name) for name in wanted]))
    there = {obj["metadata"]["name"]: obj for obj in items(answer)}
    inside = _everything(session, list(there))
    return {name: fate(Place(there.get(name)), foreign_in_shared(inside.get(name, ()))) for name in wanted}


def _everything(session: Session, names: list[str]) -> dict[str, list[Item]]:
    """Return all that is in these namespaces, of whatever kind."""
    return _inside(session, names, read_kinds(session.runner.run(kinds(session.kubectl)))) if names else {}


def _inside(session: Session, names: list[str], which: Iterable[str] = ()) -> dict[str, list[Item]]:
    """Return what is in these namespaces: of the kinds ``which``, or of those where others' work shows itself."""
    questions = [contents(session.kubectl, name, which or USUAL_KINDS) for name in names]
    answers = side_by_side(session.runner, session.runner.run, questions)
    return {name: read_contents(result) for name, result in zip(names, answers, strict=True)}


def others_on_cluster(session: Session, going: Iterable[str]) -> list[str]:
    """Return the tenants of the cluster that are not in the namespaces ``going``, whoever made them."""
    return other_tenants(items(session.runner.run(session.kubectl.get("namespace"))), going)


def refuse_shared_removal(
    session: Session, approach: str, going: Iterable[str], shared: Iterable[str], groups: tuple[str, ...]
) -> None:
    """Raise GuardRefused where what tenants share is in use by others: other tenants, whoever made them, other teams.

    ``going`` are the namespaces of the tenants that are removed now, ``shared`` those of what they share, ``groups``
    those of the kinds that go with what would be removed.
    """
    gone = tuple(going)
    one = removal(approach, "NAME")
    hint = f"`{one}` removes one tenant and leaves what is shared"
    everybody = items(session.runner.run(session.kubectl.get("namespace")))
    if others := other_tenants(everybody, gone):
        text = f"other tenants are on the cluster and need what would be removed: {named(others)}"
        raise GuardRefused(text, hint=hint)
    known = {*gone, *shared, *(obj["metadata"]["name"] for obj in everybody if Record.of(obj))}
    users = in_the_mesh(everybody, known) if "istio.io" in groups else []
    which = read_definitions(session.runner.run(definitions(session.kubectl)), groups)
    if which:
        users += read_users(session.runner.run(custom_resources(session.kubectl, which)), known, session.settings.flux)
    if users:
        text = f"others use what would be removed: {named(users)}"
        raise GuardRefused(text, hint=hint)
