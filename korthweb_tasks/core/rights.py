"""Rights in Kubernetes as data, and the roles that grant them. Pure: nobody is asked.

A right is one verb on one kind of resource, in one namespace or in the whole cluster, of one name or of all. Roles hold
just those that were asked for: no ``*``, and none of ``bind``, ``escalate``, ``impersonate`` that a plan does not need.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

RBAC = "rbac.authorization.k8s.io"
#: verbs that change something
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """``namespace`` empty: the whole cluster; ``name`` empty: every name. ``tried``: asked in a dry run alone.

    >>> str(Right("get", "apps", "deployments", "bhc-orthweb", "orthanc"))
    'get deployments.apps/orthanc in bhc-orthweb'
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    tried: bool = False

    def __str__(self) -> str:
        """Return it as a person would say it."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {kind}{f'/{self.name}' if self.name else ''}{place}"

    def covers(self, other: Right) -> bool:
        """Return True if who has this right may do what ``other`` asks for; a dry run is asked for like the rest."""
        same = (self.verb, self.group, self.resource) == (other.verb, other.group, other.resource)
        return same and self.namespace in ("", other.namespace) and self.name in ("", other.name)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is given rights: a ServiceAccount in ``namespace``, or a user that the API server knows by another way."""

    name: str
    namespace: str = ""

    @property
    def user(self) -> str:
        """Return the user's name as the API server sees it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}" if self.namespace else self.name

    def data(self) -> dict[str, str]:
        """Return it as a binding names it."""
        if self.namespace:
            return {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}
        return {"kind": "User", "name": self.name, "apiGroup": RBAC}


def least(rights: Iterable[Right]) -> frozenset[Right]:
    """Return the rights without those that another one covers; one that is tried and used is used."""
    asked = frozenset(rights)
    used = {right for right in asked if not right.tried}
    tried = {right for right in asked if right.tried and replace(right, tried=False) not in used}
    every = used | tried
    wide = [right for right in every if not (right.name and right.namespace)]
    kept = {right for right in every if not any(_wider(one, right) for one in wide)}
    return frozenset(kept)


def _wider(one: Right, right: Right) -> bool:
    return one is not right and one.covers(right) and not right.covers(one) and (right.tried or not one.tried)


def rules(rights: Iterable[Right]) -> list[dict[str, list[str]]]:
    """Return the rules of a role that grants ``rights``, which are of one namespace, in a steady order.

    >>> rules([Right("get", "", "pods"), Right("list", "", "pods"), Right("get", "", "secrets", name="ca")])
    [{'apiGroups': [''], 'resources': ['pods'], 'verbs': ['get', 'list']}, \
{'apiGroups': [''], 'resources': ['secrets'], 'resourceNames': ['ca'], 'verbs': ['get']}]
    """
    verbs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for right in rights:
        verbs[right.group, right.resource, right.name].add(right.verb)
    names: dict[tuple[str, str, tuple[str, ...]], set[str]] = defaultdict(set)
    for (group, resource, name), asked in verbs.items():
        names[group, resource, tuple(sorted(asked))].add(name)
    joined: dict[tuple[str, tuple[str, ...], tuple[str, ...]], set[str]] = defaultdict(set)
    for (group, resource, asked_), called in names.items():
        for some in ((), tuple(sorted(called - {""}))) if "" in called else (tuple(sorted(called)),):
            if some or "" in called:
                joined[group, some, asked_].add(resource)
    return [
        {
            "apiGroups": [group],
            "resources": sorted(resources),
            **({"resourceNames": list(some)} if some else {}),
            "verbs": list(asked_),
        }
        for (group, some, asked_), resources in sorted(joined.items(), key=lambda one: (one[0][0], sorted(one[1]), one))
    ]


def roles(name: str, rights: Iterable[Right], subject: Subject, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the ClusterRole, the Role of each namespace and their bindings to ``subject``."""
    places: dict[str, list[Right]] = defaultdict(list)
    for right in rights:
        places[right.namespace].append(right)
    return [
        obj
        for place in sorted(places)
        for obj in _bound("Role" if place else "ClusterRole", name, place, rules(places[place]), subject, labels)
    ]


def _bound(
    kind: str, name: str, place: str, granted: list[dict[str, list[str]]], subject: Subject, labels: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    meta = {"name": name, **({"namespace": place} if place else {}), "labels": dict(labels)}
    version = {"apiVersion": f"{RBAC}/v1"}
    role = {"apiGroup": RBAC, "kind": kind, "name": name}
    return (
        {**version, "kind": kind, "metadata": meta, "rules": granted},
        {**version, "kind": f"{kind}Binding", "metadata": meta, "roleRef": role, "subjects": [subject.data()]},
    )


def only_tried(name: str, rights: Iterable[Right], subject: Subject, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the admission policy that lets ``subject`` use what is only tried in a dry run, and not in earnest.

    Kubernetes asks the same rights for a dry run as for the change itself, so that roles alone can't tell them apart.
    Where nothing is used in earnest, every change of the subject is refused. Where nothing is tried, nothing is needed.
    """
    every = list(rights)
    tried = sorted({f"{r.group}/{r.resource}/{r.namespace}/{r.name}" for r in every if r.tried and r.verb in WRITES})
    if not tried:
        return []
    dry = "has(request.dryRun) && request.dryRun"
    where = "request.resource.group + '/' + request.resource.resource + '/' + request.namespace + '/'"
    listed = f"[{', '.join(map(repr, tried))}]"
    earnest = any(right.verb in WRITES and not right.tried for right in every)
    free = f" || !(({where} + request.name) in {listed} || ({where}) in {listed})" if earnest else ""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1"}
    meta = {"name": name, "labels": dict(labels)}
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "account", "expression": f"request.userInfo.username == {subject.user!r}"}],
        "validations": [{"expression": f"({dry}){free}", "message": "this account may only try it, in a dry run"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    return [
        {**kind, "kind": "ValidatingAdmissionPolicy", "metadata": meta, "spec": spec},
        {**kind, "kind": "ValidatingAdmissionPolicyBinding", "metadata": meta, "spec": binding},
    ]
