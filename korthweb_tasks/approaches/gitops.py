"""The GitOps approach: what is not in Git, as a plan. Namespaces, passwords, authorities, keys, and Flux. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.common import ISTIO, ISTIOD, Secrets
from korthweb_tasks.approaches.credentials import table
from korthweb_tasks.approaches.gitops_secrets import AGE_KEY, AGE_SECRET, REGISTRY_CA, FleetCredentials, shared
from korthweb_tasks.core.command import around_proxy
from korthweb_tasks.core.plan import Fact, Plan, Ready, Step
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.tools.flux import COMPONENTS, SYSTEM, Flux, Repository
from korthweb_tasks.tools.git import Remote
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from korthweb_tasks.core.command import Command, Result
    from korthweb_tasks.core.target import Target
    from korthweb_tasks.settings.fleet import GitOpsSettings
    from korthweb_tasks.settings.parts import Tenant

#: what flux says where it has done everything, but something is not ready yet; the live tree tells more
UNHEALTHY = "health check failure"
#: seconds that flux itself may take; what becomes ready later is waited for by the tree
PATIENCE = 300.0
#: Flux' own folder in Git says how its controllers are started: a newer commit ends the wait for an older one's health,
#: and what waits for something else looks again soon, whoever pushes
PATCHED = """\
# Written once by korthweb, and kept as it is afterwards: patches for Flux' own controllers belong here.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- gotk-components.yaml
- gotk-sync.yaml
patches:
- target: {kind: Deployment, name: kustomize-controller}
  patch: |
    - op: add
      path: /spec/template/spec/containers/0/args/-
      value: --feature-gates=CancelHealthCheckOnNewRevision=true
    - op: add
      path: /spec/template/spec/containers/0/args/-
      value: --requeue-dependency=5s
- target: {kind: Deployment, name: helm-controller}
  patch: |
    - op: add
      path: /spec/template/spec/containers/0/args/-
      value: --requeue-dependency=5s
"""
ROOT = Ref("Kustomization", SYSTEM, SYSTEM)
#: under this name Flux does not take a change for one made by hand, which it would put back
FLUXS_HAND = "--field-manager=flux-client-side-apply"
CLUSTERS = "cluster.postgresql.cnpg.io"
#: CloudNativePG's word for a database that has its volumes and no pods
ASLEEP = "cnpg.io/hibernation"
KUSTOMIZATIONS = "kustomization.kustomize.toolkit.fluxcd.io"
RELEASES = "helmrelease.helm.toolkit.fluxcd.io"
REPOSITORIES = "gitrepository.source.toolkit.fluxcd.io"


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Makes the steps.

    ``namespaces`` are the Namespace objects as Git has them, by tenant. ``registry_ca`` is PEM text, ``age_key`` the
    contents of the key file, ``users`` the passwords that Git has, by tenant; ``login`` is what Flux' own Secret has to
    hold. ``version`` is that of the flux which does it, ``hub`` where its images are. ``in_git``: Flux' own files are
    in the repository.
    """

    target: Target
    secrets: Secrets
    repository: Repository = field(repr=False)
    namespaces: Mapping[str, Object]
    hub: str
    version: str
    in_git: bool
    registry_ca: str = ""
    age_key: str = field(default="", repr=False)
    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def plan(self, tenants: Iterable[Tenant], asleep: Iterable[Tenant] = ()) -> Plan:
        """Return everything: what Git has not, and Flux. Databases ``asleep`` wake once the mesh is there for them."""
        woken = [replace(self.awake(tenant), needs=("mesh",)) for tenant in asleep]
        mesh = Step(
            name="mesh",
            title="The mesh, before databases wake without it",
            needs=("flux",),
            waits=(Ready("deployment", ISTIOD, ISTIO),),
        )
        more = (mesh, *woken) if woken else ()
        return Plan("Let Flux follow the fleet repository", (*self._prepared(tenants), self.flux(), *more))

    def first(self) -> Plan:
        """Return Flux alone: by the API of its server it makes the repository, too."""
        return Plan("Let Flux make the fleet repository", (self.system(), replace(self.flux(), probes=())))

    def configured(self, tenants: Iterable[Tenant]) -> Plan:
        """Return what Git has not: namespaces, passwords, authorities, keys. Flux is at work already."""
        chosen = tuple(tenants)
        return Plan("Make what is not in Git", (*self._prepared(chosen), *map(self.awake, chosen)))

    def _prepared(self, tenants: Iterable[Tenant]) -> tuple[Step, ...]:
        own = [step for tenant in tenants for step in (self.namespace(tenant), self.credentials(tenant))]
        return (self.system(), *own)

    def system(self) -> Step:
        """Make Flux' namespace with the authority and the key that its controllers need."""
        kubectl = self.kubectl
        data = {REGISTRY_CA: {"ca.crt": self.registry_ca}} if self.registry_ca else {}
        data |= {AGE_SECRET: {AGE_KEY: self.age_key}} if self.age_key else {}
        there = kubectl.get_these([("namespace", SYSTEM)])
        held = kubectl.get_these([("secret", name) for name in data], namespace=SYSTEM)
        objects = [_plain_namespace(SYSTEM), *(shared(name, keys) for name, keys in data.items())]
        masks = tuple(line for line in self.age_key.splitlines() if line.startswith("AGE-SECRET"))
        return Step(
            name="system",
            title=f"Namespace {SYSTEM}{' and its keys' if data else ''}",
            probes=(
                Fact(there, lambda result: bool(items(result))),
                *((Fact(held, lambda result: table(items(result)) == data),) if data else ()),
            ),
            actions=(kubectl.apply(objects, masks=masks),),
        )

    def namespace(self, tenant: Tenant) -> Step:
        """Make a tenant's namespace as Git has it; once it is there, it is Flux' own."""
        kubectl = self.kubectl
        return Step(
            name=f"namespace:{tenant.name.lower()}",
            title=f"{tenant.name}: namespace",
            probes=(kubectl.exists("namespace", tenant.namespace),),
            actions=(kubectl.apply([self.namespaces[tenant.name]]),),
        )

    def credentials(self, tenant: Tenant) -> Step:
        """Generate the passwords that nobody chose; pods that know older ones are started again."""
        keeper = FleetCredentials(tenant, self.secrets, self.kubectl, users_in_git=self.users.get(tenant.name))
        return Step(
            name=f"credentials:{tenant.name.lower()}",
            title=f"{tenant.name}: passwords",
            needs=(f"namespace:{tenant.name.lower()}",),
            probes=keeper.facts(),
            actions=(keeper.command, restart(self.kubectl, tenant)),
        )

    def awake(self, tenant: Tenant) -> Step:
        """Wake a database that was put to sleep when its tenant was removed, before Flux would."""
        kubectl, place = self.kubectl, tenant.namespace
        words = ("annotate", CLUSTERS, "postgres", f"{ASLEEP}=off", "--overwrite", FLUXS_HAND)
        there = replace(kubectl.get(CLUSTERS, "postgres", namespace=place), final=ABSENT)
        return Step(
            name=f"awake:{tenant.name.lower()}",
            title=f"{tenant.name}: database not asleep",
            needs=(f"namespace:{tenant.name.lower()}",),
            probes=(Fact(there, lambda result: not sleeping(result)),),
            actions=(kubectl.command(*words, namespace=place, repeatable=True, final=ABSENT),),
        )

    def flux(self) -> Step:
        """Install Flux and point it at the repository; nothing to do where this version follows this folder of it."""
        kubectl, flux = self.kubectl, Flux(self.target)
        look = ("get", f"{KUSTOMIZATIONS},{REPOSITORIES},pod", "--output=wide", "--ignore-not-found")
        return Step(
            name="flux",
            title=f"Flux {self.version} follows {self.repository.branch} of {self.repository.url}",
            needs=("system",),
            probes=self._follows() if self.in_git else (),
            actions=(_if_there(flux.suspended(ROOT, False)), self._bootstrap(flux)),
            waits=tuple(Ready("deployment", name, SYSTEM) for name in COMPONENTS),
            on_failure=(kubectl.command(*look, namespace=SYSTEM),),
        )

    def _bootstrap(self, flux: Flux) -> Command:
        command = flux.bootstrap(self.repository, registry=self.hub, timeout=PATIENCE)
        # a server of one's own is asked directly, not through a proxy
        own = self.repository.ca_file
        direct = around_proxy(Remote(self.repository.url).host, "127.0.0.1", "localhost") if own else {}
        return replace(command, env={**command.env, **direct}, final=(UNHEALTHY,))

    def _follows(self) -> tuple[Fact, ...]:
        kubectl = self.kubectl
        deployments = kubectl.get_these([("deployment", name) for name in COMPONENTS], namespace=SYSTEM)
        both = [(REPOSITORIES, SYSTEM), (KUSTOMIZATIONS, SYSTEM)]
        objects = replace(kubectl.get_these(both, namespace=SYSTEM), final=ABSENT)
        login = kubectl.get("secret", SYSTEM, namespace=SYSTEM)
        return (
            Fact(deployments, self._installed),
            Fact(objects, self._pointed),
            Fact(login, lambda result: self._known(items(result))),
        )

    def _installed(self, result: Result) -> bool:
        found = {obj["metadata"]["name"]: obj for obj in items(result)}
        return set(COMPONENTS) <= set(found) and all(self._as_wanted(found[name]) for name in COMPONENTS)

    def _as_wanted(self, deployment: Object) -> bool:
        labels = deployment["metadata"].get("labels", {})
        images = [container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]]
        version = str(labels.get("app.kubernetes.io/version", "")).removeprefix("v")
        return version == self.version.removeprefix("v") and all(image.startswith(f"{self.hub}/") for image in images)

    def _pointed(self, result: Result) -> bool:
        if result.code != 0:
            return False
        specs = {obj["kind"]: obj["spec"] for obj in items(result)}
        source, root = specs.get("GitRepository"), specs.get("Kustomization")
        if source is None or root is None or root.get("suspend") or source.get("suspend"):
            return False
        where = self.repository
        same_place = where.provider != "git" or _same_url(source["url"], where.url)
        same_place = same_place and _seconds(source["interval"]) == _seconds(where.interval)
        path = str(root["path"]).removeprefix("./").rstrip("/")
        return same_place and source.get("ref", {}).get("branch") == where.branch and path == where.path

    def _known(self, secrets: list[dict[str, Any]]) -> bool:
        held = {key: text for one in secrets for key, text in one.get("data", {}).items()}
        return bool(secrets) and all(
            base64.b64decode(held.get(key, "")).decode(errors="replace").strip() == text.strip()
            for key, text in self.login.items()
        )


def repository(given: GitOpsSettings, folder: str, *, url: str, login: Mapping[str, str], ca_file: str) -> Repository:
    """Return the repository for flux; ``login`` has ``username`` and ``password`` where there are some."""
    name, _, address = given.author.partition(" <")
    host = Remote(url).host
    owner, _, short = url.partition("://")[2].partition("/")[2].strip("/").removesuffix(".git").rpartition("/")
    usual = {"github": "github.com", "gitlab": "gitlab.com", "gitea": "gitea.com"}.get(given.provider)
    return Repository(
        url=url,
        branch=given.branch,
        path=f"clusters/{folder}",
        provider=given.provider,
        username=login.get("username", given.username),
        secret=login.get("password", ""),
        owner=owner,
        name=short,
        hostname="" if host == usual else host,
        personal=given.personal,
        interval=given.interval,
        private_key=given.private_key or "",
        ca_file=ca_file,
        author=name,
        email=address.rstrip(">"),
    )


def followed_at(kubectl: Kubectl) -> Command:
    """Return the question whether Flux follows a repository in this cluster."""
    names = [(KUSTOMIZATIONS, SYSTEM), (REPOSITORIES, SYSTEM)]
    return replace(kubectl.get_these(names, namespace=SYSTEM), final=ABSENT)


def restart(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the restart of Orthanc's pods, one after the other; content where there are none yet."""
    words = ("rollout", "restart", "deployment/orthanc", FLUXS_HAND)
    return kubectl.command(*words, namespace=tenant.namespace, final=ABSENT)


def occupants(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the question for what every approach has in a tenant's namespace."""
    looked = [("deployment", "orthanc"), ("service", "orthanc"), ("configmap", "orthanc-app")]
    return kubectl.get_these(looked, namespace=tenant.namespace)


def strangers(objects: Iterable[Object]) -> list[str]:
    """Return those of ``objects`` that Flux did not apply."""
    mark = "kustomize.toolkit.fluxcd.io/name"
    return [
        f"{obj['kind'].lower()}/{obj['metadata']['name']}"
        for obj in objects
        if mark not in obj["metadata"].get("labels", {})
    ]


def databases(kubectl: Kubectl) -> Command:
    """Return the question for all databases."""
    return _if_there(kubectl.get(CLUSTERS, namespace="*"))


def sleeping(result: Result) -> set[str]:
    """Return the namespaces of those databases that were told to sleep."""
    found = items(result) if result.code == 0 else []
    told = [obj["metadata"] for obj in found if (obj["metadata"].get("annotations") or {}).get(ASLEEP) == "on"]
    return {meta["namespace"] for meta in told}


def _if_there(command: Command) -> Command:
    return replace(command, final=ABSENT)


def _seconds(text: str) -> float:
    """Return a time as Go writes it (``1m0s``) in seconds."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text))


def _same_url(left: str, right: str) -> bool:
    return left.removesuffix(".git").rstrip("/") == right.removesuffix(".git").rstrip("/")


def _plain_namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
