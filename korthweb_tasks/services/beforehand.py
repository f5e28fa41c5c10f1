"""What is refused before an approach changes anything, in the same way by all three."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.approaches.shared.credentials import refuse_weak, table
from korthweb_tasks.core import hints
from korthweb_tasks.errors import KorthwebError, SettingsError
from korthweb_tasks.services import components as component_parts
from korthweb_tasks.services import ownership as owning
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant


def refuse(session: Session, approach: str, tenants: Iterable[Tenant] | None = None) -> None:
    """Raise for a namespace of others, a password that can't be used, somebody else's component that would be changed.

    ``tenants``: those that will be changed (all that the session chose).
    """
    chosen = session.tenants if tenants is None else tuple(tenants)
    owning.refuse_others(session, approach, chosen)
    for tenant in chosen:
        _look(session, approach, tenant)
    component_parts.refuse_components(session, approach)


def findings(session: Session, approach: str) -> list[Finding]:
    """Return what would be refused of namespaces and passwords, as a check tells it; of components see theirs."""
    return [*owning.findings(session, approach), *_passwords(session, approach)]


def _passwords(session: Session, approach: str) -> Iterator[Finding]:
    for tenant in session.tenants:
        refused = None
        try:
            _look(session, approach, tenant)
        except KorthwebError as error:
            refused = error
        good = "those that are there can be used; the others will be made"
        yield Finding.of(f"{tenant.name}: passwords", refused, good)


def _look(session: Session, approach: str, tenant: Tenant) -> None:
    """Raise SettingsError for a password in the cluster that can't be used."""
    chosen, settings = approach_of(approach), session.settings
    refuse_brought(session, tenant, chosen.brings(settings, tenant))
    for probe in chosen.keeper(settings, session.target, session.secrets, tenant).probes():
        probe.read(session.runner.run(probe.command))


def refuse_brought(session: Session, tenant: Tenant, brought: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Raise SettingsError where a Secret that the site brings is missing, lacks a key, or holds no good password.

    ``brought``: the value that names it -> the Secret, and its keys of passwords.
    """
    place = tenant.namespace
    for value, (name, keys) in brought.items():
        there = items(session.runner.run(session.kubectl.get("secret", name, namespace=place)))
        if not there:
            raise _missing_secret(session, tenant, value, name)
        if lacking := [key for key in keys if key not in (there[0].get("data") or {})]:
            text = f"{tenant.name}: {value} names the Secret {name} in {place}, which has no key {', '.join(lacking)}"
            raise SettingsError(text, hint=hints.kubectl("edit", "secret", name, namespace=place))
        if keys:
            refuse_weak(place, table(there), {name: keys})


def _missing_secret(session: Session, tenant: Tenant, value: str, name: str) -> SettingsError:
    place = tenant.namespace
    text = f"{tenant.name}: {value} names the Secret {name}, which is not in {place}"
    if session.runner.run(session.kubectl.get("namespace", place)).stdout.strip():
        make = hints.kubectl("create", "secret", "generic", name, "--from-file=DIR", namespace=place)
        return SettingsError(text, hint=make)
    hint = f"`{hints.kubectl('create', 'namespace', place)}`, adopt_namespace: true for {tenant.name}, then the Secret"
    return SettingsError(f"{text}: that namespace is not there yet", hint=hint)
