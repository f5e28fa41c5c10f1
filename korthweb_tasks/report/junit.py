"""A report as JUnit XML: a suite for the steps, one for each tenant's rungs, one for each pair of the isolation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.report.model import CellRecord, Failure, Report, RungRecord

#: characters that XML 1.0 has no way to write
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Kind = Literal["passed", "failure", "skipped"]


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    title: str
    seconds: float
    kind: Kind
    message: str
    text: str


def render(report: Report) -> str:
    """Return the report as XML text."""
    suites = []
    if report.failure:
        suites.append(_suite("korthweb", report.started, [_failure(report.failure)]))
    if report.steps:
        suites.append(_suite("steps", report.started, map(_step, report.steps)))
    for tenant in dict.fromkeys(rung.tenant for rung in report.rungs):
        cases = (_rung(rung) for rung in report.rungs if rung.tenant == tenant)
        suites.append(_suite(f"verify.{tenant}", report.started, cases))
    for pair in dict.fromkeys((cell.a, cell.b) for cell in report.cells):
        cases = (_cell(cell) for cell in report.cells if (cell.a, cell.b) == pair)
        suites.append(_suite(f"isolation.{pair[0]}-{pair[1]}", report.started, cases))
    root = ElementTree.Element("testsuites", {"name": _clean(report.title), "time": f"{report.seconds:.3f}"})
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(name: str, started: str, cases: Iterable[_Case]) -> ElementTree.Element:
    listed = list(cases)
    # JUnit's schema wants a time without a zone.
    suite = ElementTree.Element("testsuite", {"name": _clean(name), "timestamp": started[:19]})
    suite.set("tests", str(len(listed)))
    suite.set("failures", str(sum(case.kind == "failure" for case in listed)))
    suite.set("errors", "0")
    suite.set("skipped", str(sum(case.kind == "skipped" for case in listed)))
    suite.set("time", f"{sum(case.seconds for case in listed):.3f}")
    for case in listed:
        attributes = {
            "classname": name if name == "korthweb" else f"korthweb.{name}",
            "name": case.title,
            "time": f"{case.seconds:.3f}",
        }
        element = ElementTree.SubElement(suite, "testcase", {key: _clean(text) for key, text in attributes.items()})
        if case.kind != "passed":
            ElementTree.SubElement(element, case.kind, {"message": _clean(case.message)}).text = _clean(case.text)
        elif case.text:
            ElementTree.SubElement(element, "system-out").text = _clean(case.text)
    return suite


def _failure(failure: Failure) -> _Case:
    text = "\n".join(filter(None, (failure.details, f"Next: {failure.next}" if failure.next else "")))
    message = f"{failure.message} (exit code {failure.code})"
    return _Case(failure.task, failure.task, 0.0, "failure", message, text or failure.message)


def _step(step: StepRecord) -> _Case:
    kinds: dict[str, Kind] = {"changed": "passed", "unchanged": "passed", "failed": "failure", "interrupted": "failure"}
    kind = kinds.get(step.verdict, "skipped")
    return _Case(step.name, step.title, step.seconds, kind, step.detail or step.verdict, step.detail)


def _rung(rung: RungRecord) -> _Case:
    kinds: dict[str, Kind] = {"passed": "passed", "broken": "failure"}
    kind = kinds.get(rung.status, "skipped")
    text = "\n".join(filter(None, (rung.detail, rung.hint, *rung.notes)))
    return _Case(rung.name, rung.title, rung.ms / 1000, kind, rung.detail or rung.status, text)


def _cell(cell: CellRecord) -> _Case:
    # unknown is no pass and no skip: nobody asked for it to be left out
    kind: Kind = "passed" if cell.status == "passed" else "failure"
    text = "\n".join(filter(None, (cell.seen, f"control: {cell.control}" if cell.control else "", cell.hint)))
    title = f"{cell.group}: {cell.title}"
    return _Case(cell.name, title, cell.ms / 1000, kind, f"{cell.status}: {cell.seen}", text)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
