"""Takes away what GitOps made: a tenant, or all of it in reverse order, custom resources before operators. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops import ASLEEP, CLUSTERS, KUSTOMIZATIONS, RELEASES, ROOT
from korthweb_tasks.core.plan import Fact, Gone, Plan, Step
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.tools.flux import COMPONENTS, SYSTEM, Flux
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Command, Result
    from korthweb_tasks.core.target import Target

#: label with which Flux marks what a Kustomization applied
APPLIED_BY = "kustomize.toolkit.fluxcd.io/name"
TENANT = "korthweb/tenant"
#: namespaces that the infrastructure made, and no tenant's
SHARED = f"app.kubernetes.io/part-of=orthweb,!{TENANT},{APPLIED_BY}"
#: groups of definitions that charts leave behind, for they may hold what other people made
GROUPS = (".istio.io", ".cert-manager.io", "cert-manager.io", ".cnpg.io", ".monitoring.coreos.com")
SOURCE = Ref("GitRepository", SYSTEM, SYSTEM)
LAYERS = ("application", "monitoring", "dependency")
#: seconds for what Flux takes away itself
PATIENCE = 300.0
_NOTHING = (*ABSENT, "no matching resources found", "No resources found")


@dataclass(frozen=True, slots=True)
class Home:
    """A tenant as the cluster knows it."""

    name: str
    namespace: str

    @property
    def slug(self) -> str:
        """Return the name in names of objects."""
        return self.name.lower()


@dataclass(frozen=True)
class Remover:
    """Makes the steps. With ``volumes`` databases and namespaces go too, and every image with them."""

    target: Target
    volumes: bool

    @property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands."""
        return Kubectl(self.target)

    def tenant(self, home: Home, when: str) -> Plan:
        """Return what follows when a tenant has left Git: Flux takes it away, its database sleeps or goes.

        ``when`` is any new text: Flux looks again where it is another one than before.
        """
        kubectl, flux = self.kubectl, Flux(self.target)
        names = [f"{home.slug}-{layer}" for layer in LAYERS]
        there = kubectl.get_these([(KUSTOMIZATIONS, name) for name in names], namespace=SYSTEM)
        away = Step(
            name="layers",
            title=f"{home.name}: Flux takes it away",
            probes=(Fact(_answering(there), nothing),),
            actions=tuple(_answering(flux.requested(ref, when)) for ref in (SOURCE, ROOT)),
            waits=tuple(Gone(KUSTOMIZATIONS, name, SYSTEM) for name in names),
            on_failure=(self._conditions(*names),),
            timeout=PATIENCE,
        )
        account = kubectl.get("serviceaccount", f"tenant-{home.slug}", namespace=SYSTEM)
        rights = Step(
            name="account",
            title=f"{home.name}: the account under which Flux applied it",
            needs=(away.name,),
            probes=(Fact(account, nothing),),
            actions=(kubectl.delete("serviceaccount", f"tenant-{home.slug}", namespace=SYSTEM),),
        )
        database = replace(self.database(home), needs=(away.name,))
        gone = replace(self.namespace(home), needs=(database.name, rights.name))
        rest = (gone,) if self.volumes else ()
        return Plan(f"Remove {home.name}{' with every image' if self.volumes else ''}", (away, rights, database, *rest))

    def everything(self, kustomizations: Sequence[Object], releases: Sequence[Object], homes: Iterable[Home]) -> Plan:
        """Return the removal of all: tenants, what they share, Flux. Without ``volumes`` the databases sleep."""
        chosen = tuple(homes)
        names = [obj["metadata"]["name"] for obj in kustomizations if obj["metadata"]["name"] != ROOT.name]
        root = [self.halt()] if len(names) < len(kustomizations) else []
        after: dict[str, list[str]] = {name: [step.name for step in root] for name in names}
        for obj in kustomizations:
            for need in obj["spec"].get("dependsOn") or ():
                after.setdefault(need["name"], []).append(f"layer:{obj['metadata']['name']}")
        databases = [self._needing(self.database(home), f"{home.slug}-dependency", names) for home in chosen]
        for obj in kustomizations:  # what a database runs on goes after it
            slug = obj["metadata"]["name"].removesuffix("-dependency")
            own = [step.name for step in databases if step.name == f"database:{slug}"]
            for need in obj["spec"].get("dependsOn") or ():
                after[need["name"]].extend(own)
        steps = [self.layer(name, releases, tuple(after[name])) for name in names]
        homeless = [replace(self.namespace(home), needs=(f"database:{home.slug}",)) for home in chosen if self.volumes]
        last = self.shared(tuple(step.name for step in (*steps, *databases, *homeless)))
        flux = self.flux((last.name,))
        title = f"Remove GitOps{' with every image' if self.volumes else ', volumes are kept'}"
        return Plan(title, (*root, *steps, *databases, *homeless, last, flux))

    def halt(self) -> Step:
        """Let Flux bring nothing back while it is taken away."""
        suspended = self.kubectl.get(KUSTOMIZATIONS, ROOT.name, namespace=SYSTEM)
        return Step(
            name="halt",
            title="Flux brings nothing back",
            probes=(Fact(_answering(suspended), _is_halted),),
            actions=(_answering(Flux(self.target).suspended(ROOT, True)),),
        )

    def layer(self, name: str, releases: Sequence[Object], needs: tuple[str, ...]) -> Step:
        """Let Flux take a layer away, and wait until its releases are uninstalled too."""
        kubectl = self.kubectl
        own = [obj["metadata"] for obj in releases if obj["metadata"].get("labels", {}).get(APPLIED_BY) == name]
        there = kubectl.get_these([(KUSTOMIZATIONS, name)], namespace=SYSTEM)
        return Step(
            name=f"layer:{name}",
            title=f"Remove {name}",
            needs=needs,
            probes=() if own else (Fact(_answering(there), nothing),),
            actions=(_answering(kubectl.delete(KUSTOMIZATIONS, name, namespace=SYSTEM)),),
            waits=(
                Gone(KUSTOMIZATIONS, name, SYSTEM),
                *(Gone(RELEASES, meta["name"], meta["namespace"]) for meta in own),
            ),
            on_failure=(self._conditions(name), self._controllers()),
            hint="inv gitops.logs tells what Flux says; inv gitops.destroy goes on from here",
        )

    def database(self, home: Home) -> Step:
        """Let a tenant's database sleep on its volumes, or remove it with them."""
        kubectl, place = self.kubectl, home.namespace
        pods = ("wait", "pod", "--selector=cnpg.io/cluster=postgres", "--for=delete", f"--timeout={PATIENCE:.0f}s")
        ended = replace(kubectl.command(*pods, namespace=place, timeout=PATIENCE + 10), final=_NOTHING)
        there = _answering(kubectl.get(CLUSTERS, "postgres", namespace=place))
        if self.volumes:
            return Step(
                name=f"database:{home.slug}",
                title=f"{home.name}: database and volumes",
                probes=(Fact(there, nothing),),
                actions=(_answering(kubectl.delete(CLUSTERS, "postgres", namespace=place, wait=True)), ended),
                on_failure=(self._blocker(place),),
            )
        asleep = kubectl.command(
            "annotate", CLUSTERS, "postgres", f"{ASLEEP}=on", "--overwrite", namespace=place, repeatable=True
        )
        return Step(
            name=f"database:{home.slug}",
            title=f"{home.name}: database asleep, its volumes stay",
            probes=(Fact(there, _sleeps),),
            actions=(_answering(asleep), ended),
        )

    def namespace(self, home: Home) -> Step:
        """Remove a tenant's namespace with all that is in it."""
        there = self.kubectl.get("namespace", home.namespace)
        args = ("delete", "namespace", home.namespace, "--ignore-not-found", "--wait=true")
        return Step(
            name=f"namespace:{home.slug}",
            title=f"{home.name}: namespace with every image",
            probes=(Fact(there, nothing),),
            actions=(self.kubectl.command(*args, repeatable=True, timeout=PATIENCE),),
            on_failure=(self._blocker(home.namespace),),
        )

    def shared(self, needs: tuple[str, ...]) -> Step:
        """Remove the namespaces that the tenants shared."""
        kubectl = self.kubectl
        args = ("delete", "namespace", f"--selector={SHARED}", "--ignore-not-found", "--wait=true")
        form = "jsonpath={range .items[*].status.conditions[*]}{.message}{'\\n'}{end}"
        return Step(
            name="shared",
            title="Remove the namespaces of what tenants shared",
            needs=needs,
            probes=(Fact(kubectl.get("namespace", selector=SHARED), nothing),),
            actions=(kubectl.command(*args, repeatable=True, timeout=PATIENCE),),
            on_failure=(kubectl.command("get", "namespace", f"--selector={SHARED}", f"--output={form}"),),
        )

    def flux(self, needs: tuple[str, ...]) -> Step:
        """Remove Flux; finalizers that nobody answers any more go with it."""
        return Step(
            name="flux",
            title="Remove Flux",
            needs=needs,
            probes=(Fact(self.kubectl.get("namespace", SYSTEM), nothing),),
            actions=(Flux(self.target).uninstall(timeout=PATIENCE),),
            waits=(Gone("namespace", SYSTEM),),
            on_failure=(self._blocker(SYSTEM),),
        )

    def _needing(self, step: Step, layer: str, names: list[str]) -> Step:
        return replace(step, needs=(f"layer:{layer}",)) if layer in names else step

    def _conditions(self, *names: str) -> Command:
        """Return the question what keeps Kustomizations from going."""
        form = "custom-columns=NAME:.metadata.name,READY:.status.conditions[0].message,HELD-BY:.metadata.finalizers"
        args = ("get", KUSTOMIZATIONS, *names, f"--output={form}", "--ignore-not-found")
        return self.kubectl.command(*args, namespace=SYSTEM)

    def _controllers(self) -> Command:
        return self.kubectl.command("get", "pod", "--ignore-not-found", namespace=SYSTEM)

    def _blocker(self, name: str) -> Command:
        """Return the question what keeps a namespace from going."""
        form = "jsonpath={range .status.conditions[*]}{.message}{'\\n'}{end}"
        return self.kubectl.command("get", "namespace", name, f"--output={form}", "--ignore-not-found")


def inventory(kubectl: Kubectl) -> tuple[Command, Command, Command]:
    """Return the questions for all Kustomizations of Flux, all releases, and the namespaces of tenants."""
    return (
        _answering(kubectl.get(KUSTOMIZATIONS, namespace=SYSTEM)),
        _answering(kubectl.get(RELEASES, namespace="*")),
        kubectl.get("namespace", selector=f"{TENANT},{APPLIED_BY}"),
    )


def controllers(kubectl: Kubectl) -> Command:
    """Return the question for Flux' controllers."""
    return kubectl.get_these([("deployment", name) for name in COMPONENTS[1:]], namespace=SYSTEM)


def alive(result: Result) -> bool:
    """Say whether the controllers run that take away what they applied."""
    found = items(result)
    return len(found) == len(COMPONENTS[1:]) and all(obj.get("status", {}).get("readyReplicas") for obj in found)


def homes(result: Result) -> list[Home]:
    """Read the namespaces of tenants."""
    return [Home(obj["metadata"]["labels"][TENANT], obj["metadata"]["name"]) for obj in items(result)]


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
    """Say whether an answer holds nothing, or says that there is no such kind."""
    return result.code != 0 or not items(result)


def _first(result: Result) -> dict[str, Any]:
    found = items(result) if result.code == 0 else []
    return found[0] if found else {}


def _is_halted(result: Result) -> bool:
    obj = _first(result)
    return not obj or bool(obj["spec"].get("suspend"))


def _sleeps(result: Result) -> bool:
    """Say whether there is no database, or one that sleeps already."""
    obj = _first(result)
    if not obj:
        return True
    wanted = (obj["metadata"].get("annotations") or {}).get(ASLEEP) == "on"
    conditions = {one["type"]: one["status"] for one in obj.get("status", {}).get("conditions", ())}
    return wanted and conditions.get(ASLEEP) == "True"
