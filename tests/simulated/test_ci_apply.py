"""ci.plan and ci.apply against a real API server: a reviewed plan passes, and what moves in between is refused."""

from __future__ import annotations

import json
from pathlib import Path

import invoke
import pytest

from korthweb_tasks import ci
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.errors import GuardRefused, LabImpossible, UsageError
from korthweb_tasks.report.model import Report

C = invoke.Context()


@pytest.fixture
def site(simulated: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(simulated.kubeconfig))
    (tmp_path / "korthweb.yaml").write_text(f"context: {simulated.context}\n")
    ci.plan(C, approach="manual", out="plan.json")
    return tmp_path


def test_a_plan_of_now_is_applied_and_changed_settings_are_refused(site: Path) -> None:
    plan = json.loads((site / "plan.json").read_text())
    assert plan["cluster"]["uid"]
    assert "planned" in plan["steps"].values()
    assert isinstance(ci.apply(C, plan="plan.json", dry_run=True), Report)
    with pytest.raises(LabImpossible):  # past the comparison: a simulated lab takes no deployment
        ci.apply(C, plan="plan.json", hash=plan["hash"], yes=True)
    with pytest.raises(GuardRefused, match="not the plan that was reviewed"):
        ci.apply(C, plan="plan.json", hash="0" * 64, yes=True)
    settings = site / "korthweb.yaml"
    settings.write_text(f"{settings.read_text()}orthanc: {{drain_seconds: 100}}\n")
    with pytest.raises(GuardRefused, match=r"setting orthanc\.drain_seconds is another") as raised:
        ci.apply(invoke.Context(), plan="plan.json", yes=True)
    assert "deployment/orthanc in bhc-orthweb is another" in raised.value.details


def test_a_file_that_is_missing_or_edited_is_refused(site: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        ci.apply(C, plan="nowhere.json")
    text = (site / "plan.json").read_text()
    (site / "plan.json").write_text(text.replace('"planned"', '"unchanged"', 1))
    with pytest.raises(UsageError, match="was edited"):
        ci.apply(C, plan="plan.json")
