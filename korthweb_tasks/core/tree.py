"""A tree of things that shall get ready, as plain data: what each is, how it is, and why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: ready; waiting: something is on its way; failed: it did not work, or stopped trying; suspended: by a person;
#: blocked: something that it depends on is not ready
State = Literal["ready", "waiting", "failed", "suspended", "blocked"]
Object = Mapping[str, Any]
#: kinds that have their own line in a tree, ready or not
LAYERS = ("Kustomization", "HelmRelease")


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The name of one object in a cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return ``Kind namespace/name``."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of objects to look at: where the API server has its collection, and which of them (field selector)."""

    kind: str
    path: str
    fields: str = ""

    def object_path(self, ref: Ref) -> str:
        """Return the path of one object of this kind."""
        base, _, plural = self.path.rpartition("/")
        place = f"/namespaces/{ref.namespace}" if ref.namespace else ""
        return f"{base}{place}/{plural}/{ref.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """One object and what is below it."""

    ref: Ref
    state: State
    message: str = ""
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Return this node and everything below it, top first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def ready(self) -> bool:
        """Return True if it is ready, and all that is below it."""
        return all(node.state == "ready" for node in self.walk())


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is not ready: the deepest object that explains it, reached over ``chain`` from the top.

    ``hint`` is the command that shows more. ``patience``: seconds after which waiting is no use any more; what can
    heal by itself has no such limit. ``busy``: its controller is at work on it, and no more is known.
    """

    ref: Ref
    state: State
    message: str
    hint: str = ""
    patience: float = math.inf
    busy: bool = False
    chain: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One object that is followed, as the report shows it.

    ``needs`` are names of other steps; ``handled`` is the last request to look again that was answered.
    """

    ref: Ref
    name: str
    title: str
    state: State
    message: str = ""
    needs: tuple[str, ...] = ()
    handled: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a Git source offers: the revision of its artifact, and the last request that it has answered."""

    ref: Ref
    revision: str
    handled: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything at one moment. ``causes`` has the deepest cause of each object that is not ready, worst first."""

    roots: tuple[Node, ...] = ()
    steps: tuple[Step, ...] = ()
    causes: Mapping[Ref, Cause] = field(default_factory=dict)
    offers: tuple[Offer, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Return every node, top first."""
        for root in self.roots:
            yield from root.walk()


def lines_of(tree: Tree, tops: Iterable[Node] | None = None, *, whole: bool = False) -> Iterator[Line]:
    """Return the tree (or what is below ``tops``) line by line; what is below a ready object only with ``whole``."""
    for root in tree.roots if tops is None else tops:
        yield from _lines_of(root, tree, 0, whole)


#: (indent, state, what it is, why it is so)
Line = tuple[int, State, str, str]


def _lines_of(node: Node, tree: Tree, indent: int, whole: bool) -> Iterator[Line]:
    why, cause = node.message, tree.causes.get(node.ref)
    if cause and cause.ref != node.ref:
        why = f"{cause.ref}: {cause.message}"
    state: State = "waiting" if node.state == "ready" and cause else node.state
    yield indent, state, str(node.ref), why
    for child in node.children:
        if whole or child.ref.kind in LAYERS or not child.ready:
            yield from _lines_of(child, tree, indent + 1, whole)
