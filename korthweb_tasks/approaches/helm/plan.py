"""The Helm approach: a plan around one release of the chart ``helm/orthanc`` for each tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.helm.values import own_traefik, values
from korthweb_tasks.approaches.shared.common import (
    DATABASE_SECRET,
    MANAGED_BY,
    OURS,
    USERS_SECRET,
    Secrets,
    fingerprint,
    given_passwords,
)
from korthweb_tasks.approaches.shared.credentials import Credentials
from korthweb_tasks.approaches.shared.namespaces import (
    POD_SECURITY,
    Home,
    at_home,
    delete_namespace,
    is_kept,
    kept,
    plain_namespace,
    record_for,
)
from korthweb_tasks.approaches.shared.ownership import Fate
from korthweb_tasks.approaches.shared.policies import HOSTS, own_hosts, policies_step, policy_objects
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Gone, Plan, Probe, Ready, Step, step_name
from korthweb_tasks.settings.orthanc import DATABASE_PASSWORD, password_variables
from korthweb_tasks.tools.helm import Helm, Release, pending_selector, rows
from korthweb_tasks.tools.kubectl import Kubectl, items

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

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
    """The Secrets that the chart is given: Orthanc's users, and the owner of the database where nobody else has one."""

    database: bool = True

    def _keys(self) -> dict[str, tuple[str, ...]]:
        users = {USERS_SECRET: tuple(password_variables(self.tenant).values())}
        return {**users, DATABASE_SECRET: (DATABASE_PASSWORD,)} if self.database else users


@dataclass(frozen=True)
class Builder:
    """Makes the steps of each tenant."""

    settings: Settings
    target: Cluster
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
        return Plan(f"Deploy {_named(chosen)} by Helm", (policies_step(self.kubectl), *steps))

    def namespace(self, tenant: Tenant) -> Step:
        """Make the namespace; that korthweb made it is recorded at once."""
        ours = {MANAGED_BY: OURS, "korthweb/approach": "helm", POD_SECURITY: "restricted"}
        own = {} if tenant.adopt_namespace else ours
        wanted = plain_namespace(tenant.namespace, {**own, "korthweb/tenant": tenant.name})
        wanted["metadata"]["annotations"] = {HOSTS: own_hosts(tenant)}
        step = Step(
            kind="namespace",
            tenant=tenant.name,
            title=f"{tenant.name}: namespace",
            needs=("policies",),
            probes=(self.kubectl.applied([wanted]),),
            actions=(self.kubectl.apply([wanted]),),
        )
        return at_home(step, Home(self.kubectl, wanted, record_for(tenant, "helm"), tenant.adopt_namespace))

    def keeper(self, tenant: Tenant) -> HelmCredentials:
        """Return the Secrets that the tenant's release names, and korthweb makes."""
        named = values(self.settings, tenant)["postgresql"]["existingSecret"] == DATABASE_SECRET
        return HelmCredentials(tenant, self.secrets, self.kubectl, database=named)

    def credentials(self, tenant: Tenant) -> Step:
        """Generate the passwords that nobody chose; the chart finds them in their Secrets."""
        return self.keeper(tenant).step()

    def deployed(self, tenant: Tenant) -> Step:
        """Install or upgrade the release, and wait by our own rules."""
        kubectl, place, release = self.kubectl, tenant.namespace, self.release(tenant)
        pending = ("delete", "secret", "--ignore-not-found", "--selector", pending_selector(RELEASE))
        # The chart leaves the number of pods to the autoscaler, which looks every 15 seconds: the first need not wait.
        wanted = ("--current-replicas=1", f"--replicas={tenant.replicas.min}")
        first = kubectl.command("scale", f"deployment/{RELEASE}", *wanted, namespace=place, ok=(0, 1))
        return Step(
            kind="release",
            tenant=tenant.name,
            title=f"{tenant.name}: Orthanc, PostgreSQL{' and Traefik' if own_traefik(self.settings) else ''}",
            needs=(step_name("credentials", tenant.name),),
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
        found = [Ready("deployment", RELEASE, place, int(chosen["replicas"]["min"]))]
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
            kind="rollback",
            tenant=tenant.name,
            title=f"{tenant.name}: back to revision {revision or 'before this one'}",
            actions=(self.helm.rollback(RELEASE, revision, namespace=tenant.namespace),),
            # the settings' number of pods is not that of the revision
            waits=tuple(replace(wait, pods=0) for wait in self.waits(tenant)),
            on_failure=self.evidence(tenant),
        )
        return Plan(f"Roll {tenant.name} back", (step,))

    def removal(
        self,
        tenants: Iterable[Tenant],
        *,
        volumes: bool,
        fates: Mapping[str, Fate] | None = None,
        shared: bool = False,
    ) -> Plan:
        """Return the removal of ``tenants``; the database's volume stays, with its namespace, unless ``volumes``.

        ``fates`` say what becomes of each namespace, by its name: one that is not among them is left alone. With
        ``shared`` and ``volumes`` the admission policies of all tenants go, too.
        """
        chosen = tuple(tenants)
        known = fates or {}
        steps = [step for tenant in chosen for step in self._removed(tenant, volumes, known.get(tenant.namespace))]
        if volumes and shared:
            steps.append(self._without_policies(tuple(step.name for step in steps)))
        return Plan(f"Remove {_named(chosen)}{' with every image' if volumes else ''}", tuple(steps))

    def _without_policies(self, needs: tuple[str, ...]) -> Step:
        names = [(obj["kind"].lower(), obj["metadata"]["name"]) for obj in policy_objects()]
        there = self.kubectl.get_these(names)
        words = ("delete", *(f"{kind}/{name}" for kind, name in names), "--ignore-not-found")
        return Step(
            kind="policies",
            title="Remove the admission policies",
            needs=needs,
            probes=(Probe(there, _nothing),),
            actions=(self.kubectl.command(*words, repeatable=True),),
        )

    def _ended(self, tenant: Tenant) -> Command:
        """Return the wait for pods that are ending: Orthanc's finish their associations, Traefik's are its chart's."""
        these = f"app.kubernetes.io/instance in ({RELEASE}, {RELEASE}-{tenant.namespace})"
        args = ("delete", "pod", f"--selector={these}", "--ignore-not-found", "--wait=true")
        return self.kubectl.command(*args, namespace=tenant.namespace, repeatable=True)

    def _removed(self, tenant: Tenant, volumes: bool, fate: Fate | None) -> list[Step]:
        kubectl, place = self.kubectl, tenant.namespace
        gone = tuple(Gone(kind, name, place) for kind, name in (("deployment", RELEASE), ("statefulset", POSTGRES)))
        release = Step(
            kind="release",
            tenant=tenant.name,
            title=f"{tenant.name}: release",
            probes=(Probe(self.helm.list(RELEASE, namespace=place), lambda result: not rows(result)),),
            actions=(self.helm.uninstall(RELEASE, namespace=place), tidied(kubectl, tenant), self._ended(tenant)),
            waits=gone,
        )
        secrets = Step(
            kind="secrets",
            tenant=tenant.name,
            title=f"{tenant.name}: passwords and certificates",
            needs=(release.name,),
            probes=(Probe(kubectl.get_these([("secret", name) for name in KEPT], namespace=place), _nothing),),
            actions=(kubectl.delete("secret", *KEPT, namespace=place, wait=True),),
        )
        if fate is None or fate.namespace is None:
            return [release, secrets]
        return [release, secrets, self._namespace_of(tenant, volumes, fate)]

    def _namespace_of(self, tenant: Tenant, volumes: bool, fate: Fate) -> Step:
        """Return the removal of a namespace, or of the volume alone where the namespace stays."""
        kubectl, place = self.kubectl, tenant.namespace
        step = Step(kind="namespace", tenant=tenant.name, title="", needs=(step_name("secrets", tenant.name),))
        if fate.goes and fate.namespace:
            return replace(
                step,
                title=f"{tenant.name}: namespace and volume, with every image",
                probes=(Probe(kubectl.get("namespace", place), _nothing),),
                actions=(delete_namespace(kubectl, fate.namespace, timeout=self.settings.timeouts.step),),
                waits=(Gone("namespace", place),),
            )
        mark = kept(kubectl, fate.namespace) if fate.namespace else None
        claim = kubectl.delete("persistentvolumeclaim", f"data-{POSTGRES}-0", namespace=place, wait=True)
        there = kubectl.get("persistentvolumeclaim", f"data-{POSTGRES}-0", namespace=place)
        what = f"volume, with every image; the namespace {place} stays: {fate.kept}" if volumes else "namespace kept"
        return replace(
            step,
            title=f"{tenant.name}: {what}",
            probes=(*((Probe(there, _nothing),) if volumes else ()), is_kept(kubectl, place)),
            actions=(*((claim,) if volumes else ()), *((mark,) if mark else ())),
        )


def tidied(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the removal of what the release's own test left, which Helm keeps for its logs."""
    args = ("delete", "pod,configmap", f"--selector={SELECTOR},app.kubernetes.io/component=test", "--ignore-not-found")
    return kubectl.command(*args, namespace=tenant.namespace, repeatable=True)


def _nothing(result: Result) -> bool:
    return not items(result)


def _named(tenants: tuple[Tenant, ...]) -> str:
    return " and ".join(tenant.name for tenant in tenants)
