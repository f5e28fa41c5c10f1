"""What happened to one step: the atoms of every report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["planned", "unchanged", "changed", "failed", "skipped", "interrupted"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step's story. ``start`` and ``end`` are seconds since the run began.

    ``unchanged``: the probes found it so and nothing was changed. ``skipped``: a step it needs failed.
    ``detail`` is one masked line: what was changed, or why it failed.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    verdict: Verdict = "planned"
    start: float = 0.0
    end: float = 0.0
    attempts: int = 0
    detail: str = ""

    @property
    def seconds(self) -> float:
        """Return how long the step took."""
        return self.end - self.start
