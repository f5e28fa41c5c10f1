"""Passwords that nobody chose."""

from __future__ import annotations

from korthweb_tasks.settings.tenant import Tenant


class Nobody:
    """Nobody chose a password: all of them are generated."""

    def password(self, tenant: Tenant, user: str) -> str | None:
        return None

    def database_password(self, tenant: Tenant) -> str | None:
        return None
