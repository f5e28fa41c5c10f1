"""Takes the manual approach's deployment away: in reverse order, custom resources before their operators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.common import (
    CERT_MANAGER,
    ISTIO,
    ISTIO_RECORD,
    MANAGED_BY,
    OBSERVABILITY,
    OURS,
    Artifacts,
    Secrets,
    metrics_secret,
)
from korthweb_tasks.approaches.manifests import Manifests, Objects
from korthweb_tasks.approaches.manual import step_name
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Fact, Gone, Plan, Step
from korthweb_tasks.tools.helm import Helm
from korthweb_tasks.tools.istioctl import Istioctl
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, as_json, found

if TYPE_CHECKING:
    from korthweb_tasks.core.target import Target
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.parts import Tenant

#: kinds that a namespace keeps as long as it keeps its volumes: who the volume belongs to, and its passwords
KEPT = ("Namespace",)


def build_removal(
    settings: Settings,
    target: Target,
    tenants: Iterable[Tenant],
    secrets: Secrets,
    artifacts: Artifacts,
    *,
    volumes: bool = False,
) -> Plan:
    """Return the removal of ``tenants``; of what they share too, when they are all there are.

    Without ``volumes`` each namespace stays with its volume claim and the passwords that belong to it.
    """
    gone = tuple(tenants)
    remover = Remover(Manifests(settings, secrets, artifacts), target, volumes)
    own = [step for tenant in gone for step in remover.tenant(tenant)]
    everybody = {tenant.name for tenant in settings.tenants} <= {tenant.name for tenant in gone}
    shared = remover.shared(gone) if everybody else ()
    who = " and ".join(tenant.name for tenant in gone)
    return Plan(f"Remove {who}{' and all that they share' if everybody else ''}", (*own, *shared))


@dataclass(frozen=True)
class Remover:
    """Makes the steps."""

    manifests: Manifests
    target: Target
    volumes: bool

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def tenant(self, tenant: Tenant) -> tuple[Step, ...]:
        """Return the steps of one tenant: the door is closed first, the namespace goes last."""
        manifests, place = self.manifests, tenant.namespace
        config = manifests.config(tenant)
        workloads = [*manifests.orthanc(tenant)]
        database = [*manifests.postgres(tenant), *manifests.dbinit(tenant)]
        certificates = manifests.certificates(tenant)
        first = self._without(tenant, "ingress", "gateway and routes", manifests.ingress(tenant))
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
            more=(self.kubectl.delete("secret", *(name for name, _ in issued), namespace=ISTIO),),
        )
        return (first, second, third, fourth, fifth, self._home(tenant, needs=(fourth.name, fifth.name)))

    def shared(self, tenants: tuple[Tenant, ...]) -> tuple[Step, ...]:
        """Return the removal of observability, cert-manager and Istio, where korthweb installed them."""
        homes = tuple(step_name("namespace", tenant) for tenant in tenants)
        kubectl = self.kubectl
        # what does not go with its namespace: cluster roles, and the mesh's resource that asks for traces
        stray = [
            obj
            for obj in self.manifests.observability()
            if obj["kind"] != "Namespace" and obj["metadata"].get("namespace") != OBSERVABILITY
        ]
        watching = Step(
            name="observability",
            title="Remove observability",
            probes=(self._no_namespace(OBSERVABILITY), *((self._absent(stray),) if stray else ())),
            actions=(
                *((self._delete(stray),) if stray else ()),
                self._delete_namespace(OBSERVABILITY),
            ),
            on_failure=self._blocker(OBSERVABILITY),
            needs=homes,
        )
        certificates = Step(
            name="cert-manager",
            title="Remove cert-manager",
            probes=(self._no_namespace(CERT_MANAGER),),
            actions=(
                Helm(self.target).uninstall("cert-manager", namespace=CERT_MANAGER),
                self._delete_namespace(CERT_MANAGER),
            ),
            on_failure=self._blocker(CERT_MANAGER),
            needs=homes,
        )
        mesh = Step(
            name="istio",
            title="Remove Istio",
            probes=(absent(kubectl.exists("configmap", ISTIO_RECORD, namespace=ISTIO)),),
            actions=(Istioctl(self.target).uninstall(), self._delete_namespace(ISTIO)),
            on_failure=self._blocker(ISTIO),
            needs=(*homes, watching.name, certificates.name),
        )
        return watching, certificates, mesh

    def _home(self, tenant: Tenant, *, needs: tuple[str, ...]) -> Step:
        kubectl, place = self.kubectl, tenant.namespace
        copy = kubectl.delete("secret", metrics_secret(tenant), namespace=OBSERVABILITY)
        if self.volumes:
            return Step(
                name=step_name("namespace", tenant),
                title=f"{tenant.name}: namespace, volume and passwords removed",
                needs=needs,
                probes=(self._no_namespace(place),),
                actions=(copy, self._delete_namespace(place)),
                on_failure=self._blocker(place),
            )
        rest = [
            obj
            for obj in (*self.manifests.namespace(tenant), *self.manifests.config(tenant))
            if obj["kind"] not in KEPT and not custom(obj)
        ]
        return Step(
            name=step_name("namespace", tenant),
            title=f"{tenant.name}: all but namespace, volume and passwords removed",
            needs=needs,
            probes=(self._absent(rest),),
            actions=(copy, self._delete(rest)),
        )

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
            name=step_name(kind, tenant),
            title=f"{tenant.name}: {what} removed",
            needs=needs,
            probes=(self._absent(objects),),
            actions=(self._delete(objects), *more),
            waits=waits,
        )

    def _absent(self, objects: Objects) -> Fact:
        """Return the fact that none of ``objects`` is there; kinds that the server does not know are not there."""
        args = ("get", "--filename=-", "--ignore-not-found", "--output=name")
        command = self.kubectl.command(*args, stdin=as_json(objects), repeatable=True, final=ABSENT)
        return absent(Fact(command, found))

    def _delete(self, objects: Objects) -> Command:
        """Return a deletion that waits; owners go last, so a Deployment is gone when its pods are."""
        args = ("delete", "--filename=-", "--ignore-not-found", "--cascade=foreground", "--wait=true")
        return self.kubectl.command(*args, stdin=as_json(objects), repeatable=True, timeout=self._patience)

    def _delete_namespace(self, name: str) -> Command:
        """Return the deletion of a namespace with all that is in it; it waits for every finalizer.

        No step waits for ``Gone`` on top: a namespace that somebody else made is left alone, and stays.
        """
        args = ("delete", "namespace", name, "--ignore-not-found", "--wait=true")
        return self.kubectl.command(*args, repeatable=True, timeout=self._patience)

    def _blocker(self, name: str) -> tuple[Command, ...]:
        """Return the command that tells what keeps a namespace from going."""
        form = "jsonpath={range .status.conditions[*]}{.message}{'\\n'}{end}"
        return (self.kubectl.command("get", "namespace", name, f"--output={form}", "--ignore-not-found"),)

    @property
    def _patience(self) -> float:
        return self.manifests.settings.timeouts.step

    def _no_namespace(self, name: str) -> Fact:
        """Return the fact that there is no namespace of this name that korthweb made."""
        picked = (f"--selector={MANAGED_BY}={OURS}", f"--field-selector=metadata.name={name}")
        command = self.kubectl.command("get", "namespace", *picked, "--output=name", repeatable=True)
        return absent(Fact(command, found))


def custom(obj: dict[str, Any]) -> bool:
    """Say whether an object is of a kind that an operator brought."""
    return ".istio.io/" in obj["apiVersion"] or obj["apiVersion"].startswith("cert-manager.io/")


def absent(fact: Fact) -> Fact:
    """Return the opposite of a fact that something is there."""
    return Fact(fact.command, lambda result: not fact.read(result))
