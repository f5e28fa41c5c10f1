"""Passwords in Git, encrypted: the age key that opens them, and the files that sops makes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from korthweb_tasks import paths
from korthweb_tasks.approaches.gitops.fleet import encrypted_path
from korthweb_tasks.approaches.gitops.secrets import AGE_KEY, AGE_SECRET, users_secret
from korthweb_tasks.approaches.shared.common import USERS_SECRET, given_passwords
from korthweb_tasks.approaches.shared.credentials import generated, table
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.render import digest
from korthweb_tasks.errors import SettingsError, StepFailed
from korthweb_tasks.files import own_folder, read_private
from korthweb_tasks.settings.orthanc import password_variables
from korthweb_tasks.settings.secrets import weak
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from pathlib import Path

    from korthweb_tasks.approaches.shared.common import Secrets
    from korthweb_tasks.run.checkout import Checkout
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant
    from korthweb_tasks.tools.kubectl import Kubectl

#: prefix of an age key that opens
PRIVATE = "AGE-SECRET-KEY-"
_YAML = ("--input-type", "yaml", "--output-type", "yaml", "--filename-override", "secrets.yaml")


@dataclass(frozen=True)
class Encrypted:
    """The key, and by tenant: the encrypted file, and the passwords that are in it."""

    key: str = field(repr=False)
    files: Mapping[str, str]
    users: Mapping[str, Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True)
class Sops:
    """Encrypts and opens the passwords of one cluster, whose folder below clusters/ is ``folder``."""

    runner: Runner
    kubectl: Kubectl
    console: Console
    settings: Settings
    secrets: Secrets
    folder: str

    def encrypted(self, checkout: Checkout, tenants: tuple[Tenant, ...], *, make: bool) -> Encrypted:
        """Return the encrypted passwords of ``tenants``, those of Git where they hold still.

        A file is made anew only where a password is missing or was chosen anew: a second run changes nothing.
        With ``make`` a key is made where there is none; without it, what has no key yet is left out.
        """
        key = self._key(make=make)
        if not key:
            return Encrypted("", {}, {})
        files, users = {}, {}
        for tenant in tenants:
            path = encrypted_path(self.folder, tenant)
            text = checkout.read(path)
            in_git = self._opened(text, key, path) if text else {}
            refuse_weak(path, in_git, given_passwords(tenant, self.secrets), tenant)
            users[tenant.name] = self._wanted(tenant, in_git)
            unchanged = text if in_git == users[tenant.name] else None
            files[tenant.name] = unchanged or self._closed(tenant, users[tenant.name], key)
        return Encrypted(key, files, users)

    @property
    def _file(self) -> Path:
        return key_file(self.settings.gitops.url or "", self.folder)

    def _key(self, *, make: bool) -> str:
        """Return the key: the cluster's, else that of the user's own file, else a new one. It is never replaced."""
        in_cluster = self.kubectl.get("secret", AGE_SECRET, namespace=self.settings.flux.namespace)
        key = table(items(self.runner.run(in_cluster))).get(AGE_SECRET, {}).get(AGE_KEY, "")
        with suppress(FileNotFoundError):
            key = key or read_private(self._file)
        if key or not make:
            return key
        key = self.runner.run(Command(argv=("age-keygen",))).stdout
        own_folder(self._file.parent).write(self._file.name, key)
        self.console.line(f"A key for the passwords in Git was made: {self._file}", "bold")
        self.console.line("  Keep a copy outside of this machine: without it nobody can read them again.")
        return key

    def _wanted(self, tenant: Tenant, in_git: Mapping[str, str]) -> dict[str, str]:
        """Return the passwords that shall hold: chosen in .env, else those of Git, else the cluster's, else new."""
        given = given_passwords(tenant, self.secrets)
        running: Mapping[str, str] = {}
        if any(not given.get(user) and not in_git.get(name) for user, name in password_variables(tenant).items()):
            result = self.runner.run(self.kubectl.get("secret", USERS_SECRET, namespace=tenant.namespace))
            running = table(items(result)).get(USERS_SECRET, {})
        return {
            name: given.get(user) or in_git.get(name) or running.get(name) or generated()
            for user, name in password_variables(tenant).items()
        }

    def _opened(self, text: str, key: str, path: str) -> dict[str, str]:
        """Return the passwords of an encrypted file; raises StepFailed for one that the key does not open."""
        lines = _private(key)
        env = {"SOPS_AGE_KEY": "\n".join(lines)}
        result = self.runner.check(Command(argv=("sops", "decrypt", *_YAML), stdin=text, env=env, masks=lines))
        if result.code != 0:
            hint = f"the key of this cluster belongs into {self._file}; or remove {path} from Git: new ones are made"
            raise StepFailed(
                f"{path} can't be opened with this cluster's key", hint=hint, details=result.stderr.strip()
            )
        secret = yaml.safe_load(result.stdout)
        return {str(name): str(value) for name, value in (secret.get("stringData") or {}).items()}

    def _closed(self, tenant: Tenant, users: Mapping[str, str], key: str) -> str:
        """Return a tenant's Secret, encrypted for the public half of the key."""
        public = self.runner.run(Command(argv=("age-keygen", "-y"), stdin=key, masks=_private(key))).stdout.strip()
        if not public.startswith("age1"):
            hint = f"`{hints.task('tools.list')}` shows which age-keygen is used"
            raise SettingsError("age-keygen gave no public key", hint=hint)
        words = ("encrypt", "--age", public, "--encrypted-regex", "^(data|stringData)$", *_YAML)
        # a .sops.yaml of the working directory must not choose other keys
        argv, secret = ("sops", "--config", "/dev/null", *words), users_secret(tenant, users)
        return self.runner.run(Command(argv=argv, stdin=secret, masks=tuple(users.values()))).stdout


def key_file(url: str, folder: str) -> Path:
    """Return where the key of a cluster's folder is kept: with the user's own state, where no ``git add`` finds it."""
    return paths.state_dir() / "keys" / f"{folder}-{digest(url, 8)}.agekey"


def refuse_weak(path: str, in_git: Mapping[str, str], given: Mapping[str, str], tenant: Tenant) -> None:
    """Raise SettingsError for a weak password that somebody encrypted into Git."""
    for user, name in password_variables(tenant).items():
        if name in in_git and not given.get(user) and (why := weak(in_git[name])):
            raise SettingsError(f"{path}: {name} {why}", hint="another one in .env replaces it")


def _private(key: str) -> tuple[str, ...]:
    """Return the lines of a key file that nobody else may see."""
    return tuple(line for line in key.splitlines() if line.startswith(PRIVATE))
