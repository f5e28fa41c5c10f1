"""Which Kustomizations of a cluster are korthweb's. Pure.

A name proves nothing: another team may have a `rad-application` too, in its own namespace, or in Flux's beside ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.flux.objects import ref_of, source
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

KUSTOMIZATIONS = "kustomization.kustomize.toolkit.fluxcd.io"
#: labels with which Flux marks what a Kustomization applied
APPLIED_BY, APPLIED_IN = "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace"
#: what a tenant consists of, in the order in which it goes
TENANT_LAYERS = ("application", "monitoring", "dependency")
#: the folder of a fleet repository in which everything is that Flux applies
_FLEET = "clusters/"


def question(kubectl: Kubectl, namespace: str = "*") -> Command:
    """Return the question for Kustomizations; a cluster without Flux is an answer."""
    return replace(kubectl.get(KUSTOMIZATIONS, namespace=namespace), final=ABSENT)


def applied_by(labels: Mapping[str, str]) -> Ref | None:
    """Return the Kustomization that labels name, or None where Flux did not mark the object."""
    if APPLIED_BY not in labels or APPLIED_IN not in labels:
        return None
    return Ref("Kustomization", labels[APPLIED_IN], labels[APPLIED_BY])


@dataclass(frozen=True)
class Layers:
    """The Kustomizations that are there, and where those of korthweb are."""

    home: FluxHome = BY_BOOTSTRAP
    living: Mapping[Ref, Object] = field(default_factory=dict)

    @classmethod
    def read(cls, home: FluxHome, result: Result | None) -> Layers:
        """Read the answer to :func:`question`; None where it was not asked."""
        found = items(result) if result and result.code == 0 else []
        return cls(home, {ref_of(obj): obj for obj in found})

    def ours(self, ref: Ref | None) -> bool:
        """Return True for one in our namespace that takes our source's folder.

        Of one that is not there any more its name is all that is left of it.
        """
        if ref is None or ref.namespace != self.home.namespace:
            return False
        obj = self.living.get(ref)
        return obj is None or _from_fleet(obj, self.home)

    def own(self) -> list[Object]:
        """Return those that are there and ours."""
        return [obj for ref, obj in self.living.items() if self.ours(ref)]

    def applied(self, objects: Iterable[Object]) -> list[Object]:
        """Return those of ``objects`` that one of ours applied."""
        return [obj for obj in objects if self.ours(applied_by(obj["metadata"].get("labels") or {}))]


def _from_fleet(obj: Object, home: FluxHome) -> bool:
    path = str(obj.get("spec", {}).get("path", "")).removeprefix("./")
    return source(obj) == home.source and path.startswith(_FLEET)
