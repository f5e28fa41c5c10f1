"""What can be said of settings without a cluster: faults, warnings and numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from korthweb_tasks.settings.layers import DEFAULT
from korthweb_tasks.settings.load import Loaded
from korthweb_tasks.settings.model import Budget
from korthweb_tasks.settings.parts import Tenant
from korthweb_tasks.settings.show import clear_passwords


@dataclass(frozen=True, slots=True)
class Findings:
    """Lines for a person: what must be changed, what should be looked at, what was counted."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def findings(loaded: Loaded) -> Findings:
    """Return what is wrong, doubtful and noteworthy in valid settings."""
    settings = loaded.settings
    found = Findings(warnings=list(loaded.warnings))
    found.notes.append(f"profile {settings.profile} ({loaded.origin('profile')}), approach {settings.approach}")
    for tenant in settings.tenants:
        budget = settings.connection_budget(tenant)
        found.notes.append(
            f"tenant {tenant.name}: namespace {tenant.namespace}, AE title {tenant.aet}, {tenant.web_host}, "
            f"{tenant.dicom_host}, {budget.needed} of {budget.available} connections"
        )
        if not budget.ok:
            found.faults.append(over_budget(loaded, tenant, budget))
    for place in clear_passwords(settings.orthanc.config):
        found.warnings.append(
            f"{loaded.origin(f'orthanc.config.{place}')}: orthanc.config.{place} is a password in clear"
        )
    if settings.context and settings.context not in settings.clusters and settings.clusters:
        found.notes.append(f"context {settings.context} is none of the clusters, so it must be one of the kubeconfig")
    return found


def over_budget(loaded: Loaded, tenant: Tenant, budget: Budget) -> str:
    """Return the line that says which numbers do not fit, and what would."""
    orthanc = loaded.settings.orthanc
    each, reserve = orthanc.connections_per_replica, orthanc.reserved_connections
    fitting = (budget.available - reserve) // each
    way = f"replicas.max {fitting} would fit" if fitting >= tenant.replicas.min else "lower orthanc.connections"
    origin = loaded.origin(f"tenants.{tenant.name}.replicas.max")
    place = "" if origin == DEFAULT else f"{origin}: "
    return (
        f"{place}tenant {tenant.name} may need {budget.needed} database connections "
        f"({tenant.replicas.max} replicas × {each} + {reserve} reserved), but orthanc.max_connections "
        f"is {budget.available}: {way}"
    )
