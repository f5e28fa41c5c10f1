"""Walks a plan: every step starts the moment all it needs is done, and a failure stops only what depends on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from korthweb_tasks.core.command import Command, Result, masked
from korthweb_tasks.core.plan import Plan, Probe, Step
from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import Interrupted, KorthwebError, NotReady
from korthweb_tasks.run.dag import run_dag
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.runner import Runner, failure
from korthweb_tasks.run.watch import Observe, Waiter

#: steps worked on at once; most of a step is waiting for the cluster
JOBS = 12


class Audience(Protocol):
    """Is told of every step; :class:`korthweb_tasks.run.console.Console` is."""

    def begin(self, name: str, title: str) -> None:
        """Say that a step has begun."""

    def note(self, name: str, text: str) -> None:
        """Say what a step waits for."""

    def end(self, record: StepRecord) -> None:
        """Say how a step ended."""


@dataclass
class Executor:
    """Previews and applies plans.

    ``step_seconds`` bounds a step that names no time-out of its own, ``run_seconds`` the whole walk.
    """

    runner: Runner
    observe: Observe
    audience: Audience
    journal: Journal | None = None
    step_seconds: float = 600.0
    run_seconds: float = 3600.0
    began: float = field(default_factory=time.monotonic)
    faults: dict[str, KorthwebError] = field(default_factory=dict, init=False)
    #: step -> how often one of its commands was tried again after a transient failure
    _retries: Counter[str] = field(default_factory=Counter, init=False)

    def preview(self, plan: Plan) -> tuple[StepRecord, ...]:
        """Ask every probe, side by side, and change nothing; the verdicts are ``unchanged`` and ``planned``."""
        with ThreadPoolExecutor(JOBS) as pool:
            found = list(pool.map(self._is_so, plan.steps))
        verdicts: list[Verdict] = ["unchanged" if so else "planned" for so in found]
        return tuple(
            StepRecord(step.name, step.title, step.needs, verdict)
            for step, verdict in zip(plan.steps, verdicts, strict=True)
        )

    def apply(self, plan: Plan) -> tuple[StepRecord, ...]:
        """Bring the plan about and return what happened, in the plan's order; failures are in ``faults``.

        An interrupt ends the running commands in order and marks what was not done.
        """
        records: dict[str, StepRecord] = {}

        def settle(record: StepRecord) -> bool:
            records[record.name] = record
            self._told(record)
            return record.verdict in ("unchanged", "changed")

        run_dag(
            {step.name: step.needs for step in plan.steps},
            lambda name: self._step(plan[name]),
            settle,
            jobs=JOBS,
            stopped=lambda: self.runner.stopped,
            interrupt=self.runner.stop,
        )
        return tuple(records.get(step.name) or self._left_out(step) for step in plan.steps)

    def _step(self, step: Step) -> StepRecord:
        begin = self._now()
        self.audience.begin(step.name, step.title)
        record = StepRecord(step.name, step.title, step.needs, start=begin)
        try:
            verdict = self._bring_about(step)
        except Interrupted:
            return self._ended(record, "interrupted")
        except KorthwebError as error:
            self.faults[step.name] = error
            self._explain(step, error)
            return self._ended(record, "failed", error.message)
        return self._ended(record, verdict)

    def _ended(self, record: StepRecord, verdict: Verdict, detail: str = "") -> StepRecord:
        attempts = 1 + self._retries[record.name]
        return replace(record, verdict=verdict, end=self._now(), attempts=attempts, detail=detail)

    def _bring_about(self, step: Step) -> Verdict:
        """Probe again at execution, act only where it is not so yet, and wait in both cases."""
        deadline = min(time.monotonic() + (step.timeout or self.step_seconds), self.began + self.run_seconds)
        say: Callable[[str], None] = lambda text: self.audience.note(step.name, text)  # noqa: E731
        verdict: Verdict = "unchanged"
        if not self._is_so(step):
            verdict = "changed"
            for action in step.actions:
                command = action if isinstance(action, Command) else action()
                self._count(step, self.runner.run(command.with_timeout(_left(step, deadline))))
        if step.waits:
            Waiter(self.runner, self.observe).wait(step.waits, _left(step, deadline), say)
        return verdict

    def _is_so(self, step: Step) -> bool:
        return bool(step.probes) and all(self._holds(step, probe) for probe in step.probes)

    def _holds(self, step: Step, probe: Probe) -> bool:
        result = self._count(step, self.runner.check(probe.command))
        if not result.answered:
            raise failure(result)  # not known is not "no"
        return probe.read(result)

    def _count(self, step: Step, result: Result) -> Result:
        self._retries[step.name] += result.attempts - 1
        return result

    def _explain(self, step: Step, error: KorthwebError) -> None:
        """Add what the step's own commands tell about its failure; where they can't, the failure stands alone."""
        told = [error.details]
        for command in step.on_failure:
            with suppress(KorthwebError):  # an interrupt, a program that is missing
                result = self.runner.check(command)
                told.append(masked((result.stdout or result.stderr).strip(), command.masks))
        error.details = "\n".join(text for text in told if text)
        error.hint = step.hint or error.hint

    def _left_out(self, step: Step) -> StepRecord:
        now = self._now()
        record = StepRecord(step.name, step.title, step.needs, "skipped", now, now)
        self._told(record)
        return record

    def _told(self, record: StepRecord) -> None:
        self.audience.end(record)
        if self.journal:
            self.journal.note("step", **asdict(record))

    def _now(self) -> float:
        return time.monotonic() - self.began


def _left(step: Step, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise NotReady(f"step {step.name} was not done in time", hint="--timeout SECONDS gives it more")
    return left
