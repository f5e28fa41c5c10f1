"""A report as one page that needs nothing else: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2

from korthweb_tasks.core.durations import duration, milliseconds
from korthweb_tasks.report.matrix import MARKS, matrix
from korthweb_tasks.report.model import Report, RungRecord
from korthweb_tasks.report.timeline import LABEL, PLOT, ROW, timeline

TEMPLATE = Path(__file__).with_name("page.html.j2")
#: rung, measure, what it is called, how it is written: the numbers that people ask for first
TILES = (
    ("tls-https", "days_left", "certificate, days left", "{:.0f}".format),
    ("echo", "echo_ms", "C-ECHO", "{:.0f} ms".format),
    ("store", "images_per_s", "C-STORE, images per second", "{:.0f}".format),
    ("store", "mb_per_s", "C-STORE, throughput", "{:.1f} MB/s".format),
    ("pixels", "mb_per_s", "read back, throughput", "{:.1f} MB/s".format),
    ("replicas", "replicas", "replicas that agree", "{:.0f}".format),
    ("survive", "back_s", "all pods deleted and back", duration),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One number."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """One tenant's rungs, and the numbers among them. ``longest`` is in milliseconds."""

    tenant: str
    rungs: tuple[RungRecord, ...]
    tiles: tuple[Tile, ...]

    @property
    def passed(self) -> int:
        """Count the rungs that hold."""
        return sum(rung.status == "passed" for rung in self.rungs)

    @property
    def total(self) -> int:
        """Count the rungs that were wanted."""
        return sum(rung.status != "left out" for rung in self.rungs)


def render(report: Report) -> str:
    """Return the page. Everything that comes from outside is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(duration=duration, ms=milliseconds, share=share, moment=moment)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        headline=headline(report),
        ladders=ladders(report.rungs),
        matrix=matrix(report.cells) if report.cells else None,
        marks=MARKS,
        picture=timeline(report.steps) if report.steps else None,
        label=LABEL,
        plot=PLOT,
        row=ROW,
    )


def headline(report: Report) -> str:
    """Return the one sentence at the top."""
    if report.failure:
        return f"{report.failure.message}."
    if report.outcome == "interrupted":
        return "Interrupted before its end."
    return _fault(report) or _done(report)


def _fault(report: Report) -> str:
    if broken := report.broken:
        return f"The first broken rung: {broken.title} ({broken.tenant})."
    if red := report.red_cells:
        word = "is not refused" if red[0].status == "broken" else "is not proved to be refused"
        return f"{red[0].pair}: {red[0].group}, {red[0].title}: {word}."
    failed = [step for step in report.steps if step.verdict == "failed"]
    if failed:
        return f"{len(failed)} of {len(report.steps)} steps failed, first: {failed[0].title}."
    if report.outcome == "failed":
        return "Not everything was reached."
    return ""


def _done(report: Report) -> str:
    parts = []
    if report.steps:
        parts.append(f"{len(report.steps)} steps")
    if report.rungs:
        parts.append(f"{sum(rung.status == 'passed' for rung in report.rungs)} rungs")
    if report.cells:
        parts.append(f"{len(report.cells)} attempts refused")
    if not parts or report.outcome == "planned":
        return "Nothing was done."
    return f"All well: {' and '.join(parts)}."


def ladders(rungs: Iterable[RungRecord]) -> list[Ladder]:
    """Group the rungs by tenant."""
    groups: dict[str, list[RungRecord]] = {}
    for rung in rungs:
        groups.setdefault(rung.tenant, []).append(rung)
    return [Ladder(tenant, tuple(group), tiles(group)) for tenant, group in groups.items()]


def tiles(rungs: Iterable[RungRecord]) -> tuple[Tile, ...]:
    """Pick the numbers that people ask for first."""
    by_name = {rung.name: rung for rung in rungs}
    measured = ((by_name[rung].measures.get(key), label, form) for rung, key, label, form in TILES if rung in by_name)
    return tuple(Tile(form(value), label) for value, label, form in measured if value is not None)


def moment(iso: str) -> str:
    """Return a time for a person: ``2026-11-22 16:51:02 UTC``."""
    text = iso.replace("T", " ")
    return f"{text[:-6]} UTC" if text.endswith("+00:00") else text


def share(ms: float) -> float:
    """Return a latency as per cent of a bar, from 1 ms (0) to 100 s (100), each power of ten as wide as the others."""
    return round(20 * min(5.0, max(0.0, math.log10(max(ms, 1.0)))), 1)
