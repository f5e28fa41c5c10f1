"""What the tasks of the GitOps approach do in a row: show what changes, ask, push, let Flux follow, wait."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.fleet import encrypted_path
from korthweb_tasks.approaches.gitops.plan import databases, restart, sleeping
from korthweb_tasks.core import hints
from korthweb_tasks.errors import UsageError
from korthweb_tasks.report.json import as_data
from korthweb_tasks.report.model import Report
from korthweb_tasks.services import beforehand, simulated
from korthweb_tasks.services.execution import summary
from korthweb_tasks.services.gitops.fleet import Work, work
from korthweb_tasks.services.gitops.flux import bootstrap_of, repository_there, require_flux, with_flux
from korthweb_tasks.services.gitops.follow import followed, nudging
from korthweb_tasks.services.gitops.push import ask, asked, preview, print_changes, print_request, push
from korthweb_tasks.services.gitops.repository import chosen, tenants_of
from korthweb_tasks.services.shared import sound_settings, tell_following
from korthweb_tasks.tools.flux import Flux

if TYPE_CHECKING:
    from collections.abc import Iterable

    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant


def bootstrap(session: Session, *, onto: str = "") -> None:
    """Bring the settings to Git, Flux to the cluster, and wait until every layer is ready."""
    refuse_beforehand(session)
    if not session.settings.uses("flux"):
        simulated.refuse(session, "gitops")
    branch_name(session, onto)
    repository_there(session)
    with work(session, onto=onto, bring=not session.dry_run, change=not session.dry_run) as made:
        with_flux(session, made)
        plan = bootstrap_of(session, made).plan(tenants_of(session), asleep(session))
        told = print_changes(session, made.changes, made.checkout.target)
        if session.dry_run:
            preview(session, plan, told)
            return
        ask(session, made)
        if made.in_git and not onto:  # before a Flux that is at work makes them: what korthweb made is recorded
            asked(session).execute(plan.only("Make the namespaces", namespace_steps(plan)))
        push(session, made)
    if onto:
        print_request(session, made, f"`{hints.task('gitops.bootstrap')}`")
        return

    with nullcontext() if made.in_git else nudging(session):
        report = asked(session).execute(plan)
    newest = made.checkout.heads().get(session.settings.gitops.branch, made.revision)
    finish(session, report.steps, newest, layers(made), sealed_anew(made))


def deploy(session: Session, *, onto: str = "") -> None:
    """Bring a change of the settings to Git, and follow it into the cluster; for a cluster that Flux looks after."""
    refuse_beforehand(session)
    branch_name(session, onto)
    with work(session, onto=onto, change=not session.dry_run) as made:
        require_flux(session, made)
        plan = bootstrap_of(session, made).configured(tenants_of(session))
        told = print_changes(session, made.changes, made.checkout.target)
        if session.dry_run:
            preview(session, plan, told)
            return
        ask(session, made)
        # a new tenant's passwords are there before Flux looks for them
        records = () if onto else asked(session).execute(plan).steps
        push(session, made)
    if onto:
        then = f"`{hints.task('gitops.configure')}`, and `{hints.task('gitops.wait')}` follows it"
        print_request(session, made, then)
        return
    fetch(session)
    only = layers(made, chosen(session) if session.tenant_flag else None)
    finish(session, records, made.revision, only, sealed_anew(made))


def namespace_steps(plan: Plan) -> list[str]:
    """Return the steps that make namespaces."""
    return [step.name for step in plan.steps if step.kind in ("system", "homes", "namespace")]


def branch_name(session: Session, onto: str) -> None:
    """Raise UsageError for a name that no branch can have, or that is the one which Flux follows."""
    if onto and (onto == session.settings.gitops.branch or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./-]*", onto)):
        text = f"--pull-request-branch {onto} can't be a branch beside {session.settings.gitops.branch}"
        raise UsageError(text, hint="--pull-request-branch korthweb/more-room")


def asleep(session: Session) -> list[Tenant]:
    """Return the tenants whose databases were put to sleep by an earlier removal."""
    found = sleeping(session.runner.run(databases(session.kubectl)))
    return [tenant for tenant in tenants_of(session) if tenant.namespace in found]


def configure(session: Session) -> None:
    """Make what is not in Git."""
    refuse_beforehand(session)
    with work(session, bring=not session.dry_run, change=not session.dry_run) as made:
        plan = bootstrap_of(session, made).configured(chosen(session))
    session.execute(plan)


def layers(made: Work, tenants: Iterable[Tenant] | None = None) -> list[str]:
    """Return the Kustomizations of these tenants; without any, all that there have to be, so that none is missed."""
    if tenants is None:
        return [made.fleet.settings.flux.name, *(layer.name for layer in made.fleet.layers())]
    names = {tenant.name for tenant in tenants}
    return [layer.name for layer in made.fleet.layers() if layer.tenant in names]


def fetch(session: Session) -> None:
    """Let Flux look at the repository now."""
    session.runner.run(Flux(session.target).requested(session.settings.flux.source, str(time.time())))


def sealed_anew(made: Work) -> list[Tenant]:
    """Return the tenants whose passwords in Git are others than before."""
    fleet, marks = made.fleet, made.changes.files
    return [tenant for tenant in fleet.tenants if marks.get(encrypted_path(fleet.cluster, tenant)) == "M"]


def finish(
    session: Session,
    records: Iterable[StepRecord],
    revision: str,
    only: Iterable[str],
    again: Iterable[Tenant] = (),
) -> None:
    """Follow until all is ready, tell what happened, and what is next to type.

    The pods of the tenants ``again`` are started again, once Flux has applied the passwords that they are to know.
    """
    done = tuple(records)
    told: list[StepRecord] = []
    before = max((record.end for record in done), default=0.0)
    try:
        followed(session, only=only, revision=revision, told=told)
        for tenant in again:
            session.runner.run(restart(session.kubectl, tenant))
            followed(
                session, only=[f"{tenant.name.lower()}-application"], title=f"{tenant.name} with its new passwords"
            )
    finally:
        later = (replace(one, start=one.start + before, end=one.end + before) for one in told)
        every = (*done, *later)
        report = Report.of("GitOps", every, **session.about)
        if session.output == "json":  # of a failure too
            session.emit({**as_data(report), "commit": revision}, "")
    session.console.line(f"{summary(every)}, commit {revision[:8]}")

    tell_following(session, "gitops")


def refuse_beforehand(session: Session) -> None:
    """Refuse what can't become good, before anything changes."""
    sound_settings(session, "gitops")
    session.contact()
    beforehand.refuse(session, "gitops", tenants_of(session))
