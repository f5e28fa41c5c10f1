"""F13: C-FIND, C-GET, C-MOVE, storage commitment and STOW-RS with a real Orthanc, as its configuration allows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, StoragePresentationContexts, evt

from korthweb_tasks.report.model import RungRecord
from korthweb_tasks.verify.check_context import quiet_dicom
from korthweb_tasks.verify.endpoints import permitted
from korthweb_tasks.verify.model import Options
from korthweb_tasks.verify.web import stow
from tests.verify_doubles.orthanc import Orthanc, free_port
from tests.verify_doubles.pki import Authority
from tests.verify_doubles.site import QUICK, LadderResult, Site, a_study, red

AUTHORITY = Authority()
OPERATIONS = ("c-find", "c-get", "c-move", "commitment")


@pytest.fixture
def small(tmp_path: Path) -> Options:
    return replace(QUICK, study=a_study(tmp_path / "study"), only=(*OPERATIONS, "clean"))


def rungs(result: LadderResult) -> dict[str, RungRecord]:
    return {rung.name: rung for rung in result.rungs}


def checked(server: Orthanc, options: Options, policy: dict[str, Any] | None = None) -> LadderResult:
    """Check with a server, by the policy of its own configuration, or of another one."""
    site = Site(server, AUTHORITY)
    with site.open() as endpoint:
        known = permitted(endpoint, dict(server.config) if policy is None else policy, options.calling_aet)
    return replace(site, endpoint={"policy": known.policy}).check(options)


@contextmanager
def archive(port: int, status: int = 0) -> Iterator[list[str]]:
    """Take images under any AE title, without TLS; gives what came."""
    came: list[str] = []

    def keep(event: evt.Event) -> int:
        came.append(str(event.dataset.SOPInstanceUID))
        return status

    entity = AE("ARCHIVE")
    entity.supported_contexts = StoragePresentationContexts
    with quiet_dicom():
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
        try:
            yield came
        finally:
            if server:
                server.shutdown()


def known(port: int, **more: Any) -> dict[str, Any]:
    """Return a configuration that knows this machine and an archive at ``port``."""
    here = {"AET": "KORTHWEB", "Host": "127.0.0.1", "Port": free_port(), **more}
    return {"DicomModalities": {"here": here, "archive": ["ARCHIVE", "127.0.0.1", port]}}


def test_F13_a_known_modality_searches_fetches_moves_and_gets_commitment(
    another: Callable[..., Orthanc], small: Options
) -> None:
    """F13: each operation that the configuration allows is done and its outcome is looked at."""
    port = free_port()
    server = another(**known(port))
    with archive(port) as came:
        result = checked(server, replace(small, move_to="ARCHIVE"))
    seen = rungs(result)
    assert {name: seen[name].status for name in OPERATIONS} == dict.fromkeys(OPERATIONS, "passed"), result.broken
    assert len(came) == 1
    assert seen["c-get"].detail == "1 came back by C-GET, identical"
    assert seen["commitment"].detail == "Orthanc commits itself to 1, by its report"


def test_F13_what_the_configuration_does_not_allow_is_left_out_and_why(
    another: Callable[..., Orthanc], small: Options
) -> None:
    """F13: a real Orthanc refuses it to an unknown AE title, and the rung names what would allow it."""
    seen = rungs(checked(another(), small))
    assert {name: seen[name].status for name in OPERATIONS} == dict.fromkeys(OPERATIONS, "left out")
    assert seen["c-find"].detail == "DicomAlwaysAllowFind is false, and DicomModalities does not let KORTHWEB do it"
    assert seen["c-get"].detail == "DicomAlwaysAllowGet is false, and DicomModalities does not let KORTHWEB do it"
    assert "--move-to" in seen["c-move"].detail
    assert "DicomModalities has no KORTHWEB" in seen["commitment"].detail


@pytest.mark.parametrize("name", ["Find", "Get"])
def test_F13_an_orthanc_that_differs_from_the_settings_is_red(
    name: str, another: Callable[..., Orthanc], small: Options
) -> None:
    """F13: what the settings allow is done, and what they do not allow is not."""
    options = replace(small, only=(f"c-{name.lower()}", "clean"))
    allowed = {f"DicomAlwaysAllow{name}": True}
    closed = checked(another(), options, allowed)
    assert red(closed) == [f"c-{name.lower()}"]
    assert closed.broken
    assert "the settings allow it to KORTHWEB, and Orthanc does not do it" in closed.broken.detail
    wide_open = checked(another(**allowed), options, {})
    assert red(wide_open) == [f"c-{name.lower()}"]
    assert wide_open.broken
    assert "which the settings do not allow" in wide_open.broken.detail
    assert rungs(wide_open)["clean"].status == "passed"


@pytest.mark.parametrize(("target", "says"), [("NOBODY", "knows no modality NOBODY"), ("ARCHIVE", "0 of 1 instances")])
def test_F13_a_move_that_fails_is_red(target: str, says: str, another: Callable[..., Orthanc], small: Options) -> None:
    """F13: an unknown destination, and one that refuses every image."""
    port = free_port()
    with archive(port, 0xA700):
        result = checked(another(**known(port)), replace(small, only=("c-move", "clean"), move_to=target))
    assert red(result) == ["c-move"]
    assert result.broken
    assert says in result.broken.detail or "Orthanc does not do it" in result.broken.detail


def test_F13_a_report_that_does_not_come_is_red(another: Callable[..., Orthanc], small: Options) -> None:
    """F13: Orthanc accepts, and reports to another port than the one that the settings say."""
    options = replace(small, only=("commitment", "clean"), timeout=2.0)
    result = checked(another(**known(free_port())), options, known(free_port()))
    assert red(result) == ["commitment"]
    elsewhere = known(free_port(), Host="192.0.2.1")
    seen = rungs(checked(another(**elsewhere), options))
    assert seen["commitment"].status == "passed"
    assert "the report goes to 192.0.2.1:" in seen["commitment"].detail


def test_F13_stow_with_a_length_and_chunked(another: Callable[..., Orthanc], small: Options) -> None:
    """F13: both are stored, read back, and deleted with the rest."""
    server = another()
    result = checked(server, replace(small, only=("stow", "clean")))
    assert red(result) == []
    assert server.counts() == (0, 0)


def test_F13_a_body_that_is_not_stored_is_red(
    another: Callable[..., Orthanc], small: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F13: STOW-RS says for each instance whether it is stored."""
    monkeypatch.setattr(stow, "_file", lambda _: b"no DICOM file")
    result = checked(another(), replace(small, only=("stow", "clean")))
    assert red(result) == ["stow"]
