"""What is refused before an approach changes anything, in the same way by all three."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from korthweb_tasks.errors import KorthwebError

if TYPE_CHECKING:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.credentials import Credentials
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.settings.parts import Tenant


def refuse(session: Session, approach: str, tenants: Iterable[Tenant] | None = None) -> None:
    """Raise for a namespace of others, a password that can't be used, somebody else's component that would be changed.

    ``tenants``: those that will be changed (all that the session chose).
    """
    from korthweb_tasks.collections import component_parts, owning

    chosen = session.tenants if tenants is None else tuple(tenants)
    owning.refuse_others(session, approach, chosen)
    for tenant in chosen:
        _look(session, approach, tenant)
    component_parts.refuse_components(session, approach)


def findings(session: Session, approach: str) -> list[Finding]:
    """Return what would be refused of namespaces and passwords, as a check tells it; of components see theirs."""
    from korthweb_tasks.collections import owning

    return [*owning.findings(session, approach), *_passwords(session, approach)]


def _passwords(session: Session, approach: str) -> Iterator[Finding]:
    from korthweb_tasks.approaches.checks import Finding

    for tenant in session.tenants:
        title = f"{tenant.name}: passwords"
        try:
            _look(session, approach, tenant)
        except KorthwebError as error:
            yield Finding(title, "broken", f"{error.message} ({error.hint})" if error.hint else error.message)
        else:
            yield Finding(title, "ok", "those that are there can be used; the others will be made")


def _look(session: Session, approach: str, tenant: Tenant) -> None:
    """Raise SettingsError for a password in the cluster that can't be used."""
    if approach == "helm":
        from korthweb_tasks.approaches.helm_values import values
        from korthweb_tasks.collections.helm_parts import refuse_brought

        refuse_brought(session, tenant, values(session.settings, tenant))
    for fact in _keeper(session, approach, tenant).facts():
        fact.read(session.runner.run(fact.command))


def _keeper(session: Session, approach: str, tenant: Tenant) -> Credentials:
    """Return the tenant's Secrets as the approach makes them; those in Git, encrypted, are looked at there."""
    from korthweb_tasks.approaches.credentials import Credentials
    from korthweb_tasks.approaches.gitops_secrets import FleetCredentials
    from korthweb_tasks.approaches.helm import Builder, ChartAt

    if approach == "helm":
        return Builder(session.settings, session.target, session.secrets, ChartAt("", "")).keeper(tenant)
    if approach == "gitops":
        in_git: dict[str, str] | None = {} if session.settings.gitops.secrets == "sops" else None
        return FleetCredentials(tenant, session.secrets, session.kubectl, users_in_git=in_git)
    return Credentials(tenant, session.secrets, session.kubectl)
