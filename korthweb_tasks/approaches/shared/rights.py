"""Which rights the steps of a plan need, for three roles. Pure.

- ``platform``: what tenants share, and their namespaces.
- ``tenant-operator``: what is a tenant's, inside of a namespace that is there; of what is shared, the look at it.
- ``read-only``: the probes of every step, and so diff, check and status.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.rights import WRITES, Right, least
from korthweb_tasks.tools.command_rights import command_rights, condition_rights

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan, Step
    from korthweb_tasks.tools.kubectl import Kubectl

ROLES = ("platform", "tenant-operator", "read-only")
#: returns the rights on what a program other than kubectl installs
Installed = Callable[[Command], Iterable[Right]]


def plan_rights(plan: Plan, kubectl: Kubectl, role: str, installed: Installed = lambda _: ()) -> frozenset[Right]:
    """Return the rights that ``role`` needs for ``plan``; ``installed`` knows what helm and istioctl apply."""
    return frozenset(right for step in plan.steps for right in _of_step(step, kubectl, role, installed))


def as_role(rights: Iterable[Right], role: str) -> frozenset[Right]:
    """Return the rights as ``role`` holds them: a tenant's operator makes and removes no namespace.

    ``read-only`` changes nothing in earnest; ``platform`` begins before its namespaces are there, so cluster-wide.
    """
    if role == "platform":
        return least(replace(right, namespace="") for right in rights)
    if role == "tenant-operator":
        return least(r for r in rights if r.resource != "namespaces" or r.verb not in ("create", "delete"))
    return least(replace(right, tried=right.verb in WRITES) for right in rights)


def _of_step(step: Step, kubectl: Kubectl, role: str, installed: Installed) -> Iterator[Right]:
    looks = [probe.command for probe in step.probes]
    shared = not step.tenant
    works = {"platform": shared or step.kind == "namespace", "tenant-operator": not shared, "read-only": False}[role]
    if works:
        looks += [*_actions(step), *step.on_failure]
    if works or role == "tenant-operator":
        yield from (right for wait in step.waits for right in condition_rights(kubectl, wait))
    for command in looks:
        yield from command_rights(command)
        yield from installed(command) if works else ()


def _actions(step: Step) -> Iterator[Command]:
    """Yield the actions as they would be on an empty cluster, each with what follows it."""
    made = [action for action in step.actions if not isinstance(action, Command)]
    for probe in step.probes if made else ():  # the passwords that are there are read before others are made
        probe.read(_answer(probe.command))
    for action in step.actions:
        command: Command | None = action if isinstance(action, Command) else action()
        while command is not None:
            yield command
            command = command.follow(_answer(command)) if command.follow else None


def _answer(command: Command) -> Result:
    """Return what an empty cluster would answer: nothing, and to the making of an object that object, with a UID."""
    text = ""
    if "create" in command.argv:
        (obj,) = json.loads(command.stdin or "{}")["items"]
        made: dict[str, Any] = {**obj, "metadata": {**obj["metadata"], "uid": "0"}}
        text = json.dumps(made)
    return Result(command, 0, text, "", 0.0)
