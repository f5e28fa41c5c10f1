"""The steps of a run as a picture: where each bar stands. Pure arithmetic; the page draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.record import StepRecord

#: in the units of the picture, which are pixels at its natural size
LABEL, PLOT, TAIL, ROW, HEAD, FOOT = 300.0, 620.0, 80.0, 26.0, 8.0, 30.0
THINNEST = 3.0
#: seconds that a step may begin after another one ended and still have waited for it
AT_ONCE = 0.05
TICKS = 6
STRIDES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: its row begins at ``y``; the bar begins at ``x`` and is ``width`` wide."""

    step: StepRecord
    x: float
    y: float
    width: float
    critical: bool

    @property
    def took(self) -> str:
        """Return the duration for a person."""
        return duration(self.step.seconds)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line at ``x`` and what it says."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    width: float
    height: float


def timeline(steps: Sequence[StepRecord]) -> Timeline:
    """Lay out the steps in the order in which they began."""
    whole = max((step.end for step in steps), default=0.0) or 1.0
    critical = critical_path(steps)
    ordered = sorted(steps, key=lambda step: (step.start, step.end))
    bars = tuple(
        Bar(
            step,
            LABEL + PLOT * step.start / whole,
            HEAD + ROW * row,
            max(THINNEST, PLOT * step.seconds / whole),
            step.name in critical,
        )
        for row, step in enumerate(ordered)
    )
    stride = next((s for s in STRIDES if whole / s <= TICKS), whole / TICKS)
    ticks = tuple(
        Tick(LABEL + PLOT * n * stride / whole, duration(n * stride)) for n in range(int(whole / stride + 1e-9) + 1)
    )
    return Timeline(bars, ticks, LABEL + PLOT + TAIL, HEAD + ROW * len(bars) + FOOT)


def critical_path(steps: Sequence[StepRecord]) -> frozenset[str]:
    """Return the names of the steps that the end had to wait for: making them faster makes the run faster."""
    by_name = {step.name: step for step in steps}
    ran = [step for step in steps if step.verdict in ("changed", "unchanged", "failed", "interrupted")]
    path: list[str] = []
    step = max(ran, key=lambda step: step.end, default=None)
    while step is not None and step.name not in path:
        path.append(step.name)
        # A step that began later without a need waited for what ended before: another plan, another phase.
        needed = [by_name[name] for name in step.needs if name in by_name]
        before = [other for other in ran if other.end <= step.start + AT_ONCE and other.start < step.start]
        step = max(needed or before, key=lambda need: need.end, default=None)
    return frozenset(path)
