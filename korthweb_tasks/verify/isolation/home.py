"""What A's account makes in A's own namespace, and what that would do to B: dry runs on the API server itself.

Each attempt is an object of a kind that a tenant may make, with something in it that reaches beyond its namespace;
its control is a harmless object of the same kind, which must be admitted. Nothing is stored (``--dry-run=server``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import permutations

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.isolation.cells import Attempts, Controls, Seen
from korthweb_tasks.verify.isolation.manifests import Home, Object, Try, harmful, harmless

#: what stderr says of an object that was not admitted: by RBAC, by an admission policy or webhook, by a schema
REFUSALS = ("forbidden", "denied", "is invalid")
#: ... and of a kind that the cluster does not have, where something is made, and where it is deleted
UNKNOWN, NO_TYPE = "no matches for kind", "the server doesn't have a resource type"
LACKING = "the cluster knows no"
#: walls of a tenant, none of which its own account may take away
WALLS = (
    "networkpolicy.networking.k8s.io/default-deny",
    "authorizationpolicy.security.istio.io/default-deny",
    "authorizationpolicy.security.istio.io/orthanc",
    "peerauthentication.security.istio.io/default",
    "sidecar.networking.istio.io/default",
    "resourcequota/tenant",
    "rolebinding.rbac.authorization.k8s.io/tenant",
)
#: ... of the manual approach
WALLS_BY_HAND = (
    *WALLS[:4],
    "networkpolicy.networking.k8s.io/orthanc",
    "networkpolicy.networking.k8s.io/postgres",
    "authorizationpolicy.security.istio.io/postgres",
)
#: Role and RoleBinding of who tries, where a tenant has no account of its own
GUEST = "korthweb-try"


#: what became of an attempt
Outcome = tuple[Try, Seen]


@dataclass
class AtHome:
    """Attempts in A's own namespace with the rights of A's own account. ``run`` may raise a KorthwebError."""

    homes: Mapping[str, Home]
    run: Callable[[Command], Result]
    kubectl: Kubectl
    name: str = "at home"
    rows: tuple[str, ...] = ("routes", "names", "privileged", "monitors", "walls")
    walls: tuple[str, ...] = WALLS

    def controls(self, *, again: bool) -> Controls:  # noqa: ARG002 - both rounds ask the same
        """Let every tenant's account make harmless objects; let who asks take the tenant's walls away."""
        seen_by_row: dict[tuple[str, str], Seen] = {}
        for name, home in self.homes.items():
            for row, outcomes in self._made(home, harmless(home)).items():
                seen_by_row[row, name] = _control(outcomes)
            seen_by_row["walls", name] = self._walls(home, "")
        return seen_by_row

    def attempts(self) -> Attempts:
        """Let every tenant's account make what reaches its neighbour, and take its own walls away."""
        attempts: dict[tuple[str, str, str], list[Seen]] = {}
        walls = {name: self._walls(home, home.account) for name, home in self.homes.items()}
        for a, b in permutations(self.homes, 2):
            for row, outcomes in self._made(self.homes[a], harmful(self.homes[a], self.homes[b])).items():
                attempts[row, a, b] = _attempt(outcomes)
            attempts["walls", a, b].append(walls[a])
        return attempts

    def leave(self) -> tuple[str, ...]:
        """Nothing was made."""
        return ()

    def _made(self, home: Home, tries: Mapping[str, Sequence[Try]]) -> dict[str, list[Outcome]]:
        """Make all objects in one dry run as ``home``'s account; each has a name of its own to know it by."""
        named = [
            (row, attempt, _named(attempt.obj, home.namespace, f"korthweb-try-{row}-{number}"))
            for row, attempts in tries.items()
            for number, attempt in enumerate(attempts)
        ]
        command = self.kubectl.create([obj for _, _, obj in named])
        words = ("--dry-run=server", "--output=name", f"--as={home.account}")
        result = self.run(replace(command, argv=(*command.argv, *words), repeatable=True, ok=frozenset({0, 1})))
        admitted_names = {line.rpartition("/")[2] for line in result.stdout.splitlines()}
        # kubectl names a kind that is not there once, and not the objects of it
        known = [obj for _, attempt, obj in named if not _lacking(attempt, result.stderr)]
        refused = _refused(result.stderr, sum(obj["metadata"]["name"] not in admitted_names for obj in known))
        outcomes: dict[str, list[Outcome]] = {row: [] for row in tries}
        for row, attempt, obj in named:
            admitted = obj["metadata"]["name"] in admitted_names
            seen = Seen("reached", attempt.what) if admitted else _lacking(attempt, result.stderr) or refused
            outcomes[row].append((attempt, seen))
        return outcomes

    def _walls(self, home: Home, account: str) -> Seen:
        """Take the walls of ``home`` away, in a dry run."""
        who = (f"--as={account}",) if account else ()
        words = ("delete", *self.walls, "--dry-run=server", "--output=name", "--ignore-not-found", *who)
        command = self.kubectl.command(*words, namespace=home.namespace, repeatable=True, ok=(0, 1))
        result = self.run(command)
        gone = [line.strip() for line in result.stdout.splitlines() if line.strip()]
        if gone:
            return Seen("reached", f"{account.rpartition(':')[2] or 'an administrator'} may delete {', '.join(gone)}")
        seen = _refused(result.stderr, len(self.walls))
        return replace(seen, text=f"none of {len(self.walls)} walls") if seen.kind == "refused" else seen


@dataclass
class AsGuest(AtHome):
    """The same where no approach gave the tenants accounts: a user who has all rights in A's namespace for the while.

    What a site gives its tenants' people is not more than that. ``pause`` waits until the API server knows the rights.
    """

    walls: tuple[str, ...] = WALLS_BY_HAND
    pause: Callable[[float], None] = time.sleep
    _made_rights: bool = False

    def controls(self, *, again: bool) -> Controls:
        """Give the rights, the first time."""
        if not again:
            self._made_rights = True
            self.run(self.kubectl.apply([obj for home in self.homes.values() for obj in guest_rights(home)]))
            for home in self.homes.values():
                self._wait(home)
        return super().controls(again=again)

    def leave(self) -> tuple[str, ...]:
        """Take the rights away."""
        if self._made_rights:
            for home in self.homes.values():
                self.run(self.kubectl.delete("rolebinding,role", GUEST, namespace=home.namespace))
        return ()

    def _wait(self, home: Home) -> None:
        words = ("auth", "can-i", "create", "deployments", f"--as={home.account}")
        asked = self.kubectl.command(*words, namespace=home.namespace, repeatable=True, ok=(0, 1))
        for _ in range(40):
            if self.run(asked).stdout.strip().startswith("yes"):
                return
            self.pause(0.25)


def guest_rights(home: Home) -> list[Object]:
    """Return all rights in a namespace for its guest."""
    meta, group = {"name": GUEST, "namespace": home.namespace}, "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    subjects = [{"kind": "User", "name": home.account, "apiGroup": group}]
    role = {"kind": "Role", "name": GUEST, "apiGroup": group}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": subjects},
    ]


def _named(obj: Object, namespace: str, name: str) -> Object:
    named = deepcopy(obj)
    named["metadata"] = {"namespace": namespace, "name": name, **named.get("metadata", {})}
    return named


def _refused(stderr: str, count: int) -> Seen:
    """Return a refusal where there are as many refusals as objects that were not made, else what else went wrong."""
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("Warning: ")]
    refused = [line for line in lines if any(word in line.lower() for word in (*REFUSALS, NO_TYPE))]
    others = [line for line in lines if line not in refused and UNKNOWN not in line]
    if len(refused) >= count:
        return Seen("refused", refused[0][:200] if refused else "")
    return Seen("unclear", (others or lines or ["nothing was said"])[-1][:200])


def _lacking(attempt: Try, stderr: str) -> Seen | None:
    """Return what is seen of a kind that the cluster does not have."""
    kind = attempt.obj["kind"]
    lacking = any(UNKNOWN in line and f'"{kind}"' in line for line in stderr.splitlines())
    return Seen("refused", f"{LACKING} {kind}") if lacking else None


def _attempt(outcomes: list[Outcome]) -> list[Seen]:
    """Return what was admitted, else what is unclear, else one line for all that was refused."""
    for kind in ("reached", "unclear"):
        if some := [seen for _, seen in outcomes if seen.kind == kind]:
            return some
    return [Seen("refused", f"none of {len(outcomes)} ways")]


def _control(outcomes: list[Outcome]) -> Seen:
    """Return the first that was not admitted; a kind that the cluster does not have is nobody's."""
    for attempt, seen in outcomes:
        if seen.kind != "reached" and not seen.text.startswith(LACKING):
            return Seen("unclear", f"{attempt.what} is not admitted either: {seen.text}")
    return Seen("reached", "; ".join(dict.fromkeys(attempt.what for attempt, _ in outcomes)))
