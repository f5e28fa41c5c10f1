"""What happened, as plain data: the same for text, JSON, JUnit and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal, TypedDict

from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import Interrupted

RungStatus = Literal["passed", "broken", "not reached", "left out"]
#: "unknown": the control failed, or no answer was clear, so the cell proves nothing
CellStatus = Literal["passed", "broken", "unknown"]
Outcome = Literal["passed", "failed", "interrupted", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RungRecord:
    """One rung of a tenant's verification. ``measures`` carry their unit in their name (``mb_per_s``).

    ``notes`` are lines about single files.
    """

    tenant: str
    name: str
    title: str
    status: RungStatus
    ms: float = 0.0
    detail: str = ""
    hint: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """One cell of the isolation matrix: tenant ``a`` tries ``title`` at tenant ``b``, and must be refused.

    ``seen`` is what came of it, ``control`` what the rightful tenant saw; ``ms`` is the slowest attempt.
    """

    name: str
    group: str
    title: str
    a: str
    b: str
    status: CellStatus
    seen: str = ""
    control: str = ""
    hint: str = ""
    ms: float = 0.0

    @property
    def pair(self) -> str:
        """Return the ordered pair as a person reads it."""
        return f"{self.a} → {self.b}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSummary:
    """Where a tenant answers. ``credentials`` is what to type to see them, never the credentials."""

    name: str
    address: str
    web_url: str
    dicom_host: str
    dicom_port: int
    aet: str
    web_host: str = ""
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a task: its name, the exit code, one line, what was said to it, and what to type next."""

    task: str
    code: int
    message: str
    details: str = ""
    next: str = ""


class About(TypedDict):
    """What a run was about: the context, its server, and the settings file ("" where the defaults hold)."""

    context: str
    server: str
    settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. ``started`` is ISO 8601 with its zone; ``seconds`` is the whole run; texts are masked already."""

    title: str
    context: str
    started: str
    server: str = ""
    settings: str = ""
    seconds: float = 0.0
    steps: tuple[StepRecord, ...] = ()
    rungs: tuple[RungRecord, ...] = ()
    tenants: tuple[TenantSummary, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    #: what ended the run before there was anything else to report
    failure: Failure | None = None

    @classmethod
    def of(
        cls,
        title: str,
        steps: Iterable[StepRecord],
        *,
        context: str,
        server: str = "",
        settings: str = "",
        failure: Failure | None = None,
    ) -> Report:
        """Return the report of a run that ends now."""
        records = tuple(steps)
        seconds = max((record.end for record in records), default=0.0)
        began = datetime.now(timezone.utc) - timedelta(seconds=seconds)
        started = began.isoformat(timespec="seconds")
        return cls(
            title=title,
            context=context,
            server=server,
            settings=settings,
            started=started,
            seconds=seconds,
            steps=records,
            failure=failure,
        )

    @property
    def outcome(self) -> Outcome:
        """Return how the run ended; a run of nothing but plans is "planned"."""
        if self.failure:
            return outcome_of(self.failure)
        verdicts = {step.verdict for step in self.steps}
        statuses: set[str] = {rung.status for rung in self.rungs} | {cell.status for cell in self.cells}
        if "failed" in verdicts or "broken" in statuses:
            return "failed"
        if "interrupted" in verdicts:
            return "interrupted"
        if verdicts & {"skipped"} or statuses & {"not reached", "unknown"}:
            return "failed"
        if not verdicts | statuses or (verdicts == {"planned"} and not statuses):
            return "planned"
        return "passed"

    @property
    def broken(self) -> RungRecord | None:
        """Return the first broken rung."""
        return next((rung for rung in self.rungs if rung.status == "broken"), None)

    @property
    def red_cells(self) -> tuple[CellRecord, ...]:
        """Return the cells that let somebody in, then those of which nothing is known."""
        wanted: tuple[CellStatus, ...] = ("broken", "unknown")
        return tuple(cell for status in wanted for cell in self.cells if cell.status == status)


def outcome_of(failure: Failure) -> Outcome:
    """Return how a run ended that ended so."""
    return "interrupted" if failure.code == Interrupted.exit_code else "failed"
