"""One report in each form: a stable JSON, an XML that CI systems read, and a page that needs nothing else."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import cast
from xml.etree import ElementTree

import pytest

from korthweb_tasks.collections.errors_out import described
from korthweb_tasks.core.durations import duration, milliseconds
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.report import formats, html, junit
from korthweb_tasks.report import json as as_json
from korthweb_tasks.report.matrix import as_text, matrix
from korthweb_tasks.report.model import CellRecord, Report, RungRecord, TenantSummary
from korthweb_tasks.report.timeline import critical_path, timeline

STEPS = (
    StepRecord("istio", "Install Istio", (), "changed", 0.0, 9.8, 1),
    StepRecord("cert-manager", "Install cert-manager", (), "unchanged", 0.0, 0.4, 1),
    StepRecord("config", "Configuration", ("istio",), "changed", 9.8, 10.5, 2, "3 objects"),
    StepRecord("orthanc", "Orthanc", ("config", "cert-manager"), "changed", 10.5, 31.5, 1),
)
RUNGS = (
    RungRecord(tenant="BHC", name="echo", title="C-ECHO", status="passed", ms=12.5, measures={"echo_ms": 4.2}),
    RungRecord(tenant="BHC", name="store", title="C-STORE", status="passed", ms=500, measures={"mb_per_s": 1.26}),
)
TENANT = TenantSummary(
    name="BHC",
    address="198.18.64.2",
    web_url="https://web.bhc.orthweb.com",
    web_host="web.bhc.orthweb.com",
    dicom_host="dicom.bhc.orthweb.com",
    dicom_port=11112,
    aet="BHC",
    credentials="korthweb manual.credentials --tenant BHC",
)
REPORT = Report(
    title="korthweb demo",
    context="korthweb-lab",
    server="https://198.18.0.2:6443",
    started="2026-11-22T16:51:02+00:00",
    seconds=38.4,
    steps=STEPS,
    rungs=RUNGS,
    tenants=(TENANT,),
)
BROKEN = replace(RUNGS[0], status="broken", detail="no answer", hint="look", measures={})
UNREACHED = replace(RUNGS[1], status="not reached", ms=0.0, detail="echo is broken", measures={})
FAILED = replace(STEPS[3], verdict="failed", detail="ImagePullBackOff")
CELLS = tuple(
    CellRecord(
        name=name, group=group, title=title, a=a, b=b, status="passed",
        seen="connection reset", control=f"{b}: 401", ms=4.2,
    )
    for group, name, title in (("outside", "aet", "A's AE title"), ("mesh", "db", "B's database"))
    for a, b in (("BHC", "MHR"), ("MHR", "BHC"))
)  # fmt: skip
ISOLATION = Report(
    title="Isolation of BHC and MHR", context="korthweb-lab", started="2026-11-22T20:00:00+00:00", cells=CELLS
)
LEAK = replace(CELLS[3], status="broken", seen="PostgreSQL answers", hint="look at bhc-orthweb")
UNSURE = replace(CELLS[0], status="unknown", seen="the control failed: 503", hint="korthweb verify.all")
NASTY = "<script>alert('x')</script> & \"quotes\" \x00\x1b[31m"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "passed"),
        ({"rungs": (BROKEN, UNREACHED)}, "failed"),
        ({"rungs": (UNREACHED,)}, "failed"),
        ({"rungs": (replace(UNREACHED, status="left out"), RUNGS[0])}, "passed"),
        ({"steps": (*STEPS[:3], FAILED)}, "failed"),
        ({"steps": (replace(STEPS[0], verdict="interrupted"), replace(STEPS[3], verdict="skipped"))}, "interrupted"),
        ({"steps": (replace(STEPS[0], verdict="skipped"),)}, "failed"),
        ({"steps": (replace(STEPS[0], verdict="planned"),), "rungs": ()}, "planned"),
        ({"steps": (), "rungs": ()}, "planned"),
    ],
)
def test_the_outcome(changes: dict[str, object], outcome: str) -> None:
    assert replace(REPORT, **changes).outcome == outcome  # type: ignore[arg-type]


def test_a_report_of_steps_knows_its_length() -> None:
    report = Report.of("Deploy", STEPS, context="korthweb-lab")
    assert report.seconds == 31.5
    assert report.started.endswith("+00:00")
    assert report.outcome == "passed"


def test_json_has_the_same_keys_in_every_version_of_its_schema() -> None:
    data = json.loads(as_json.render(REPORT))
    assert data["schema"] == "korthweb.report/1"
    assert list(data) == [
        "schema", "title", "outcome", "context", "server", "settings", "started", "seconds", "steps", "rungs",
        "tenants", "cells",
    ]  # fmt: skip
    assert list(data["steps"][0]) == ["name", "title", "needs", "verdict", "start", "end", "attempts", "detail"]
    assert list(data["rungs"][0]) == ["tenant", "name", "title", "status", "ms", "detail", "hint", "measures", "notes"]
    assert list(data["tenants"][0]) == [
        "name", "address", "web_url", "dicom_host", "dicom_port", "aet", "web_host", "credentials",
    ]  # fmt: skip
    assert data["rungs"][0]["measures"] == {"echo_ms": 4.2}
    assert data["steps"][3]["needs"] == ["config", "cert-manager"]


def test_junit_counts_and_names() -> None:
    report = replace(REPORT, steps=(*STEPS[:3], FAILED), rungs=(BROKEN, UNREACHED))
    root = ElementTree.fromstring(junit.render(report))
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("6", "2", "1")
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"steps", "verify.BHC"}
    assert suites["verify.BHC"].get("timestamp") == "2026-11-22T16:51:02"
    cases = {case.get("name"): case for case in suites["verify.BHC"]}
    failure = cases["C-ECHO"].find("failure")
    assert failure is not None
    assert failure.get("message") == "no answer"
    assert failure.text == "no answer\nlook"
    skipped = cases["C-STORE"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "echo is broken"


def test_junit_is_xml_whatever_is_in_the_texts() -> None:
    report = replace(REPORT, title=NASTY, rungs=(replace(BROKEN, title=NASTY, detail=NASTY, tenant=NASTY),))
    root = ElementTree.fromstring(junit.render(report))
    assert "<script>" in str(root.get("name"))


class Page(HTMLParser):
    """Elements, their attributes, and the text a person sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    text = html.render(REPORT)
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.links == []
    assert not re.search(r"@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    for seen in ("korthweb demo", "https://web.bhc.orthweb.com", "198.18.64.2", "C-ECHO", "38 s", "1.3 MB/s", "21 s"):
        assert seen in page.text


def test_the_page_escapes_what_comes_from_outside() -> None:
    nasty = Report(
        title=NASTY,
        context=NASTY,
        server=NASTY,
        started=NASTY,
        steps=(replace(FAILED, title=NASTY, name=NASTY, detail=NASTY, needs=(NASTY,)),),
        rungs=(replace(BROKEN, title=NASTY, detail=NASTY, hint=NASTY, tenant=NASTY),),
        tenants=(replace(TENANT, name=NASTY, address=NASTY, web_url=NASTY, credentials=NASTY, web_host=NASTY),),
    )
    page = Page(html.render(nasty))
    assert "script" not in page.tags
    assert "<script>alert('x')</script>" in page.text


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (REPORT, "All well: 4 steps and 2 rungs."),
        (replace(REPORT, rungs=(BROKEN, UNREACHED)), "The first broken rung: C-ECHO (BHC)."),
        (replace(REPORT, steps=(*STEPS[:3], FAILED)), "1 of 4 steps failed, first: Orthanc."),
        (replace(REPORT, steps=(replace(STEPS[0], verdict="interrupted"),)), "Interrupted before its end."),
        (replace(REPORT, rungs=(UNREACHED,)), "Not everything was reached."),
        (replace(REPORT, steps=(), rungs=()), "Nothing was done."),
    ],
)
def test_the_headline(report: Report, says: str) -> None:
    assert html.headline(report) == says
    assert says in html.render(report)


@pytest.mark.parametrize("report", [replace(REPORT, steps=()), replace(REPORT, rungs=()), replace(REPORT, tenants=())])
def test_a_page_without_one_of_its_parts(report: Report) -> None:
    assert Page(html.render(report)).open == []


def test_the_timeline_is_in_proportion() -> None:
    picture = timeline(STEPS)
    bars = {bar.step.name: bar for bar in picture.bars}
    assert [bar.step.name for bar in picture.bars] == ["cert-manager", "istio", "config", "orthanc"]
    assert bars["orthanc"].width / bars["istio"].width == pytest.approx(21 / 9.8)
    assert bars["config"].x == pytest.approx(bars["istio"].x + bars["istio"].width)
    assert bars["cert-manager"].width >= 3
    assert all(bar.x + bar.width <= picture.width for bar in picture.bars)
    assert [tick.text for tick in picture.ticks] == ["0 s", "10 s", "20 s", "30 s"]


def test_a_timeline_of_steps_that_took_no_time() -> None:
    picture = timeline([StepRecord("a", "A"), StepRecord("b", "B", ("a",), "skipped")])
    assert len(picture.bars) == 2


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    assert critical_path(STEPS) == {"istio", "config", "orthanc"}
    assert critical_path(()) == frozenset()


def test_the_critical_path_goes_on_into_the_phase_before() -> None:
    lab = (StepRecord("lab:node", "Node", (), "changed", 0.0, 5.0), StepRecord("lab:dns", "DNS", (), "changed", 0, 3.0))
    later = (StepRecord("istio", "Istio", (), "changed", 5.0, 15.0), StepRecord("x", "X", (), "changed", 5.0, 6.0))
    assert critical_path((*lab, *later)) == {"lab:node", "istio"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.9, "1 min"), (61, "1 min 1 s"),
     (3600, "1 h 0 min"), (7325, "2 h 2 min")],
)  # fmt: skip
def test_durations_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("ms", "text"), [(0.04, "0.0 ms"), (9.94, "9.9 ms"), (123.4, "123 ms"), (12_000, "12 s")])
def test_latencies_as_a_person_says_them(ms: float, text: str) -> None:
    assert milliseconds(ms) == text


def test_latency_bars_are_logarithmic_and_bounded() -> None:
    assert [html.share(ms) for ms in (0, 1, 10, 1000, 100_000, 1e9)] == [0, 0, 20, 60, 100, 100]


@pytest.mark.parametrize(
    ("cells", "outcome", "headline"),
    [
        (CELLS, "passed", "All well: 4 attempts refused."),
        ((*CELLS[:3], LEAK), "failed", "MHR → BHC: mesh, B's database: is not refused."),
        ((UNSURE, *CELLS[1:]), "failed", "BHC → MHR: outside, A's AE title: is not proved to be refused."),
        ((UNSURE, *CELLS[1:3], LEAK), "failed", "MHR → BHC: mesh, B's database: is not refused."),
    ],
)
def test_a_matrix_is_well_only_where_every_cell_is(cells: tuple[CellRecord, ...], outcome: str, headline: str) -> None:
    report = replace(ISOLATION, cells=cells)
    assert report.outcome == outcome
    assert html.headline(report) == headline
    assert headline in Page(html.render(report)).text


def test_the_matrix_has_a_column_for_each_pair_and_a_line_for_each_attempt() -> None:
    picture = matrix((*CELLS[:3], LEAK))
    assert picture.pairs == ("BHC → MHR", "MHR → BHC")
    assert [(group.title, [line.title for line in group.lines]) for group in picture.groups] == [
        ("outside", ["A's AE title"]),
        ("mesh", ["B's database"]),
    ]
    assert picture.groups[1].lines[0].cells == (CELLS[2], LEAK)
    assert (picture.passed, picture.total) == (3, 4)


def test_the_matrix_as_text() -> None:
    assert as_text(matrix((UNSURE, CELLS[1], CELLS[2], LEAK))) == [
        "                 BHC → MHR  MHR → BHC",
        "outside",
        "  A's AE title       ?          ✓",
        "mesh",
        "  B's database       ✓          ✗",
    ]


def test_columns_that_do_not_fit_come_in_blocks() -> None:
    lines = as_text(matrix((*CELLS[:3], LEAK)), width=30)
    assert [line.strip() for line in lines if "→" in line] == ["BHC → MHR", "MHR → BHC"]
    assert lines.count("") == 1
    assert [line for line in lines if "✗" in line] == [lines[-1]]


def test_cells_of_a_pair_that_was_not_tried_are_empty() -> None:
    picture = matrix((*CELLS[:2], CELLS[2]))
    assert picture.groups[1].lines[0].cells == (CELLS[2], None)
    assert as_text(picture)[-1].rstrip().endswith("✓")
    assert Page(html.render(replace(ISOLATION, cells=CELLS[:3]))).open == []


def test_junit_has_a_suite_for_each_pair_and_unknown_is_a_failure() -> None:
    root = ElementTree.fromstring(junit.render(replace(ISOLATION, cells=(UNSURE, *CELLS[1:3], LEAK))))
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"isolation.BHC-MHR", "isolation.MHR-BHC"}
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "2", "0")
    (failure,) = suites["isolation.MHR-BHC"].iter("failure")
    assert failure.get("message") == "broken: PostgreSQL answers"
    assert "control: BHC: 401" in (failure.text or "")


def test_json_has_every_cell() -> None:
    data = json.loads(as_json.render(replace(ISOLATION, cells=(LEAK,))))
    assert data["outcome"] == "failed"
    assert data["cells"] == [
        {
            "name": "db", "group": "mesh", "title": "B's database", "a": "MHR", "b": "BHC", "status": "broken",
            "seen": "PostgreSQL answers", "control": "BHC: 401", "hint": "look at bhc-orthweb", "ms": 4.2,
        }
    ]  # fmt: skip


def test_the_matrix_escapes_what_comes_from_outside() -> None:
    nasty = replace(LEAK, group=NASTY, title=NASTY, a=NASTY, seen=NASTY, control=NASTY, hint=NASTY)
    page = Page(html.render(replace(ISOLATION, cells=(nasty,))))
    assert page.open == []
    assert "script" not in page.tags


def test_a_report_is_written_in_every_form(tmp_path: Path) -> None:
    made = formats.write(REPORT, tmp_path / "a/b")
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["junit.xml", "report.html", "report.json"]
    assert set(made) == {"junit.xml", "report.html", "report.json"}


def test_a_new_format_is_a_row_and_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("korthweb_tasks.report.names")
    module.render = lambda report: "\n".join(step.name for step in report.steps)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cast(dict[str, formats.Format], formats.FORMATS), "names", formats.Format("names.txt"))
    made = formats.write(REPORT, tmp_path)
    assert made["names.txt"].read_text() == "istio\ncert-manager\nconfig\northanc"


def test_a_folder_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as refused:
        formats.write(REPORT, tmp_path / "file")
    told = described(refused.value)
    assert (told.exit_code, told.message) == (2, f"{tmp_path}/file can't be used: it is a file, not a folder")
