"""What the tasks of the GitOps approach do in a row: show what changes, ask, push, let Flux follow, wait."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.plan import databases, restart, sleeping
from korthweb_tasks.core import hints
from korthweb_tasks.errors import UsageError
from korthweb_tasks.report.json import as_data
from korthweb_tasks.report.model import Report
from korthweb_tasks.services import beforehand, simulated
from korthweb_tasks.services.execution import summary
from korthweb_tasks.services.gitops.fleet import open_draft
from korthweb_tasks.services.gitops.flux import bootstrap_of, ensure_repository, require_flux, with_flux
from korthweb_tasks.services.gitops.follow import followed
from korthweb_tasks.services.gitops.push import ask, confirmed, preview, print_changes, print_request, push
from korthweb_tasks.services.gitops.repository import chosen, tenants_of
from korthweb_tasks.services.shared import sound_settings, tell_following
from korthweb_tasks.tools.flux import Flux

if TYPE_CHECKING:
    from collections.abc import Iterable

    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant


def bootstrap(session: Session, *, onto: str = "") -> None:
    """Bring the settings to Git, Flux to the cluster, and wait until every layer is ready."""
    refuse_beforehand(session)
    if not session.settings.uses("flux"):
        simulated.refuse(session, "gitops")
    refuse_branch(onto, session.settings.gitops.branch)
    ensure_repository(session)
    with open_draft(session, onto=onto, bring=not session.dry_run, change=not session.dry_run) as draft:
        with_flux(session.runner, session.kubectl, draft)
        sleepers = sleeping(session.runner.run(databases(session.kubectl)))
        tenants = draft.fleet.tenants
        plan = bootstrap_of(session, draft).plan(tenants, [one for one in tenants if one.namespace in sleepers])
        changes = print_changes(session.console, draft)
        if session.dry_run:
            preview(session, plan, changes)
            return
        ask(session, draft)
        if draft.in_git and not onto:  # before a Flux that is at work makes them: what korthweb made is recorded
            namespaces = [step.name for step in plan.steps if step.kind in ("system", "homes", "namespace")]
            confirmed(session).execute(plan.only("Make the namespaces", namespaces))
        push(session.console, draft)
    if onto:
        print_request(session, draft, f"`{hints.task('gitops.bootstrap')}`")
        return

    report = confirmed(session).execute(plan)
    newest = draft.checkout.heads().get(session.settings.gitops.branch, draft.revision)
    finish(session, report.steps, newest, draft.layers(), draft.newly_encrypted())


def deploy(session: Session, *, onto: str = "") -> None:
    """Bring a change of the settings to Git, and follow it into the cluster; for a cluster that Flux looks after."""
    refuse_beforehand(session)
    refuse_branch(onto, session.settings.gitops.branch)
    with open_draft(session, onto=onto, change=not session.dry_run) as draft:
        require_flux(session.runner, session.kubectl, draft, session.ref.name)
        plan = bootstrap_of(session, draft).configured(draft.fleet.tenants)
        changes = print_changes(session.console, draft)
        if session.dry_run:
            preview(session, plan, changes)
            return
        ask(session, draft)
        # a new tenant's passwords are there before Flux looks for them
        records = () if onto else confirmed(session).execute(plan).steps
        push(session.console, draft)
    if onto:
        then = f"`{hints.task('gitops.configure')}`, and `{hints.task('gitops.wait')}` follows it"
        print_request(session, draft, then)
        return
    fetch(session)
    only = draft.layers(chosen(session) if session.tenant_flag else None)
    finish(session, records, draft.revision, only, draft.newly_encrypted())


def refuse_branch(onto: str, followed: str) -> None:
    """Raise UsageError for a name that no branch can have, or that is the one which Flux follows."""
    if onto and (onto == followed or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./-]*", onto)):
        text = f"--pull-request-branch {onto} can't be a branch beside {followed}"
        raise UsageError(text, hint="--pull-request-branch korthweb/more-room")


def configure(session: Session) -> None:
    """Make what is not in Git."""
    refuse_beforehand(session)
    with open_draft(session, bring=not session.dry_run, change=not session.dry_run) as draft:
        plan = bootstrap_of(session, draft).configured(chosen(session))
    session.execute(plan)


def fetch(session: Session) -> None:
    """Let Flux look at the repository now."""
    session.runner.run(Flux(session.target).requested(session.settings.flux.source, str(time.time())))


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
    of_flux: list[StepRecord] = []
    before = max((record.end for record in done), default=0.0)
    try:
        followed(session, only=only, revision=revision, into=of_flux)
        for tenant in again:
            session.runner.run(restart(session.kubectl, tenant))
            followed(
                session, only=[f"{tenant.name.lower()}-application"], title=f"{tenant.name} with its new passwords"
            )
    finally:
        later = (replace(record, start=record.start + before, end=record.end + before) for record in of_flux)
        every = (*done, *later)
        report = Report.of("GitOps", every, **session.about)
        if session.output == "json":  # of a failure too
            session.emit({**as_data(report), "commit": revision}, "")
    session.console.line(f"{summary(every)}, commit {revision[:8]}")
    tell_following(session, "gitops")


def refuse_beforehand(session: Session) -> None:
    """Refuse what can't become good, before anything changes."""
    sound_settings(session.loaded, "gitops")
    session.contact()
    beforehand.refuse(session, "gitops", tenants_of(session.ref, session.settings))
