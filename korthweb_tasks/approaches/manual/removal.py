"""Takes the manual approach's deployment away: in reverse order, custom resources before their operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.manual.manifests import Manifests, Objects
from korthweb_tasks.approaches.shared.common import (
    ADMIN_SECRET,
    CERT_MANAGER,
    DATABASE_SECRET,
    ISTIO,
    ISTIO_RECORD,
    OBSERVABILITY,
    USERS_SECRET,
    metrics_secret,
)
from korthweb_tasks.approaches.shared.namespaces import delete_namespace, is_kept, kept
from korthweb_tasks.approaches.shared.ownership import STAYS, Fate
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Gone, Plan, Probe, Step, step_name
from korthweb_tasks.tools.helm import Helm, rows
from korthweb_tasks.tools.istioctl import Istioctl
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, as_json, found, items

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.tenant import Tenant

#: kinds that a namespace keeps as long as it keeps its volumes: who the volume belongs to, and its passwords
KEPT = ("Namespace",)
#: namespaces of what tenants share
SHARED = (OBSERVABILITY, CERT_MANAGER, ISTIO)


def build_removal(
    manifests: Manifests,
    target: Cluster,
    tenants: Iterable[Tenant],
    *,
    volumes: bool = False,
    fates: Mapping[str, Fate] | None = None,
    shared: bool = False,
) -> Plan:
    """Return the removal of ``tenants``; with ``shared``, of what they share too, where korthweb installed it.

    ``fates`` say what becomes of each namespace, by its name: one that is not among them is left alone. Without
    ``volumes`` a tenant's namespace stays with its volume claim and the passwords that belong to it.
    """
    gone = tuple(tenants)
    remover = Remover(manifests, target, volumes, fates or {})
    own = [step for tenant in gone for step in remover.tenant(tenant)]
    rest = remover.shared(gone) if shared else ()
    who = " and ".join(tenant.name for tenant in gone)
    return Plan(f"Remove {who}{' and all that they share' if shared else ''}", (*own, *rest))


@dataclass(frozen=True)
class Remover:
    """Makes the steps."""

    manifests: Manifests
    target: Cluster
    volumes: bool
    fates: Mapping[str, Fate] = field(default_factory=dict)

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def tenant(self, tenant: Tenant) -> tuple[Step, ...]:
        """Return the steps of one tenant: the door is closed first, the namespace goes last."""
        manifests, place = self.manifests, tenant.namespace
        config = manifests.of(tenant, "config")
        workloads = [*manifests.of(tenant, "orthanc")]
        database = [*manifests.of(tenant, "postgres"), *manifests.of(tenant, "dbinit")]
        certificates = manifests.of(tenant, "certificates")
        first = self._without(tenant, "ingress", "gateway and routes", manifests.of(tenant, "ingress"))
        second = self._without(
            tenant,
            "orthanc",
            "Orthanc",
            workloads,
            needs=(first.name,),
            waits=(Gone("deployment", "orthanc", place),),
        )
        third = self._without(
            tenant,
            "postgres",
            "PostgreSQL" if self.volumes else "PostgreSQL (its volume stays)",
            database,
            needs=(second.name,),
            waits=(Gone("statefulset", "postgres", place),),
        )
        fourth = self._without(
            tenant, "policies", "mesh policies", [obj for obj in config if custom(obj)], needs=(third.name,)
        )
        issued = [(obj["spec"]["secretName"], ISTIO) for obj in certificates if obj["kind"] == "Certificate"]
        fifth = self._without(
            tenant,
            "certificates",
            "certificates and their authority",
            certificates,
            needs=(first.name,),
            more=(
                self.kubectl.delete(
                    "secret", *(name for name, _ in issued), namespace=certificates[0]["metadata"]["namespace"]
                ),
            ),
        )
        return (first, second, third, fourth, fifth, self._home(tenant, needs=(fourth.name, fifth.name)))

    def shared(self, tenants: tuple[Tenant, ...]) -> tuple[Step, ...]:
        """Return the removal of observability, cert-manager and Istio, where korthweb installed them."""
        homes = tuple(step_name("namespace", tenant.name) for tenant in tenants)
        steps: list[Step] = []
        for name, make in ((OBSERVABILITY, self._watching), (CERT_MANAGER, self._cert_manager), (ISTIO, self._mesh)):
            if not self._fate(name).foreign:
                steps.append(make((*homes, *(step.name for step in steps if make == self._mesh))))
        return (*steps, self._policies(homes))

    def _watching(self, needs: tuple[str, ...]) -> Step:
        """Return the removal of what watches, with what does not go with its namespace (cluster roles, telemetry)."""
        goes = self._fate(OBSERVABILITY).goes
        objects = [
            obj
            for obj in self.manifests.observability()
            if obj["kind"] != "Namespace" and not (goes and obj["metadata"].get("namespace") == OBSERVABILITY)
        ]
        return self._emptied(
            Step(
                kind="observability",
                title="Remove observability",
                probes=(self._absent(objects),) if objects else (),
                actions=(self._delete(objects),) if objects else (),
                needs=needs,
            ),
            OBSERVABILITY,
        )

    def _cert_manager(self, needs: tuple[str, ...]) -> Step:
        helm = Helm(self.target)
        return self._emptied(
            Step(
                kind="cert-manager",
                title="Remove cert-manager",
                probes=(Probe(helm.list("cert-manager", namespace=CERT_MANAGER), lambda result: not rows(result)),),
                actions=(helm.uninstall("cert-manager", namespace=CERT_MANAGER),),
                needs=needs,
            ),
            CERT_MANAGER,
        )

    def _mesh(self, needs: tuple[str, ...]) -> Step:
        return self._emptied(
            Step(
                kind="istio",
                title="Remove Istio",
                probes=(absent(self.kubectl.exists("configmap", ISTIO_RECORD, namespace=ISTIO)),),
                actions=(
                    Istioctl(self.target).uninstall(),
                    self.kubectl.delete("configmap", ISTIO_RECORD, namespace=ISTIO),
                ),
                needs=needs,
            ),
            ISTIO,
        )

    def _policies(self, needs: tuple[str, ...]) -> Step:
        limits = self.manifests.policies()
        return Step(
            kind="policies",
            title="Remove the admission policies",
            probes=(self._absent(limits),),
            actions=(self._delete(limits),),
            needs=needs,
        )

    def _home(self, tenant: Tenant, *, needs: tuple[str, ...]) -> Step:
        kubectl, place = self.kubectl, tenant.namespace
        copy = kubectl.delete("secret", metrics_secret(tenant), namespace=OBSERVABILITY)
        step = Step(kind="namespace", tenant=tenant.name, title="", needs=needs)
        rest = [
            obj
            for obj in (*self.manifests.of(tenant, "namespace"), *self.manifests.of(tenant, "config"))
            if obj["kind"] not in KEPT and not custom(obj)
        ]
        if self._fate(place).goes:
            title = f"{tenant.name}: namespace, volume and passwords removed"
            return self._emptied(replace(step, title=title, actions=(copy,)), place)
        if not self.volumes:
            title = f"{tenant.name}: all but namespace, volume and passwords removed"
            step = replace(step, title=title, probes=(self._absent(rest),), actions=(copy, self._delete(rest)))
            return self._emptied(step, place)
        held = [("secret", USERS_SECRET), ("secret", DATABASE_SECRET), ("secret", ADMIN_SECRET)]
        held.append(("persistentvolumeclaim", "data-postgres-0"))
        there = kubectl.get_these(held, namespace=place)
        named = ",".join(f"{kind}/{what}" for kind, what in held).split(",")
        gone = kubectl.command("delete", *named, "--ignore-not-found", "--wait=true", namespace=place, repeatable=True)
        step = replace(
            step,
            title=f"{tenant.name}: volume and passwords removed",
            probes=(self._absent(rest), Probe(there, lambda result: not items(result))),
            actions=(copy, self._delete(rest), gone),
        )
        return self._emptied(step, place)

    def _emptied(self, step: Step, name: str) -> Step:
        """Return a step that takes the namespace away after what it does itself, or says why it stays."""
        fate = self._fate(name)
        if fate.namespace is None:
            return step
        if not fate.goes:
            # without volumes that is what was asked for
            title = f"{step.title}; the namespace {name} stays: {fate.kept}" if fate.kept != STAYS else step.title
            if (mark := kept(self.kubectl, fate.namespace)) is None:
                return replace(step, title=title)
            probes = (*step.probes, is_kept(self.kubectl, name))
            return replace(step, title=title, probes=probes, actions=(*step.actions, mark))
        return replace(
            step,
            probes=(*step.probes, Probe(self.kubectl.get("namespace", name), lambda result: not items(result))),
            actions=(*step.actions, delete_namespace(self.kubectl, fate.namespace, timeout=self._patience)),
            waits=(*step.waits, Gone("namespace", name)),
            on_failure=self._blocker(name),
        )

    def _fate(self, name: str) -> Fate:
        return self.fates.get(name, Fate())

    def _without(
        self,
        tenant: Tenant,
        kind: str,
        what: str,
        objects: Objects,
        *,
        needs: tuple[str, ...] = (),
        waits: tuple[Gone, ...] = (),
        more: tuple[Command, ...] = (),
    ) -> Step:
        return Step(
            kind=kind,
            tenant=tenant.name,
            title=f"{tenant.name}: {what} removed",
            needs=needs,
            probes=(self._absent(objects),),
            actions=(self._delete(objects), *more),
            waits=waits,
        )

    def _absent(self, objects: Objects) -> Probe:
        """Return what asks whether none of ``objects`` is there; kinds that the server does not know are not there."""
        args = ("get", "--filename=-", "--ignore-not-found", "--output=name")
        command = self.kubectl.command(*args, stdin=as_json(objects), repeatable=True, final=ABSENT)
        return absent(Probe(command, found))

    def _delete(self, objects: Objects) -> Command:
        """Return a deletion that waits; owners go last, so a Deployment is gone when its pods are."""
        args = ("delete", "--filename=-", "--ignore-not-found", "--cascade=foreground", "--wait=true")
        return self.kubectl.command(*args, stdin=as_json(objects), repeatable=True, timeout=self._patience)

    def _blocker(self, name: str) -> tuple[Command, ...]:
        """Return the command that tells what keeps a namespace from going."""
        form = "jsonpath={range .status.conditions[*]}{.message}{'\\n'}{end}"
        return (self.kubectl.command("get", "namespace", name, f"--output={form}", "--ignore-not-found"),)

    @property
    def _patience(self) -> float:
        return self.manifests.settings.timeouts.step


def custom(obj: dict[str, Any]) -> bool:
    """Return True for an object of a kind that an operator defines."""
    return ".istio.io/" in obj["apiVersion"] or obj["apiVersion"].startswith("cert-manager.io/")


def absent(probe: Probe) -> Probe:
    """Return the opposite of a probe."""
    return Probe(probe.command, lambda result: not probe.read(result))
