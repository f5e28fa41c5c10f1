"""What a deployment would change, told by the probes of its plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.shared.common import answered
from korthweb_tasks.core.command import Command, Result, masked

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan, Step

#: the lines with which diff names its temporary files
_HEAD = re.compile(r"(?P<sign>---|\+\+\+) \S*/(?P<side>LIVE|MERGED)-[0-9]+/(?P<name>\S+).*")


@dataclass(frozen=True, slots=True)
class Difference:
    """One step that a deployment would do, and why; ``text`` is a unified diff where there is one."""

    step: str
    title: str
    text: str

    def as_data(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


def differences(
    plan: Plan,
    check: Callable[[Command], Result],
    masks: tuple[str, ...] = (),
    each: Callable[[Callable[[Step], Difference | None], Iterable[Step]], Iterable[Difference | None]] = map,
) -> list[Difference]:
    """Ask every probe of ``plan`` and return what is not as it shall be; ``each`` may ask them side by side.

    Raises what a probe raises for an answer that means nothing.
    """
    found = each(lambda step: _difference(step, check, masks), plan.steps)
    return [entry for entry in found if entry is not None]


def _difference(step: Step, check: Callable[[Command], Result], masks: tuple[str, ...]) -> Difference | None:
    for probe in step.probes:
        result = answered(check(probe.command))
        if probe.read(result):
            continue
        shown = masked(readable(result.stdout), masks) if probe.diff else ""
        return Difference(step.name, step.title, shown or "would be done")
    return None


def readable(text: str) -> str:
    """Return a diff of kubectl without the names of its temporary files, which are new each time."""
    lines = []
    for line in text.splitlines():
        if line.startswith("diff -u"):
            continue
        found = _HEAD.fullmatch(line)
        side = {"LIVE": "in the cluster", "MERGED": "as it would be"}
        lines.append(f"{found['sign']} {found['name']} ({side[found['side']]})" if found else line)
    return "\n".join(lines)
