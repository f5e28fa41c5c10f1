"""The whole ladder against a real Orthanc on the loopback: green when all is well, red where something is broken."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from korthweb_tasks.errors import Interrupted, UsageError
from korthweb_tasks.report.model import RungRecord
from korthweb_tasks.verify import ladder
from korthweb_tasks.verify.dicom import echo
from korthweb_tasks.verify.dicom.images import MARK
from korthweb_tasks.verify.model import Options
from korthweb_tasks.verify.tls import certificates
from tests.verify_doubles.cluster import LoopbackCluster
from tests.verify_doubles.gateway import Faults
from tests.verify_doubles.orthanc import PASSWORD, USER, Orthanc
from tests.verify_doubles.pki import Authority
from tests.verify_doubles.site import DICOM, QUICK, WEB, LadderResult, Site, a_study, red

#: what a check that was stopped by its first broken rung may still find green: nothing after it
MAIN = [rung.name for rung in ladder.RUNGS if rung.blocks]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def shared(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One sound Orthanc for all tests that leave it as it was."""
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(shared: Orthanc, authority: Authority) -> Site:
    return Site(shared, authority)


@pytest.fixture
def small(tmp_path: Path) -> Options:
    """Options with one small image and no restart."""
    return replace(QUICK, study=a_study(tmp_path / "study"))


def test_all_is_well(another: Callable[..., Orthanc], authority: Authority) -> None:
    server = another()
    cluster = LoopbackCluster([server] * 3)
    told: list[RungRecord] = []
    result = Site(server, authority, access=cluster).check(Options(), told.append)
    assert not_green(result) == []
    assert [rung.name for rung in result.rungs] == [rung.name for rung in ladder.RUNGS]
    assert tuple(told) == result.rungs
    assert result.ok
    assert result.broken is None
    assert server.counts() == (0, 0)
    assert len(cluster.deleted) == 3
    measures = {rung.name: rung.measures for rung in result.rungs}
    assert measures["store"]["images"] == 10
    assert measures["store"]["mb_per_s"] > 0
    assert measures["replicas"] == {"replicas": 3.0}
    assert 89 < measures["tls-https"]["days_left"] <= 90
    assert all(rung.ms > 0 for rung in result.rungs if rung.status == "passed")
    assert PASSWORD not in repr(result)


def test_a_long_rung_says_how_far_it_has_come(site: Site, small: Options) -> None:
    said: dict[str, str] = {}
    with site.open() as endpoint:
        ladder.verify(
            endpoint, None, replace(small, only=("pixels",)), on_progress=lambda r, text: said.update({r.name: text})
        )
    assert said == {"store": "1 of 1 images sent", "pixels": "1 of 1 images read back"}


def test_what_others_stored_stays(another: Callable[..., Orthanc], authority: Authority, small: Options) -> None:
    server = another()
    site = Site(server, authority)
    kept: list[str] = []

    def leave(result: RungRecord) -> None:
        # another verification checks from its beginning to its end in the middle of this one
        if result.name == "find" and not kept:
            kept.append("once")
            assert not_green(site.check(small, leave)) == []

    assert not_green(site.check(small, leave)) == []
    assert kept


@dataclass
class Mutation:
    """One thing that is broken, and the rung that must say so."""

    rung: str
    site: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    says: str = ""

    def __str__(self) -> str:
        return f"{self.rung}: {self.says or self.config or self.site}"


LEAVES: dict[str, dict[str, float]] = {
    "expired": {"begins": -30, "ends": -1},
    "expires soon": {"begins": -88, "ends": 2},
    "not yet valid": {"begins": 2},
}
WRONG = Faults(any_password=b"Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()))
MUTATIONS = [
    Mutation("address", {"endpoint": {"address": ""}}, says="no address"),
    Mutation("address", {"endpoint": {"address": "nobody.invalid"}}, says="does not resolve"),
    Mutation("tcp-https", {"web_faults": Faults(closed=True)}, says="refused"),
    Mutation("tcp-dicom", {"dicom_faults": Faults(closed=True)}, says="refused"),
    Mutation("tls-https", {"endpoint": {"ca_pem": "no certificate"}}, says="not a PEM certificate"),
    Mutation("tls-https", {"endpoint": {"ca_pem": certificates.other_ca()}}, says="issuer"),
    Mutation("old-tls-https", {"web_faults": Faults(old=True)}, says="accepts TLSv1"),
    Mutation("old-tls-dicom", {"dicom_faults": Faults(old=True)}, says="accepts TLSv1"),
    Mutation("no-password", config={"AuthenticationEnabled": False}, says="200 without a password"),
    Mutation("login", {"endpoint": {"password": SecretStr("wrong")}}, says="is refused"),
    Mutation("login", config={"Plugins": []}, says="DICOMweb"),
    Mutation("wrong-password", {"web_faults": WRONG}, says="200, not 401"),
    Mutation("wrong-name-https", {"web_faults": Faults(any_name=True, any_host=True)}, says="answered with 401"),
    Mutation("wrong-name-https", {"web_faults": Faults(any_host=True)}, says="answered with 401"),
    Mutation("echo", {"endpoint": {"aet": "MHR"}}, says="Called AE title not recognised"),
    Mutation("wrong-name-dicom", {"dicom_faults": Faults(any_name=True)}, says="takes the name"),
    Mutation("plain-dicom", {"dicom_faults": Faults(plain=True)}, says="without TLS"),
    Mutation("wrong-aet", config={"DicomCheckCalledAet": False}, says="is accepted"),
    Mutation(
        "store",
        config={"AcceptedTransferSyntaxes": ["1.2.840.10008.1.2"]},
        says="does not take MR Image Storage in Exp",
    ),
    Mutation("clean", {"web_faults": Faults(keeps=True)}, says="left"),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_broken_rung_is_red(
    mutation: Mutation, site: Site, another: Callable[..., Orthanc], authority: Authority, small: Options
) -> None:
    if mutation.config:
        site = Site(another(**mutation.config), authority)
    if mutation.rung == "clean":
        site = Site(another(), authority)  # something is left in it
    result = replace(site, **mutation.site).check(small)
    assert_red(result, mutation.rung, mutation.says)


@pytest.mark.parametrize("ends", [2, 3, 7])
def test_a_connection_that_is_closed_is_made_again_and_told(ends: int, site: Site, small: Options) -> None:
    faults = Faults(ends=ends)
    result = replace(site, web_faults=faults, dicom_faults=faults).check(small)
    assert result.ok, [(rung.name, rung.detail) for rung in result.rungs if rung.status == "broken"]
    assert any("made again" in note for rung in result.rungs for note in rung.notes)


def test_connections_that_are_all_closed_are_red(site: Site, small: Options) -> None:
    said, every = "closed during the TLS handshake", Faults(ends=1)
    assert_red(replace(site, web_faults=every).check(small), "tls-https", said)
    assert_red(replace(site, dicom_faults=every).check(small), "tls-dicom", said)


@pytest.mark.parametrize("port", ["https", "dicom"])
@pytest.mark.parametrize("how", LEAVES)
def test_a_certificate_out_of_its_time_is_red(how: str, port: str, site: Site, authority: Authority) -> None:
    pem = authority.leaf(WEB, DICOM, **LEAVES[how])
    changed = replace(site, web_pem=pem) if port == "https" else replace(site, dicom_pem=pem)
    assert_red(changed.check(QUICK), f"tls-{port}", "certificate")


def test_a_certificate_made_for_a_day_is_no_fault(site: Site, authority: Authority) -> None:
    changed = replace(site, web_pem=authority.leaf(WEB, begins=-0.1, ends=0.9))
    assert changed.check(replace(QUICK, only=("tls-https",))).ok


def test_a_certificate_for_another_name_is_red(site: Site, authority: Authority) -> None:
    result = replace(site, dicom_pem=authority.leaf(WEB, "dicom.mhr.test")).check(QUICK)
    assert_red(result, "tls-dicom", "not for dicom.bhc.test")


def test_a_certificate_of_another_authority_is_red(site: Site) -> None:
    result = replace(site, dicom_pem=Authority("Another CA").leaf(WEB, DICOM)).check(QUICK)
    assert_red(result, "tls-dicom", "issuer")


def test_a_wildcard_is_for_other_names_too(site: Site, authority: Authority, small: Options) -> None:
    changed = replace(site, web_pem=authority.leaf("*.bhc.test"), web_faults=Faults(any_name=True))
    assert_red(changed.check(small), "wrong-name-https", "passes for wrong-")


def test_a_client_that_trusts_anybody_is_red(site: Site, small: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool checks itself: were its verification off, the untrusted CA would pass."""
    monkeypatch.setattr(certificates, "other_ca", lambda: site.authority.pem)
    assert red(site.check(small)) == ["other-ca-https", "other-ca-dicom"]


def test_an_image_that_is_not_found_is_red(
    another: Callable[..., Orthanc], authority: Authority, small: Options
) -> None:
    server = another()
    result = Site(server, authority).check(small, lambda rung: server.forget_all() if rung.name == "store" else None)
    assert_red(result, "find", "QIDO finds 0 studies")


def test_an_altered_image_is_red(another: Callable[..., Orthanc], authority: Authority, small: Options) -> None:
    server = another()

    def alter(rung: RungRecord) -> None:
        if rung.name == "find":
            server.damage_all()

    result = Site(server, authority).check(small, alter)
    assert_red(result, "pixels", "the pixel data of image.dcm differ")
    assert server.counts() == (0, 0)


def test_a_replica_without_the_study_is_red(
    site: Site, another: Callable[..., Orthanc], small: Options, shared: Orthanc
) -> None:
    result = replace(site, pods=[shared, another(), shared]).check(small)
    assert_red(result, "replicas", "sees 0 of 1 studies")


def test_no_replica_is_not_all_replicas(site: Site, small: Options) -> None:
    assert_red(replace(site, access=LoopbackCluster([])).check(small), "replicas", "there is no Orthanc pod")


def test_a_replica_without_the_file_is_red(
    site: Site, another: Callable[..., Orthanc], authority: Authority, small: Options
) -> None:
    """Replicas that share the index and not the files: each lists everything, and can read only its own."""
    server = another()
    cluster = LoopbackCluster([server] * 3)
    cluster.refuses = {cluster.pods()[1].name: ("/instances/",)}
    result = Site(server, authority, access=cluster).check(small)
    assert_red(result, "replicas", "answers 404 for its file")


def test_images_lost_with_the_pods_are_red(
    another: Callable[..., Orthanc], authority: Authority, small: Options
) -> None:
    server = another()
    cluster = LoopbackCluster([server] * 3, on_delete=server.lose_everything)
    result = Site(server, authority, access=cluster).check(replace(small, restart=True))
    assert_red(result, "survive", "sees 0 of 1 studies")


def test_pods_that_do_not_come_back_are_red(
    another: Callable[..., Orthanc], authority: Authority, small: Options
) -> None:
    server = another()
    cluster = LoopbackCluster([server] * 3, never_ready=True)
    result = Site(server, authority, access=cluster).check(replace(small, restart=True))
    assert_red(result, "survive", "0 of 3 new pods are ready")
    assert server.counts() == (0, 0)
    assert "deleted all the same" in result.rungs[-1].detail


def test_ctrl_c_leaves_nothing_behind(another: Callable[..., Orthanc], authority: Authority, small: Options) -> None:
    server = another()

    def interrupt(rung: RungRecord) -> None:
        if rung.name == "store":
            assert server.counts() == (1, 1)
            raise KeyboardInterrupt

    with pytest.raises(
        Interrupted, match=r"interrupted; what was sent under KORTHWEB-VERIFY-.* is deleted all the same"
    ):
        Site(server, authority).check(small, interrupt)
    assert server.counts() == (0, 0)


def test_a_study_without_images_is_the_users_fault(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no DICOM instance"):
        site.check(replace(QUICK, study=tmp_path))


def test_without_restart_that_rung_is_left_out_and_the_rest_is_green(site: Site, small: Options) -> None:
    result = site.check(small)
    assert result.ok
    assert {rung.name: rung.detail for rung in result.rungs if rung.status == "left out"}["survive"] == "--no-restart"


@pytest.mark.parametrize(("silence", "times", "waits"), [(1.0, 1, 1.0), (0.01, 10, 3.0)], ids=["quick", "slow"])
def test_silence_is_a_refusal_sooner_where_orthanc_is_quick(
    silence: float, times: int, waits: float, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo, "SILENCE", silence)
    monkeypatch.setattr(echo, "TIMES", times)
    mute = replace(site, dicom_faults=Faults(mute=True))
    result = mute.check(replace(QUICK, timeout=3.0, only=("plain-dicom",)))
    assert not_green(result) == []
    assert waits * 1000 <= result.rungs[-1].ms < (waits + 2) * 1000


def test_at_a_typed_address_silence_is_waited_for_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """F21: a port-forward may end with the plain attempt, so that nothing right can be asked after it."""
    monkeypatch.setattr(echo, "SILENCE", 0.5)
    monkeypatch.setattr(echo, "TIMES", 1)
    mute = replace(site, dicom_faults=Faults(mute=True))
    result = mute.check(replace(QUICK, timeout=2.0, address="127.0.0.1", only=("plain-dicom",)))
    assert not_green(result) == []
    (rung,) = [one for one in result.rungs if one.name == "plain-dicom"]
    assert rung.ms >= 2000


@pytest.mark.parametrize("only", ladder.PARTS.values())
def test_a_part_of_the_ladder_holds_by_itself(only: tuple[str, ...], site: Site, small: Options) -> None:
    result = site.check(replace(small, only=only))
    assert result.ok
    names = [rung.name for rung in result.rungs]
    assert set(only) <= set(names)
    assert "replicas" not in names


def test_https_and_certificates_send_no_image() -> None:
    for only in (ladder.PARTS["https"], ladder.PARTS["certificates"]):
        assert "store" not in [rung.name for rung in ladder.chosen(only)]


def test_whoever_stores_cleans_up() -> None:
    assert "clean" in ladder.PARTS["dicom"]
    assert ladder.RUNGS[-1].name == "clean"


def test_needs_come_before() -> None:
    seen: set[str] = set()
    for rung in ladder.RUNGS:
        assert set(rung.needs) <= seen, rung.name
        seen.add(rung.name)


def test_the_mark_is_the_only_thing_deleted(site: Site) -> None:
    from korthweb_tasks.verify.check_context import CheckContext
    from korthweb_tasks.verify.dicom.images import SentImages
    from korthweb_tasks.verify.web import dicomweb

    with site.open() as endpoint, pytest.raises(ValueError, match="not a PatientID of a verification"):
        dicomweb.sweep(CheckContext(endpoint, None, QUICK), SentImages("1CT1", ()))
    assert MARK.startswith("KORTHWEB")


def not_green(result: LadderResult) -> list[tuple[str, str]]:
    return [(rung.name, rung.detail) for rung in result.rungs if rung.status not in ("passed", "left out")]


def assert_red(result: LadderResult, name: str, says: str) -> None:
    """Assert that just this rung is broken, and that a main rung's break leaves nothing green after it."""
    assert red(result) == [name]
    assert not result.ok
    assert result.broken is not None
    assert says in result.broken.detail
    if name in MAIN:
        at = [rung.name for rung in result.rungs].index(name)
        assert {rung.status for rung in result.rungs[at + 1 :]} <= {"not reached", "left out"}
