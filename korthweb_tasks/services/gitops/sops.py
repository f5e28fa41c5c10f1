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
from korthweb_tasks.services.gitops.repository import folder_of
from korthweb_tasks.settings.orthanc import password_variables
from korthweb_tasks.settings.secrets import weak
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from pathlib import Path

    from korthweb_tasks.run.checkout import Checkout
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant

#: prefix of an age key that opens
PRIVATE = "AGE-SECRET-KEY-"


@dataclass(frozen=True)
class Sealed:
    """The key, and by tenant: the encrypted file, and the passwords that are in it."""

    key: str = field(repr=False)
    files: Mapping[str, str]
    users: Mapping[str, Mapping[str, str]] = field(repr=False)


def sealed(session: Session, checkout: Checkout, tenants: tuple[Tenant, ...], *, make: bool) -> Sealed | None:
    """Return the encrypted passwords of ``tenants``, those of Git where they hold still; None where Git has none.

    A file is made anew only where a password is missing or was chosen anew: a second run changes nothing.
    With ``make`` a key is made where there is none; without it, what has no key yet is left out.
    """
    if session.settings.gitops.secrets != "sops":
        return None
    key = _key(session, make=make and not session.dry_run)
    if not key:
        return Sealed("", {}, {})

    files, users = {}, {}
    recipient = _recipient(session, key)
    for tenant in tenants:
        path = encrypted_path(folder_of(session), tenant)
        there = checkout.read(path)
        held = _opened(session, there, key, path) if there else {}
        _refuse_weak(path, held, given_passwords(tenant, session.secrets), tenant)
        users[tenant.name] = _wanted(session, tenant, held)
        if there and held == users[tenant.name]:
            files[tenant.name] = there
        else:
            files[tenant.name] = _closed(session, tenant, users[tenant.name], recipient)
    return Sealed(key, files, users)


def _key(session: Session, *, make: bool) -> str:
    """Return the key: the cluster's, else that of the user's own file, else a new one. It is never replaced."""
    path = key_file(session.settings.gitops.url or "", folder_of(session))
    result = session.runner.run(session.kubectl.get("secret", AGE_SECRET, namespace=session.settings.flux.namespace))
    found = table(items(result)).get(AGE_SECRET, {}).get(AGE_KEY, "")
    with suppress(FileNotFoundError):
        found = found or read_private(path)
    if found or not make:
        return found
    key = session.runner.run(Command(argv=("age-keygen",))).stdout
    own_folder(path.parent).write(path.name, key)
    session.console.line(f"A key for the passwords in Git was made: {path}", "bold")
    session.console.line("  Keep a copy outside of this machine: without it nobody can read them again.")
    return key


def key_file(url: str, folder: str) -> Path:
    """Return where the key of a cluster's folder is kept: with the user's own state, where no ``git add`` finds it."""
    return paths.state_dir() / "keys" / f"{folder}-{digest(url, 8)}.agekey"


def _recipient(session: Session, key: str) -> str:
    """Return the public half of a key."""
    return session.runner.run(Command(argv=("age-keygen", "-y"), stdin=key, masks=_masks(key))).stdout.strip()


def _wanted(session: Session, tenant: Tenant, held: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords as they shall be: chosen in .env, else those of Git, else the cluster's, else new ones."""
    given = given_passwords(tenant, session.secrets)
    running: Mapping[str, str] = {}
    if any(not given.get(user) and not held.get(name) for user, name in password_variables(tenant).items()):
        result = session.runner.run(session.kubectl.get("secret", USERS_SECRET, namespace=tenant.namespace))
        running = table(items(result)).get(USERS_SECRET, {})
    return {
        name: given.get(user) or held.get(name) or running.get(name) or generated()
        for user, name in password_variables(tenant).items()
    }


def _refuse_weak(path: str, held: Mapping[str, str], given: Mapping[str, str], tenant: Tenant) -> None:
    """Raise SettingsError for a password that somebody encrypted into Git and that is none."""
    for user, name in password_variables(tenant).items():
        if name in held and not given.get(user) and (why := weak(held[name])):
            raise SettingsError(f"{path}: {name} {why}", hint="another one in .env replaces it")


def _opened(session: Session, text: str, key: str, path: str) -> dict[str, str]:
    """Return the passwords of an encrypted file; raises StepFailed for one that the key does not open."""
    lines = "\n".join(line for line in key.splitlines() if line.startswith(PRIVATE))
    words = ("decrypt", "--input-type", "yaml", "--output-type", "yaml", "--filename-override", "secrets.yaml")
    command = Command(argv=("sops", *words), stdin=text, env={"SOPS_AGE_KEY": lines}, masks=_masks(key))
    result = session.runner.check(command)
    if result.code != 0:
        file = key_file(session.settings.gitops.url or "", folder_of(session))
        hint = f"the key of this cluster belongs into {file}; or remove {path} from Git: new ones are made"
        raise StepFailed(f"{path} can't be opened with this cluster's key", hint=hint, details=result.stderr.strip())
    found = yaml.safe_load(result.stdout)
    return {str(name): str(value) for name, value in (found.get("stringData") or {}).items()}


def _closed(session: Session, tenant: Tenant, users: Mapping[str, str], recipient: str) -> str:

    if not recipient.startswith("age1"):
        raise SettingsError(
            "age-keygen gave no public key", hint=f"`{hints.task('tools.list')}` shows which age-keygen is used"
        )
    form = ("--input-type", "yaml", "--output-type", "yaml", "--filename-override", "secrets.yaml")
    words = ("encrypt", "--age", recipient, "--encrypted-regex", "^(data|stringData)$", *form)
    masks = tuple(users.values())
    # a .sops.yaml of the working directory must not choose other keys
    command = Command(argv=("sops", "--config", "/dev/null", *words), stdin=users_secret(tenant, users), masks=masks)
    return session.runner.run(command).stdout


def _masks(key: str) -> tuple[str, ...]:
    return tuple(line for line in key.splitlines() if line.startswith(PRIVATE))
