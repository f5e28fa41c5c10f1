"""The tree source → Kustomization → HelmRelease or workload → pods, with the state of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from korthweb_tasks.core.tree import Node, Object, Offer, Ref, Step, Tree
from korthweb_tasks.flux.cause import Causes, rank
from korthweb_tasks.flux.objects import SOURCES, Objects, dependencies, ref_of, revision, source, status

FOLLOWED = ("Kustomization", "HelmRelease")


def build(objects: Iterable[Object] | Objects) -> Tree:
    """Return the tree of everything that Flux looks after.

    A Kustomization stands below the one that applied it, else below its source; a source below who applied it.
    """
    world = objects if isinstance(objects, Objects) else Objects(objects)
    causes = Causes(world)
    builder = _Builder(world, causes)
    roots = tuple(builder.node(ref) for ref in builder.roots())
    found = {ref: cause for ref in world.of(*FOLLOWED, *SOURCES) if (cause := causes.why(ref))}
    ordered = dict(sorted(found.items(), key=lambda entry: (rank(entry[1]), entry[0])))
    return Tree(roots, tuple(_steps(world, causes)), ordered, tuple(_offers(world)))


class _Builder:
    def __init__(self, world: Objects, causes: Causes) -> None:
        self.world, self.causes = world, causes
        owned = ((below, world.owner(below)) for owner in world.of(*FOLLOWED) for below in world.below(owner))
        self.parent = {below: owner for below, owner in owned if owner and world.get(owner)}
        self.placed: set[Ref] = set()

    def roots(self) -> list[Ref]:
        """Return the sources and Kustomizations that nobody else has applied; sources first."""
        everybody = [*self.world.of("GitRepository", "OCIRepository"), *self.world.of("Kustomization")]
        free = [ref for ref in everybody if ref not in self.parent]
        origins = {origin for ref in free if (origin := self._origin(ref))}
        return [
            *(ref for ref in free if ref.kind in SOURCES and ref in origins),
            *(ref for ref in free if ref.kind in SOURCES and ref not in origins),
            *(ref for ref in free if ref.kind not in SOURCES and self._origin(ref) not in free),
            *(ref for ref in self.world.of("HelmRelease") if ref not in self.parent),
        ]

    def node(self, ref: Ref) -> Node:
        """Return an object with what is below it."""
        self.placed.add(ref)
        seen = self.causes.seen(ref)
        children = [*self._from(ref), *(below for below in self.world.below(ref) if self.parent.get(below) == ref)]
        nodes = tuple(self.node(child) for child in children if child not in self.placed)
        if seen.state != "ready" and not nodes and ref.kind not in (*SOURCES, *FOLLOWED):
            nodes = tuple(self._pod(ref_of(pod)) for pod in self.world.pods(ref))
        return Node(ref, seen.state, seen.message, nodes)

    def _origin(self, ref: Ref) -> Ref | None:
        obj = self.world.get(ref)
        return source(obj) if obj and ref.kind == "Kustomization" else None

    def _from(self, ref: Ref) -> list[Ref]:
        """Return the Kustomizations that nobody has applied and that take their files from this source."""
        if ref.kind not in SOURCES:
            return []
        free = (one for one in self.world.of("Kustomization") if one not in self.parent)
        return [one for one in free if self._origin(one) == ref]

    def _pod(self, ref: Ref) -> Node:
        seen = self.causes.seen(ref)
        return Node(ref, seen.state, seen.message)


def _steps(world: Objects, causes: Causes) -> Iterable[Step]:
    """Return what is followed: every Kustomization and HelmRelease, what comes first first."""
    refs = world.of(*FOLLOWED)
    for ref in sorted(refs, key=lambda ref: (world.depth(ref), refs.index(ref))):
        obj, seen = world.get(ref), causes.seen(ref)
        needs = tuple(step_name(one) for one in dependencies(obj) if one in refs) if obj else ()
        handled = str(status(obj).get("lastHandledReconcileAt", "")) if obj else ""
        yield Step(ref, step_name(ref), f"{ref.kind} {ref.name}", seen.state, seen.message, needs, handled)


def _offers(world: Objects) -> Iterable[Offer]:
    for ref in world.of("GitRepository"):
        if obj := world.get(ref):
            yield Offer(ref, revision(obj), str(status(obj).get("lastHandledReconcileAt", "")))


def step_name(ref: Ref) -> str:
    """Return the name under which an object stands in a report."""
    return f"{ref.kind.lower()}:{ref.namespace}/{ref.name}"
