"""The Helm approach: a plan around one release of the chart ``helm/orthanc`` for each tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.common import (
    DATABASE_SECRET,
    MANAGED_BY,
    OURS,
    USERS_SECRET,
    Secrets,
    fingerprint,
    given_passwords,
)
from korthweb_tasks.approaches.credentials import Credentials
from korthweb_tasks.approaches.helm_values import own_traefik, values
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Fact, Gone, Plan, Ready, Step
from korthweb_tasks.settings.orthanc import DATABASE_PASSWORD, password_variables
from korthweb_tasks.tools.helm import Helm, Release, pending_selector, rows
from korthweb_tasks.tools.kubectl import Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.core.target import Target
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.parts import Tenant

#: name of a tenant's release, and so of its objects
RELEASE = "orthanc"
POSTGRES, TRAEFIK = f"{RELEASE}-postgres", f"{RELEASE}-traefik"
SELECTOR = f"app.kubernetes.io/instance={RELEASE}"
#: Secrets that outlive a release: passwords, authority, certificates
KEPT = (USERS_SECRET, DATABASE_SECRET, f"{RELEASE}-ca", f"{RELEASE}-tls", f"{POSTGRES}-tls")


@dataclass(frozen=True, slots=True)
class ChartAt:
    """Where helm takes the chart from, and its version."""

    source: str
    version: str


@dataclass
class HelmCredentials(Credentials):
    """The two Secrets that the chart is given: Orthanc's users, and the owner of the database."""

    def _keys(self) -> dict[str, tuple[str, ...]]:
        return {USERS_SECRET: tuple(password_variables(self.tenant).values()), DATABASE_SECRET: (DATABASE_PASSWORD,)}


@dataclass(frozen=True)
class Builder:
    """Makes the steps of each tenant."""

    settings: Settings
    target: Target
    secrets: Secrets
    chart: ChartAt

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    @property
    def helm(self) -> Helm:
        """Return the builder of helm commands."""
        return Helm(self.target)

    def release(self, tenant: Tenant) -> Release:
        """Return the tenant's release."""
        chosen = given_passwords(tenant, self.secrets)
        database = self.secrets.database_password(tenant)
        every = {**chosen, **({DATABASE_PASSWORD: database} if database is not None else {})}
        return Release(
            name=RELEASE,
            namespace=tenant.namespace,
            chart=RELEASE,
            source=self.chart.source,
            version=self.chart.version,
            values=values(self.settings, tenant, fingerprint(tenant, every) if every else ""),
        )

    def plan(self, tenants: Iterable[Tenant]) -> Plan:
        """Return the deployment of ``tenants``, each on its own."""
        chosen = tuple(tenants)
        makers = (self.namespace, self.credentials, self.deployed)
        steps = tuple(make(tenant) for tenant in chosen for make in makers)
        return Plan(f"Deploy {_named(chosen)} by Helm", steps)

    def namespace(self, tenant: Tenant) -> Step:
        """Make the namespace."""
        labels = {MANAGED_BY: OURS, "korthweb/tenant": tenant.name, "korthweb/approach": "helm"}
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace, "labels": labels}}]
        return Step(
            name=_step("namespace", tenant),
            title=f"{tenant.name}: namespace",
            probes=(self.kubectl.applied(objects),),
            actions=(self.kubectl.apply(objects),),
        )

    def credentials(self, tenant: Tenant) -> Step:
        """Generate the passwords that nobody chose; the chart finds them in their Secrets."""
        keeper = HelmCredentials(tenant, self.secrets, self.kubectl)
        return Step(
            name=_step("credentials", tenant),
            title=f"{tenant.name}: passwords",
            needs=(_step("namespace", tenant),),
            probes=keeper.facts(),
            actions=(keeper.command,),
        )

    def deployed(self, tenant: Tenant) -> Step:
        """Install or upgrade the release, and wait by our own rules."""
        kubectl, place, release = self.kubectl, tenant.namespace, self.release(tenant)
        pending = ("delete", "secret", "--ignore-not-found", "--selector", pending_selector(RELEASE))
        # The chart leaves the number of pods to the autoscaler, which looks every 15 seconds: the first need not wait.
        wanted = ("--current-replicas=1", f"--replicas={tenant.replicas.min}")
        first = kubectl.command("scale", f"deployment/{RELEASE}", *wanted, namespace=place, ok=(0, 1))
        return Step(
            name=_step("release", tenant),
            title=f"{tenant.name}: Orthanc, PostgreSQL{' and Traefik' if own_traefik(self.settings) else ''}",
            needs=(_step("credentials", tenant),),
            probes=self.helm.deployed(release),
            actions=(
                # a revision whose holder was killed blocks every later one; the lock says that nobody works on it
                kubectl.command(*pending, namespace=place, repeatable=True),
                self.helm.upgrade(release),
                *((first,) if tenant.replicas.min > 1 else ()),
            ),
            waits=self.waits(tenant),
            on_failure=self.evidence(tenant),
        )

    def waits(self, tenant: Tenant) -> tuple[Ready, ...]:
        """Return what is ready when a release is; what the settings switched off is not waited for."""
        place, chosen = tenant.namespace, values(self.settings, tenant)
        found = [Ready("deployment", RELEASE, place)]
        if chosen["postgresql"].get("mode", "bundled") == "bundled":
            found.append(Ready("statefulset", POSTGRES, place))
        if own_traefik(self.settings):
            found += [Ready("deployment", TRAEFIK, place), Ready("service", TRAEFIK, place)]
        if chosen.get("certificates", {}).get("source") == "certManager":
            found.append(Ready("certificate", f"{RELEASE}-tls", place))
        return tuple(found)

    def evidence(self, tenant: Tenant) -> tuple[Command, ...]:
        """Return the commands that tell what went wrong lately."""
        form = "custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message"
        events = ("get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp", f"--output={form}")
        logs = ("logs", f"--selector={SELECTOR},app.kubernetes.io/component=orthanc", "--container=orthanc", "--tail=8")
        return tuple(self.kubectl.command(*args, namespace=tenant.namespace) for args in (logs, events))

    def rollback(self, tenant: Tenant, revision: int) -> Plan:
        """Return the way back to a revision (0: the one before)."""
        step = Step(
            name=_step("rollback", tenant),
            title=f"{tenant.name}: back to revision {revision or 'before this one'}",
            actions=(self.helm.rollback(RELEASE, revision, namespace=tenant.namespace),),
            waits=self.waits(tenant),
            on_failure=self.evidence(tenant),
        )
        return Plan(f"Roll {tenant.name} back", (step,))

    def removal(self, tenants: Iterable[Tenant], *, volumes: bool) -> Plan:
        """Return the removal of ``tenants``; the database's volume stays, with its namespace, unless ``volumes``."""
        chosen = tuple(tenants)
        steps = [step for tenant in chosen for step in self._removed(tenant, volumes)]
        return Plan(f"Remove {_named(chosen)}{' with every image' if volumes else ''}", tuple(steps))

    def _ended(self, tenant: Tenant) -> Command:
        """Return the wait for pods that are ending: Orthanc's finish their associations, Traefik's are its chart's."""
        these = f"app.kubernetes.io/instance in ({RELEASE}, {RELEASE}-{tenant.namespace})"
        args = ("delete", "pod", f"--selector={these}", "--ignore-not-found", "--wait=true")
        return self.kubectl.command(*args, namespace=tenant.namespace, repeatable=True)

    def _removed(self, tenant: Tenant, volumes: bool) -> list[Step]:
        kubectl, place = self.kubectl, tenant.namespace
        gone = tuple(Gone(kind, name, place) for kind, name in (("deployment", RELEASE), ("statefulset", POSTGRES)))
        release = Step(
            name=_step("release", tenant),
            title=f"{tenant.name}: release",
            probes=(Fact(self.helm.list(RELEASE, namespace=place), lambda result: not rows(result)),),
            actions=(self.helm.uninstall(RELEASE, namespace=place), tidied(kubectl, tenant), self._ended(tenant)),
            waits=gone,
        )
        secrets = Step(
            name=_step("secrets", tenant),
            title=f"{tenant.name}: passwords and certificates",
            needs=(release.name,),
            probes=(Fact(kubectl.get_these([("secret", name) for name in KEPT], namespace=place), _nothing),),
            actions=(kubectl.delete("secret", *KEPT, namespace=place, wait=True),),
        )
        if not volumes:
            return [release, secrets]
        everything = Step(
            name=_step("namespace", tenant),
            title=f"{tenant.name}: namespace and volume, with every image",
            needs=(secrets.name,),
            probes=(Fact(kubectl.get("namespace", place), _nothing),),
            actions=(kubectl.delete("namespace", place),),
            waits=(Gone("namespace", place),),
        )
        return [release, secrets, everything]


def tidied(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the removal of what the release's own test left, which Helm keeps for its logs."""
    args = ("delete", "pod,configmap", f"--selector={SELECTOR},app.kubernetes.io/component=test", "--ignore-not-found")
    return kubectl.command(*args, namespace=tenant.namespace, repeatable=True)


def others(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the question for what another approach would have in the tenant's namespace."""
    looked_at = (("deployment", "orthanc"), ("service", "orthanc"), ("configmap", "orthanc-app"))
    return kubectl.get_these(looked_at, namespace=tenant.namespace)


def strangers(result: Result) -> list[str]:
    """Read what :func:`others` asked: the objects of our names that no Helm release made."""
    return [
        f"{obj['kind'].lower()}/{obj['metadata']['name']}"
        for obj in items(result)
        if obj["metadata"].get("labels", {}).get(MANAGED_BY) != "Helm"
    ]


def _nothing(result: Result) -> bool:
    return not items(result)


def _step(kind: str, tenant: Tenant) -> str:
    return f"{kind}:{tenant.name.lower()}"


def _named(tenants: tuple[Tenant, ...]) -> str:
    return " and ".join(tenant.name for tenant in tenants)
