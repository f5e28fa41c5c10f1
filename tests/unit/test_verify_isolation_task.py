"""The task: what it asks for, what it prints, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from korthweb_tasks.errors import UsageError, VerifyFailed
from korthweb_tasks.run.console import Console
from korthweb_tasks.services import isolation as verify_isolation
from korthweb_tasks.settings.cluster import ClusterSettings
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.verify.isolation.cells import ROWS, ROWS_OF, Seen
from korthweb_tasks.verify.model import Endpoint
from tests.fakes import put
from tests.unit.test_verify_isolation import LEAK, OK, Told

BHC, MHR = (Tenant(name=name, domain=f"{name.lower()}.orthweb.com") for name in ("BHC", "MHR"))
ASKED: dict[str, Any] = {"approach": "gitops", "folder": None, "output": "text", "yes": False}


class FakeSession:
    """What the task needs of a session."""

    def __init__(self, *tenants: Tenant, here: tuple[str, ...] | None = None, flag: str | None = None) -> None:
        self.tenants, self.tenant_flag = tenants, flag
        self.settings = SimpleNamespace(approach="gitops")
        self.ref = SimpleNamespace(
            settings=ClusterSettings(context="x", tenants=here), server="https://198.18.0.2:6443", name="x", lab=None
        )
        self.target = SimpleNamespace(context="korthweb-x")
        self.about = {"context": "korthweb-x", "server": "https://198.18.0.2:6443", "settings": "korthweb.yaml"}
        self.kubectl = None
        self.runner = SimpleNamespace(run=None, stop=lambda: None)
        self.console = Console(quiet=True)
        self.dry_run = False
        self.done: list[str] = []

    def contact(self) -> None:
        self.done.append("contact")

    def lock(self) -> None:
        self.done.append("lock")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession(BHC, MHR)
    put(monkeypatch, "korthweb_tasks.run.guard.allow", lambda _, *, yes: session.done.append(f"allow {yes}"))

    def endpoint(_: object, __: object, tenant: Tenant, approach: str) -> Endpoint:
        assert approach == "gitops"
        return Endpoint(
            tenant=tenant.name, address="198.18.64.2", web_host=tenant.web_host, dicom_host=tenant.dicom_host,
            aet=tenant.aet, ca_pem="", username="admin", password=SecretStr("s3same"),
        )  # fmt: skip

    put(monkeypatch, "korthweb_tasks.verify.endpoints.find_endpoint", endpoint)
    return session


def seeing(monkeypatch: pytest.MonkeyPatch, *ways: Told) -> None:
    monkeypatch.setattr(verify_isolation, "TITLES", {way.name: way.name for way in ways})
    monkeypatch.setattr(verify_isolation, "_ways", lambda *_: ways)


def run(session: FakeSession, **more: Any) -> None:
    verify_isolation.prove(session, **{**ASKED, **more})  # type: ignore[arg-type]


def test_all_refused_is_a_green_matrix(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeing(monkeypatch, Told())
    run(session)
    said = capsys.readouterr().out
    assert "BHC → MHR  MHR → BHC" in said
    assert said.count("✓") == 2 * len(ROWS)
    assert f"{2 * len(ROWS)} of {2 * len(ROWS)} attempts are refused" in said
    assert session.done == ["contact", "allow False", "lock"]


def test_a_leak_ends_with_its_cell_after_everything_is_told(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    leak = Told(attempt=LEAK, rows=("mesh-5432",), name="leak")
    seeing(monkeypatch, leak, Told(rows=tuple(row.name for row in ROWS if row.name != "mesh-5432")))
    with pytest.raises(VerifyFailed, match="is not refused: 401 from Orthanc") as caught:
        run(session, folder=str(tmp_path / "out"))
    assert caught.value.exit_code == 8
    assert "BHC → MHR" in caught.value.message
    said = capsys.readouterr().out
    assert said.count("✗") == 4
    assert "seen: 401 from Orthanc" in said
    assert "control: MHR: 200" in said
    assert "--namespace mhr-orthweb get networkpolicies," in said
    assert (tmp_path / "out/report.html").exists()


def test_unknown_is_no_success(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing(monkeypatch, Told(control=Seen("unclear", "503")))
    with pytest.raises(VerifyFailed, match="is not proved to be refused: the control failed: 503"):
        run(session)


def test_what_can_not_be_tidied_up_is_no_success(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing(monkeypatch, Told(note="probe pods may be left"))
    with pytest.raises(VerifyFailed, match="not all is tidied up: probe pods may be left"):
        run(session)


@pytest.mark.parametrize("output", ["json", "junit"])
def test_machines_get_nothing_but_the_report(
    output: str, session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeing(monkeypatch, Told(control=OK))
    run(session, output=output)
    said = capsys.readouterr().out
    assert "s3same" not in said
    if output == "json":
        assert len(json.loads(said)["cells"]) == 2 * len(ROWS)
    else:
        assert said.startswith("<?xml")


@pytest.mark.parametrize(
    ("tenants", "more", "says"),
    [
        ((BHC,), {}, "there is 1 here"),
        ((), {}, "there is none here"),
        ((BHC, MHR), {"here": ("bhc",)}, "there is 1 here"),
    ],
)
def test_two_tenants_are_needed(tenants: tuple[Tenant, ...], more: dict[str, Any], says: str) -> None:
    session = FakeSession(*tenants, **more)
    with pytest.raises(UsageError, match=says):
        run(session)
    assert session.done == []


def test_a_flag_that_leaves_one_tenant_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        run(FakeSession(BHC, flag="BHC"))
    assert caught.value.hint == "leave out --tenant"


@pytest.mark.parametrize(("approach", "why"), [("helm", "mesh"), ("x", "not known")])
def test_other_approaches_are_refused_with_the_reason(approach: str, why: str, session: FakeSession) -> None:
    with pytest.raises(UsageError, match=why):
        run(session, approach=approach)
    session.settings.approach = approach
    with pytest.raises(UsageError, match=why):
        run(session, approach=None)


def test_another_output_is_refused_before_anything_is_done(session: FakeSession) -> None:
    with pytest.raises(UsageError, match="no output format 'yaml'"):
        run(session, output="yaml")
    assert session.done == []


def test_dry_contacts_nobody(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    session.dry_run = True
    run(session)
    assert session.done == []
    said = capsys.readouterr().out
    assert "BHC → MHR, MHR → BHC" in said
    assert all(row.title in said for row in ROWS)


def test_by_hand_the_rows_are_those_that_hold_behind_a_shared_gateway(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Endpoint(
        tenant="", address="198.18.64.2", web_host="w", dicom_host="d", aet="A", ca_pem="", username="admin",
        password=SecretStr("s3same"),
    )  # fmt: skip
    put(
        monkeypatch,
        "korthweb_tasks.verify.endpoints.find_endpoint",
        lambda _, __, tenant, ___: replace(where, tenant=tenant.name),
    )
    wanted = {row.name for row in ROWS_OF["manual"]}
    assert wanted == {"certificate", "password", "aet", "images", "secrets", "exec", "objects", "routes", "names",
                      "privileged", "monitors", "walls"}  # fmt: skip
    seeing(monkeypatch, Told(rows=tuple(wanted)))
    run(session, approach="manual")
    said = capsys.readouterr().out
    assert said.count("\u2713") == 2 * len(wanted)
    assert "inside of the mesh" not in said
    seeing(monkeypatch, Told(rows=tuple(wanted - {"walls"})))
    with pytest.raises(VerifyFailed, match="this was not tried"):
        run(session, approach="manual")
