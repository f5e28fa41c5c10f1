"""Takes away what GitOps made where Flux's controllers do not run: nobody answers their finalizers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from korthweb_tasks.approaches.gitops.removal import PATIENCE, Home, Remover, nothing
from korthweb_tasks.approaches.shared.layers import APPLIED_BY, APPLIED_IN, TENANT_LAYERS
from korthweb_tasks.core.plan import Plan, Probe, Step, step_name
from korthweb_tasks.tools.helm import Helm, rows
from korthweb_tasks.tools.kubectl import Object

#: what answers for a tenant, and would go on without Flux
SERVED = "horizontalpodautoscaler,deployment,service,poddisruptionbudget"


class Abandoned(Remover):
    """Makes the steps. With ``volumes`` databases and namespaces go too, and every image with them."""

    def abandoned(self, releases: Sequence[Object], homes: Iterable[Home]) -> Plan:
        """Return the removal of all where Flux's controllers do not run: nobody answers its finalizers any more.

        Charts are uninstalled by helm, what serves a tenant is deleted, and Flux's own finalizers go with Flux.
        """
        chosen = tuple(homes)
        silent = [self.served(home) for home in chosen]
        databases = [replace(self.database(home), needs=(step_name("served", home.name),)) for home in chosen]
        homeless = [replace(self.namespace(home), needs=(step_name("database", home.name),)) for home in chosen]
        before = tuple(step.name for step in (*databases, *homeless))
        charts = [self.chart(obj, before, releases) for obj in releases]
        flux = self.flux((*before, *(step.name for step in charts)))
        title = f"Remove GitOps without its controllers{' with every image' if self.volumes else ', volumes are kept'}"
        return Plan(title, (*silent, *databases, *homeless, *charts, flux, *self.shared((flux.name,))))

    def served(self, home: Home) -> Step:
        """Remove what serves a tenant, by the labels that Flux gave it."""
        own = ", ".join(f"{home.slug}-{layer}" for layer in TENANT_LAYERS)
        mark = f"{APPLIED_IN}={self.home.namespace},{APPLIED_BY} in ({own})"
        args = ("delete", SERVED, f"--selector={mark}", "--ignore-not-found", "--wait=true")
        there = self.kubectl.get(SERVED, namespace=home.namespace, selector=mark)
        return Step(
            kind="served",
            tenant=home.name,
            title=f"{home.name}: Orthanc and gateway",
            probes=(Probe(there, nothing),),
            actions=(self.kubectl.command(*args, namespace=home.namespace, repeatable=True, timeout=PATIENCE),),
        )

    def chart(self, obj: Object, before: tuple[str, ...], releases: Sequence[Object]) -> Step:
        """Uninstall a chart by helm, after those that need it."""
        meta, helm = obj["metadata"], Helm(self.target)
        name = obj["spec"].get("releaseName") or meta["name"]
        users = [
            step_name("chart", one["metadata"]["name"])
            for one in releases
            for need in one["spec"].get("dependsOn") or ()
            if need["name"] == meta["name"]
        ]
        return Step(
            kind="chart",
            resource=meta["name"],
            title=f"Uninstall {meta['name']}",
            needs=(*before, *users),
            probes=(Probe(helm.list(name, namespace=meta["namespace"]), lambda result: not rows(result)),),
            actions=(helm.uninstall(name, namespace=meta["namespace"]),),
        )
