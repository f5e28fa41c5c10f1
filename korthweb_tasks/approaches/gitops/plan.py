"""The GitOps approach: what is not in Git, as a plan. Namespaces, passwords, authorities, keys, and Flux. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.beside import follow
from korthweb_tasks.approaches.gitops.secrets import AGE_KEY, AGE_SECRET, REGISTRY_CA, FleetCredentials, shared
from korthweb_tasks.approaches.shared.common import ISTIO, ISTIOD, Secrets
from korthweb_tasks.approaches.shared.components import MARK
from korthweb_tasks.approaches.shared.credentials import table
from korthweb_tasks.approaches.shared.layers import KUSTOMIZATIONS
from korthweb_tasks.approaches.shared.namespaces import Home, Record, at_home, plain_namespace, record_for
from korthweb_tasks.core.command import around_proxy
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.git_providers import PROVIDERS
from korthweb_tasks.core.plan import Plan, Probe, Ready, Step, step_name
from korthweb_tasks.tools.flux import COMPONENTS, Flux, Repository
from korthweb_tasks.tools.git import Remote
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.core.command import Command, Result
    from korthweb_tasks.settings.fleet import GitOpsSettings
    from korthweb_tasks.settings.tenant import Tenant

#: what flux says where it has done everything, but something is not ready yet; the live tree tells more
UNHEALTHY = "health check failure"
#: seconds that flux itself may take; what becomes ready later is waited for by the tree
PATIENCE = 300.0
#: Flux's own folder in Git says how its controllers are started: a newer commit ends waits for older ones' health,
#: and what waits for something else looks again soon, whoever pushes
PATCHED = """\
# Written once by korthweb, and kept as it is afterwards: patches for Flux's own controllers belong here.
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
PART_OF = {"app.kubernetes.io/part-of": "orthweb"}
#: under this name Flux does not take a change for one made by hand, which it would put back
FLUX_MANAGER = "--field-manager=flux-client-side-apply"
CLUSTERS = "cluster.postgresql.cnpg.io"
#: CloudNativePG's word for a database that has its volumes and no pods
ASLEEP = "cnpg.io/hibernation"
RELEASES = "helmrelease.helm.toolkit.fluxcd.io"
REPOSITORIES = "gitrepository.source.toolkit.fluxcd.io"


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Makes the steps.

    ``namespaces`` are the Namespace objects as Git has them, by tenant. ``registry_ca`` is PEM text, ``age_key`` the
    contents of the key file, ``users`` the passwords that Git has, by tenant; ``login`` is what its own Secret has to
    hold. ``version`` is that of the flux which does it, ``hub`` where its images are, ``pull_secrets`` what
    opens it (flux takes one). ``in_git``: Flux's own files are in the repository. ``shared`` are the namespaces of what
    tenants share, besides Flux's own; ``home`` says where Flux is.
    """

    target: Cluster
    secrets: Secrets
    repository: Repository = field(repr=False)
    namespaces: Mapping[str, Object]
    hub: str
    version: str
    in_git: bool
    pull_secrets: tuple[str, ...] = ()
    registry_ca: str = ""
    age_key: str = field(default="", repr=False)
    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    shared: tuple[str, ...] = ()
    home: FluxHome = BY_BOOTSTRAP

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def plan(self, tenants: Iterable[Tenant], asleep: Iterable[Tenant] = ()) -> Plan:
        """Return everything: what Git has not, and Flux. Databases ``asleep`` wake once the mesh is there for them."""
        woken = [replace(self.awake(tenant), needs=("mesh",)) for tenant in asleep]
        mesh = Step(
            kind="mesh",
            title="The mesh, before databases wake without it",
            needs=("flux",),
            waits=(Ready("deployment", ISTIOD, ISTIO),),
        )
        more = (mesh, *woken) if woken else ()
        return Plan("Let Flux follow the fleet repository", (*self._prepared(tenants), self.flux(), *more))

    def first(self) -> Plan:
        """Return Flux alone: by the API of its server it makes the repository, too."""
        return Plan(
            "Let Flux make the fleet repository", (self.system(), replace(self.flux(), probes=(), needs=("system",)))
        )

    def configured(self, tenants: Iterable[Tenant]) -> Plan:
        """Return what Git has not: namespaces, passwords, authorities, keys. Flux is at work already."""
        chosen = tuple(tenants)
        return Plan("Make what is not in Git", (*self._prepared(chosen), *map(self.awake, chosen)))

    def _prepared(self, tenants: Iterable[Tenant]) -> tuple[Step, ...]:
        own = [step for tenant in tenants for step in (self.namespace(tenant), self.credentials(tenant))]
        return (self.system(), *((self.homes(),) if self.shared else ()), *own)

    def system(self) -> Step:
        """Make Flux's namespace with the authority and the key that its controllers need."""
        kubectl, place = self.kubectl, self.home.namespace
        data = {REGISTRY_CA: {"ca.crt": self.registry_ca}} if self.registry_ca else {}
        data |= {AGE_SECRET: {AGE_KEY: self.age_key}} if self.age_key else {}
        home = Home(kubectl, plain_namespace(place), Record("gitops"), adopt=not self.home.beside)
        held = kubectl.get_these([("secret", name) for name in data], namespace=place)
        mark = [] if self.home.beside else [plain_namespace(place, {MARK: "flux"})]
        objects = [*mark, *(shared(name, place, keys) for name, keys in data.items())]
        masks = tuple(line for line in self.age_key.splitlines() if line.startswith("AGE-SECRET"))
        step = Step(
            kind="system",
            title=f"Namespace {place}{' and its keys' if data else ''}",
            probes=(
                *((Probe(kubectl.get_these([("namespace", place)]), _marked),) if mark else ()),
                *((Probe(held, lambda result: table(items(result)) == data),) if data else ()),
            ),
            actions=(kubectl.apply(objects, masks=masks),) if objects else (),
        )
        return at_home(step, home)

    def homes(self) -> Step:
        """Make the namespaces of what tenants share, before Flux does: what korthweb made is recorded."""
        made = [
            Home(self.kubectl, plain_namespace(name, PART_OF), Record("gitops"), adopt=True) for name in self.shared
        ]
        return Step(
            kind="homes",
            title=f"Namespaces {', '.join(self.shared)}",
            probes=tuple(home.probe() for home in made),
            actions=tuple(home.command for home in made),
        )

    def namespace(self, tenant: Tenant) -> Step:
        """Make a tenant's namespace as Git has it; once it is there, it is Flux's own."""
        wanted, record = self.namespaces[tenant.name], record_for(tenant, "gitops")
        step = Step(kind="namespace", tenant=tenant.name, title=f"{tenant.name}: namespace")
        # where Flux has been faster it is used, and kept when the tenant goes
        return at_home(step, Home(self.kubectl, wanted, record, adopt=True))

    def credentials(self, tenant: Tenant) -> Step:
        """Generate the passwords that nobody chose; pods that know older ones are started again."""
        keeper = FleetCredentials(tenant, self.secrets, self.kubectl, users_in_git=self.users.get(tenant.name))
        return keeper.step(after=(restart(self.kubectl, tenant),))

    def awake(self, tenant: Tenant) -> Step:
        """Wake a database that was put to sleep when its tenant was removed, before Flux would."""
        kubectl, place = self.kubectl, tenant.namespace
        words = ("annotate", CLUSTERS, "postgres", f"{ASLEEP}=off", "--overwrite", FLUX_MANAGER)
        there = replace(kubectl.get(CLUSTERS, "postgres", namespace=place), final=ABSENT)
        return Step(
            kind="awake",
            tenant=tenant.name,
            title=f"{tenant.name}: database not asleep",
            needs=(step_name("namespace", tenant.name),),
            probes=(Probe(there, lambda result: not sleeping(result)),),
            actions=(kubectl.command(*words, namespace=place, repeatable=True, final=ABSENT),),
        )

    def flux(self) -> Step:
        """Install Flux and point it at the repository; nothing to do where this version follows this folder of it."""
        kubectl, flux = self.kubectl, Flux(self.target)
        needs = ("system", *(("homes",) if self.shared else ()))
        title = f"{self.repository.branch} of {self.repository.url}"
        if self.home.beside:
            return Step(
                kind="flux",
                title=f"The Flux that is there follows {title}, too",
                needs=needs,
                probes=self._points(),
                actions=follow(self.target, kubectl, self.home, self.repository, self.login),
            )
        look = ("get", f"{KUSTOMIZATIONS},{REPOSITORIES},pod", "--output=wide", "--ignore-not-found")
        return Step(
            kind="flux",
            title=f"Flux {self.version} follows {title}",
            needs=needs,
            probes=self._follows() if self.in_git else (),
            actions=(_if_there(flux.suspended(self.home.root, False)), self._bootstrap(flux)),
            waits=tuple(Ready("deployment", name, self.home.controllers) for name in COMPONENTS),
            on_failure=(kubectl.command(*look, namespace=self.home.namespace),),
        )

    def _bootstrap(self, flux: Flux) -> Command:
        pull = next(iter(self.pull_secrets), "")
        command = flux.bootstrap(self.repository, registry=self.hub, timeout=PATIENCE, pull_secret=pull)
        # a server of one's own is asked directly, not through a proxy
        own = self.repository.ca_file
        direct = around_proxy(Remote(self.repository.url).host, "127.0.0.1", "localhost") if own else {}
        return replace(command, env={**command.env, **direct}, final=(UNHEALTHY,))

    def _follows(self) -> tuple[Probe, ...]:
        names = [("deployment", name) for name in COMPONENTS]
        deployments = self.kubectl.get_these(names, namespace=self.home.controllers)
        return (Probe(deployments, self._installed), *self._points())

    def _points(self) -> tuple[Probe, ...]:
        login = self.kubectl.get("secret", self.home.name, namespace=self.home.namespace)
        known = Probe(login, lambda result: self._known(items(result)))
        needed = () if self.home.beside and not self.login else (known,)
        return (Probe(followed_at(self.kubectl, self.home), self._pointed), *needed)

    def _installed(self, result: Result) -> bool:
        found = {obj["metadata"]["name"]: obj for obj in items(result)}
        return set(COMPONENTS) <= set(found) and all(self._as_wanted(found[name]) for name in COMPONENTS)

    def _as_wanted(self, deployment: Object) -> bool:
        labels = deployment["metadata"].get("labels", {})
        pod = deployment["spec"]["template"]["spec"]
        version = str(labels.get("app.kubernetes.io/version", "")).removeprefix("v")
        pulled = all(container["image"].startswith(f"{self.hub}/") for container in pod["containers"])
        opened = {one["name"] for one in pod.get("imagePullSecrets") or ()} >= set(self.pull_secrets[:1])
        return version == self.version.removeprefix("v") and pulled and opened

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
    return Repository(
        url=url,
        branch=given.branch,
        path=f"clusters/{folder}",
        provider=given.provider,
        username=login.get("username", given.username),
        secret=login.get("password", ""),
        owner=owner,
        name=short,
        hostname="" if host == PROVIDERS[given.provider].host else host,
        personal=given.personal,
        interval=given.interval,
        private_key=given.private_key or "",
        ca_file=ca_file,
        author=name,
        email=address.rstrip(">"),
    )


def followed_at(kubectl: Kubectl, home: FluxHome) -> Command:
    """Return the question whether Flux follows a repository of ours in this cluster."""
    names = [(KUSTOMIZATIONS, home.name), (REPOSITORIES, home.name)]
    return replace(kubectl.get_these(names, namespace=home.namespace), final=ABSENT)


def restart(kubectl: Kubectl, tenant: Tenant) -> Command:
    """Return the restart of Orthanc's pods, one after the other; content where there are none yet."""
    words = ("rollout", "restart", "deployment/orthanc", FLUX_MANAGER)
    return kubectl.command(*words, namespace=tenant.namespace, final=ABSENT)


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
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(ms|h|m|s)", text))


def _same_url(left: str, right: str) -> bool:
    return left.removesuffix(".git").rstrip("/") == right.removesuffix(".git").rstrip("/")


def _marked(result: Result) -> bool:
    """Return True if the namespace is there, with the mark that says whose the Flux in it is."""
    return any((obj["metadata"].get("labels") or {}).get(MARK) == "flux" for obj in items(result))
