"""What the approaches share: names in the cluster, artifacts, and the digests that make pods follow a change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Protocol

from korthweb_tasks.core.command import Result
from korthweb_tasks.core.render import Templates, digest
from korthweb_tasks.errors import CommandFailed
from korthweb_tasks.settings.orthanc import password_variable

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

ISTIO = "istio-system"
CERT_MANAGER = "cert-manager"
OBSERVABILITY = "observability"
#: the Deployments that make the mesh and its way in
ISTIOD, GATEWAY = "istiod", "istio-ingressgateway"
#: ConfigMap in istio-system that remembers what was installed
ISTIO_RECORD = "korthweb-istio"
#: Secrets of a tenant's namespace
USERS_SECRET, DATABASE_SECRET, ADMIN_SECRET = "orthanc-users", "orthanc-database", "postgres-admin"
#: variable of the superuser's password, as the official image of PostgreSQL wants it
ADMIN_PASSWORD = "POSTGRES_PASSWORD"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "korthweb"


#: what runs in the pods of Orthanc, the same in all three approaches: scripts of helm/orthanc/files
SCRIPTS = ("start.sh", "ready.sh", "watch.sh", "drain.sh", "wait.sh", "request-filter.lua")
#: what all approaches say of Orthanc's container, beside the scripts: file -> how far manifests indent it.
#: Their templates include ``korthweb/FILE``; the chart reads its own file.
CONTAINER = {"container.yaml": 8, "security.yaml": 10}
#: what prepares the database: beside it in the chart, a job in the manual approach
DBINIT = "dbinit.sh"


class Secrets(Protocol):
    """Passwords that a person chose; None means: to be generated."""

    def password(self, tenant: Tenant, user: str) -> str | None:
        """Return the password of one of Orthanc's users."""

    def database_password(self, tenant: Tenant) -> str | None:
        """Return the password of Orthanc's role in PostgreSQL."""


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of an approach, and the folder of charts that stand in for the source ``lab``.

    ``scripts`` are those that all approaches have in the pods of Orthanc, ``dbinit`` prepares a database; the chart's
    folder holds them.
    """

    templates: Templates
    charts: Path | None = field(default=None)
    scripts: Mapping[str, str] = field(default_factory=dict)
    dbinit: str = ""

    @classmethod
    def read(cls, folder: Path, charts: Path | None = None) -> Artifacts:
        """Read the artifacts below ``folder``, beside which the chart's folder is."""
        shared = folder.parent / "helm" / "orthanc" / "files"
        scripts = {name: (shared / name).read_text(encoding="utf-8") for name in SCRIPTS}
        own = Templates.read(folder)
        templates = Templates({**own.texts, **_included(shared)}, own.filters)
        return cls(templates, charts, scripts, (shared / DBINIT).read_text(encoding="utf-8"))

    def digest(self, config: str) -> str:
        """Return what changes when pods of Orthanc must start anew: their configuration, and what runs all the time."""
        return digest([config, *(self.scripts[name] for name in ("start.sh", "watch.sh", "request-filter.lua"))])


def _included(shared: Path) -> dict[str, str]:
    """Return what templates of manifests include of the chart's files."""
    seconds = "{{ settings.orthanc.drain_seconds | string | json }}"
    texts = {name: (shared / name).read_text(encoding="utf-8") for name in CONTAINER}
    return {
        f"korthweb/{name}": indent(text.replace('"DRAIN_SECONDS"', seconds), " " * CONTAINER[name])
        for name, text in texts.items()
    }


@dataclass(frozen=True, slots=True)
class Names:
    """Names and digests of one tenant, for the artifacts."""

    ca_secret: str
    tls_secret: str
    metrics_secret: str
    dbinit_revision: str
    dbinit_job: str
    config_digest: str
    credentials_digest: str
    probe_user: str
    probe_variable: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way in: where its pods and certificates are, its account, the labels of its pods; how sidecars are asked for.

    Korthweb's own mesh has one for all tenants; beside somebody else's mesh each tenant has its own, in its namespace.
    """

    namespace: str
    account: str
    labels: Mapping[str, str]
    injection: tuple[str, str]
    own: bool


def gateway_of(settings: Settings, tenant: Tenant | None = None) -> Gateway:
    """Return the gateway that leads to ``tenant``; without one, that of the mesh."""
    revision = settings.istio.revision
    injection = ("istio.io/rev", revision) if revision else ("istio-injection", "enabled")
    if tenant is not None and settings.uses("istio"):
        return Gateway(tenant.namespace, "ingress", {"korthweb/gateway": tenant.namespace}, injection, own=True)
    return Gateway(ISTIO, f"{GATEWAY}-service-account", {"istio": "ingressgateway"}, injection, own=False)


#: what a page of another origin may do: read. What changes something, Orthanc's request filter refuses
CORS_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_HEADERS = ("Accept", "Authorization", "Content-Type", "If-None-Match", "Range", "X-Requested-With")
CORS_EXPOSED = ("Content-Disposition", "Content-Length", "Content-Range", "ETag")


def cors_policy(tenant: Tenant) -> dict[str, object]:
    """Return what Istio says to pages of the origins that ``tenant`` names."""
    return {
        "allowOrigins": [{"exact": origin} for origin in tenant.cors],
        "allowMethods": CORS_METHODS,
        "allowHeaders": CORS_HEADERS,
        "exposeHeaders": CORS_EXPOSED,
        "allowCredentials": True,
        "maxAge": "3600s",
    }


def ca_secret(tenant: Tenant) -> str:
    """Return the Secret (beside the gateway) of the tenant's certificate authority."""
    return f"{tenant.namespace}-ca"


def tls_secret(tenant: Tenant) -> str:
    """Return the Secret (beside the gateway) of the certificate that the gateway shows for the tenant."""
    return f"{tenant.namespace}-tls"


def metrics_secret(tenant: Tenant) -> str:
    """Return the Secret (in observability) with which Prometheus asks the tenant's Orthanc."""
    return f"orthanc-metrics-{tenant.namespace}"


def given_passwords(tenant: Tenant, secrets: Secrets) -> dict[str, str]:
    """Return user → password for those that a person chose."""
    chosen = {user: secrets.password(tenant, user) for user in tenant.users}
    return {user: text for user, text in chosen.items() if text is not None}


def fingerprint(tenant: Tenant, passwords: Mapping[str, str]) -> str:
    """Return a digest that changes with the passwords a person chose, and that is expensive to guess them from.

    It becomes an annotation of pods, where more people can read it than the Secret.
    """
    if not passwords:
        return "generated"
    text = "\0".join(f"{name}\0{value}" for name, value in sorted(passwords.items()))
    return hashlib.scrypt(text.encode(), salt=tenant.namespace.encode(), n=2**14, r=8, p=1, dklen=8).hex()


def answered(result: Result) -> Result:
    """Return ``result`` if it is an answer; raises CommandFailed for one that leaves things unknown."""
    if not result.answered:
        raise CommandFailed(f"{result.command} failed", code=result.code, stderr=result.stderr)
    return result


def names_of(tenant: Tenant, secrets: Secrets, *, config: str, dbinit: str, image: str) -> Names:
    """Return the names of ``tenant``; ``config`` is its configuration's digest, ``dbinit`` its database's script."""
    database = secrets.database_password(tenant)
    role = {"database": database} if database is not None else {}
    revision = digest([dbinit, image, fingerprint(tenant, role)], 8)
    prober = tenant.users[0]
    return Names(
        ca_secret=ca_secret(tenant),
        tls_secret=tls_secret(tenant),
        metrics_secret=metrics_secret(tenant),
        dbinit_revision=revision,
        dbinit_job=f"dbinit-{revision}",
        config_digest=config,
        credentials_digest=fingerprint(tenant, {**given_passwords(tenant, secrets), **role}),
        probe_user=prober,
        probe_variable=password_variable(prober),
    )
