"""Settings as values of the chart ``helm/orthanc``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.common import DATABASE_SECRET, USERS_SECRET
from korthweb_tasks.core.quoting import plain
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.orthanc import DATABASE_PASSWORD, password_variable

if TYPE_CHECKING:
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant


def site_values(settings: Settings) -> dict[str, Any]:
    """Return the values that are the same for every tenant of a site: images, sizes, the dependency's own."""
    images, orthanc, postgres = settings.images, settings.orthanc, settings.postgres
    traefik = _draining(orthanc.drain_seconds)
    if images.registry:
        # an official image, whose folder its chart leaves out
        repository = images.mirrored("docker.io/traefik").removeprefix(f"{images.registry}/")
        traefik["image"] = {"registry": images.registry, "repository": repository}
    if not settings.security.fixed_uids:
        traefik["podSecurityContext"] = {"runAsUser": None, "runAsGroup": None}
    if images.pull_secrets:
        traefik["deployment"]["imagePullSecrets"] = images.pull_references
    used = {"enabled": False} if settings.uses("traefik") else {}
    values: dict[str, Any] = {
        "images": {
            "orthanc": images.mirrored(images.orthanc),
            "postgres": images.mirrored(images.postgres),
            "pullPolicy": images.pull_policy,
            "pullSecrets": images.pull_secrets,
        },
        "plugins": orthanc.plugins,
        "connections": orthanc.connections,
        "autoscaling": {"cpuTarget": orthanc.cpu_target},
        "resources": orthanc.resources,
        "drainSeconds": orthanc.drain_seconds,
        "security": {"fixedUids": settings.security.fixed_uids},
        "postgresql": {
            "database": postgres.database,
            "user": postgres.user,
            "maxConnections": orthanc.max_connections,
            "reservedConnections": orthanc.reserved_connections,
            "resources": postgres.resources,
            "storage": {"className": settings.storage_class or ""},
            # of the mode cnpg
            "cnpg": {"instances": postgres.instances, "image": images.mirrored(images.cnpg_postgres)},
        },
        "traefik": {**deep_merge(traefik, settings.charts["traefik"].values), **used},
    }
    if orthanc.config:
        values["config"] = orthanc.config
    if settings.accept_risks:
        values["acceptRisks"] = settings.accept_risks
    found: dict[str, Any] = plain(deep_merge(values, settings.charts["orthanc"].values))
    return found


def _draining(seconds: int) -> dict[str, Any]:
    """Return what lets connections through a Traefik that ends be finished, as Orthanc's own pods do."""
    waiting = {"transport": {"lifeCycle": {"graceTimeOut": seconds}}}
    grace = {"terminationGracePeriodSeconds": seconds + 60}
    return {"deployment": grace, "ports": {"websecure": waiting, "dicom": waiting}}


def values(settings: Settings, tenant: Tenant, given: str = "") -> dict[str, Any]:
    """Return the values of ``tenant``'s release.

    ``given`` is a fingerprint of the passwords that a person chose: a change of them is a change of the pods.
    """
    tls = tenant.dicom.tls
    own = {
        "name": tenant.name,
        "aet": tenant.aet,
        "hosts": {"web": tenant.web_host, "dicom": tenant.dicom_host},
        "ingress": {
            **_nameless(tenant),
            "dicomTls": {"minVersion": tls.traefik_minimum, "cipherSuites": tls.registered},
            "corsOrigins": tenant.cors,
        },
        "traefik": _ways_in(tenant, settings.orthanc.drain_seconds) if own_traefik(settings) else {},
        "storageLimit": tenant.storage_limit or "",
        **({"config": {"DicomModalities": tenant.dicom_modalities}} if tenant.modalities else {}),
        "users": tenant.users,
        "auth": {"existingSecret": USERS_SECRET},
        "replicas": tenant.replicas,
        "podAnnotations": {"korthweb/passwords": given} if given else {},
        # CloudNativePG makes the password itself, in a Secret that the chart knows
        "postgresql": {
            "existingSecret": "" if "cloudnative-pg" in needed_operators(settings) else DATABASE_SECRET,
            "storage": {"size": tenant.storage},
        },
    }
    # what a person says of the chart comes last
    found: dict[str, Any] = plain(deep_merge(deep_merge(site_values(settings), plain(own)), _free(settings)))
    return found


def _nameless(tenant: Tenant) -> dict[str, Any]:
    """Return the route for modalities that name no server, if the tenant lets them in."""
    return {"withoutSni": {"enabled": True, "entryPoint": "dicom-any"}} if tenant.dicom.without_sni else {}


def _ways_in(tenant: Tenant, seconds: int) -> dict[str, Any]:
    """Return the ports of a tenant's own Traefik; with ports of their own, tenants may have one address (MetalLB)."""
    ports: dict[str, Any] = {
        "websecure": {"exposedPort": tenant.ports.https},
        "dicom": {"exposedPort": tenant.ports.dicom},
    }
    if port := tenant.dicom.without_sni:
        life = {"requestAcceptGraceTimeout": 20, "graceTimeOut": seconds}
        opened = {"port": 11114, "exposedPort": port, "protocol": "TCP", "expose": {"default": True}}
        ports["dicom-any"] = {**opened, "transport": {"lifeCycle": life}}
    return {"ports": ports, "service": {"annotations": {"metallb.io/allow-shared-ip": "korthweb"}}}


def own_traefik(settings: Settings) -> bool:
    """Return True if each release has a Traefik of its own."""
    return bool(site_values(settings)["traefik"].get("enabled", True))


def routed(settings: Settings) -> bool:
    """Return True if the releases make routes for Traefik."""
    return bool(_free(settings).get("ingress", {}).get("enabled", True))


def entry_points(settings: Settings) -> tuple[str, ...]:
    """Return the entry points of Traefik that the routes name: that for HTTPS and that for DICOM."""
    given = _free(settings).get("ingress", {})
    more = given.get("withoutSni", {})
    without = (str(more.get("entryPoint", "dicom-any")),) if more.get("enabled") else ()
    return str(given.get("webEntryPoint", "websecure")), str(given.get("dicomEntryPoint", "dicom")), *without


def needed_operators(settings: Settings) -> tuple[Component, ...]:
    """Return what the chart is told to make objects for, and never installs itself."""
    free = _free(settings)
    issued = free.get("certificates", {}).get("source") == "certManager"
    kept = free.get("postgresql", {}).get("mode") == "cnpg"
    return (*(("cert-manager",) if issued else ()), *(("cloudnative-pg",) if kept else ()))


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


def password_keys(values: Mapping[str, Any], value: str) -> tuple[str, ...]:
    """Return the keys of the Secret that a value names whose contents are passwords."""
    if value == "auth.existingSecret":
        return tuple(password_variable(user) for user in values.get("users", ()))
    if value == "postgresql.existingSecret":
        operated = values.get("postgresql", {}).get("mode") == "cnpg"
        return ("password",) if operated else (DATABASE_PASSWORD,)
    return ()


def refusal(stderr: str) -> str:
    """Return what a chart says against its values, without what helm says around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    faults = [line.removeprefix("- at ").replace("'':", "").strip() for line in lines if line.startswith("- ")]
    if faults:
        return "; ".join(faults)
    text = next((line for line in lines if "execution error at" in line), lines[-1] if lines else "")
    return text.partition("): ")[2] or text.removeprefix("Error: ")
