"""Where Flux is in a cluster, and what korthweb's own objects of it are called. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from korthweb_tasks.core.tree import Ref

#: what `flux bootstrap` calls its namespace, its source and its Kustomization
BOOTSTRAPPED = "flux-system"


@dataclass(frozen=True, slots=True)
class FluxHome:
    """The namespace of korthweb's sources and Kustomizations, the name of the first of each, and the controllers'.

    `flux bootstrap` has one word for all three. Beside somebody else's Flux, ours have names of their own.

    >>> FluxHome("korthweb-flux", "korthweb").beside
    True
    """

    namespace: str = BOOTSTRAPPED
    name: str = BOOTSTRAPPED
    controllers: str = BOOTSTRAPPED

    @property
    def beside(self) -> bool:
        """Return True if the controllers are somebody else's."""
        return self.namespace != self.controllers

    @property
    def root(self) -> Ref:
        """Return the Kustomization that applies the others."""
        return self.layer(self.name)

    @property
    def source(self) -> Ref:
        """Return the Git repository that they come from."""
        return Ref("GitRepository", self.namespace, self.name)

    def layer(self, name: str) -> Ref:
        """Return one of our Kustomizations."""
        return Ref("Kustomization", self.namespace, name)

    def account(self, tenant: str) -> str:
        """Return the user name of the account under which Flux applies a tenant's application."""
        return f"system:serviceaccount:{self.namespace}:tenant-{tenant.lower()}"


#: where korthweb installs Flux itself
BY_BOOTSTRAP = FluxHome()
