"""A plan is previewed or applied; what came of it is told as a report, and a failure as one error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.errors import Interrupted, KorthwebError
from korthweb_tasks.report.json import as_data
from korthweb_tasks.report.model import Report
from korthweb_tasks.services.causes import failure_of

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.report.model import About
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.run.executor import Executor
    from korthweb_tasks.run.journal import Journal

_LEFT = {"interrupted": "not finished:", "skipped": "not begun:"}


@dataclass
class Execution:
    """One plan and who executes it. ``about`` is what the report says of the cluster."""

    plan: Plan
    executor: Executor
    console: Console
    about: About

    def previewed(self) -> tuple[StepRecord, ...]:
        """Ask every probe, and change nothing."""
        return self.executor.preview(self.plan)

    def preview(self) -> tuple[Report, list[dict[str, Any]], str]:
        """Ask every probe, and return the report, and what would be done as data and as text."""
        records = self.previewed()
        words = {"unchanged": "unchanged", "planned": "would be done"}
        text = "\n".join(f"  {record.title}: {words[record.verdict]}" for record in records)
        return self._report(records), [{"step": r.name, "title": r.title, "verdict": r.verdict} for r in records], text

    def apply(self, headline: str, journal: Journal) -> Report:
        """Apply the plan below a headline; the journal keeps the report."""
        with self.console.table(headline):
            for step in self.plan.steps:
                self.console.row(step.name, step.title)
            records = self.executor.apply(self.plan)
        report = self._report(records)
        journal.write("report.json", json.dumps(as_data(report), indent=2))
        self.console.line(summary(records))
        return report

    def refuse_failed(self, records: Iterable[StepRecord], journal: Journal) -> None:
        """Raise Interrupted, or what the first failure was, where not all steps are done."""
        faults: Mapping[str, KorthwebError] = self.executor.faults
        left = {word: [r.title for r in records if r.verdict == word] for word in ("interrupted", "skipped")}
        if left["interrupted"] or (left["skipped"] and not faults):
            texts = [f"{text} {', '.join(left[word])}" for word, text in _LEFT.items() if left[word]]
            raise Interrupted("; ".join(["interrupted", *texts]), hint="the same command goes on from here")
        if failed := [record for record in records if record.verdict == "failed"]:
            raise failure_of(failed, faults, hints.shell("less", f"{journal.folder}/journal.jsonl"))

    def _report(self, records: tuple[StepRecord, ...]) -> Report:
        return Report.of(self.plan.title, records, **self.about)


def summary(records: tuple[StepRecord, ...]) -> str:
    """Return one line: how many steps ended how, and the seconds."""
    words = {"changed": "done", "unchanged": "unchanged", "failed": "failed", "skipped": "not begun"}
    words["interrupted"] = "interrupted"
    counts = [f"{n} {word}" for verdict, word in words.items() if (n := sum(r.verdict == verdict for r in records))]
    seconds = max((record.end for record in records), default=0.0)
    return f"{len(records)} steps: {', '.join(counts)} ({duration(seconds)})"
