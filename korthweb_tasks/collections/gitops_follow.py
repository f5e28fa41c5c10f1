"""Looking at Flux in a session's cluster: once, until all is ready, or in the background with nudges alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from korthweb_tasks.errors import Interrupted, KorthwebError

if TYPE_CHECKING:
    from korthweb_tasks.approaches.flux_objects import Objects
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.core.tree import Nudge, Object, Tree
    from korthweb_tasks.run.feed import Feed


def followed(
    session: Session,
    *,
    only: Iterable[str] = (),
    revision: str = "",
    seconds: float | None = None,
    title: str = "",
    told: list[StepRecord] | None = None,
) -> tuple[StepRecord, ...]:
    """Follow Flux, with nudges and the live tree, until the Kustomizations ``only`` are ready (default: all).

    What is below them has to be ready too, and with ``revision`` (a Git commit) their sources have to have fetched
    it. ``seconds``: the deadline, by default the settings' time for a whole run. The records are returned; ``told``
    gets them also when it ends badly. Raises NotReady with the deepest cause first, and Interrupted.
    """
    from korthweb_tasks.run.follow import Follow, Goal, Nudger
    from korthweb_tasks.run.tree_view import TreeView
    from korthweb_tasks.tools.flux import asking

    goal, view, done = Goal(frozenset(only), revision), TreeView(session.console), False
    feed = _feed(session)
    follow = Follow(feed, reading(revision), goal, view, Nudger(feed, asking))
    what = f"commit {revision[:8]}" if revision else "Flux"
    with feed.opened(), view.opened(title or f"Following {what} on {session.ref.name}"):
        try:
            records = follow.run(seconds or session.settings.timeouts.run)
            done = True
        finally:
            if told is not None:
                told.extend(follow.records(interrupted=not done and session.runner.stopped))
    return records


@contextmanager
def nudging(session: Session) -> Iterator[None]:
    """Nudge in the background while the block runs, without a word; the cluster may not know Flux yet."""
    over = threading.Event()
    thread = threading.Thread(target=_nudge, args=(session, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10.0)


def looked(session: Session) -> Objects:
    """Return everything that Flux looks after, as it is now."""
    from korthweb_tasks.approaches.flux_objects import Objects

    feed = _feed(session)
    with feed.opened(watch=False):
        feed.news(0.0)
    return Objects(feed.objects.values())


def reading(revision: str = "") -> Callable[[Collection[Object]], tuple[Tree, Sequence[Nudge]]]:
    """Return the way to read objects: as a tree, and as nudges."""
    from korthweb_tasks.approaches.flux_nudges import nudges
    from korthweb_tasks.approaches.flux_objects import Objects
    from korthweb_tasks.approaches.flux_tree import build

    def read(objects: Collection[Object]) -> tuple[Tree, Sequence[Nudge]]:
        world = Objects(objects)
        return build(world), nudges(world, wanted=revision)

    return read


def _nudge(session: Session, over: threading.Event) -> None:
    from korthweb_tasks.run.follow import Nudger
    from korthweb_tasks.tools.flux import asking

    read = reading()
    while not over.is_set():
        feed = _feed(session)
        nudger = Nudger(feed, asking)
        try:
            with feed.opened():
                while not over.is_set():
                    feed.news(0.5)
                    nudger.nudge(read(feed.objects.values())[1])
        except Interrupted:
            return
        except KorthwebError:  # a server that is away: whoever runs in front of us says so
            time.sleep(1.0)


def _feed(session: Session) -> Feed:
    from korthweb_tasks.run.feed import Feed
    from korthweb_tasks.tools.flux import KINDS, Flux

    return Feed(session.runner, Flux(session.target).proxy, KINDS)
