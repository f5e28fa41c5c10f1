"""ci.plan and ci.apply: what was reviewed is what is applied, or it is said what moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from korthweb_tasks.changes.plan import moved, opened, sealed
from korthweb_tasks.errors import UsageError

PARTS: dict[str, dict[str, str]] = {
    "cluster": {"uid": "u", "server": "https://a"},
    "versions": {"korthweb": "1"},
    "settings": {"context": "x", "images.orthanc": "y"},
    "objects": {"deployment/orthanc in bhc": "z"},
}
STEPS = {"one": "unchanged", "two": "planned"}


def plan(steps: dict[str, str] | None = None, **parts: dict[str, str]) -> dict[str, Any]:
    return sealed("manual", {**PARTS, **parts}, STEPS if steps is None else steps)


def test_nothing_has_moved() -> None:
    assert moved(plan(), plan()) == []
    assert plan()["hash"] == plan()["hash"]


@pytest.mark.parametrize(
    ("part", "now", "told"),
    [
        ("cluster", {"uid": "v", "server": "https://a"}, "cluster uid is another"),
        ("versions", {"korthweb": "2"}, "version korthweb is another"),
        ("settings", {"context": "x"}, "setting images.orthanc is gone"),
        ("objects", {**PARTS["objects"], "service/x in bhc": "q"}, "object service/x in bhc is new"),
    ],
)
def test_each_part_that_moves_is_named(part: str, now: dict[str, str], told: str) -> None:
    other = plan(**{part: now})
    assert moved(plan(), other) == [told]
    assert other["hash"] != plan()["hash"]


def test_an_apply_that_was_cut_off_goes_on_and_drift_is_refused() -> None:
    assert moved(plan(), plan({"one": "unchanged", "two": "unchanged"})) == []
    (told,) = moved(plan(), plan({"one": "planned", "two": "planned"}))
    assert told.startswith("step one: the cluster had it")
    assert moved(plan(), plan({"one": "unchanged"})) == ["step two is gone"]
    assert moved(plan(), plan({**STEPS, "three": "planned"})) == ["step three is new"]


def test_another_approach_is_told() -> None:
    assert moved({**plan(), "approach": "helm"}, plan()) == ["approach: manual"]


def test_a_plan_survives_its_file_and_an_edit_is_seen() -> None:
    text = json.dumps(plan(), indent=2)
    assert opened(text, "plan.json") == plan()
    with pytest.raises(UsageError, match="was edited"):
        opened(text.replace("https://a", "https://b"), "plan.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', "no json"])
def test_what_is_not_a_plan_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a plan"):
        opened(text, "plan.json")
