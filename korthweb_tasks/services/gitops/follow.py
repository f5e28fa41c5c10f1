"""Looking at Flux in a session's cluster: once, or until all is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import limit
from korthweb_tasks.errors import NotReady
from korthweb_tasks.flux.objects import Objects, condition, ours, source, status
from korthweb_tasks.flux.tree import build
from korthweb_tasks.run.follow import Follow, Goal, Requests
from korthweb_tasks.run.informer import Informer
from korthweb_tasks.run.tree_view import TreeView
from korthweb_tasks.tools.flux import KINDS, Flux, asking

if TYPE_CHECKING:
    from korthweb_tasks.core.flux_home import FluxHome
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.core.tree import Object, Ref, Tree
    from korthweb_tasks.services.session import Session


def followed(
    session: Session,
    *,
    only: Iterable[str] = (),
    revision: str = "",
    seconds: float | None = None,
    title: str = "",
    into: list[StepRecord] | None = None,
) -> tuple[StepRecord, ...]:
    """Follow Flux, with the live tree, until the Kustomizations ``only`` are ready (default: all).

    What is below them has to be ready too, and with ``revision`` (a Git commit) their sources have to have fetched
    it. ``seconds``: the deadline, by default the settings' time for a whole run. The records are returned; ``into``
    gets them also when it ends badly. Raises NotReady with the deepest cause first, and Interrupted.
    """
    goal, view = Goal(frozenset(map(session.settings.flux.layer, only)), revision), TreeView(session.console)
    informer = _informer(session)
    follow = Follow(informer, reading(session.settings.flux), goal, view, Requests(informer, asking))
    what = f"commit {revision[:8]}" if revision else "Flux"
    with informer.opened(), view.opened(title or f"Following {what} on {session.ref.name}"):
        try:
            return follow.run(seconds or session.settings.timeouts.run)
        finally:
            if into is not None:
                into.extend(follow.records())


def reconciled(session: Session, refs: Iterable[Ref]) -> tuple[StepRecord, ...]:
    """Let the sources of Kustomizations and HelmReleases be fetched, then these be applied, and follow that.

    Raises NotReady where a source can not be fetched, or where something does not get ready.
    """
    wanted, informer, limit = frozenset(refs), _informer(session), session.settings.timeouts.step
    view = TreeView(session.console)
    with informer.opened(), view.opened(f"Reconciling {', '.join(sorted(ref.name for ref in wanted))}"):
        requests = Requests(informer, asking)
        while not informer.listed():
            informer.news(0.2)
        informer.news(0.0)  # what came with the last of the lists
        _fetched(informer, requests, wanted, limit)
        tokens = {ref: requests.ask(ref) for ref in wanted}
        return Follow(informer, reading(session.settings.flux), Goal(wanted, handled=tokens), view, requests).run(limit)


def _fetched(informer: Informer, requests: Requests, wanted: Iterable[Ref], seconds: float) -> None:
    """Ask for the sources, and wait until their controller has answered; raises NotReady."""
    sources: dict[Ref, None] = {}
    for ref in sorted(wanted):
        way: list[Ref] = []
        while (origin := source(informer.objects.get((way or [ref])[-1], {"kind": ""}))) and origin in informer.objects:
            way.append(origin)
        # a chart's repository comes before the chart; what has no status needs no fetching
        sources.update(dict.fromkeys(one for one in reversed(way) if status(informer.objects[one])))
    end = time.monotonic() + seconds
    for ref in sources:
        token = requests.ask(ref)
        while status(informer.objects.get(ref, {})).get("lastHandledReconcileAt") != token:
            if time.monotonic() > end:
                raise NotReady(
                    f"{ref} was not looked at in {limit(seconds)}",
                    hint=hints.task("gitops.logs", controller="source"),
                )
            informer.news(0.2)
        told = condition(informer.objects[ref])
        if told.get("status") == "False":
            raise NotReady(f"{ref}: {told.get('message', '')}", hint=hints.task("gitops.explain", ref.name))


def looked(session: Session) -> Objects:
    """Return everything that Flux looks after, as it is now."""
    informer = _informer(session)
    with informer.opened(watch=False):
        informer.news(0.0)
    return Objects(ours(informer.objects.values(), session.settings.flux))


def reading(home: FluxHome) -> Callable[[Collection[Object]], Tree]:
    """Return the way to read objects as a tree; what is of somebody else's Flux is not shown."""
    return lambda objects: build(ours(objects, home))


def _informer(session: Session) -> Informer:
    return Informer(session.runner, Flux(session.target).proxy, KINDS)
