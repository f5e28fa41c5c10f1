"""Takes away what GitOps made: a tenant, or all of it in reverse order, custom resources before operators. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.plan import ASLEEP, CLUSTERS, RELEASES, REPOSITORIES
from korthweb_tasks.approaches.shared.layers import APPLIED_BY, KUSTOMIZATIONS, TENANT_LAYERS, question
from korthweb_tasks.approaches.shared.namespaces import Record, delete_namespace, is_kept, kept
from korthweb_tasks.approaches.shared.ownership import STAYS, Fate
from korthweb_tasks.core import hints
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.plan import Gone, Plan, Probe, Step, step_name
from korthweb_tasks.tools.flux import COMPONENTS, Flux
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.layers import Layers
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.core.command import Command, Result

TENANT = "korthweb/tenant"
#: groups of definitions that charts leave behind, for they may hold what other people made
GROUPS = (".istio.io", ".cert-manager.io", "cert-manager.io", ".cnpg.io", ".monitoring.coreos.com")
#: seconds for what Flux takes away itself
PATIENCE = 300.0
_NOTHING = (*ABSENT, "no matching resources found", "No resources found")


@dataclass(frozen=True, slots=True)
class Home:
    """A tenant as the cluster knows it."""

    name: str
    namespace: str
    fate: Fate = field(default_factory=Fate)

    @property
    def slug(self) -> str:
        """Return the name in names of objects."""
        return self.name.lower()


@dataclass(frozen=True)
class Remover:
    """Makes the steps. With ``volumes`` databases and namespaces go too, and every image with them.

    ``fates`` say what becomes of the namespaces that tenants share; one that is not among them is left alone.
    """

    target: Cluster
    volumes: bool
    fates: Mapping[str, Fate] = field(default_factory=dict)
    home: FluxHome = BY_BOOTSTRAP

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def tenant(self, home: Home, when: str) -> Plan:
        """Return what follows when a tenant has left Git: Flux takes it away, its database sleeps or goes.

        ``when`` is any new text: Flux looks again where it is another one than before.
        """
        kubectl, flux = self.kubectl, Flux(self.target)
        names = [f"{home.slug}-{layer}" for layer in TENANT_LAYERS]
        there = kubectl.get_these([(KUSTOMIZATIONS, name) for name in names], namespace=self.home.namespace)
        away = Step(
            kind="layers",
            title=f"{home.name}: Flux takes it away",
            probes=(Probe(_answering(there), nothing),),
            actions=tuple(_answering(flux.requested(ref, when)) for ref in (self.home.source, self.home.root)),
            waits=tuple(Gone(KUSTOMIZATIONS, name, self.home.namespace) for name in names),
            on_failure=(self._conditions(*names),),
            timeout=PATIENCE,
        )
        account = kubectl.get("serviceaccount", f"tenant-{home.slug}", namespace=self.home.namespace)
        rights = Step(
            kind="account",
            title=f"{home.name}: the account under which Flux applied it",
            needs=(away.name,),
            probes=(Probe(account, nothing),),
            actions=(kubectl.delete("serviceaccount", f"tenant-{home.slug}", namespace=self.home.namespace),),
        )
        database = replace(self.database(home), needs=(away.name,))
        gone = replace(self.namespace(home), needs=(database.name, rights.name))
        title = f"Remove {home.name}{' with every image' if self.volumes else ''}"
        return Plan(title, (away, rights, database, gone))

    def everything(self, kustomizations: Sequence[Object], releases: Sequence[Object], homes: Iterable[Home]) -> Plan:
        """Return the removal of all: tenants, what they share, Flux. Without ``volumes`` the databases sleep."""
        chosen = tuple(homes)
        names = [obj["metadata"]["name"] for obj in kustomizations if obj["metadata"]["name"] != self.home.name]
        root = [self.halt()] if len(names) < len(kustomizations) else []
        after: dict[str, list[str]] = {name: [step.name for step in root] for name in names}
        for obj in kustomizations:
            for need in obj["spec"].get("dependsOn") or ():
                after.setdefault(need["name"], []).append(step_name("layer", obj["metadata"]["name"]))
        databases = [self._needing(self.database(home), f"{home.slug}-dependency", names) for home in chosen]
        for obj in kustomizations:  # what a database runs on goes after it
            slug = obj["metadata"]["name"].removesuffix("-dependency")
            own = [step.name for step in databases if step.name == f"database:{slug}"]
            for need in obj["spec"].get("dependsOn") or ():
                after[need["name"]].extend(own)
        steps = [self.layer(name, releases, tuple(after[name])) for name in names]
        homeless = [replace(self.namespace(home), needs=(step_name("database", home.name),)) for home in chosen]
        before = tuple(step.name for step in (*steps, *databases, *homeless))
        title = f"Remove GitOps{' with every image' if self.volumes else ', volumes are kept'}"
        if self.home.beside:  # what is ours of their Flux, then the namespaces
            flux = self.flux(before)
            return Plan(title, (*root, *steps, *databases, *homeless, flux, *self.shared((flux.name,))))
        last = self.shared(before)
        return Plan(title, (*root, *steps, *databases, *homeless, *last, self.flux(tuple(one.name for one in last))))

    def halt(self) -> Step:
        """Let Flux bring nothing back while it is taken away."""
        suspended = self.kubectl.get(KUSTOMIZATIONS, self.home.name, namespace=self.home.namespace)
        return Step(
            kind="halt",
            title="Flux brings nothing back",
            probes=(Probe(_answering(suspended), _is_halted),),
            actions=(_answering(Flux(self.target).suspended(self.home.root, True)),),
        )

    def layer(self, name: str, releases: Sequence[Object], needs: tuple[str, ...]) -> Step:
        """Let Flux take a layer away, and wait until its releases are uninstalled too."""
        kubectl = self.kubectl
        own = [obj["metadata"] for obj in releases if obj["metadata"].get("labels", {}).get(APPLIED_BY) == name]
        there = kubectl.get_these([(KUSTOMIZATIONS, name)], namespace=self.home.namespace)
        return Step(
            kind="layer",
            resource=name,
            title=f"Remove {name}",
            needs=needs,
            probes=() if own else (Probe(_answering(there), nothing),),
            actions=(_answering(kubectl.delete(KUSTOMIZATIONS, name, namespace=self.home.namespace)),),
            waits=(
                Gone(KUSTOMIZATIONS, name, self.home.namespace),
                *(Gone(RELEASES, meta["name"], meta["namespace"]) for meta in own),
            ),
            on_failure=(self._conditions(name), self._controllers()),
            hint=f"`{hints.task('gitops.logs')}` tells what Flux says; "
            f"`{hints.task('gitops.destroy')}` goes on from here",
        )

    def database(self, home: Home) -> Step:
        """Let a tenant's database sleep on its volumes, or remove it with them."""
        kubectl, place = self.kubectl, home.namespace
        pods = ("wait", "pod", "--selector=cnpg.io/cluster=postgres", "--for=delete", f"--timeout={PATIENCE:.0f}s")
        ended = replace(kubectl.command(*pods, namespace=place, timeout=PATIENCE + 10), final=_NOTHING)
        there = _answering(kubectl.get(CLUSTERS, "postgres", namespace=place))
        if self.volumes:
            return Step(
                kind="database",
                tenant=home.name,
                title=f"{home.name}: database and volumes",
                probes=(Probe(there, nothing),),
                actions=(_answering(kubectl.delete(CLUSTERS, "postgres", namespace=place, wait=True)), ended),
                on_failure=(self._blocker(place),),
            )
        asleep = kubectl.command(
            "annotate", CLUSTERS, "postgres", f"{ASLEEP}=on", "--overwrite", namespace=place, repeatable=True
        )
        return Step(
            kind="database",
            tenant=home.name,
            title=f"{home.name}: database asleep, its volumes stay",
            probes=(Probe(there, _sleeps),),
            actions=(_answering(asleep), ended),
        )

    def namespace(self, home: Home) -> Step:
        """Remove a tenant's namespace with all that is in it; where it stays, what korthweb itself put there goes."""
        kubectl, place, fate = self.kubectl, home.namespace, home.fate
        step = Step(kind="namespace", tenant=home.name, title=f"{home.name}: namespace with every image")
        if fate.goes and fate.namespace:
            return self._without(step, fate.namespace)
        own = ("secret/orthanc-users", "secret/orthanc-metrics", "rolebinding/tenant") if self.volumes else ()
        args = ("delete", *own, "--ignore-not-found")
        gone = kubectl.command(*args, namespace=place, repeatable=True, final=ABSENT)
        mark = kept(kubectl, fate.namespace) if fate.namespace else None
        return replace(
            step,
            title=f"{home.name}: the namespace {place} stays: {fate.kept or STAYS}" if fate.namespace else home.name,
            probes=(is_kept(kubectl, place),),
            actions=(*((gone,) if own else ()), *((mark,) if mark else ())),
        )

    def shared(self, needs: tuple[str, ...]) -> list[Step]:
        """Remove the namespaces that tenants shared, where korthweb made them and nothing of others is in them."""
        steps = []
        for name, fate in self.fates.items():
            step = Step(kind="shared", resource=name, title=f"Remove the namespace {name}", needs=needs)
            if fate.goes and fate.namespace:
                steps.append(self._without(step, fate.namespace))
            elif fate.namespace:
                there = Probe(self.kubectl.get("namespace", name), lambda _: True)
                steps.append(replace(step, title=f"The namespace {name} stays: {fate.kept}", probes=(there,)))
        return steps

    def _without(self, step: Step, namespace: Object) -> Step:
        name = namespace["metadata"]["name"]
        return replace(
            step,
            probes=(Probe(self.kubectl.get("namespace", name), nothing),),
            actions=(delete_namespace(self.kubectl, namespace, timeout=PATIENCE),),
            waits=(Gone("namespace", name),),
            on_failure=(self._blocker(name),),
            timeout=PATIENCE,
        )

    def flux(self, needs: tuple[str, ...]) -> Step:
        """Remove Flux; finalizers that nobody answers any more go with it. Of somebody else's, what is ours goes."""
        place = self.home.namespace
        if self.home.beside:
            return self._unfollowed(needs)
        return Step(
            kind="flux",
            title="Remove Flux",
            needs=needs,
            probes=(Probe(self.kubectl.get("namespace", place), nothing),),
            actions=(Flux(self.target).uninstall(timeout=PATIENCE),),
            waits=(Gone("namespace", place),),
            on_failure=(self._blocker(place),),
        )

    def _unfollowed(self, needs: tuple[str, ...]) -> Step:
        """Take our source and our Kustomization from a Flux that stays."""
        kubectl, place, name = self.kubectl, self.home.namespace, self.home.name
        both = (KUSTOMIZATIONS, REPOSITORIES)
        there = kubectl.get_these([(kind, name) for kind in both], namespace=place)
        return Step(
            kind="flux",
            title="The Flux that is there follows the fleet repository no more",
            needs=needs,
            probes=(Probe(_answering(there), nothing),),
            actions=tuple(_answering(kubectl.delete(kind, name, namespace=place)) for kind in both),
            waits=tuple(Gone(kind, name, place) for kind in both),
            on_failure=(self._conditions(name), self._controllers()),
        )

    def _needing(self, step: Step, layer: str, names: list[str]) -> Step:
        return replace(step, needs=(step_name("layer", layer),)) if layer in names else step

    def _conditions(self, *names: str) -> Command:
        """Return the question what keeps Kustomizations from going."""
        form = "custom-columns=NAME:.metadata.name,READY:.status.conditions[0].message,HELD-BY:.metadata.finalizers"
        args = ("get", KUSTOMIZATIONS, *names, f"--output={form}", "--ignore-not-found")
        return self.kubectl.command(*args, namespace=self.home.namespace)

    def _controllers(self) -> Command:
        return self.kubectl.command("get", "pod", "--ignore-not-found", namespace=self.home.controllers)

    def _blocker(self, name: str) -> Command:
        """Return the question what keeps a namespace from going."""
        form = "jsonpath={range .status.conditions[*]}{.message}{'\\n'}{end}"
        return self.kubectl.command("get", "namespace", name, f"--output={form}", "--ignore-not-found")


def inventory(kubectl: Kubectl, home: FluxHome) -> tuple[Command, Command, Command]:
    """Return the questions for the Kustomizations beside ours, all releases, and all namespaces."""
    return (
        question(kubectl, home.namespace),
        _answering(kubectl.get(RELEASES, namespace="*")),
        kubectl.get("namespace"),
    )


def releases_of(result: Result, layers: Layers) -> list[Object]:
    """Read those of the releases that our Kustomizations applied; those of others are none of our concern."""
    return layers.applied(items(result) if result.code == 0 else [])


def controllers(kubectl: Kubectl, home: FluxHome) -> Command:
    """Return the question for Flux's controllers."""
    return kubectl.get_these([("deployment", name) for name in COMPONENTS[1:]], namespace=home.controllers)


def alive(result: Result) -> bool:
    """Return True if the controllers run that take away what they applied."""
    found = items(result)
    return len(found) == len(COMPONENTS[1:]) and all(obj.get("status", {}).get("readyReplicas") for obj in found)


def homes(result: Result) -> list[Home]:
    """Read the namespaces in which GitOps has, or had, a tenant: by what was recorded of them."""
    found = [(obj["metadata"]["name"], Record.of(obj)) for obj in items(result)]
    return [Home(one.tenant, name) for name, one in found if one and one.tenant and one.approach == "gitops"]


def leftovers(kubectl: Kubectl) -> tuple[Command, Command]:
    """Return the questions for what is left: definitions, and namespaces of tenants."""
    names = ("get", "customresourcedefinition", "--output=name")
    return kubectl.command(*names, repeatable=True), kubectl.get("namespace", selector=TENANT)


def left_definitions(result: Result) -> list[str]:
    """Read the definitions that charts left behind."""
    names = [line.partition("/")[2] for line in result.stdout.split()]
    return [name for name in names if name.endswith(GROUPS)]


def _answering(command: Command) -> Command:
    """Return a command for which "there is no such kind" is an answer."""
    return replace(command, final=ABSENT)


def nothing(result: Result) -> bool:
    """Return True if an answer holds nothing, or says that there is no such kind."""
    return result.code != 0 or not items(result)


def _first(result: Result) -> dict[str, Any]:
    found = items(result) if result.code == 0 else []
    return found[0] if found else {}


def _is_halted(result: Result) -> bool:
    obj = _first(result)
    return not obj or bool(obj["spec"].get("suspend"))


def _sleeps(result: Result) -> bool:
    """Return True if there is no database, or one that sleeps already."""
    obj = _first(result)
    if not obj:
        return True
    wanted = (obj["metadata"].get("annotations") or {}).get(ASLEEP) == "on"
    conditions = {one["type"]: one["status"] for one in obj.get("status", {}).get("conditions", ())}
    return wanted and conditions.get(ASLEEP) == "True"
