"""What can be said of settings without a cluster: faults, warnings and numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from korthweb_tasks.settings.load import Loaded
from korthweb_tasks.settings.orthanc_options import unknown_options
from korthweb_tasks.settings.show import clear_passwords
from korthweb_tasks.settings.soundness import Fault, faults


@dataclass(frozen=True, slots=True)
class Findings:
    """Lines for a person: what must be changed, what should be looked at, what was counted."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def findings(loaded: Loaded) -> Findings:
    """Return what is wrong, doubtful and noteworthy in valid settings."""
    settings = loaded.settings
    found = Findings([fault.line(loaded) for fault in faults(loaded)], list(loaded.warnings))
    found.notes.append(f"profile {settings.profile} ({loaded.origin('profile')}), approach {settings.approach}")
    for tenant in settings.tenants:
        budget = settings.connection_budget(tenant)
        found.notes.append(
            f"tenant {tenant.name}: namespace {tenant.namespace}, AE title {tenant.aet}, {tenant.web_host}, "
            f"{tenant.dicom_host}, {budget.needed} of {budget.available} connections"
        )
        if outdated := tenant.dicom.tls.outdated:
            text = f"{', '.join(outdated)}: against BCP 195; what is recorded today may be read one day"
            found.warnings.append(Fault(f"tenants.{tenant.name}.dicom.tls", text).line(loaded))
        for origin in tenant.cors:
            if origin.startswith("http:"):
                text = f"whoever is on the way to {origin} can read with a person's login; https:// is safe"
                found.warnings.append(Fault(f"tenants.{tenant.name}.cors", text).line(loaded))
    for place in clear_passwords(settings.orthanc.config):
        found.warnings.append(
            f"{loaded.origin(f'orthanc.config.{place}')}: orthanc.config.{place} is a password in clear"
        )
    for key in unknown_options(settings.orthanc.config):
        place = f"orthanc.config.{key}"
        found.warnings.append(f"{loaded.origin(place)}: {place}: Orthanc itself has no such option; of a plugin?")
    found.warnings.extend(f"a risk is accepted: {name}" for name in settings.accept_risks)
    if settings.context and settings.context not in settings.clusters and settings.clusters:
        found.notes.append(f"context {settings.context} is none of the clusters, so it must be one of the kubeconfig")
    return found
