"""One meaning of an exit code in every task (U17): a status of what is missing or not ready is 7 everywhere."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import invoke
import pytest

from korthweb_tasks.approaches.shared.status import Row
from korthweb_tasks.collections import gitops, helm, lab, manual
from korthweb_tasks.errors import NotReady
from korthweb_tasks.lab import cluster, store
from korthweb_tasks.lab.cluster import LabStatus
from korthweb_tasks.services.session import Session
from korthweb_tasks.services.shared import tell_rows
from tests.cases.unit.test_which_cluster import kubeconfig
from tests.fakes import Answer, put
from tests.unit.test_helm_tasks import scripted

NOTHING = Answer(json.dumps({"items": []}))


@pytest.fixture
def empty_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a cluster that was met already and holds nothing of ours."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(Path("config").absolute())))
    Path("korthweb.yaml").write_text("context: x\ntenants: [{name: BHC, domain: bhc.orthweb.com}]\n")
    scripted(monkeypatch, {("helm", "list"): Answer("[]"), ("kubectl",): NOTHING})
    put(monkeypatch, "korthweb_tasks.services.gitops.follow.looked", lambda _: _nothing_of_flux())


def _nothing_of_flux() -> object:
    from korthweb_tasks.flux.objects import Objects

    return Objects(())


@pytest.mark.parametrize("task", [manual.status, helm.status, gitops.status], ids=["manual", "helm", "gitops"])
def test_U17_nothing_deployed_is_the_same_code_in_every_approach(empty_cluster: None, task: invoke.Task) -> None:  # type: ignore[type-arg]
    """U17: manual.status and helm.status ended with 0, gitops.status with 7."""
    with pytest.raises(NotReady) as raised:
        task(invoke.Context(invoke.Config()))
    assert raised.value.exit_code == 7
    assert raised.value.hint


def test_U17_explaining_where_flux_looks_after_nothing_is_no_success(empty_cluster: None) -> None:
    """U17: gitops.explain all ended with 0 without Flux."""
    with pytest.raises(NotReady, match="Flux looks after nothing here"):
        gitops.explain(invoke.Context(invoke.Config()), "all")


@pytest.mark.parametrize("state", ["missing", "not ready", "failed", "pending-upgrade"])
def test_U17_what_is_not_well_is_named(state: str, empty_cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    """U17: the table is printed whole, and the error names the first of them."""
    session = Session(invoke.Config(), output="json")
    well = Row("bhc-orthweb", "deployment/orthanc", "ready")
    tell_rows(session, [well], "manual")
    with pytest.raises(NotReady, match=f"statefulset/postgres in bhc-orthweb is {state}: why"):
        tell_rows(session, [well, Row("bhc-orthweb", "statefulset/postgres", state, "why")], "manual")
    assert capsys.readouterr().out.count("statefulset/postgres") == 1


@pytest.mark.parametrize(
    ("states", "name", "code"),
    [({}, None, 7), ({}, "nope", 7), ({"a": "running"}, None, 0), ({"a": "running", "b": "degraded"}, None, 7),
     ({"a": "running", "b": "stopped"}, "a", 0)],
)  # fmt: skip
def test_U17_a_lab_that_is_not_there_or_not_whole_is_no_success(
    states: dict[str, str], name: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U17: lab.status --name nope ended with 0; a lab of another name does not make the usual one missing."""
    monkeypatch.setattr(store, "names", lambda: list(states))
    monkeypatch.setattr(cluster, "status", lambda one: LabStatus(one, states.get(one, "absent")))
    expected = pytest.raises(NotReady) if code else nullcontext()
    with expected as raised:
        lab.status(invoke.Context(invoke.Config()), name=name)
    assert raised is None or "lab.up" in raised.value.hint
