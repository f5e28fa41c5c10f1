"""Where the fleet's repository is, how it is reached, and which tenants of it a cluster has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks import paths
from korthweb_tasks.errors import SettingsError, UsageError
from korthweb_tasks.files import check_trusted
from korthweb_tasks.lab import labs
from korthweb_tasks.run.checkout import Checkout
from korthweb_tasks.services.lab import in_lab
from korthweb_tasks.services.shared import refuse
from korthweb_tasks.settings.soundness import reachable
from korthweb_tasks.tools.git import Remote

if TYPE_CHECKING:
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.resolve import ChosenCluster
    from korthweb_tasks.settings.tenant import Tenant

LAB, EXTRA = "lab", "gitops"
_FOLDER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def folder_of(ref: ChosenCluster, settings: Settings) -> str:
    """Return the name of the cluster's folder below clusters/; raises SettingsError for one that is no folder's."""
    name = settings.gitops.cluster or ref.name
    if not _FOLDER.fullmatch(name):
        raise SettingsError(f"{name!r} can't be the name of a folder", hint="gitops.cluster in korthweb.yaml: a name")
    return name


def tenants_of(ref: ChosenCluster, settings: Settings) -> tuple[Tenant, ...]:
    """Return the tenants that run on the cluster; raises SettingsError for a name that no tenant has."""
    names = ref.settings.tenants
    if names is None:
        return settings.tenants
    by_name = {tenant.name.lower(): tenant for tenant in settings.tenants}
    if unknown := [name for name in names if name.lower() not in by_name]:
        text = f"clusters.{ref.name}.tenants: there is no tenant {unknown[0]}"
        raise SettingsError(text, hint=f"there are: {', '.join(settings.tenant_names)}")
    return tuple(by_name[name.lower()] for name in names)


def chosen(session: Session) -> tuple[Tenant, ...]:
    """Return those of the cluster's tenants that the task is about: --tenant's, else all."""
    here = tenants_of(session.ref, session.settings)
    picked = [tenant for tenant in session.tenants if tenant in here]
    if not picked and session.tenant_flag:
        raise UsageError(f"{session.tenant_flag} does not run on {session.ref.name}", hint="clusters.*.tenants")
    return tuple(picked)


def remote(session: Session, *, bring: bool = False) -> Remote:
    """Return the fleet repository and how it is reached; a lab's own Git server is brought where that may be.

    Raises SettingsError for what is missing, NotInLab.
    """
    given = session.settings.gitops
    refuse(session.loaded, reachable)
    if given.url == LAB:
        access = in_lab(session, EXTRA, "Git server", labs.git_access, key="gitops.url", bring=bring)
        return Remote(access.url, given.branch, access.username, access.password, str(access.ca_file))
    url = given.url or ""
    password = session.secrets.git_password(given.provider) if url.startswith("https://") else None
    return Remote(
        url,
        given.branch,
        given.username,
        password,
        ca_file=full_path(given.ca_file, "gitops.ca_file"),
        private_key=full_path(given.private_key, "gitops.private_key"),
    )


def checkout_of(runner: Runner, where: Remote, onto: str = "") -> Checkout:
    """Return korthweb's own checkout of the repository."""
    return Checkout(runner, where, paths.work_dir() / "fleet", onto)


def full_path(given: str | None, key: str) -> str:
    """Return the full path of a file of the settings; raises SettingsError where it is not there."""
    if not given:
        return ""
    path = paths.project_dir() / Path(given).expanduser()
    check_trusted(path)
    path = path.resolve()
    if not path.is_file():
        raise SettingsError(f"{key}: there is no file {path}", hint=f"{key} in korthweb.yaml")
    return str(path)
