"""Settings as values of the chart ``helm/orthanc``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.common import DATABASE_SECRET, USERS_SECRET
from korthweb_tasks.core.render import plain
from korthweb_tasks.settings.merge import deep_merge

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.parts import Tenant

#: where plugins are that the chart finds by itself, whatever the image
USUAL_PLUGINS = "/usr/share/orthanc/plugins"


def site_values(settings: Settings) -> dict[str, Any]:
    """Return the values that are the same for every tenant of a site: images, sizes, the dependency's own."""
    images, orthanc, postgres = settings.images, settings.orthanc, settings.postgres
    traefik: dict[str, Any] = {"image": {"registry": images.registry}} if images.registry else {}
    values: dict[str, Any] = {
        "images": {
            "orthanc": images.mirrored(images.orthanc),
            "postgres": images.mirrored(images.postgres),
            "pullPolicy": images.pull_policy,
        },
        "connections": orthanc.connections,
        "autoscaling": {"cpuTarget": orthanc.cpu_target},
        "resources": orthanc.resources,
        "postgresql": {
            "database": postgres.database,
            "user": postgres.user,
            "maxConnections": orthanc.max_connections,
            "reservedConnections": orthanc.reserved_connections,
            "resources": postgres.resources,
            "storage": {"className": settings.storage_class or ""},
        },
        "traefik": deep_merge(traefik, settings.charts["traefik"].values),
    }
    if not all(plugin.startswith(USUAL_PLUGINS) for plugin in orthanc.plugins):
        values["plugins"] = orthanc.plugins
    if orthanc.config:
        values["config"] = orthanc.config
    found: dict[str, Any] = plain(deep_merge(values, settings.charts["orthanc"].values))
    return found


def values(settings: Settings, tenant: Tenant, given: str = "") -> dict[str, Any]:
    """Return the values of ``tenant``'s release.

    ``given`` is a fingerprint of the passwords that a person chose: a change of them is a change of the pods.
    """
    own = {
        "name": tenant.name,
        "aet": tenant.aet,
        "hosts": {"web": tenant.web_host, "dicom": tenant.dicom_host},
        "users": tenant.users,
        "auth": {"existingSecret": USERS_SECRET},
        "replicas": tenant.replicas,
        "podAnnotations": {"korthweb/passwords": given} if given else {},
        "postgresql": {"existingSecret": DATABASE_SECRET, "storage": {"size": tenant.storage}},
    }
    # what a person says of the chart comes last
    found: dict[str, Any] = plain(deep_merge(deep_merge(site_values(settings), plain(own)), _free(settings)))
    return found


def own_traefik(settings: Settings) -> bool:
    """Say whether each release brings a Traefik along."""
    return bool(site_values(settings)["traefik"].get("enabled", True))


def _free(settings: Settings) -> dict[str, Any]:
    return settings.charts["orthanc"].values


def brought_secrets(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the Secrets that a person names in the values and has to bring: value → name. Ours are left out."""
    certificates, postgres = values.get("certificates", {}), values.get("postgresql", {})
    external = postgres.get("external", {}) if postgres.get("mode") == "external" else {}
    named = {
        "auth.existingSecret": values.get("auth", {}).get("existingSecret", ""),
        "postgresql.existingSecret": postgres.get("existingSecret", ""),
        "postgresql.external.caSecret": external.get("caSecret", ""),
        "certificates.existingSecret": (
            certificates.get("existingSecret", "") if certificates.get("source") == "existingSecret" else ""
        ),
    }
    return {value: name for value, name in named.items() if name and name not in (USERS_SECRET, DATABASE_SECRET)}


def refusal(stderr: str) -> str:
    """Return what a chart says against its values, without what helm says around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    faults = [line.removeprefix("- at ").replace("'':", "").strip() for line in lines if line.startswith("- ")]
    if faults:
        return "; ".join(faults)
    text = next((line for line in lines if "execution error at" in line), lines[-1] if lines else "")
    return text.partition("): ")[2] or text.removeprefix("Error: ")
