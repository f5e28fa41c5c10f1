"""From outside, with two real Orthancs behind two gateways: what is shared between them turns its own cells red."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from korthweb_tasks.errors import Interrupted
from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom import images, storing
from korthweb_tasks.verify.isolation import outside
from korthweb_tasks.verify.isolation.cells import prove
from korthweb_tasks.verify.isolation.outside import MARK, Outside
from korthweb_tasks.verify.model import Broken, Endpoint
from korthweb_tasks.verify.tls import connection as tls
from korthweb_tasks.verify.web import dicomweb
from tests.verify_doubles.gateway import Faults
from tests.verify_doubles.neighbours import NAMES, QUICK, Tenant, cells, opened, proved
from tests.verify_doubles.orthanc import PASSWORD, USER, Orthanc
from tests.verify_doubles.pki import Authority

OTHER = "the-other-tenant's-word"
Key = tuple[str, str, str]


@pytest.fixture(scope="session")
def servers(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Orthanc]]:
    """One Orthanc for each tenant."""
    passwords = zip(NAMES, (PASSWORD, OTHER), strict=True)
    made = {name: Orthanc(tmp_path_factory.mktemp(name), name, password=word) for name, word in passwords}
    try:
        for server in made.values():
            server.start()
        yield made
    finally:
        for server in made.values():
            server.stop()


@pytest.fixture
def bhc(servers: dict[str, Orthanc]) -> Tenant:
    return Tenant("BHC", servers["BHC"], PASSWORD)


@pytest.fixture
def mhr(servers: dict[str, Orthanc]) -> Tenant:
    return Tenant("MHR", servers["MHR"], OTHER)


def by_status(found: dict[Key, CellRecord], status: str) -> set[Key]:
    return {key for key, cell in found.items() if cell.status == status}


def test_two_sound_tenants_are_green(bhc: Tenant, mhr: Tenant) -> None:
    result = proved(bhc, mhr)
    found = cells(result)
    assert [(key, cell.seen) for key, cell in found.items() if cell.status != "passed"] == []
    assert len(found) == 8
    assert result.notes == ()
    assert bhc.orthanc.counts() == (0, 0)
    assert "the connection is ended" in found["certificate", "BHC", "MHR"].seen
    assert "as web.bhc.test" in found["certificate", "BHC", "MHR"].seen
    assert "by BHC's authority" in found["certificate", "BHC", "MHR"].seen
    assert found["password", "MHR", "BHC"].seen == "401"
    assert found["aet", "BHC", "MHR"].seen == "Called AE title not recognised"
    assert "C-ECHO as MHR" in found["aet", "BHC", "MHR"].control
    assert "BHC: its own image" in found["images", "BHC", "MHR"].control
    assert all(cell.ms > 0 for cell in found.values())
    assert PASSWORD not in repr(result)
    assert OTHER not in repr(result)


def test_one_authority_for_both_is_red(bhc: Tenant, mhr: Tenant) -> None:
    shared = Authority("Everybody's CA")
    found = cells(proved(replace(bhc, authority=shared), replace(mhr, authority=shared)))
    assert by_status(found, "broken") == {("certificate", "BHC", "MHR"), ("certificate", "MHR", "BHC")}
    assert "web.mhr.test passes" in found["certificate", "BHC", "MHR"].seen


def test_a_gateway_that_serves_the_others_name_is_red(bhc: Tenant, mhr: Tenant) -> None:
    """MHR's gateway holds a certificate of BHC's authority for BHC's name: a Gateway bound to both."""
    both = replace(
        mhr, authority=bhc.authority, web_names=(mhr.web, mhr.dicom, bhc.web), web_faults=Faults(any_name=True)
    )
    found = cells(proved(bhc, both))
    assert ("certificate", "BHC", "MHR") in by_status(found, "broken")
    assert "as web.bhc.test: served with a certificate of BHC" in found["certificate", "BHC", "MHR"].seen


def test_one_password_for_both_is_red(bhc: Tenant, mhr: Tenant, another: Callable[..., Orthanc]) -> None:
    same = Tenant("MHR", another("MHR"), PASSWORD)
    found = cells(proved(bhc, same))
    assert by_status(found, "broken") == {("password", "BHC", "MHR"), ("password", "MHR", "BHC")}
    assert found["password", "BHC", "MHR"].seen == f"200 for {USER}"


def test_no_authentication_is_red(bhc: Tenant, another: Callable[..., Orthanc]) -> None:
    found = cells(proved(bhc, Tenant("MHR", another("MHR", AuthenticationEnabled=False), OTHER)))
    assert by_status(found, "broken") == {("password", "BHC", "MHR")}


def test_a_server_that_takes_any_ae_title_is_red(bhc: Tenant, another: Callable[..., Orthanc]) -> None:
    lax = another("MHR", OTHER, DicomCheckCalledAet=False)
    found = cells(proved(bhc, Tenant("MHR", lax, OTHER)))
    assert by_status(found, "broken") == {("aet", "BHC", "MHR")}
    assert found["aet", "BHC", "MHR"].seen == "BHC is accepted"


def test_one_database_for_both_is_red(bhc: Tenant, another: Callable[..., Orthanc]) -> None:
    """Two gateways before one Orthanc that knows both users and any AE title: each sees the other's images."""
    one = another("BHC", RegisteredUsers={USER: PASSWORD, "other": OTHER}, DicomCheckCalledAet=False)
    mhr = Tenant("MHR", one, OTHER, endpoint={"username": "other"})
    found = cells(proved(replace(bhc, orthanc=one), mhr))
    assert {("images", "BHC", "MHR"), ("images", "MHR", "BHC")} <= by_status(found, "broken")
    assert found["images", "BHC", "MHR"].seen == "QIDO, WADO shows it"
    assert one.counts() == (0, 0)


def test_a_gateway_that_is_down_proves_nothing(bhc: Tenant, mhr: Tenant) -> None:
    shut = replace(mhr, web_faults=Faults(closed=True), dicom_faults=Faults(closed=True))
    found = cells(proved(bhc, shut))
    assert by_status(found, "passed") == {
        ("certificate", "MHR", "BHC"), ("password", "MHR", "BHC"), ("aet", "MHR", "BHC"),
    }  # fmt: skip
    # what MHR could not store is not hidden from BHC: it is not there
    assert by_status(found, "unknown") == set(found) - by_status(found, "passed")


def test_a_wrong_password_of_b_proves_nothing(bhc: Tenant, mhr: Tenant) -> None:
    found = cells(proved(bhc, replace(mhr, password="forgotten")))
    assert ("password", "BHC", "MHR") in by_status(found, "unknown")
    assert "the control failed" in found["password", "BHC", "MHR"].seen


def test_what_a_killed_run_has_left_is_removed(bhc: Tenant, mhr: Tenant) -> None:
    with opened(bhc) as endpoints:
        killed = CheckContext(endpoints["BHC"], None, QUICK)
        whole = images.prepare(None, MARK)
        storing.send(killed, whole.images[:2])
        others = images.prepare(None)
        storing.send(killed, others.images[:1])
    assert bhc.orthanc.counts() == (2, 3)
    proved(bhc, mhr)
    # the image of another verification is not ours
    assert bhc.orthanc.counts() == (1, 1)
    bhc.orthanc.forget_all()


def test_a_database_that_was_away_a_moment_ago_is_asked_again(
    bhc: Tenant, mhr: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failed = storing.send, []

    def once(check: CheckContext, some: tuple[images.Image, ...]) -> list[float]:
        if check.endpoint.tenant not in failed:
            failed.append(check.endpoint.tenant)
            raise Broken("C-STORE of CT_small.dcm was answered with status 0xA700")
        return send(check, some)

    monkeypatch.setattr(storing, "send", once)
    monkeypatch.setattr(outside, "PAUSE", 0.01)
    found = cells(proved(bhc, mhr))
    assert len(failed) == 2
    assert by_status(found, "passed") == set(found)


def test_ctrl_c_deletes_what_was_stored(bhc: Tenant, mhr: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(outside, "own_images", interrupt)
    with pytest.raises(Interrupted, match="nothing is left behind"):
        proved(bhc, mhr)
    assert bhc.orthanc.counts() == (0, 0)


def test_images_that_can_not_be_deleted_are_told(bhc: Tenant, mhr: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = dicomweb.sweep

    def keeps(check: CheckContext, sent: images.SentImages) -> int:
        if check.sent is not None and check.endpoint.tenant == "BHC":
            raise Broken("1 images are left")
        return sweep(check, sent)

    monkeypatch.setattr(dicomweb, "sweep", keeps)
    with opened(bhc, mhr) as endpoints:
        result = prove((Outside(endpoints, QUICK),), {"BHC": "bhc", "MHR": "mhr"})
    (note,) = result.notes
    assert "may be left in BHC: 1 images are left" in note
    bhc.orthanc.forget_all()


def test_a_gateway_that_both_share_may_serve_the_others_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand there is one address for all: A's name is served there rightly; A's authority vouches for none of B's."""
    shared = [
        Endpoint(tenant=name, address="192.0.2.1", web_host=f"web.{name}", dicom_host=f"dicom.{name}", aet=name,
                 ca_pem=Authority(name).pem, username="admin", password=SecretStr("x"))
        for name in ("a", "b")
    ]  # fmt: skip
    asked: list[str] = []

    def handshake(_: object, __: str, ___: int, host: str, ____: float) -> None:
        asked.append(host)
        error = ssl.SSLCertVerificationError(1, "unable to get local issuer certificate")
        error.verify_message = "unable to get local issuer certificate"
        raise error

    monkeypatch.setattr(tls, "handshake", handshake)
    a, b = (CheckContext(endpoint, None, QUICK) for endpoint in shared)
    assert {seen.kind for seen in outside.certificate(a, b)} == {"refused"}
    assert asked == ["web.b", "dicom.b"]
    other = CheckContext(replace(shared[1], address="192.0.2.2"), None, QUICK)
    assert len(list(outside.certificate(a, other))) == 4
