"""The manual approach: istioctl, one chart, and plain manifests, as a plan. Settings in, steps out; no effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.manual.components import COMPONENTS, OF_TENANT, TENANT
from korthweb_tasks.approaches.manual.manifests import Manifests, Objects
from korthweb_tasks.approaches.shared.common import (
    CERT_MANAGER,
    GATEWAY,
    ISTIO,
    ISTIO_RECORD,
    ISTIOD,
    OBSERVABILITY,
    gateway_of,
)
from korthweb_tasks.approaches.shared.credentials import Credentials
from korthweb_tasks.approaches.shared.namespaces import Home, Record, at_home, plain_namespace, record_for
from korthweb_tasks.approaches.shared.policies import policies_step
from korthweb_tasks.core.command import Result
from korthweb_tasks.core.plan import Plan, Probe, Ready, Serving, Step, step_name
from korthweb_tasks.tools.helm import Helm, pending_selector
from korthweb_tasks.tools.istioctl import Istioctl
from korthweb_tasks.tools.kubectl import Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant


def build(manifests: Manifests, target: Cluster, tenants: Iterable[Tenant]) -> Plan:
    """Return the whole deployment of ``tenants`` as one graph."""
    return Builder(manifests, target).plan(tuple(tenants))


@dataclass(frozen=True)
class Builder:
    """Makes the steps; each one is a method that reads like what it does."""

    manifests: Manifests
    target: Cluster

    @property
    def settings(self) -> Settings:
        """Return the settings."""
        return self.manifests.settings

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def plan(self, tenants: tuple[Tenant, ...]) -> Plan:
        """Return the plan for ``tenants``."""
        uses = self.settings.uses
        shared = [
            policies_step(self.kubectl),
            self._served("istio", "Istio", _mesh_probe(self.settings.istio.namespace))
            if uses("istio")
            else self.istio(),
            self._served("cert-manager", "cert-manager", _issuer_probe("default"))
            if uses("cert-manager")
            else self.cert_manager(),
        ]
        own = [self.of_tenant(one.kind, tenant) for tenant in tenants for one in TENANT]
        watched = [self.observability()] if self.manifests.observability() else []
        who = " and ".join(tenant.name for tenant in tenants)
        return Plan(f"Deploy {who} by hand", (*shared, *own, *watched))

    def of_tenant(self, kind: str, tenant: Tenant) -> Step:
        """Return a tenant's step: by the method of that name, else as its component's row says."""
        make: Callable[[Tenant], Step] | None = getattr(self, kind, None)
        return make(tenant) if make else self._of(tenant, kind)

    def istio(self) -> Step:
        """Istio, its gateway, and mutual TLS for everybody."""
        kubectl = self.kubectl
        seconds = self.settings.timeouts.step
        home = Home(kubectl, plain_namespace(ISTIO), Record("manual"), adopt=True)
        looked_at = (("configmap", ISTIO_RECORD), ("deployment", ISTIOD), ("deployment", GATEWAY))
        harmless = _mesh_probe(ISTIO)
        return Step(
            kind="istio",
            title=f"Install Istio {self.settings.versions['istio']}",
            probes=(home.probe(), Probe(kubectl.get_these(looked_at, namespace=ISTIO), self._istio_is_so)),
            actions=(
                home.command,
                Istioctl(self.target).install(self.manifests.operator, timeout=seconds),
                kubectl.apply(self.manifests.mesh()),
            ),
            waits=(
                Ready("deployment", ISTIOD, ISTIO),
                Ready("deployment", GATEWAY, ISTIO),
                Serving("Istio's webhook", kubectl.apply([harmless], dry_run=True)),
            ),
            on_failure=(self._events(ISTIO),),
        )

    def cert_manager(self) -> Step:
        """Install cert-manager by its chart."""
        kubectl, release = self.kubectl, self.manifests.cert_manager
        helm = Helm(self.target)
        pending = ("delete", "secret", "--ignore-not-found", "--selector", pending_selector(release.name))
        home = Home(kubectl, plain_namespace(CERT_MANAGER), Record("manual"), adopt=True)
        harmless = _issuer_probe(CERT_MANAGER)
        return Step(
            kind="cert-manager",
            title=f"Install cert-manager {release.version}",
            probes=(home.probe(), *helm.deployed(release)),
            actions=(
                home.command,
                # a revision whose holder was killed blocks every later one; the lock says that nobody works on it
                kubectl.command(*pending, namespace=CERT_MANAGER, repeatable=True),
                helm.upgrade(release),
            ),
            waits=(
                *(Ready("deployment", f"cert-manager{part}", CERT_MANAGER) for part in ("", "-webhook", "-cainjector")),
                Serving("cert-manager's webhook", kubectl.apply([harmless], dry_run=True)),
            ),
            on_failure=(self._events(CERT_MANAGER),),
        )

    def _served(self, kind: str, title: str, harmless: dict[str, Any]) -> Step:
        """Change nothing of what is somebody else's; wait until it serves."""
        kubectl = self.kubectl
        definition = {"istio": "gateways.networking.istio.io"}.get(kind, "certificates.cert-manager.io")
        there = kubectl.exists("customresourcedefinition", definition)
        serving = Serving(f"{title}'s webhook", kubectl.apply([harmless], dry_run=True))
        return Step(kind=kind, title=f"Use {title} as it is", probes=(there,), waits=(serving,))

    def observability(self) -> Step:
        """Install Prometheus, Kiali, Grafana, Jaeger: those that are wanted. Nothing needs them."""
        waits = tuple(Ready("deployment", name, OBSERVABILITY) for name in self.manifests.watching)
        objects = self.manifests.observability()
        step = self._applied("observability", "Install observability", objects, waits, ("istio",))
        home = next((obj for obj in objects if obj["kind"] == "Namespace"), plain_namespace(OBSERVABILITY))
        return at_home(step, Home(self.kubectl, home, Record("manual"), adopt=True))

    def namespace(self, tenant: Tenant) -> Step:
        """Make the namespace, its identities and network policies; that korthweb made it is recorded at once."""
        objects = self.manifests.of(tenant, "namespace")
        step = self._of(tenant, "namespace")
        return at_home(step, Home(self.kubectl, objects[0], record_for(tenant, "manual"), tenant.adopt_namespace))

    def credentials(self, tenant: Tenant) -> Step:
        """Generate the passwords that nobody chose."""
        watcher = self.manifests.watcher()
        keeper = Credentials(tenant, self.manifests.secrets, self.kubectl, watcher)
        home = (Home(self.kubectl, watcher, Record("manual"), adopt=True).command,) if watcher else ()
        return keeper.step(before=home)

    def certificates(self, tenant: Tenant) -> Step:
        """Issue the certificates. Their namespace is Istio's."""
        names = self.manifests.names(tenant)
        place = gateway_of(self.settings, tenant).namespace
        waits = (Ready("certificate", names.ca_secret, place), Ready("certificate", names.tls_secret, place))
        step = self._of(tenant, "certificates", waits=waits)
        own = (step_name("namespace", tenant.name),) if place == tenant.namespace else ()
        return replace(step, needs=(*step.needs, *own))

    def dbinit(self, tenant: Tenant) -> Step:
        """Prepare the database; the job itself waits until it answers."""
        kubectl, names = self.kubectl, self.manifests.names(tenant)
        place = tenant.namespace
        old = ("delete", "job", "--selector", "app=dbinit", "--ignore-not-found", "--wait=true")
        return Step(
            kind="dbinit",
            tenant=tenant.name,
            title=f"{tenant.name}: database prepared",
            needs=self._needs(tenant, "dbinit"),
            probes=(Probe(kubectl.get("job", names.dbinit_job, namespace=place), job_did_not_fail),),
            actions=(
                kubectl.command(*old, namespace=place, repeatable=True),
                kubectl.apply(self.manifests.of(tenant, "dbinit")),
            ),
            waits=(Ready("job", names.dbinit_job, place),),
            on_failure=(
                kubectl.command("logs", "--selector=app=dbinit", "--container=dbinit", "--tail=5", namespace=place),
            ),
        )

    def orthanc(self, tenant: Tenant) -> Step:
        """Start Orthanc; its pods wait for the database themselves, so their start overlaps with the database's."""
        waits = (Ready("deployment", "orthanc", tenant.namespace, tenant.replicas.min),)
        # The manifest leaves the number of pods to the autoscaler, which looks every 15 seconds: the first
        # pods need not wait for that. Where there is another number than 1 already, it is left as it is.
        wanted = ("--current-replicas=1", f"--replicas={tenant.replicas.min}")
        first = self.kubectl.command("scale", "deployment/orthanc", *wanted, namespace=tenant.namespace, ok=(0, 1))
        logs = ("logs", "--selector=app=orthanc", "--container=orthanc", "--tail=8")
        return self._of(
            tenant,
            "orthanc",
            waits=waits,
            more=(first,) if tenant.replicas.min > 1 else (),
            on_failure=(self.kubectl.command(*logs, namespace=tenant.namespace),),
        )

    def _of(
        self,
        tenant: Tenant,
        kind: str,
        *,
        waits: tuple[Ready, ...] = (),
        more: tuple[Any, ...] = (),
        on_failure: tuple[Any, ...] = (),
    ) -> Step:
        component, objects = COMPONENTS[kind], self.manifests.of(tenant, kind)
        if component.workload:
            waits = (*waits, Ready(*component.workload, tenant.namespace))
        told = (*on_failure, self._events(tenant.namespace)) if waits else on_failure
        title, needs = f"{tenant.name}: {component.title}", self._needs(tenant, kind)
        step = self._applied(kind, title, objects, waits, needs, more=more, on_failure=told)
        return replace(step, tenant=tenant.name)

    def _needs(self, tenant: Tenant, kind: str) -> tuple[str, ...]:
        return tuple(step_name(need, tenant.name if need in OF_TENANT else "") for need in COMPONENTS[kind].needs)

    def _applied(
        self,
        kind: str,
        title: str,
        objects: Objects,
        waits: tuple[Ready, ...] = (),
        needs: tuple[str, ...] = (),
        *,
        more: tuple[Any, ...] = (),
        on_failure: tuple[Any, ...] = (),
    ) -> Step:
        return Step(
            kind=kind,
            title=title,
            needs=needs,
            probes=(self.kubectl.applied(objects),),
            actions=(self.kubectl.apply(objects), *more),
            waits=waits,
            on_failure=on_failure,
        )

    def _events(self, namespace: str) -> Any:
        """Return the command that tells what went wrong lately."""
        form = "custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message"
        # the autoscaler complains until the first metrics are there, which is not a fault
        which = "--field-selector=type=Warning,involvedObject.kind!=HorizontalPodAutoscaler"
        args = ("get", "events", which, "--sort-by=.lastTimestamp", "--no-headers", f"--output={form}")
        return self.kubectl.command(*args, namespace=namespace)

    def _istio_is_so(self, result: Result) -> bool:
        """Read record and Deployments: the same operator file, and images of the wanted version."""
        found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in items(result)}
        record = found.get(("ConfigMap", ISTIO_RECORD), {}).get("data", {})
        if record.get("digest") != self.manifests.istio_digest or ("Deployment", GATEWAY) not in found:
            return False
        istiod = found.get(("Deployment", ISTIOD))
        hub = self.settings.images.hub(self.settings.images.istio_hub)
        return istiod is not None and f"{hub}/pilot:{self.settings.versions['istio']}" in container_images(istiod)


def _mesh_probe(namespace: str) -> dict[str, Any]:
    """Return an object that is only tried: whether Istio's webhook serves."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "korthweb-probe", "namespace": namespace},
        "spec": {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"korthweb/probe": "istio"}}},
    }


def _issuer_probe(namespace: str) -> dict[str, Any]:
    """Return an object that is only tried: whether cert-manager's webhook serves."""
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"name": "korthweb-probe", "namespace": namespace},
        "spec": {"selfSigned": {}},
    }


def job_did_not_fail(result: Result) -> bool:
    """Read a job: it is there and has not failed (it may still be at work)."""
    jobs = items(result)
    conditions = [entry for job in jobs for entry in job.get("status", {}).get("conditions", ())]
    return bool(jobs) and not any(c["type"] == "Failed" and c["status"] == "True" for c in conditions)


def container_images(workload: dict[str, Any]) -> set[str]:
    """Return the images of a workload's containers."""
    return {container["image"] for container in workload["spec"]["template"]["spec"]["containers"]}
