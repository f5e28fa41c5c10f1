"""What a plan's failed steps are told as: one cause once, with the steps that failed because of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import KorthwebError, StepFailed


def failure_of(broken: Sequence[StepRecord], faults: Mapping[str, KorthwebError], journal: str) -> KorthwebError:
    """Return the error for failed steps; those whose faults say the same failed because of one thing."""
    groups: dict[str, list[StepRecord]] = {}
    for record in broken:
        groups.setdefault(_cause(faults[record.name]), []).append(record)
    (cause, same), *others = groups.items()
    first = faults[same[0].name]
    first.hint = first.hint or journal
    if not others:
        first.message = f"{cause} ({len(same)} steps)" if same[1:] else f"{same[0].title}: {first.message}"
        first.details = "\n".join(text for text in (first.details, _because(same)) if text)
        return first
    details = "\n".join(_told(cause, steps, faults[steps[0].name]) for cause, steps in groups.items())
    causes = f", {len(groups)} causes" if len(groups) < len(broken) else ""
    return StepFailed(f"{len(broken)} steps failed{causes}", hint=first.hint, details=details)


def _cause(fault: KorthwebError) -> str:
    """Return what a fault says, without how often it was tried."""
    found = re.fullmatch(r"(.*) \([0-9]+ attempts\)", fault.message, re.DOTALL)
    return found[1] if found else fault.message


def _because(steps: Sequence[StepRecord]) -> str:
    return f"because of it: {', '.join(step.title for step in steps)}" if steps[1:] else ""


def _told(cause: str, steps: Sequence[StepRecord], fault: KorthwebError) -> str:
    """Return one cause as a few lines: what failed, its own details, and what to type."""
    rest = [*fault.details.splitlines()[-6:], _because(steps), f"try: {fault.hint}" if fault.hint else ""]
    head = cause if steps[1:] else f"{steps[0].title}: {fault.message}"
    return "\n".join([head, *(f"    {line}" for line in rest if line)])
