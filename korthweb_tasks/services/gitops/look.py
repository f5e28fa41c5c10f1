"""Looking at what Flux does, and a hand on it: the tree, waiting, reconciling, suspending, explaining."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import NotReady
from korthweb_tasks.flux.cause import Causes, rank
from korthweb_tasks.flux.format import (
    NAMED,
    as_data,
    as_text,
    cause_data,
    distinct,
    explanation,
    meant,
    names,
    of_tenant,
)
from korthweb_tasks.flux.tree import build
from korthweb_tasks.run.guard import allow
from korthweb_tasks.services.execution import summary
from korthweb_tasks.services.gitops.follow import followed, looked, reconciled
from korthweb_tasks.tools.flux import Flux

if TYPE_CHECKING:
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.core.tree import Node, Ref, Tree
    from korthweb_tasks.flux.objects import Objects
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant

#: the word for everything
ALL = "all"


def status(session: Session) -> None:
    """Print the tree; raises NotReady where something in it is not ready."""
    session.contact()
    objects = looked(session)
    tree = build(objects)
    tops = _of_tenants(objects, tree, session.tenants) if session.tenant_flag else list(tree.roots)
    shown = {node.ref for top in tops for node in top.walk()}
    # what a person has suspended is shown, and is no fault
    causes = [
        cause for ref, cause in tree.causes.items() if ref in shown and (cause.state, cause.ref) != ("suspended", ref)
    ]
    session.show(f"{as_text(tree, tops)}\n{_counts(tops)}".strip(), data=[as_data(top, tree) for top in tops])
    if not tops:
        raise _nothing_there()
    if causes:
        raise NotReady(f"not ready: {causes[0].ref}: {causes[0].message}", hint=hints.task("gitops.explain", ALL))


def wait(session: Session, only: str) -> None:
    """Wait until the Kustomizations ``only`` and those of the chosen tenants are ready (none: all of them)."""
    session.contact()
    wanted = _words(only)
    if session.tenant_flag:
        objects = looked(session)
        wanted += [ref.name for tenant in session.tenants for ref in of_tenant(objects, tenant.name)]
    _print_records(session, followed(session, only=wanted, seconds=session.timeout))


def reconcile(session: Session, name: str) -> None:
    """Let Flux fetch and apply what ``name`` means, and follow that until it is ready."""
    session.contact()
    objects = looked(session)
    refs = objects.of("Kustomization") if name == ALL else _named(objects, name, session.settings.tenant_names)
    refs = [ref for ref in refs if ref.kind in ("Kustomization", "HelmRelease") and not objects.suspended(ref)]
    if session.dry_run:
        session.emit([str(ref) for ref in refs], "\n".join(f"would reconcile {ref}" for ref in refs))
        return
    allow(session.ref, yes=session.yes)
    _print_records(session, reconciled(session, refs))


def switch(session: Session, names: str, *, suspended: bool) -> None:
    """Suspend or resume what ``names`` mean; what is so already stays."""
    session.contact()
    objects = looked(session)
    refs = [ref for word in _words(names) for ref in _named(objects, word, session.settings.tenant_names)]
    verb = "suspend" if suspended else "resume"
    changing = [ref for ref in refs if objects.suspended(ref) != suspended]
    if not session.dry_run:
        allow(session.ref, yes=session.yes)
        for ref in changing:
            session.runner.run(Flux(session.target).suspended(ref, suspended))
    past = f"would {verb}" if session.dry_run else f"{verb.rstrip('e')}ed"
    lines = [f"{past} {ref}" if ref in changing else f"{ref} is so already" for ref in refs]
    session.emit([{"object": str(ref), "changed": ref in changing} for ref in refs], "\n".join(lines))


def explain(session: Session, name: str) -> None:
    """Print the deepest causes of what is not ready; raises NotReady where there is one."""
    session.contact()
    objects = looked(session)
    refs = objects.of(*NAMED) if name == ALL else _named(objects, name, session.settings.tenant_names)
    finder = Causes(objects)
    causes = distinct(sorted((cause for ref in refs if (cause := finder.why(ref))), key=rank))
    causes = [replace(cause, chain=(*finder.above(cause.chain[0]), *cause.chain)) for cause in causes]
    if not refs:
        raise _nothing_there()
    if not causes:
        session.show("everything is ready" if name == ALL else f"{name} is ready", data=[])
        return
    session.show("\n\n".join(map(explanation, causes)), data=[cause_data(cause) for cause in causes])
    hint = causes[0].hint or hints.task("gitops.status")
    raise NotReady(f"{causes[0].ref} is the deepest cause of what is not ready", hint=hint)


def _named(objects: Objects, word: str, tenants: Iterable[str]) -> list[Ref]:
    """Return the objects that a word means; raises UsageError for one that means nothing."""
    if refs := meant(objects, word, tenants):
        return refs
    raise unknown("object of Flux", word, names(objects) or ["nothing: Flux is not here"])


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _of_tenants(objects: Objects, tree: Tree, tenants: Iterable[Tenant]) -> list[Node]:
    """Return the nodes of these tenants' Kustomizations."""
    refs = {ref for tenant in tenants for ref in of_tenant(objects, tenant.name)}
    return [node for node in tree.walk() if node.ref in refs]


def _counts(tops: Iterable[Node]) -> str:
    """Return how many Kustomizations and HelmReleases are in which state."""
    layers = [node for top in tops for node in top.walk() if node.ref.kind in ("Kustomization", "HelmRelease")]
    states = ("ready", "waiting", "blocked", "failed", "suspended")
    counts = [f"{n} {state}" for state in states if (n := sum(node.state == state for node in layers))]
    return f"{len(layers)} Kustomizations and HelmReleases: {', '.join(counts) or 'none'}"


def _nothing_there() -> NotReady:
    return NotReady("Flux looks after nothing here", hint=hints.task("gitops.bootstrap"))


def _print_records(session: Session, records: tuple[StepRecord, ...]) -> None:
    data: list[Any] = [{"step": r.name, "verdict": r.verdict, "seconds": round(r.seconds, 1)} for r in records]
    session.emit(data, summary(records))
