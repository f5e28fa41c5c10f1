"""The least rights for an approach's tasks, out of its plans and of the questions that are asked beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.approaches.gitops.plan import Bootstrap
from korthweb_tasks.approaches.gitops.removal import Home, Remover
from korthweb_tasks.approaches.helm.plan import RELEASE, TRAEFIK, Builder
from korthweb_tasks.approaches.manual.plan import build
from korthweb_tasks.approaches.manual.removal import build_removal
from korthweb_tasks.approaches.shared import addresses, checks, pod_security, status
from korthweb_tasks.approaches.shared.blind import extensions
from korthweb_tasks.approaches.shared.components import questions as component_questions
from korthweb_tasks.approaches.shared.contents import contents
from korthweb_tasks.approaches.shared.layers import question as layers_question
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record, plain_namespace
from korthweb_tasks.approaches.shared.ownership import STAYS, Fate
from korthweb_tasks.approaches.shared.rights import ROLES, as_role, plan_rights
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.plan import Plan
from korthweb_tasks.core.render import as_yaml, parse
from korthweb_tasks.core.rights import Right, Subject, only_tried, roles
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import UsageError
from korthweb_tasks.run import guard, lock
from korthweb_tasks.services import chart, manual
from korthweb_tasks.services.helm import OF_RELEASE
from korthweb_tasks.tools.command_rights import command_rights, object_rights
from korthweb_tasks.tools.flux import KINDS, Repository
from korthweb_tasks.tools.helm import Helm
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Command, Result
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant

#: the namespace of the accounts that pipelines use
ACCOUNTS = "korthweb-ci"
LABELS = {"app.kubernetes.io/managed-by": "korthweb"}


def render(session: Session, role: str, approach: str | None) -> None:
    """Print an account with the roles that ``role`` needs, as YAML; no cluster is asked."""
    account = Subject(account_name(session, role), ACCOUNTS)
    objects = [*account_objects(account), *granted(session, role, approach, account)]
    session.emit(objects, as_yaml(objects).rstrip("\n"))


def account_name(session: Session, role: str) -> str:
    """Return what an account of this role is called: its tenant is part of it, where there is one."""
    who = session.tenants[0].name.lower() if session.tenant_flag else ""
    return "-".join(filter(None, ("korthweb", role, who)))


def account_objects(account: Subject) -> list[dict[str, Any]]:
    """Return the ServiceAccount in its namespace; no token of it is ever kept in a Secret."""
    meta = {"name": account.name, "namespace": account.namespace, "labels": LABELS}
    return [
        plain_namespace(account.namespace),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": False},
    ]


def granted(session: Session, role: str, approach: str | None, account: Subject) -> list[dict[str, Any]]:
    """Return the roles of an account with their bindings, and the policy for what is only tried."""
    needed = rights(session, role, approach)
    policies = only_tried(account.name, needed, account, LABELS)
    return [*policies, *roles(account.name, needed, account, LABELS)]


def rights(session: Session, role: str, approach: str | None = None) -> frozenset[Right]:
    """Return the rights that ``role`` needs for the session's tenants. Raises UsageError for an unknown role."""
    if role not in ROLES:
        raise unknown("role", role, ROLES, "--role takes")
    if role == "platform" and session.tenant_flag:
        raise UsageError("the platform is not one tenant's", hint="leave --tenant out, or --role tenant-operator")

    name = approach_of(approach or session.settings.approach).name
    installed = partial(_installed, session.runner.run)
    found = {right for plan in _PLANS[name](session) for right in plan_rights(plan, _kubectl(session), role, installed)}
    for command in _beside(session, name, role):
        found |= command_rights(command)
    walls = {Right("change", "korthweb", "walls", name=tenant.namespace) for tenant in session.tenants}
    return as_role(found | walls | set(_locked(role)), role)


def _target(session: Session) -> Cluster:
    """Return the cluster that commands name; which one it is makes no difference to rights."""
    return session.target if session.cluster else Cluster("any")


def _kubectl(session: Session) -> Kubectl:
    return Kubectl(_target(session))


def _locked(role: str) -> Iterator[Right]:
    """Yield what the lock on the cluster needs; who only looks takes none."""
    group, kind, place = "coordination.k8s.io", "leases", lock.NAMESPACE
    if role != "read-only":
        yield Right("create", group, kind, place)
        for verb in ("get", "list", "watch", "update", "patch", "delete"):
            yield Right(verb, group, kind, place, lock.NAME)


def deployment(session: Session, approach: str) -> Plan:
    """Return the plan by which an approach deploys the session's tenants."""
    return next(_PLANS[approach](session))


def _manual(session: Session) -> Iterator[Plan]:
    made = manual.manifests(session)
    yield build(made, _target(session), session.tenants)
    fates = {tenant.namespace: _kept(tenant, "manual") for tenant in session.tenants}
    yield build_removal(made, _target(session), session.tenants, fates=fates, shared=not session.tenant_flag)


def _helm(session: Session) -> Iterator[Plan]:
    builder = Builder(session.settings, _target(session), session.secrets, chart.chart_at(session))
    yield builder.plan(session.tenants)
    fates = {tenant.namespace: _kept(tenant, "helm") for tenant in session.tenants}
    yield builder.removal(session.tenants, volumes=False, fates=fates, shared=not session.tenant_flag)


def _gitops(session: Session) -> Iterator[Plan]:
    settings, tenants = session.settings, session.tenants
    spaces = {tenant.name: plain_namespace(tenant.namespace) for tenant in tenants}
    where = Repository(url=settings.gitops.url or "", branch=settings.gitops.branch, path="")
    made = Bootstrap(
        target=_target(session),
        secrets=session.secrets,
        repository=where,
        namespaces=spaces,
        hub="",
        version="",
        in_git=True,
        home=settings.flux,
    )
    yield made.configured(tenants)
    remover = Remover(_target(session), volumes=False, home=settings.flux)
    for tenant in tenants:
        plan = remover.tenant(Home(tenant.name, tenant.namespace, _kept(tenant, "gitops")), "")
        yield Plan(plan.title, tuple(replace(step, tenant=tenant.name, needs=()) for step in plan.steps))


_PLANS = {"manual": _manual, "helm": _helm, "gitops": _gitops}


def _kept(tenant: Tenant, approach: str) -> Fate:
    """Return the fate of a tenant's namespace that stays, which a removal marks so."""
    space = plain_namespace(tenant.namespace)
    record = Record(approach, tenant.name, tenant.domain, uid="0").text()
    space["metadata"] |= {"uid": "0", "annotations": {RECORD: record}}
    return Fate(space, STAYS)


def _beside(session: Session, approach: str, role: str) -> Iterator[Command]:
    """Yield what tasks ask beside their plans: whose is it, what is there, how is it, and where does it answer."""
    kubectl, settings, tenants = _kubectl(session), session.settings, session.tenants
    chosen = approach_of(approach)
    yield kubectl.command("get", "--raw", guard.IDENTITY)
    shared = chosen.namespaces(settings)
    places = [tenant.namespace for tenant in tenants]
    yield kubectl.get_these([("namespace", name) for name in (*places, *shared)])
    yield from (contents(kubectl, place) for place in (*places, *shared))
    yield from component_questions(kubectl)
    yield layers_question(kubectl)
    if role != "read-only":
        yield extensions(kubectl)
    for tenant in tenants:
        keeper = chosen.keeper(settings, _target(session), session.secrets, tenant)
        yield from (probe.command for probe in keeper.probes())
        brought = chosen.brings(settings, tenant).values()
        yield from (kubectl.get("secret", name, namespace=tenant.namespace) for name, _ in brought)
        if role == "tenant-operator":
            yield from _verified(session, approach, tenant)
    yield from (check.command for check in pod_security.questions(settings, kubectl, tenants))
    yield from _looked_at(session, approach)


def _looked_at(session: Session, approach: str) -> Iterable[Command]:
    """Return what check and status of an approach ask, beside what all ask."""
    kubectl, settings, tenants = _kubectl(session), session.settings, session.tenants
    places = [tenant.namespace for tenant in tenants]
    if approach == "manual":
        asked = [check.command for check in checks.for_cluster(settings, _target(session), tenants)]
        return [*asked, *status.questions(kubectl, tenants, settings)]
    if approach == "gitops":
        return [kubectl.get(_word(kind.path), namespace="*") for kind in KINDS]
    helm = Helm(_target(session))
    ways = [check.command for check in addresses.questions(kubectl, tenants, TRAEFIK)]
    for place in places:
        ways += [kubectl.get(kinds, namespace=place) for kinds in ("persistentvolumeclaim", OF_RELEASE)]
        ways += [helm.list(RELEASE, namespace=place), helm.manifest(RELEASE, namespace=place)]
    return ways


def _word(path: str) -> str:
    """Return a kind as kubectl takes it, for its path in the API.

    >>> _word("/apis/apps/v1/deployments"), _word("/api/v1/pods")
    ('deployments.apps', 'pods')
    """
    parts = path.strip("/").split("/")
    return f"{parts[3]}.{parts[1]}" if parts[0] == "apis" else parts[2]


def _verified(session: Session, approach: str, tenant: Tenant) -> Iterator[Command]:
    """Yield what a verification asks of the cluster: where the tenant answers, its login, and its pods."""
    kubectl, place = _kubectl(session), tenant.namespace
    lookup = approach_of(approach).lookup
    for where in filter(None, (lookup.own, lookup.ingress)):
        namespace, service = (text.format(ns=place) for text in where)
        yield kubectl.get("service", service, namespace=namespace)
    for key in (*lookup.cas, lookup.password):
        named = key.named(tenant, tenant.users[0])
        yield kubectl.get("secret", named.secret, namespace=named.namespace)
    yield kubectl.get("pods", namespace=place)
    yield kubectl.watch("pods", namespace=place)
    yield kubectl.command("port-forward", "pod/any", namespace=place)


def _installed(run: Callable[[Command], Result], command: Command) -> Iterator[Right]:
    """Yield what installing, upgrading and removing what helm or istioctl installs needs, as it renders it."""
    if command.argv[:2] == ("helm", "upgrade"):
        flags = ("upgrade", "--install", "--history-max", "5")
        words = [word for word in command.argv[1:] if word not in flags]
        place, told = (
            command.argv[command.argv.index("--namespace") + 1],
            ("helm", "template", *words, "--include-crds"),
        )
    elif command.argv[:2] == ("istioctl", "install"):
        place, told = "", ("istioctl", "manifest", "generate", "--filename", "-")
    else:
        return
    objects = parse(run(replace(command, argv=told, target=None)).stdout)
    for obj in objects:
        obj["metadata"].setdefault("namespace", place)
    yield from object_rights(("get", "create", "patch", "update", "delete"), objects)
