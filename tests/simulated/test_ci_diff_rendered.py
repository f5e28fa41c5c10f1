"""ci.diff with the real helm and kustomize: two renders of the same settings are the same, and a change is seen."""

from __future__ import annotations

from pathlib import Path

import invoke
import pytest

from korthweb_tasks.changes.compare import compared
from korthweb_tasks.changes.model import Consequence
from korthweb_tasks.services.ci.render import objects
from korthweb_tasks.services.session import Session
from korthweb_tasks.settings.load import load

BASE = "context: hospital-a\nclusters: {hospital-a: {context: admin}}\n"


@pytest.mark.parametrize("approach", ["helm", "gitops"])
def test_same_settings_have_no_difference_and_others_are_judged(approach: str, tmp_path: Path) -> None:
    session = Session.open(invoke.Context(), cluster=False)
    found = []
    for name, more in (("one", ""), ("two", ""), ("three", "orthanc: {drain_seconds: 100}\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "korthweb.yaml").write_text(BASE + more)
        found.append(objects(session, load(project=tmp_path / name), approach))
    assert len(found[0]) > 20
    assert list(compared(approach, found[0], found[1])) == []
    changes = {change.name: change.consequences for change in compared(approach, found[0], found[2])}
    assert Consequence.CUT in changes["deployment/orthanc"]
    assert not [name for name, consequences in changes.items() if Consequence.DOOR in consequences]
