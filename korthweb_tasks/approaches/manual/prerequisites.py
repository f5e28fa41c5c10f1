"""A part of the plan on its own: what must be there before, and which task installs it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.manual.components import COMPONENTS
from korthweb_tasks.approaches.shared.common import answered
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import StepFailed
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan, Step
    from korthweb_tasks.settings.tenant import Tenant


def outside(whole: Plan, chosen: Iterable[str]) -> list[Step]:
    """Return the steps that ``chosen`` need, at whatever distance, and that are not among them."""
    wanted, found = set(chosen), dict[str, None]()
    waiting = list(wanted)
    while waiting:
        for need in whole[waiting.pop()].needs:
            if need not in wanted and need not in found:
                found[need] = None
                waiting.append(need)
    return [step for step in whole.steps if step.name in found]


def require(
    kubectl: Kubectl, check: Callable[[Command], Result], tenants: Iterable[Tenant], needed: Iterable[Step]
) -> None:
    """Ask, once per namespace, whether the ``needed`` steps were done; raises StepFailed naming what comes first."""
    places = {tenant.name: tenant.namespace for tenant in tenants}
    missing: dict[str, None] = {}
    asked: dict[str | None, dict[str, str]] = {}
    for step in needed:
        component = COMPONENTS[step.kind]
        place = places.get(step.tenant)
        scope = place if step.kind in ("credentials", "config") else None
        for resource in component.signs:
            asked.setdefault(scope, {})[resource.format(ns=place)] = f"manual.{component.task}"
    for scope, wanted in asked.items():
        missing.update(dict.fromkeys(_missing(kubectl, check, scope, wanted)))
    if missing:
        first = next(iter(missing))
        raise StepFailed(
            f"{' and '.join(missing)} must come before this",
            hint=f"`{hints.task(first)}`, or `{hints.task('manual.deploy')}`",
        )


def _missing(
    kubectl: Kubectl, check: Callable[[Command], Result], scope: str | None, wanted: dict[str, str]
) -> list[str]:
    args = ("get", *wanted, "--ignore-not-found", "--output=name")
    command = kubectl.command(*args, namespace=scope, repeatable=True, final=ABSENT)
    there = {_short(line) for line in answered(check(command)).stdout.split()}
    return [task for resource, task in wanted.items() if resource not in there]


def _short(name: str) -> str:
    """Return ``kind/name`` of kubectl's ``kind.group/name``."""
    kind, _, rest = name.partition("/")
    return f"{kind.partition('.')[0]}/{rest}"
