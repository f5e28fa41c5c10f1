"""What a tenant may make in its own namespace: admission policies, the same file for all three approaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from korthweb_tasks.core.render import parse
from korthweb_tasks.paths import artifacts_dir

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant

FILE = "tenant-policies.yaml"
#: annotation of a tenant's namespace with the host names that it may call its own
HOSTS = "korthweb/hosts"


def tenant_policies() -> str:
    """Return the policies as a person applies them, with their comments."""
    return (artifacts_dir("helm") / FILE).read_text(encoding="utf-8")


def policy_objects() -> list[dict[str, Any]]:
    """Return the policies with their bindings."""
    return parse(tenant_policies(), FILE)


def own_hosts(tenant: Tenant) -> str:
    """Return a tenant's host names as its namespace names them."""
    return f"{tenant.web_host},{tenant.dicom_host}"
