"""Flux in a session's cluster: what it is given, what it follows, and its own files in Git."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.approach import APPROACH
from korthweb_tasks.approaches.gitops.plan import PATCHED, Bootstrap, followed_at, repository
from korthweb_tasks.core import hints
from korthweb_tasks.errors import UsageError
from korthweb_tasks.services.gitops.fleet import Draft, sources
from korthweb_tasks.services.gitops.repository import checkout_of, folder_of, remote
from korthweb_tasks.services.shared import located
from korthweb_tasks.tools.git_faults import NoRepository
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.fleet import GitOpsSettings
    from korthweb_tasks.tools.flux import Repository
    from korthweb_tasks.tools.git import Remote
    from korthweb_tasks.tools.kubectl import Kubectl


def ensure_repository(session: Session) -> None:
    """Let flux make the repository where its server has an API for that, and it is not there yet."""
    given = session.settings.gitops
    if given.provider == "git":
        return
    where = remote(session)
    try:
        checkout_of(session.runner, where).heads()
    except NoRepository:
        registry_ca = sources(session, bring=not session.dry_run).registry_ca
        folder = folder_of(session.ref, session.settings)
        first = _bootstrap(session, where, folder, namespaces={}, in_git=False, registry_ca=registry_ca)
        session.confirm(
            f"There is no repository {where.url}. Let flux make it, private, by the API of {given.provider}?"
        )
        session.execute(first.first())
        if session.dry_run:
            raise


def bootstrap_of(session: Session, draft: Draft) -> Bootstrap:
    """Return the builder of steps for what the checkout holds now."""
    where, fleet, encrypted = draft.checkout.remote, draft.fleet, draft.encrypted
    return _bootstrap(
        session,
        where,
        fleet.cluster,
        namespaces={tenant.name: fleet.namespace(tenant) for tenant in fleet.tenants},
        in_git=draft.in_git,
        registry_ca=draft.sources.registry_ca,
        age_key=encrypted.key if encrypted else "",
        users=encrypted.users if encrypted else {},
        login=held_by_flux(where, fleet.settings.gitops.provider),
    )


def _bootstrap(session: Session, where: Remote, folder: str, **more: Any) -> Bootstrap:
    settings = session.settings
    return Bootstrap(
        target=session.target,
        secrets=session.secrets,
        repository=repository_of(settings.gitops, where, folder),
        hub=settings.images.hub(settings.images.flux_hub),
        pull_secrets=settings.images.pull_secrets,
        version="" if settings.flux.beside else flux_version(session),
        shared=tuple(name for name in APPROACH.namespaces(settings) if name != settings.flux.namespace),
        home=settings.flux,
        **more,
    )


def repository_of(given: GitOpsSettings, where: Remote, folder: str) -> Repository:
    """Return the repository for flux."""
    login = {"username": where.username, "password": where.password} if where.password else {}
    described = repository(given, folder, url=where.url, login=login, ca_file=where.ca_file)
    return replace(described, private_key=where.private_key)


def held_by_flux(where: Remote, provider: str) -> dict[str, str]:
    """Return what Flux's own Secret has to hold; a deploy key that flux made by an API is its own affair."""
    if where.private_key:
        return {"identity": Path(where.private_key).read_text(encoding="utf-8")}
    if where.ssh or not where.password:
        return {}
    user = where.username if provider == "git" else "git"
    authority = {"ca.crt": Path(where.ca_file).read_text(encoding="utf-8")} if where.ca_file else {}
    return {"username": user, "password": where.password, **authority}


def flux_version(session: Session) -> str:
    """Return the version of the flux that is used here: it installs itself."""
    return located(session, "flux").version


def with_flux(runner: Runner, kubectl: Kubectl, draft: Draft) -> None:
    """Add Flux's own folder where neither Git nor the cluster has it: flux fills it, and keeps to our patches.

    Where the cluster follows Git already, empty files would take Flux itself away: they are never written then.
    """
    folder = draft.fleet.bootstrapped
    followed = runner.run(followed_at(kubectl, draft.fleet.settings.flux))
    if draft.in_git or (followed.code == 0 and items(followed)):
        return
    render, empty = draft.render, {f"{folder}/gotk-components.yaml": "", f"{folder}/gotk-sync.yaml": ""}

    def more(existing: Iterable[str]) -> tuple[Mapping[str, str], Iterable[str]]:
        known = list(existing)
        files, stale = render(known)
        own = {**empty, f"{folder}/kustomization.yaml": PATCHED}
        return {**{path: text for path, text in own.items() if path not in known}, **files}, stale

    draft.render, draft.changes = more, draft.checkout.put(more)


def require_flux(runner: Runner, kubectl: Kubectl, draft: Draft, name: str) -> None:
    """Raise UsageError where Flux does not follow this folder of the repository in the cluster, called ``name``."""
    result = runner.run(followed_at(kubectl, draft.fleet.settings.flux))
    specs = {obj["kind"]: obj["spec"] for obj in items(result)} if result.code == 0 else {}
    hint = f"`{hints.task('gitops.bootstrap')}` installs Flux and points it at the repository"
    if set(specs) != {"GitRepository", "Kustomization"}:
        raise UsageError(f"Flux does not look after {name} yet", hint=hint)
    path = str(specs["Kustomization"]["path"]).removeprefix("./").rstrip("/")
    if path != f"clusters/{draft.fleet.cluster}":
        raise UsageError(f"Flux follows {path} in {name}, not clusters/{draft.fleet.cluster}", hint=hint)
