"""Flux in a session's cluster: what it is given, what it follows, and its own files in Git."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.approach import APPROACH
from korthweb_tasks.approaches.gitops.fleet import slug
from korthweb_tasks.approaches.gitops.plan import PATCHED, Bootstrap, followed_at, repository
from korthweb_tasks.core import hints
from korthweb_tasks.core.render import parse
from korthweb_tasks.errors import UsageError
from korthweb_tasks.services.gitops.fleet import Work, sources
from korthweb_tasks.services.gitops.repository import checkout_of, folder_of, remote
from korthweb_tasks.services.shared import located
from korthweb_tasks.tools.git_faults import NoRepository
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.tools.flux import Repository
    from korthweb_tasks.tools.git import Remote


def repository_there(session: Session) -> None:
    """Let flux make the repository where its server has an API for that, and it is not there yet."""
    given = session.settings.gitops
    if given.provider == "git":
        return
    where = remote(session)
    try:
        checkout_of(session, where).heads()
    except NoRepository:
        found = sources(session, bring=not session.dry_run)
        first = _bootstrap(
            session, where, folder_of(session), namespaces={}, in_git=False, registry_ca=found.registry_ca
        )
        session.confirm(
            f"There is no repository {where.url}. Let flux make it, private, by the API of {given.provider}?"
        )
        session.execute(first.first())
        if session.dry_run:
            raise


def repository_of(session: Session, where: Remote, folder: str) -> Repository:
    """Return the repository for flux."""
    made = repository(session.settings.gitops, folder, url=where.url, login=login_of(where), ca_file=where.ca_file)
    return replace(made, private_key=where.private_key)


def bootstrap_of(session: Session, made: Work) -> Bootstrap:
    """Return the builder of steps for what the checkout holds now."""
    where = made.checkout.remote
    return _bootstrap(
        session,
        where,
        made.fleet.cluster,
        namespaces=namespaces(made),
        in_git=made.in_git,
        registry_ca=made.sources.registry_ca,
        age_key=made.sealed.key if made.sealed else "",
        users=made.sealed.users if made.sealed else {},
        login=held_by_flux(where, session.settings.gitops.provider),
    )


def _bootstrap(session: Session, where: Remote, folder: str, **more: Any) -> Bootstrap:

    images = session.settings.images
    return Bootstrap(
        target=session.target,
        secrets=session.secrets,
        repository=repository_of(session, where, folder),
        hub=images.hub(images.flux_hub),
        pull_secrets=images.pull_secrets,
        version="" if session.settings.flux.beside else flux_version(session),
        shared=shared_namespaces(session),
        home=session.settings.flux,
        **more,
    )


def shared_namespaces(session: Session) -> tuple[str, ...]:
    """Return the namespaces of what tenants share, as Git has them."""
    flux = session.settings.flux.namespace
    return tuple(name for name in APPROACH.namespaces(session.settings) if name != flux)


def login_of(where: Remote) -> dict[str, str]:
    """Return user and password for flux, where there is a password."""
    return {"username": where.username, "password": where.password} if where.password else {}


def held_by_flux(where: Remote, provider: str) -> dict[str, str]:
    """Return what Flux's own Secret has to hold; a deploy key that flux made by an API is its own affair."""
    if where.private_key:
        return {"identity": Path(where.private_key).read_text(encoding="utf-8")}
    if where.ssh or not where.password:
        return {}
    user = where.username if provider == "git" else "git"
    authority = {"ca.crt": Path(where.ca_file).read_text(encoding="utf-8")} if where.ca_file else {}
    return {"username": user, "password": where.password, **authority}


def namespaces(made: Work) -> Mapping[str, Mapping[str, Any]]:
    """Return each tenant's Namespace as Git has it: the base with what this cluster lays over it."""
    files, _ = made.render(())
    found = {}
    for tenant in made.fleet.tenants:
        text = files[f"tenants/{slug(tenant)}/dependency/namespace.yaml"]
        base = next(obj for obj in parse(text) if obj["kind"] == "Namespace")
        overlay = parse(files[f"clusters/{made.fleet.cluster}/tenants/{slug(tenant)}/dependency/namespace.yaml"])[0]
        found[tenant.name] = _laid_over(base, overlay["metadata"])
    return found


def _laid_over(base: dict[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with other labels and annotations laid over its own; null takes one away."""
    found = dict(base["metadata"])
    for kind in ("labels", "annotations"):
        merged = {**(found.get(kind) or {}), **(metadata.get(kind) or {})}
        found[kind] = {key: value for key, value in merged.items() if value is not None}
    return {**base, "metadata": found}


def flux_version(session: Session) -> str:
    """Return the version of the flux that is used here: it installs itself."""
    return located(session, "flux").version


def with_flux(session: Session, made: Work) -> None:
    """Add Flux's own folder where neither Git nor the cluster has it: flux fills it, and keeps to our patches.

    Where the cluster follows Git already, empty files would take Flux itself away: they are never written then.
    """
    home = made.fleet.bootstrapped
    there = session.runner.run(followed_at(session.kubectl, session.settings.flux))
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
    result = session.runner.run(followed_at(session.kubectl, session.settings.flux))
    found = {obj["kind"]: obj["spec"] for obj in items(result)} if result.code == 0 else {}
    hint = f"`{hints.task('gitops.bootstrap')}` installs Flux and points it at the repository"
    if set(found) != {"GitRepository", "Kustomization"}:
        raise UsageError(f"Flux does not look after {session.ref.name} yet", hint=hint)
    path = str(found["Kustomization"]["path"]).removeprefix("./").rstrip("/")
    if path != f"clusters/{made.fleet.cluster}":
        raise UsageError(f"Flux follows {path} in {session.ref.name}, not clusters/{made.fleet.cluster}", hint=hint)
