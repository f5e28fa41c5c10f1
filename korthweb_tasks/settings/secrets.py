"""Passwords that the user chose, from ``.env`` and the environment. They are never printed."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from korthweb_tasks.core import hints
from korthweb_tasks.core.git_providers import TOKENS
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.files import check_trusted
from korthweb_tasks.settings.fields import DATABASE_USER, variable
from korthweb_tasks.settings.layers import empty
from korthweb_tasks.settings.orthanc_options import chart_file
from korthweb_tasks.settings.tenant import Tenant

PREFIX = "KORTHWEB_SECRET_"
DATABASE = DATABASE_USER
#: password or token for the Git server; the providers' own variables are taken too, since CI has those
GIT_PASSWORD = f"{PREFIX}GIT_PASSWORD"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords by the name of their variable; the representation shows names only."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)

    def password(self, tenant: Tenant, user: str) -> str | None:
        """Return the password of one of Orthanc's users, or None: it is to be generated."""
        return self.values.get(secret_name(tenant, user))

    def database_password(self, tenant: Tenant) -> str | None:
        """Return the password of the tenant's PostgreSQL, or None: it is to be generated."""
        return self.values.get(secret_name(tenant, DATABASE))

    def git_password(self, provider: str = "git") -> str | None:
        """Return the password or token for the Git server, or None where none was given."""
        return self.values.get(GIT_PASSWORD) or self.values.get(TOKENS.get(provider, ""))

    @property
    def masks(self) -> tuple[str, ...]:
        """Return every secret text, for the masks of commands and journals."""
        return tuple(self.values.values())


def secret_name(tenant: Tenant, user: str) -> str:
    """Return the variable of a password: ``KORTHWEB_SECRET_BHC_ADMIN_PASSWORD``; the database is user postgres."""
    return f"{PREFIX}{variable(tenant.name)}_{variable(user)}_PASSWORD"


def secret_names(tenants: Iterable[Tenant]) -> list[str]:
    """Return the variables of all passwords that ``tenants`` can have."""
    return [secret_name(tenant, user) for tenant in tenants for user in (*tenant.users, DATABASE)]


def collect(variables: Mapping[str, str], origins: Mapping[str, str]) -> Secrets:
    """Return the secrets among ``variables``.

    Raises SettingsError, without the value, for a password that is too short or that orthanc.json can't carry.
    """
    tokens = (GIT_PASSWORD, *TOKENS.values())
    found = {name: value for name, value in variables.items() if name.startswith(PREFIX) or (name in tokens and value)}
    for name, value in found.items():
        if not value.strip():
            raise SettingsError(empty(origins.get(name, f"environment {name}"), name))
        if name not in tokens and (fault := unfit(value)):
            raise SettingsError(f"{origins.get(name, 'environment')}: {name} {fault}")
    return Secrets(found, {name: origins.get(name, "environment") for name in found})


def weak(password: str) -> str:
    """Return why ``password`` is not one, wherever it was chosen, or nothing: the chart's own table says so, too."""
    table = chart_file("guarded.json")["passwords"]
    if len(password) < table["shortest"]:
        return f"is shorter than {table['shortest']} characters"
    if password.lower() in table["known"]:
        return "is one that everybody knows"
    return "" if password.isprintable() else "holds a control character"


def unfit(password: str) -> str:
    """Return why ``password`` can't be used, or nothing.

    Orthanc replaces ``${NAME}`` inside the text of its JSON file, before it is parsed.
    """
    if why := weak(password):
        return why
    if not password.isprintable() or any(mark in password for mark in ('"', "\\", "${")):
        return "holds a character that orthanc.json can't carry (\", \\, ${ or a control character)"
    return ""


def read_env(path: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the variables of a ``.env`` file, the line that each is in, and warnings; a missing file is empty.

    Raises SettingsError for an unreadable file and for a line that is not ``NAME=value``; no value is ever shown.
    """
    check_trusted(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return {}, {}, []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path.name} can't be read: {reason}", hint=hints.shell("ls", "-l", path)) from error
    values, origins = _parse(text, path.name)
    loose = [
        f"{path.name} holds secrets but others may read it (mode {mode:04o}): `{hints.shell('chmod', '600', path)}`"
    ]
    return values, origins, loose if mode & 0o077 and any(name.startswith(PREFIX) for name in values) else []


def _parse(text: str, name: str) -> tuple[dict[str, str], dict[str, str]]:
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        # a binding begins with the blank lines before it
        before = binding.original.string[: -len(binding.original.string.lstrip()) or None]
        line = binding.original.line + before.count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsError(f"{name}:{line}: this line is not NAME=value")
        if binding.key is not None and binding.value is not None:
            values[binding.key], origins[binding.key] = binding.value, f"{name}:{line}"
    return values, origins
