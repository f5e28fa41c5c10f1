"""Looking at what Flux does, and a hand on it: the tree, waiting, asking again, stopping, explaining, logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints

if TYPE_CHECKING:
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.core.tree import Node, Ref, Tree
    from korthweb_tasks.flux.objects import Objects
    from korthweb_tasks.services.session import Session

#: the word for everything
ALL = "all"


@task(example="inv gitops.status --tenant BHC", changes=False)
def status(session: Session) -> None:
    """Show everything that Flux looks after as a tree; exit code 0 when all of it is ready, else 7."""
    from korthweb_tasks.errors import NotReady
    from korthweb_tasks.flux.text import as_data, as_text
    from korthweb_tasks.flux.tree import build

    session.contact()
    objects = _looked(session)
    tree = build(objects)
    tops = _tops(session, objects, tree)
    shown = {node.ref for top in tops for node in top.walk()}
    # what a person has suspended is shown, and is no fault
    causes = [one for ref, one in tree.causes.items() if ref in shown and (one.state, one.ref) != ("suspended", ref)]
    text = f"{as_text(tree, tops)}\n{_counted(tops)}".strip()
    session.show(text, data=[as_data(top, tree) for top in tops])
    if not tops:
        raise NotReady("Flux looks after nothing here", hint=hints.task("gitops.bootstrap"))
    if causes:
        raise NotReady(f"not ready: {causes[0].ref}: {causes[0].message}", hint=hints.task("gitops.explain", "all"))


@task(
    example="inv gitops.wait --only cert-manager,istio",
    changes=False,
    help={"only": "names of Kustomizations, separated by commas (default: all of them)"},
)
def wait(session: Session, only: str = "") -> None:
    """Wait until everything is ready, with the live tree; what Flux would poll for is asked for at once."""
    from korthweb_tasks.services.gitops.follow import followed

    session.contact()
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if session.tenant_flag:
        wanted += [ref.name for ref in _of_tenants(session, _looked(session))]
    _tell(session, followed(session, only=wanted, seconds=session.timeout))


@task(
    example="inv gitops.reconcile bhc-application",
    without=("tenant",),
    help={"name": "a Kustomization, a HelmRelease, a tenant, or all"},
    positional=("name",),
)
def reconcile(session: Session, name: str) -> None:
    """Let Flux fetch the source and apply it now, and follow that until it is ready."""
    from korthweb_tasks.run.guard import allow
    from korthweb_tasks.services.gitops.follow import reconciled

    session.contact()
    objects = _looked(session)
    refs = _meant(session, objects, name) if name != ALL else objects.of("Kustomization")
    refs = [ref for ref in refs if ref.kind in ("Kustomization", "HelmRelease") and not _suspended(objects, ref)]
    if session.dry_run:
        session.emit([str(ref) for ref in refs], "\n".join(f"would reconcile {ref}" for ref in refs))
        return
    allow(session.ref, yes=session.yes)
    _tell(session, reconciled(session, refs))


@task(
    example="inv gitops.suspend MHR",
    without=("tenant",),
    help={"names": "Kustomizations, HelmReleases, sources or tenants, separated by commas"},
    positional=("names",),
)
def suspend(session: Session, names: str) -> None:
    """Let Flux leave objects alone: changes in Git do not arrive, changes by hand stay; until gitops.resume."""
    _switch(session, names, suspended=True)


@task(
    example="inv gitops.resume MHR",
    without=("tenant",),
    help={"names": "Kustomizations, HelmReleases, sources or tenants, separated by commas"},
    positional=("names",),
)
def resume(session: Session, names: str) -> None:
    """Let Flux look after suspended objects again, at once."""
    _switch(session, names, suspended=False)


@task(
    example="inv gitops.explain bhc-application",
    without=("tenant",),
    changes=False,
    help={"name": "a Kustomization, HelmRelease, source, tenant, kind/name, or all"},
    positional=("name",),
)
def explain(session: Session, name: str) -> None:
    """Say why something is not ready: the deepest cause first, the way to it, and the command that shows more."""
    from dataclasses import replace

    from korthweb_tasks.errors import NotReady
    from korthweb_tasks.flux.cause import Causes, rank
    from korthweb_tasks.flux.text import NAMED, cause_data, distinct, explanation

    session.contact()
    objects = _looked(session)
    refs = _meant(session, objects, name) if name != ALL else objects.of(*NAMED)
    causes = Causes(objects)
    found = distinct(sorted((cause for ref in refs if (cause := causes.why(ref))), key=rank))
    found = [replace(one, chain=(*causes.above(one.chain[0]), *one.chain)) for one in found]
    if not found:
        if not refs:
            raise NotReady("Flux looks after nothing here", hint=hints.task("gitops.bootstrap"))
        session.show("everything is ready" if name == ALL else f"{name} is ready", data=[])
        return
    session.show("\n\n".join(explanation(cause) for cause in found), data=[cause_data(cause) for cause in found])
    hint = found[0].hint or hints.task("gitops.status")
    raise NotReady(f"{found[0].ref} is the deepest cause of what is not ready", hint=hint)


@task(
    example="inv gitops.logs --controller kustomize --follow",
    without=("tenant",),
    changes=False,
    help={
        "controller": "source, kustomize or helm (default: all of them)",
        "follow": "go on until Ctrl-C",
        "lines": "how many of the last lines of each controller",
    },
)
def logs(session: Session, controller: str = "", follow: bool = False, lines: int = 100) -> None:
    """Show what Flux's controllers say: time (UTC), level, object, message."""
    from korthweb_tasks.services.gitops.log import recent, streamed
    from korthweb_tasks.settings.words import unknown
    from korthweb_tasks.tools.flux import CONTROLLERS

    if controller and controller not in CONTROLLERS:
        raise unknown("controller", controller, CONTROLLERS, "--controller takes")
    session.contact()
    chosen = [CONTROLLERS[controller]] if controller else list(CONTROLLERS.values())
    if follow:
        streamed(session, chosen, lines)
        return
    told = recent(session, chosen, lines)
    session.emit([line.as_data() for line in told], "\n".join(map(str, told)))


def _switch(session: Session, names: str, *, suspended: bool) -> None:
    from korthweb_tasks.run.guard import allow
    from korthweb_tasks.tools.flux import Flux

    session.contact()
    objects = _looked(session)
    words = [name.strip() for name in names.split(",") if name.strip()]
    refs = [ref for word in words for ref in _meant(session, objects, word)]
    flux, verb = Flux(session.target), "suspend" if suspended else "resume"
    todo = [ref for ref in refs if _suspended(objects, ref) != suspended]
    if not session.dry_run:
        allow(session.ref, yes=session.yes)
        for ref in todo:
            session.runner.run(flux.suspended(ref, suspended))
    past = f"would {verb}" if session.dry_run else f"{verb.rstrip('e')}ed"
    lines = [f"{past} {ref}" if ref in todo else f"{ref} is so already" for ref in refs]
    session.emit([{"object": str(ref), "changed": ref in todo} for ref in refs], "\n".join(lines))


def _suspended(objects: Objects, ref: Ref) -> bool:
    return bool((objects.get(ref) or {}).get("spec", {}).get("suspend"))


def _looked(session: Session) -> Objects:
    from korthweb_tasks.services.gitops.follow import looked

    return looked(session)


def _meant(session: Session, objects: Objects, word: str) -> list[Ref]:
    """Return the objects that a word means; raises UsageError for one that means nothing."""
    from korthweb_tasks.flux.text import meant, names
    from korthweb_tasks.settings.words import unknown

    found = meant(objects, word, [tenant.name for tenant in session.settings.tenants])
    if not found:
        known = names(objects)
        raise unknown("object of Flux'", word, known or ["nothing: Flux is not here"])
    return found


def _of_tenants(session: Session, objects: Objects) -> list[Ref]:
    from korthweb_tasks.flux.text import of_tenant

    return [ref for tenant in session.tenants for ref in of_tenant(objects, tenant.name)]


def _tops(session: Session, objects: Objects, tree: Tree) -> list[Node]:
    """Return where to begin: everything, or with --tenant that tenant's Kustomizations."""
    if not session.tenant_flag:
        return list(tree.roots)
    mine = _of_tenants(session, objects)
    return [node for node in tree.walk() if node.ref in mine]


def _counted(tops: Iterable[Node]) -> str:
    """Return how many Kustomizations and HelmReleases are in which state."""
    layers = [node for top in tops for node in top.walk() if node.ref.kind in ("Kustomization", "HelmRelease")]
    words = ("ready", "waiting", "blocked", "failed", "suspended")
    counts = [f"{n} {word}" for word in words if (n := sum(node.state == word for node in layers))]
    return f"{len(layers)} Kustomizations and HelmReleases: {', '.join(counts) or 'none'}"


def _tell(session: Session, records: tuple[StepRecord, ...]) -> None:
    from korthweb_tasks.services.session import summary

    data: list[Any] = [{"step": r.name, "verdict": r.verdict, "seconds": round(r.seconds, 1)} for r in records]
    session.emit(data, summary(records))
