"""Follows a tree until it is ready: by watching, with an end where waiting is no use."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration, limit
from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.core.tree import Cause, Object, Ref, Step, Tree
from korthweb_tasks.errors import Interrupted, NotReady
from korthweb_tasks.run.informer import Informer, Lost

#: seconds at most between two looks: clocks tick without news
TICK = 0.5
#: seconds after which a fault that has not been seen is forgotten
FORGOTTEN = 15.0
#: what the text of a request begins with; the time follows, so that later ones sort later
REQUEST = "korthweb-"
#: what the objects mean
Read = Callable[[Collection[Object]], Tree]


class View(Protocol):
    """Is shown the tree at each change; :class:`korthweb_tasks.run.tree_view.TreeView` is."""

    def opened(self, title: str) -> AbstractContextManager[None]:
        """Show the tree while the block runs."""

    def show(self, tree: Tree, seconds: float) -> None:
        """Take in how it is now; ``seconds`` since the beginning."""

    def say(self, text: str) -> None:
        """Tell something beside the tree."""


@dataclass
class Requests:
    """Asks controllers to look at an object now. ``patch`` makes the merge patch out of a new text."""

    informer: Informer
    patch: Callable[[str], Mapping[str, Any]]
    #: object -> the text by which the answer to the newest request is known
    tokens: dict[Ref, str] = field(default_factory=dict, init=False)

    def once(self, ref: Ref) -> None:
        """Ask, unless it was asked already; a server that does not answer is asked at the next call."""
        if ref not in self.tokens:
            self._give(ref)

    def ask(self, ref: Ref) -> str:
        """Let a controller look at an object now, and return the text by which its answer is known."""
        for _ in range(20):
            if self._give(ref):
                return self.tokens[ref]
            self.informer.news(0.5)
        raise NotReady(f"{ref} can not be asked to look again", hint=hints.task("gitops.status"))

    def _give(self, ref: Ref) -> bool:
        token = f"{REQUEST}{time.time_ns()}"
        try:
            status = self.informer.patch(ref, self.patch(token))
        except Lost:
            return False
        # an object that has gone meanwhile (404) needs no second try, a server that is too busy does
        if status < 500 and status != 429:
            self.tokens[ref] = token
        return status < 300


@dataclass
class Goal:
    """What to wait for. ``only``: top objects, with everything below them; none: everything there is.

    ``revision``: the sources must have offered this one, and what they offer has to be applied. ``handled``: requests
    that have to be answered first.
    """

    only: frozenset[Ref] = frozenset()
    revision: str = ""
    handled: Mapping[Ref, str] = field(default_factory=dict)
    offered: bool = field(default=False, init=False)

    def steps(self, tree: Tree) -> list[Step]:
        """Return the steps that count."""
        if not self.only:
            return list(tree.steps)
        below = {node.ref for top in tree.walk() if top.ref in self.only for node in top.walk()}
        return [step for step in tree.steps if step.ref in below]

    def missing(self, tree: Tree) -> list[str]:
        """Return those of ``only`` that are not there."""
        there = {step.ref for step in tree.steps}
        return sorted(str(ref) for ref in self.only - there)

    def see(self, tree: Tree, tokens: Mapping[Ref, str]) -> None:
        """Take in whether the sources have the wanted revision, or a newer one that came in between."""
        mine = [offer for offer in tree.offers if self.revision in offer.revision or _answered(offer, tokens)]
        self.offered = self.offered or not self.revision or bool(mine)

    def met(self, tree: Tree, done: Set[Ref]) -> bool:
        """Return True if all is ready, or ``done``: was, and is only looked at again; nothing at all is not ready."""
        there = bool(self.steps(tree)) and not self.missing(tree)
        return self.begun(tree) and there and done >= set(self.wanted(tree))

    def wanted(self, tree: Tree) -> list[Ref]:
        """Return what has to get ready: not what a person has suspended, unless it was asked for by name."""
        return [step.ref for step in self.steps(tree) if step.state != "suspended" or step.ref in self.only]

    def begun(self, tree: Tree) -> bool:
        """Return True if what is seen counts: the wanted revision was offered, and the requests are answered."""
        return self.offered and all(_reached(step.handled, self.handled.get(step.ref, "")) for step in tree.steps)

    def part(self, tree: Tree) -> Tree:
        """Return the part of a tree that this is about."""
        if not self.only:
            return tree
        steps = tuple(self.steps(tree))
        refs = {step.ref for step in steps}
        tops = tuple(node for node in tree.walk() if node.ref in self.only)
        return Tree(tops, steps, {ref: cause for ref, cause in tree.causes.items() if ref in refs}, tree.offers)


@dataclass
class Follow:
    """One following. Afterwards ``records`` has a story for each Kustomization and HelmRelease, failed or not."""

    informer: Informer
    read: Read
    goal: Goal
    view: View
    requests: Requests
    began: float = field(default_factory=time.monotonic)
    tree: Tree = field(default_factory=Tree, init=False)
    interrupted: bool = field(default=False, init=False)
    _done: set[Ref] = field(default_factory=set, init=False)
    _stories: dict[str, _Story] = field(default_factory=dict, init=False)
    _faults: dict[tuple[Ref, Ref, str], list[float]] = field(default_factory=dict, init=False)

    def run(self, seconds: float) -> tuple[StepRecord, ...]:
        """Return when the goal is met; raises NotReady (deepest cause first) and Interrupted."""
        end = time.monotonic() + seconds
        try:
            while not self.look():
                self._give_up()
                if time.monotonic() > end:
                    raise self._late(seconds)
        except (KeyboardInterrupt, Interrupted):
            self.interrupted = True
            raise Interrupted(
                "interrupted; what Flux has begun goes on in the cluster", hint=hints.task("gitops.status")
            ) from None
        return self.records()

    def look(self) -> bool:
        """Take in what is new, and return True if the goal is met; the sources are asked for the wanted commit."""
        listed = self.informer.listed()  # before the news: what a list has told is in them then
        self.informer.news(TICK)
        self.tree = self.read(self.informer.objects.values())
        for offer in self.tree.offers if self.goal.revision else ():
            if self.goal.revision not in offer.revision:
                self.requests.once(offer.ref)
        self.goal.see(self.tree, self.requests.tokens)
        now = time.monotonic() - self.began
        for step in self.goal.steps(self.tree):
            self._see(step, now)
        self.view.show(self.goal.part(self.tree), now)
        return listed and self.goal.met(self.tree, self._done)

    def _see(self, step: Step, now: float) -> None:
        """Take in how a step is.

        Flux looks again at what is ready, now and then, and calls it not ready meanwhile, and with it what depends on
        it: a step that was ready once stays done, until something is really wrong with it.
        """
        cause = self.tree.causes.get(step.ref)
        if step.state == "ready" and not cause and self.goal.begun(self.tree):
            self._done.add(step.ref)
        elif not (cause and cause.busy):
            self._done.discard(step.ref)
        ready = step.ref in self._done or (step.state == "ready" and not cause)
        self._stories.setdefault(step.name, _Story(now)).see(ready, now)

    def records(self) -> tuple[StepRecord, ...]:
        """Return what happened so far."""
        now = time.monotonic() - self.began
        return tuple(
            self._stories[step.name].record(step, self.tree.causes.get(step.ref), now, self.interrupted)
            for step in self.goal.steps(self.tree)
            if step.name in self._stories
        )

    def _give_up(self) -> None:
        """Raise NotReady for a fault that has stayed longer than it is worth waiting."""
        now = time.monotonic()
        wanted = set(self.goal.wanted(self.tree)) if self.goal.begun(self.tree) else set()
        for ref, cause in self.tree.causes.items():
            if ref not in wanted:
                continue
            first, last = self._faults.setdefault((ref, cause.ref, cause.message), [now, now])
            first = now if now - last > FORGOTTEN else first
            self._faults[ref, cause.ref, cause.message] = [first, now]
            if now - first > cause.patience:
                raise fault(ref, cause, self.tree)

    def _late(self, seconds: float) -> NotReady:
        wanted = {step.ref for step in self.goal.steps(self.tree)}
        causes = [(ref, cause) for ref, cause in self.tree.causes.items() if ref in wanted]
        if causes:
            return fault(*causes[0], self.tree, late=seconds)
        status = hints.task("gitops.status")
        if missing := self.goal.missing(self.tree):
            return NotReady(f"there is no {', '.join(missing)} after {limit(seconds)}", hint=status)
        if self.informer.silent:
            return NotReady(f"the API server gave no answer at the end of {limit(seconds)}", hint=status)
        what = f"no source has revision {self.goal.revision[:12]}" if not self.goal.offered else "nothing is there"
        return NotReady(f"{what} after {limit(seconds)}", hint=status)


def fault(ref: Ref, cause: Cause, tree: Tree, *, late: float = 0.0) -> NotReady:
    """Return the error for something that is not ready: deepest cause first, the way to it, then the other causes."""
    suffix = f" (after {duration(late)})" if late else ""
    way = " > ".join(str(one) for one in cause.chain)
    others = [one for at, one in tree.causes.items() if at != ref and one.ref != cause.ref]
    lines = [f"way: {way}"] if len(cause.chain) > 1 else []
    lines += list(dict.fromkeys(f"also: {one.ref}: {one.message}" for one in others))[:8]
    return NotReady(
        f"{cause.ref}: {cause.message}{suffix}",
        hint=cause.hint or hints.task("gitops.status"),
        details="\n".join(lines),
    )


def _reached(handled: str, asked: str) -> bool:
    """Return True if a request was answered; one that came after it has a later text of the same form."""
    return not asked or handled == asked or (handled.startswith(REQUEST) and handled > asked)


def _answered(offer: Any, tokens: Mapping[Ref, str]) -> bool:
    return bool(offer.revision) and offer.ref in tokens and offer.handled == tokens[offer.ref]


@dataclass
class _Story:
    """When a step began and when it was ready for the last time."""

    seen: float
    began: float | None = None
    ready: float | None = None

    def see(self, ready: bool, now: float) -> None:
        if ready:
            self.ready = self.ready if self.ready is not None else now
        else:
            self.began = self.began if self.began is not None else now
            self.ready = None

    def record(self, step: Step, cause: Cause | None, now: float, interrupted: bool) -> StepRecord:
        start = self.seen if self.began is None else self.began
        verdict: Verdict = "changed" if self.began is not None else "unchanged"
        end, detail = self.ready, ""
        if end is None:
            end, detail = now, f"{cause.ref}: {cause.message}" if cause else step.message
            verdict = "failed" if step.state == "failed" or (cause and cause.chain[:1] == (cause.ref,)) else "skipped"
            verdict = "interrupted" if interrupted else "skipped" if step.state == "suspended" else verdict
        return StepRecord(step.name, step.title, step.needs, verdict, start, end, 1, detail)
