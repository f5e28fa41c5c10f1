"""What the tasks of the GitOps approach do in a row: show what changes, ask, push, let Flux follow, wait."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.errors_out import as_typed
from korthweb_tasks.collections.gitops_fleet import Work, chosen, tenants_of, work
from korthweb_tasks.collections.gitops_push import ask, asked, preview, push, tell_changes, tell_request
from korthweb_tasks.errors import GuardRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from korthweb_tasks.approaches.gitops import Bootstrap
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.tools.git import Remote


def bootstrapped(session: Session, *, onto: str = "") -> None:
    """Bring the settings to Git, Flux to the cluster, and wait until every layer is ready."""
    beforehand(session)
    with work(session, onto=onto, bring=not session.dry_run, change=not session.dry_run) as made:
        with_flux(session, made)
        plan = bootstrap_of(session, made).plan(tenants_of(session))
        told = tell_changes(session, made.changes, made.checkout.target)
        if session.dry_run:
            preview(session, plan, told)
            return
        ask(session, made)
        push(session, made)
    if onto:
        tell_request(session, made, "inv gitops.bootstrap")
        return
    from korthweb_tasks.collections.gitops_follow import nudging

    with nullcontext() if made.in_git else nudging(session):
        report = asked(session).execute(plan)
    newest = made.checkout.heads().get(session.settings.gitops.branch, made.revision)
    finish(session, report.steps, newest, layers(made))


def deployed(session: Session, *, onto: str = "") -> None:
    """Bring a change of the settings to Git, and follow it into the cluster; for a cluster that Flux looks after."""
    beforehand(session)
    with work(session, onto=onto, change=not session.dry_run) as made:
        require_flux(session, made)
        plan = bootstrap_of(session, made).configured(tenants_of(session))
        told = tell_changes(session, made.changes, made.checkout.target)
        if session.dry_run:
            preview(session, plan, told)
            return
        ask(session, made)
        # a new tenant's passwords are there before Flux looks for them
        records = () if onto else asked(session).execute(plan).steps
        push(session, made)
    if onto:
        tell_request(session, made, "inv gitops.configure, and inv gitops.wait follows it")
        return
    fetch(session)
    finish(session, records, made.revision, layers(made, chosen(session) if session.tenant_flag else None))


def configured(session: Session) -> None:
    """Make what is not in Git."""
    beforehand(session)
    with work(session, bring=not session.dry_run, change=not session.dry_run) as made:
        plan = bootstrap_of(session, made).configured(chosen(session))
    session.execute(plan)


def bootstrap_of(session: Session, made: Work) -> Bootstrap:
    """Return the builder of steps for what the checkout holds now."""
    from korthweb_tasks.approaches.gitops import Bootstrap, repository
    from korthweb_tasks.settings.fields import plain_name

    where, given = made.checkout.remote, session.settings.gitops
    login = login_of(where)
    pointed = repository(given, plain_name(made.fleet.cluster), url=where.url, login=login, ca_file=where.ca_file)
    images = session.settings.images
    return Bootstrap(
        target=session.target,
        secrets=session.secrets,
        repository=replace(pointed, private_key=where.private_key),
        namespaces=namespaces(made),
        hub=images.mirrored(images.flux_hub),
        version=flux_version(session),
        in_git=made.in_git,
        registry_ca=made.sources.registry_ca,
        age_key=made.sealed.key if made.sealed else "",
        users=made.sealed.users if made.sealed else {},
        login=held_by_flux(where, given.provider),
    )


def login_of(where: Remote) -> dict[str, str]:
    """Return user and password for flux, where there is a password."""
    return {"username": where.username, "password": where.password} if where.password else {}


def held_by_flux(where: Remote, provider: str) -> dict[str, str]:
    """Return what Flux' own Secret has to hold; a deploy key that flux made by an API is its own affair."""
    from pathlib import Path

    if where.private_key:
        return {"identity": Path(where.private_key).read_text(encoding="utf-8")}
    if where.ssh or not where.password:
        return {}
    user = where.username if provider == "git" else "git"
    authority = {"ca.crt": Path(where.ca_file).read_text(encoding="utf-8")} if where.ca_file else {}
    return {"username": user, "password": where.password, **authority}


def namespaces(made: Work) -> Mapping[str, Mapping[str, Any]]:
    """Return each tenant's Namespace as Git has it."""
    from korthweb_tasks.approaches.fleet import slug
    from korthweb_tasks.core.render import parse

    files, _ = made.render(())
    found = {}
    for tenant in made.fleet.tenants:
        text = files[f"tenants/{slug(tenant)}/dependency/namespace.yaml"]
        found[tenant.name] = next(obj for obj in parse(text) if obj["kind"] == "Namespace")
    return found


def flux_version(session: Session) -> str:
    """Return the version of the flux that is used here: it installs itself."""
    from korthweb_tasks.provision.tools import locate

    source, keep = session.settings.tools.source, session.settings.lab.keep_build_caches
    stop, tell = session.runner.stopping, session.console.progress
    return locate("flux", source=source, progress=tell, stop=stop, keep_caches=keep).version


def with_flux(session: Session, made: Work) -> None:
    """Add Flux' own folder where neither Git nor the cluster has it: flux fills it, and keeps to our patches.

    Where the cluster follows Git already, empty files would take Flux itself away: they are never written then.
    """
    from korthweb_tasks.approaches.gitops import PATCHED, followed_at
    from korthweb_tasks.tools.kubectl import items

    home = f"clusters/{made.fleet.cluster}/flux-system"
    there = session.runner.run(followed_at(session.kubectl))
    if made.in_git or (there.code == 0 and items(there)):
        return
    render, empty = made.render, {f"{home}/gotk-components.yaml": "", f"{home}/gotk-sync.yaml": ""}

    def more(existing: Iterable[str]) -> tuple[Mapping[str, str], Iterable[str]]:
        known = list(existing)
        files, stale = render(known)
        own = {**empty, f"{home}/kustomization.yaml": PATCHED}
        return {**{path: text for path, text in own.items() if path not in known}, **files}, stale

    made.render, made.changes = more, made.checkout.put(more)


def require_flux(session: Session, made: Work) -> None:
    """Raise UsageError where Flux does not follow this folder of the repository in the cluster."""
    from korthweb_tasks.approaches.gitops import followed_at
    from korthweb_tasks.tools.kubectl import items

    result = session.runner.run(followed_at(session.kubectl))
    found = {obj["kind"]: obj["spec"] for obj in items(result)} if result.code == 0 else {}
    hint = "inv gitops.bootstrap installs Flux and points it at the repository"
    if set(found) != {"GitRepository", "Kustomization"}:
        raise UsageError(f"Flux does not look after {session.ref.name} yet", hint=hint)
    path = str(found["Kustomization"]["path"]).removeprefix("./").rstrip("/")
    if path != f"clusters/{made.fleet.cluster}":
        raise UsageError(f"Flux follows {path} in {session.ref.name}, not clusters/{made.fleet.cluster}", hint=hint)


def layers(made: Work, tenants: Iterable[Tenant] | None = None) -> list[str]:
    """Return the Kustomizations of these tenants; without any, all that there have to be, so that none is missed."""
    if tenants is None:
        return ["flux-system", *(layer.name for layer in made.fleet.layers())]
    names = {tenant.name for tenant in tenants}
    return [layer.name for layer in made.fleet.layers() if layer.tenant in names]


def fetch(session: Session) -> None:
    """Let Flux look at the repository now."""
    from korthweb_tasks.core.tree import Ref
    from korthweb_tasks.tools.flux import SYSTEM, Flux

    session.runner.run(Flux(session.target).requested(Ref("GitRepository", SYSTEM, SYSTEM), str(time.time())))


def finish(session: Session, records: Iterable[StepRecord], revision: str, only: Iterable[str]) -> None:
    """Follow until all is ready, tell what happened, and what is next to type."""
    from korthweb_tasks.collections.gitops_follow import followed
    from korthweb_tasks.collections.session import report_data, summary
    from korthweb_tasks.report.model import Report

    done = tuple(records)
    told: list[StepRecord] = []
    before = max((record.end for record in done), default=0.0)
    try:
        followed(session, only=only, revision=revision, told=told)
    finally:
        later = (replace(one, start=one.start + before, end=one.end + before) for one in told)
        every = (*done, *later)
        report = Report.of("GitOps", session.target.context, every, session.ref.server)
        if session.output == "json":  # of a failure too
            session.emit({**report_data(report), "commit": revision}, "")
    session.console.line(f"{summary(every)}, commit {revision[:8]}")
    here = " ".join(["--approach gitops", *(["--tenant " + session.tenant_flag] if session.tenant_flag else [])])
    following = f"Next: inv verify.all {here} proves it; inv verify.isolation; inv gitops.status; "
    session.console.line(as_typed(f"{following}inv gitops.credentials --show tells the passwords"))


def beforehand(session: Session) -> None:
    """Refuse what can't become good, before anything changes."""
    from korthweb_tasks.collections.shared import within_budget

    session.contact()
    within_budget(session)
    tenants_of(session)
    remote_is_usable(session)
    refuse_strangers(session)


def remote_is_usable(session: Session) -> None:
    """Raise SettingsError for an SSH repository without a key that Flux could be given."""
    from korthweb_tasks.errors import SettingsError

    given = session.settings.gitops
    if given.provider == "git" and (given.url or "").startswith("ssh://") and not given.private_key:
        hint = "gitops.private_key in korthweb.yaml: the path of a deploy key without a passphrase"
        raise SettingsError("Flux needs an SSH key of its own to read the repository", hint=hint)


def refuse_strangers(session: Session) -> None:
    """Raise GuardRefused where another approach has deployed a tenant: nothing of it is taken over."""
    from korthweb_tasks.approaches.gitops import strangers
    from korthweb_tasks.tools.kubectl import items

    for tenant in tenants_of(session):
        looked = [("deployment", "orthanc"), ("service", "orthanc"), ("configmap", "orthanc-app")]
        found = strangers(items(session.runner.run(session.kubectl.get_these(looked, namespace=tenant.namespace))))
        if found:
            text = f"{tenant.namespace} holds {', '.join(found)}, which another approach made"
            raise GuardRefused(text, hint=f"inv manual.destroy or inv helm.destroy, with --tenant {tenant.name}")
