"""What the approaches share: names in the cluster, artifacts, and the digests that make pods follow a change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from korthweb_tasks.core.command import Result
from korthweb_tasks.core.render import Templates, digest
from korthweb_tasks.errors import CommandFailed
from korthweb_tasks.settings.orthanc import password_variable

if TYPE_CHECKING:
    from korthweb_tasks.settings.parts import Tenant

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


class Secrets(Protocol):
    """Passwords that a person chose; None means: to be generated."""

    def password(self, tenant: Tenant, user: str) -> str | None:
        """Return the password of one of Orthanc's users."""

    def database_password(self, tenant: Tenant) -> str | None:
        """Return the password of Orthanc's role in PostgreSQL."""


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of an approach, and the folder of charts that stand in for the source ``lab``."""

    templates: Templates
    charts: Path | None = field(default=None)

    @classmethod
    def read(cls, folder: Path, charts: Path | None = None) -> Artifacts:
        """Read the artifacts below ``folder``."""
        return cls(Templates.read(folder), charts)


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


def ca_secret(tenant: Tenant) -> str:
    """Return the Secret (in istio-system) of the tenant's certificate authority."""
    return f"{tenant.namespace}-ca"


def tls_secret(tenant: Tenant) -> str:
    """Return the Secret (in istio-system) of the certificate that the gateway shows for the tenant."""
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
    """Return the names of ``tenant``; ``config`` is its orthanc.json, ``dbinit`` the script for its database."""
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
        config_digest=digest(config),
        credentials_digest=fingerprint(tenant, {**given_passwords(tenant, secrets), **role}),
        probe_user=prober,
        probe_variable=password_variable(prober),
    )
