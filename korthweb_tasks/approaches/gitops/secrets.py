"""The Secrets that are in no Git, or are there encrypted: logins, the registry's authority, the key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.common import MANAGED_BY, OURS, USERS_SECRET
from korthweb_tasks.approaches.shared.credentials import Credentials, Table, secret, table
from korthweb_tasks.core.plan import Probe
from korthweb_tasks.settings.orthanc import password_variable, password_variables
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.settings.tenant import Tenant

#: Secrets beside the sources: the authority of the charts' registry, and the key that opens what is encrypted in Git
REGISTRY_CA, AGE_SECRET, AGE_KEY = "registry-ca", "sops-age", "age.agekey"
#: Secret in a tenant's namespace with which Prometheus asks Orthanc
METRICS_SECRET = "orthanc-metrics"


@dataclass
class FleetCredentials(Credentials):
    """The Secrets of a tenant that are in no Git: Orthanc's users, and Prometheus' login.

    ``users_in_git`` are the passwords of a Git that has them, encrypted: then only the login is made from them.
    """

    users_in_git: Mapping[str, str] | None = field(default=None, repr=False)

    def wanted(self) -> Table:
        """Return the passwords as they shall be."""
        if self.users_in_git is not None:
            return {METRICS_SECRET: self._login(self.users_in_git)}
        users = super().wanted()
        return {**users, METRICS_SECRET: self._login(users[USERS_SECRET])}

    def _keys(self) -> dict[str, tuple[str, ...]]:
        return {} if self.users_in_git is not None else {USERS_SECRET: tuple(password_variables(self.tenant).values())}

    def probes(self) -> tuple[Probe, ...]:
        """Return what asks whether every Secret is there, with the passwords that a person chose."""
        names = [("secret", name) for name in (*self._keys(), METRICS_SECRET)]
        return (Probe(self.kubectl.get_these(names, namespace=self.tenant.namespace), self._all_there),)

    def _all_there(self, result: Result) -> bool:
        complete = self._complete(result)
        there = table(items(result))
        users = self.users_in_git if self.users_in_git is not None else there.get(USERS_SECRET, {})
        return complete and there.get(METRICS_SECRET) == self._login(users)

    def _login(self, users: Mapping[str, str]) -> dict[str, str]:
        first = self.tenant.users[0]
        return {"username": first, "password": users.get(password_variable(first), "")}


def users_secret(tenant: Tenant, users: Mapping[str, str]) -> str:
    """Return the Secret of Orthanc's users as YAML in clear, for an encryption; the field manager will be Flux."""
    import yaml

    made = secret(USERS_SECRET, tenant.namespace, users, tenant.name)
    made["metadata"]["labels"].pop(MANAGED_BY)
    made["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    made["stringData"] = dict(users)
    del made["data"]
    return str(yaml.safe_dump(made, sort_keys=False))


def shared(name: str, namespace: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return a Secret beside the sources, which belongs to no tenant."""
    made = secret(name, namespace, keys, "")
    made["metadata"]["labels"] = {MANAGED_BY: OURS, "app.kubernetes.io/part-of": "orthweb"}
    return made
