"""What A's service accounts may do in B's namespace: asked of the API server itself, all in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.documents import Documents
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.tools.kubectl import Kubectl, items
from korthweb_tasks.verify.isolation.cells import Attempts, Controls, Seen
from korthweb_tasks.verify.isolation.inside import Place

#: service accounts of a tenant in its own namespace; Flux applies under another one
ACCOUNTS = ("orthanc", "ingress", "postgres", "dbinit", "default")
#: who asks: where nobody works for a tenant by an account of its own, its rights are the control
ASKER = ""


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, as RBAC knows it."""

    verb: str
    resource: str
    group: str = ""
    sub: str = ""

    def __str__(self) -> str:
        """Return it as a person would say it."""
        kind = f"{self.resource}/{self.sub}" if self.sub else self.resource
        return f"{self.verb} {kind}{f'.{self.group}' if self.group else ''}"


RIGHTS: Mapping[str, tuple[Right, ...]] = {
    "secrets": tuple(Right(verb, "secrets") for verb in ("get", "list", "create", "patch", "delete")),
    "exec": (
        Right("create", "pods", sub="exec"),
        Right("create", "pods", sub="attach"),
        Right("create", "pods", sub="portforward"),
        Right("create", "pods"),
        Right("get", "pods", sub="log"),
    ),
    "objects": (
        Right("patch", "deployments", "apps"),
        Right("patch", "configmaps"),
        Right("create", "rolebindings", "rbac.authorization.k8s.io"),
        Right("patch", "networkpolicies", "networking.k8s.io"),
        Right("patch", "authorizationpolicies", "security.istio.io"),
        Right("patch", "peerauthentications", "security.istio.io"),
        Right("patch", "gateways", "networking.istio.io"),
        Right("patch", "virtualservices", "networking.istio.io"),
        Right("patch", "clusters", "postgresql.cnpg.io"),
        Right("patch", "certificates", "cert-manager.io"),
    ),
}
#: what the operator of the databases is called by its chart, and by its release manifest
OPERATORS = ("cloudnative-pg", "cnpg-manager")


@dataclass
class Rights:
    """Questions to the API server, which carries none of them out."""

    places: Mapping[str, Place]
    run: Callable[[Command], Result]
    kubectl: Kubectl
    #: where Flux's accounts for tenants are, or None where no approach made any
    flux: FluxHome | None = BY_BOOTSTRAP
    #: the namespace of the databases' operator
    operator: str = "cnpg-system"
    name: str = "rights"
    rows: tuple[str, ...] = tuple(RIGHTS)
    _operators: tuple[str, ...] = ()

    def controls(self, *, again: bool) -> Controls:  # noqa: ARG002 - both rounds ask the same
        """Ask the same for the accounts that have such rights in B's namespace."""
        keys = [(row, name, who) for name in self.places for row in RIGHTS for who in self._rightful(row, name)]
        asks = [(who, self.places[name].namespace, right) for row, name, who in keys for right in RIGHTS[row]]
        allowed = iter(self._ask(asks))
        controls: dict[tuple[str, str], Seen] = {}
        for row, name, who in keys:
            may = [str(right) for right in RIGHTS[row] if next(allowed)]
            seen = Seen("reached", f"{_short(who)} may {may[0]}") if may else _no(row, who)
            if controls.get((row, name), seen).kind != "reached" or may:
                controls[row, name] = seen
        return controls

    def attempts(self) -> Attempts:
        """Ask for each of A's accounts what it may do in B's namespace."""
        keys = [(row, a, b) for a, b in permutations(self.places, 2) for row in RIGHTS]
        asks = [
            (account, self.places[b].namespace, right)
            for row, a, b in keys
            for account in self._accounts(a)
            for right in RIGHTS[row]
        ]
        allowed = iter(self._ask(asks))
        attempts: dict[tuple[str, str, str], list[Seen]] = {}
        for row, a, b in keys:
            accounts = self._accounts(a)
            may = {who: [str(right) for right in RIGHTS[row] if next(allowed)] for who in accounts}
            yes = [f"{_short(who)} may {', '.join(some)}" for who, some in may.items() if some]
            no = Seen("refused", f"no, {len(accounts)} accounts by {len(RIGHTS[row])} questions")
            attempts[row, a, b] = [Seen("reached", text) for text in yes] or [no]
        return attempts

    def leave(self) -> tuple[str, ...]:
        """Nothing was made."""
        return ()

    def _accounts(self, name: str) -> tuple[str, ...]:
        namespace = self.places[name].namespace
        own = tuple(f"system:serviceaccount:{namespace}:{account}" for account in ACCOUNTS)
        return (*own, self.flux.account(name)) if self.flux else own

    def _rightful(self, row: str, name: str) -> tuple[str, ...]:
        """Return who has rights of that kind in B's namespace.

        Its gateway reads its certificates, the operator of the databases manages its pods, Flux applies its files.
        """
        if self.flux is None:
            return (ASKER,)
        if row == "secrets":
            return (f"system:serviceaccount:{self.places[name].namespace}:ingress",)
        return self._managers() if row == "exec" else (self.flux.account(name),)

    def _managers(self) -> tuple[str, ...]:
        """Return the accounts in the operator's namespace: somebody else's operator may be called as they like."""
        if not self._operators:
            accounts = items(self.run(self.kubectl.get("serviceaccount", namespace=self.operator)))
            names = [obj["metadata"]["name"] for obj in accounts] or OPERATORS
            self._operators = tuple(f"system:serviceaccount:{self.operator}:{name}" for name in names)
        return self._operators

    def _ask(self, asks: Iterable[tuple[str, str, Right]]) -> list[bool]:
        """Ask everything by one command. Raises KorthwebError, and ValueError for another number of answers."""
        reviews = [review(*ask) for ask in asks]
        command = self.kubectl.create(reviews)
        result = self.run(replace(command, argv=(*command.argv, "--output=json"), repeatable=True))
        answers = list(Documents().feed(f"{result.stdout}\n".encode()))
        if len(answers) == 1 and answers[0].get("kind") == "List":
            answers = answers[0]["items"]
        if len(answers) != len(reviews):
            raise ValueError(f"{len(answers)} answers to {len(reviews)} questions about rights")
        return [bool(answer.get("status", {}).get("allowed")) for answer in answers]


def review(account: str, namespace: str, right: Right) -> dict[str, Any]:
    """Return a SubjectAccessReview, with the groups that the API server gives such an account itself."""
    home = account.split(":")[2] if account else ""
    asked = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": right.resource}
    attributes = {"resourceAttributes": {**asked, **({"subresource": right.sub} if right.sub else {})}}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"]
    who = {"user": account, "groups": groups} if account else {}
    kind = "SubjectAccessReview" if account else "SelfSubjectAccessReview"
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {**who, **attributes}}


def _no(row: str, who: str) -> Seen:
    return Seen("unclear", f"{_short(who)} may not {RIGHTS[row][0]} either")


def _short(account: str) -> str:
    return "/".join(account.split(":")[2:]) or "who deploys"
