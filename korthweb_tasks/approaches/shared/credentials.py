"""A tenant's passwords: chosen in .env, found in the cluster, or generated, in this order. None is ever replaced."""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.common import (
    ADMIN_PASSWORD,
    ADMIN_SECRET,
    DATABASE_SECRET,
    MANAGED_BY,
    OBSERVABILITY,
    OURS,
    USERS_SECRET,
    Secrets,
    given_passwords,
    metrics_secret,
)
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Probe, Step, step_name
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.orthanc import DATABASE_PASSWORD, password_variable, password_variables
from korthweb_tasks.settings.secrets import weak
from korthweb_tasks.tools.kubectl import Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant

#: Secret → key → password
Table = dict[str, dict[str, str]]
#: bytes of randomness in a generated password
STRENGTH = 24


def generated() -> str:
    """Return a new password out of letters, digits, ``-`` and ``_``, which every file format carries."""
    return random.token_urlsafe(STRENGTH)


@dataclass
class Credentials:
    """The Secrets of one tenant. The probes look first; the action adds what they did not find."""

    tenant: Tenant
    secrets: Secrets
    kubectl: Kubectl
    #: the namespace that Prometheus' password is copied to, or None where there is no Prometheus
    watcher: Object | None = None
    generate: Callable[[], str] = generated
    found: Table | None = field(default=None, repr=False)

    def probes(self) -> tuple[Probe, ...]:
        """Return what asks whether every Secret is there, with the passwords that a person chose."""
        own = self.kubectl.get_these([("secret", name) for name in self._keys()], namespace=self.tenant.namespace)
        if self.watcher is None:
            return (Probe(own, self._complete),)
        copy = self.kubectl.get_these([("secret", metrics_secret(self.tenant))], namespace=OBSERVABILITY)
        return Probe(own, self._complete), Probe(copy, self._copied)

    def step(self, *, before: tuple[Command, ...] = (), after: tuple[Command, ...] = ()) -> Step:
        """Return the step that generates the passwords which nobody chose."""
        return Step(
            kind="credentials",
            tenant=self.tenant.name,
            title=f"{self.tenant.name}: passwords",
            needs=(step_name("namespace", self.tenant.name),),
            probes=self.probes(),
            actions=(*before, self.command, *after),
        )

    def command(self) -> Command:
        """Return the command that applies all Secrets: chosen, found, or generated now.

        Raises RuntimeError where the probes did not look first: what is not known must not be replaced.
        """
        if self.found is None:
            raise RuntimeError("the Secrets were not looked at before they are written")
        table = self.wanted()
        masks = tuple(text for keys in table.values() for text in keys.values())
        return self.kubectl.apply(self.objects(table), masks=masks)

    def wanted(self) -> Table:
        """Return the passwords as they shall be."""
        chosen, found = self._chosen(), self.found or {}
        return {
            name: {key: chosen.get(key) or found.get(name, {}).get(key) or self.generate() for key in keys}
            for name, keys in self._keys().items()
        }

    def objects(self, table: Table) -> list[dict[str, Any]]:
        """Return the Secrets that hold ``table``."""
        place = self.tenant.namespace
        made = [secret(name, place, keys, self.tenant.name) for name, keys in table.items()]
        if self.watcher is None:
            return made
        user = self.tenant.users[0]
        copy = {"username": user, "password": table[USERS_SECRET][password_variable(user)]}
        return [*made, secret(metrics_secret(self.tenant), OBSERVABILITY, copy, self.tenant.name)]

    def _keys(self) -> dict[str, tuple[str, ...]]:
        return {
            USERS_SECRET: tuple(password_variables(self.tenant).values()),
            DATABASE_SECRET: (DATABASE_PASSWORD,),
            ADMIN_SECRET: (ADMIN_PASSWORD,),
        }

    def _chosen(self) -> dict[str, str]:
        given = given_passwords(self.tenant, self.secrets)
        chosen = {password_variable(user): text for user, text in given.items()}
        database = self.secrets.database_password(self.tenant)
        return {**chosen, **({DATABASE_PASSWORD: database} if database is not None else {})}

    def _complete(self, result: Result) -> bool:
        self.found = table(items(result))
        chosen = self._chosen()
        given = {name: {key: text for key, text in keys.items() if text} for name, keys in self.found.items()}
        refuse_weak(self.tenant.namespace, given, self._keys(), chosen)  # an empty one is made anew
        return all(
            (text := self.found.get(name, {}).get(key)) and chosen.get(key, text) == text
            for name, keys in self._keys().items()
            for key in keys
        )

    def _copied(self, result: Result) -> bool:
        copy = table(items(result)).get(metrics_secret(self.tenant), {})
        variable = password_variable(self.tenant.users[0])
        password = (self.found or {}).get(USERS_SECRET, {}).get(variable)
        return password is not None and copy.get("password") == password


def table(secrets: list[dict[str, Any]]) -> Table:
    """Return the decoded contents of Secrets by name."""
    return {
        obj["metadata"]["name"]: {key: base64.b64decode(text).decode() for key, text in obj.get("data", {}).items()}
        for obj in secrets
    }


def refuse_weak(
    namespace: str, found: Table, wanted: Mapping[str, Iterable[str]], chosen: Collection[str] = ()
) -> None:
    """Raise SettingsError for a password in a Secret that is none; ``chosen`` ones replace it."""
    for name, keys in wanted.items():
        for key in keys:
            text = found.get(name, {}).get(key)
            if text is not None and key not in chosen and (why := weak(text)):
                hint = "another one in .env replaces it, or remove the key: a new one is generated"
                raise SettingsError(f"the Secret {name} in {namespace}: {key} {why}", hint=hint)


def secret(name: str, namespace: str, keys: Mapping[str, str], tenant: str) -> dict[str, Any]:
    """Return a Secret; its data is encoded here, so that an apply shows the same object each time."""
    labels = {MANAGED_BY: OURS, "app.kubernetes.io/part-of": "orthweb", "korthweb/tenant": tenant}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in keys.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": "Opaque",
        "data": data,
    }


def logins(run: Callable[[Command], Result], kubectl: Kubectl, tenant: Tenant) -> list[dict[str, str]]:
    """Return user, password and address of everybody who may log in to ``tenant``; the password is empty if unknown."""
    result = run(kubectl.get("secret", USERS_SECRET, namespace=tenant.namespace))
    passwords = table(items(result)).get(USERS_SECRET, {})
    return [
        {
            "tenant": tenant.name,
            "user": user,
            "password": passwords.get(variable, ""),
            "url": tenant.web_url,
            "secret": f"{tenant.namespace}/{USERS_SECRET}",
        }
        for user, variable in password_variables(tenant).items()
    ]
