"""Tenants that come and go on a running cluster: korthweb.yaml, the fleet repository and the cluster, in this order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks import paths
from korthweb_tasks.approaches.gitops.removal import Home, Remover, homes, inventory
from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import SettingsError, UsageError
from korthweb_tasks.services.gitops import deploy as deploying
from korthweb_tasks.services.gitops import push as pushing
from korthweb_tasks.services.gitops.destroy import print_report, settled
from korthweb_tasks.services.gitops.fleet import open_draft
from korthweb_tasks.services.gitops.flux import bootstrap_of, require_flux
from korthweb_tasks.services.gitops.repository import chosen, folder_of, tenants_of
from korthweb_tasks.settings.edit import save, with_tenant, without_tenant
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.resolve import resolve

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded

FILE = "korthweb.yaml"


def add(session: Session, entry: Mapping[str, Any]) -> None:
    """Add a tenant to the settings, to Git and to the cluster; what an earlier run did of it is left as it is."""
    text = file_text(session.loaded)
    new = _text_with(session, text, entry)
    later = with_text(session, new, entry["name"])
    deploying.refuse_beforehand(later)
    with open_draft(later, change=not session.dry_run) as draft:
        require_flux(session.runner, session.kubectl, draft, session.ref.name)
        plan = bootstrap_of(later, draft).configured(chosen(later))
        changes = pushing.print_changes(session.console, draft)
        if session.dry_run:
            pushing.preview(session, plan, {**changes, "settings": new != text})
            return
        pushing.ask(later, draft)
        keep(session, text, new)
        # namespace and passwords are there before Flux looks for them
        records = pushing.confirmed(later).execute(plan).steps
        pushing.push(session.console, draft)
    deploying.fetch(session)
    deploying.finish(later, records, draft.revision, draft.layers(chosen(later)))


def remove(session: Session, name: str, *, volumes: bool) -> None:
    """Take a tenant out of the settings, out of Git and out of the cluster; a killed run is gone on with."""
    session.contact()
    (home,) = settled(session, [home_of(session, name)], volumes=volumes)
    text = file_text(session.loaded)
    new = _text_without(session, text, home.name)
    later = with_text(session, new, None)
    plan = Remover(session.target, volumes, home=session.settings.flux).tenant(home, str(time.time()))
    with open_draft(later, change=not session.dry_run) as draft:
        changes = pushing.print_changes(session.console, draft)
        if session.dry_run:
            pushing.preview(session, plan, {**changes, "settings": new != text})
            return
        session.allow(plan, destructive=True)
        session.lock()
        keep(session, text, new)
        pushing.push(session.console, draft)
    report = pushing.confirmed(session).execute(plan)
    print_report(session, report)
    again = hints.task("gitops.add-tenant", home.name, domain="DOMAIN")
    kept = f"its namespace {home.namespace} stays, with database and passwords: `{again}` brings it back"
    session.console.line(f"{home.name} is removed" + ("" if volumes else f"; {kept}"))


def home_of(session: Session, name: str) -> Home:
    """Return the tenant as the settings have it, else as the cluster knows it; raises UsageError for neither."""
    for tenant in session.settings.tenants:
        if tenant.name.lower() == name.lower():
            return Home(tenant.name, tenant.namespace)
    known = homes(session.runner.run(inventory(session.kubectl, session.settings.flux)[2]))
    for home in known:
        if home.name.lower() == name.lower():
            return home

    names = sorted({*session.settings.tenant_names, *(home.name for home in known)})
    raise unknown(f"tenant in {FILE} or in the cluster called", name, names)


def file_text(loaded: Loaded) -> str:
    """Return korthweb.yaml, or nothing where there is none."""
    path = loaded.file or paths.settings_file()
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def keep(session: Session, before: str, after: str) -> None:
    """Write korthweb.yaml where it changes; what a person wrote meanwhile is not overwritten."""
    if before == after:
        return
    if file_text(session.loaded) != before:
        raise SettingsError(f"{FILE} was changed by somebody else meanwhile", hint="the same command again")
    save(session.loaded.file or paths.settings_file(), after)
    session.console.line(f"{FILE} is changed")


def with_text(session: Session, text: str, tenant: str | None) -> Session:
    """Return a session whose korthweb.yaml reads ``text``, for this cluster; nothing is written to the project.

    Raises SettingsError as a file with that text would.
    """
    project, name = session.loaded.project, session.ref.name
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, FILE).write_text(text, encoding="utf-8")
        if (project / ".env").is_file():
            Path(folder, ".env").symlink_to(project / ".env")
        flags = {"timeouts.step": session.timeout} if session.timeout else None
        loaded = replace(
            load(project=Path(folder), context=name, overrides=flags), project=project, file=session.loaded.file
        )
    later = replace(session, context_flag=name, tenant_flag=tenant)
    later.__dict__.update(loaded=loaded, ref=resolve(loaded, name))
    return later


def _text_with(session: Session, text: str, entry: Mapping[str, Any]) -> str:
    """Return korthweb.yaml with the tenant; as it is where an earlier run has written the very same."""
    by_name = {tenant.name.lower(): tenant for tenant in tenants_of(session.ref, session.settings)}
    tenant = by_name.get(entry["name"].lower())
    if tenant is None:
        return with_tenant(text, entry, session.ref.name)
    known = tenant.model_dump(mode="json")
    if deep_merge(known, dict(entry)) != known:
        hint = f"change {FILE}, then `{hints.task('gitops.deploy')}`; or another name"
        raise UsageError(f"there is a tenant {tenant.name} already, and it is not like that", hint=hint)
    session.console.line(f"{tenant.name} is in {FILE} already; going on with Git and the cluster")
    return text


def _text_without(session: Session, text: str, name: str) -> str:
    """Return korthweb.yaml without the tenant; as it is where an earlier run has taken it out."""
    if all(tenant.name != name for tenant in tenants_of(session.ref, session.settings)):
        folder = folder_of(session.ref, session.settings)
        session.console.line(f"{name} is not in {FILE} any more; going on with Git and {folder}")
        return text
    return without_tenant(text, name, session.ref.name)
