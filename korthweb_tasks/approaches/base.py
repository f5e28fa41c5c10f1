"""What an approach is to the rest of korthweb, and where each is found. Pure.

Whoever works for all approaches (verify, the guard, the checks) asks here, and names none of them. An approach says it
all in ``approaches/NAME/approach.py``, as ``APPROACH``; its name is in settings/approaches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.settings import approaches
from korthweb_tasks.settings.orthanc import password_variable

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.common import Secrets
    from korthweb_tasks.approaches.shared.component_checks import Wanted
    from korthweb_tasks.approaches.shared.credentials import Credentials
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a Secret. In the texts ``{ns}`` is the tenant's namespace, ``{password}`` the user's variable."""

    namespace: str
    secret: str
    key: str

    def named(self, tenant: Tenant, user: str) -> Key:
        """Return the key for this tenant and user."""
        names = {"ns": tenant.namespace, "password": password_variable(user)}
        return Key(*(text.format(**names) for text in (self.namespace, self.secret, self.key)))

    def __str__(self) -> str:
        """Return what a person would look for."""
        return f"secret/{self.secret} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where one approach keeps things. ``cas`` are tried in order; ``selector`` finds Orthanc's pods.

    ``own`` is the Service of a gateway that only this tenant has, which counts before ``ingress``: beside somebody
    else's mesh the manual approach makes one.
    """

    ingress: tuple[str, str]
    cas: tuple[Key, ...]
    password: Key
    selector: str = "app=orthanc"
    own: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """One way to deploy Orthanc, as far as others need to know it.

    ``lookup`` is where its tenants answer; ``makes`` are the objects in a tenant's namespace, ``kind/name``, of the
    kinds that are looked at before anything is changed. ``components`` are those that it installs or uses,
    ``namespaces`` those of what tenants share, as far as korthweb makes them. ``wanted`` is what it asks of components,
    ``keeper`` makes a tenant's Secrets, and ``brings`` names those that the site brings: value -> Secret and its keys.
    """

    name: str
    lookup: Lookup
    makes: frozenset[str]
    components: Callable[[Settings], tuple[Component, ...]]
    namespaces: Callable[[Settings], tuple[str, ...]]
    wanted: Callable[[Settings, tuple[str, ...]], Wanted]
    keeper: Callable[[Settings, Cluster, Secrets, Tenant], Credentials]
    brings: Callable[[Settings, Tenant], Mapping[str, tuple[str, tuple[str, ...]]]] = lambda _, __: {}
    #: its tenants are Helm releases, which somebody else's release may be in the way of
    releases: bool = False
    #: Flux applies what it makes
    by_flux: bool = False
    #: the task that deploys for the first time, and those that show more than verify.all
    first: str = "deploy"
    proofs: tuple[str, ...] = ()
    #: the task that takes one tenant away, and takes its name as a word; by default `destroy --tenant`
    remover: str = ""

    @property
    def preview(self) -> str:
        """Return the command that shows its plan."""
        return hints.task(f"{self.name}.{self.first}", dry_run=True)


def approach_of(name: str) -> Approach:
    """Return the approach of this name. Raises UsageError for one that is not known."""
    if name not in approaches.APPROACHES:
        raise unknown("approach", name, approaches.APPROACHES, "--approach takes")
    found: Approach = import_module(f"korthweb_tasks.approaches.{name}.approach").APPROACH
    return found


def every() -> tuple[Approach, ...]:
    """Return all approaches, in the order of their names' table."""
    return tuple(approach_of(name) for name in approaches.APPROACHES)


def removal(name: str, tenant: str) -> str:
    """Return the command by which an approach takes one tenant away; one that we do not know is told as the others.

    >>> removal("helm", "BHC")
    'korthweb helm.destroy --tenant BHC'
    """
    remover = approach_of(name).remover if name in approaches.APPROACHES else ""
    return hints.task(remover, tenant) if remover else hints.task(f"{name}.destroy", tenant=tenant)
