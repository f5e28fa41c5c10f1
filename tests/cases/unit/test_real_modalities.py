"""F10, F11, F13, F21: modalities and ways in as sites have them, and what `verify` says where one is refused."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from korthweb_tasks.collections import verify as tasks
from korthweb_tasks.errors import UsageError
from korthweb_tasks.settings.dicom import SUITES, TlsSettings
from korthweb_tasks.verify import check_context, ladder
from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom import echo as dicom
from korthweb_tasks.verify.endpoints import as_told, let_in_without_sni, permitted
from korthweb_tasks.verify.model import Broken, Endpoint, LeftOut, Options, Policy
from korthweb_tasks.verify.options import options_of, refuse_several
from korthweb_tasks.verify.tls import certificates
from korthweb_tasks.verify.tls import connection as tls
from tests.verify_doubles.gateway import Faults
from tests.verify_doubles.orthanc import Orthanc
from tests.verify_doubles.pki import Authority, server_context
from tests.verify_doubles.site import DICOM, QUICK, WEB, LadderResult, Site, a_study, red, rung

AUTHORITY = Authority()


@pytest.fixture
def small(tmp_path: Path) -> Options:
    return replace(QUICK, study=a_study(tmp_path / "study"), only=("store", "clean"))


@contextmanager
def port(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Let every connection be served so; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def context(**changes: Any) -> ssl.SSLContext:
    made = server_context(AUTHORITY.leaf(DICOM))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def over(server: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    return serve


def only(ciphers: str) -> ssl.SSLContext:
    server = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    server.set_ciphers(ciphers)
    return server


def oldest() -> ssl.SSLContext:
    server = server_context(AUTHORITY.leaf(DICOM), old=True)
    server.maximum_version = ssl.TLSVersion.TLSv1_1
    return server


def unknown_name() -> ssl.SSLContext:
    server = context()
    server.sni_callback = lambda *_: ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return server


def drop(connection: socket.socket) -> None:
    connection.recv(1)


def chatter(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(b"220 mail.example ESMTP\r\n" * 20)


def silent(connection: socket.socket) -> None:
    connection.settimeout(3)
    while connection.recv(4096):
        pass


#: the server, what is said, what to look at
REFUSED: dict[str, tuple[Callable[[], Callable[[socket.socket], None]], str, str]] = {
    "suite": (lambda: over(only("ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")), "no shared cipher suite", "dicom.tls.ciphers"),
    "version": (
        lambda: over(oldest()),
        "TLS version",
        "dicom.tls.minimum",
    ),
    "name": (lambda: over(unknown_name()), "does not know this name", "under this domain"),
    "closed": (lambda: drop, "the connection is closed during the TLS handshake", "no route"),
    "no TLS": (lambda: chatter, "does not speak TLS", "port for TLS"),
    "silent": (lambda: silent, "timed out", "--timeout"),
}


def check_at(number: int, **endpoint: Any) -> CheckContext:
    words: dict[str, Any] = {
        "tenant": "BHC",
        "address": "127.0.0.1",
        "web_host": WEB,
        "dicom_host": DICOM,
        "aet": "BHC",
        "ca_pem": AUTHORITY.pem,
        "username": "admin",
        "password": SecretStr("-"),
        "dicom_port": number,
        **endpoint,
    }
    return CheckContext(Endpoint(**words), None, Options(timeout=1.0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_F11_a_refused_handshake_is_diagnosed(name: str) -> None:
    """F11: no shared cipher, version, unknown name, no TLS, closed and silent are told apart."""
    serve, says, hint = REFUSED[name]
    with port(serve()) as number:
        check = check_at(number)
        if name != "suite":
            with pytest.raises(Broken, match=says) as caught:
                certificates.served(check, check.dicom)
            assert hint in caught.value.hint
            return
        none_of_its = tls.trusting(AUTHORITY.pem)
        none_of_its.maximum_version = ssl.TLSVersion.TLSv1_2
        none_of_its.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        with pytest.raises(ssl.SSLError) as error:
            check.handshake_once(none_of_its, check.dicom)
    assert says in tls.refusal(error.value).why
    assert hint in tls.refusal(error.value).hint


def test_F11_an_untrusted_certificate_is_told_as_such() -> None:
    """F11: the last of the reasons for which a handshake ends."""
    with port(over(server_context(Authority("Another").leaf(DICOM)))) as number:
        check = check_at(number)
        with pytest.raises(ssl.SSLError) as error:
            check.handshake_once(check.dicom_context, check.dicom)
    assert tls.refusal(error.value).why.startswith("certificate not trusted: unable to get local issuer")


ALLOWED = TlsSettings(ciphers=("modern", "ECDHE-ECDSA-AES128-SHA")).suites


@pytest.mark.parametrize(
    ("served", "suites", "says"),
    [
        (ALLOWED, ALLOWED, ""),
        (TlsSettings().suites, ALLOWED, "does not take ECDHE-ECDSA-AES128-SHA"),
        (ALLOWED, TlsSettings().suites, "takes ECDHE-ECDSA-AES128-SHA, which dicom.tls does not have"),
        (ALLOWED, (*ALLOWED, "AES128-SHA"), "no modality gets AES128-SHA: the certificate's key is ECDSA"),
    ],
)
def test_F11_the_suites_of_the_settings_and_no_others(
    served: tuple[str, ...], suites: tuple[str, ...], says: str
) -> None:
    """F11: a rung offers each suite alone, by hand, whatever the OpenSSL of this machine has."""
    with port(over(only(":".join(served) + ":@SECLEVEL=0"))) as number:
        check = check_at(number, policy=Policy(suites=suites))
        if not says:
            assert "ECDHE-ECDSA-AES128-SHA" in certificates.suites_as_set(check).detail
            return
        with pytest.raises(Broken, match=says):
            certificates.suites_as_set(check)


def test_F11_every_suite_of_the_settings_can_be_offered() -> None:
    """F11: the two tables have the same names."""
    assert set(tls.SUITES) == set(SUITES)


@pytest.mark.parametrize("minimum", ["1.0", "1.1", "1.2"])
def test_F11_a_version_that_the_settings_allow_is_no_fault(minimum: str) -> None:
    """F11: old versions are refused, but for those that the tenant's DICOM may have."""
    server = server_context(AUTHORITY.leaf(DICOM), old=True)
    with port(over(server)) as number:
        check = check_at(number, policy=Policy(tls_minimum=minimum), https_port=number)
        if minimum == "1.0":
            assert "allowed by dicom.tls.minimum" in certificates.old_versions_refused(check, check.dicom).detail
        else:
            with pytest.raises(Broken, match="accepts TLSv1"):
                certificates.old_versions_refused(check, check.dicom)
        with pytest.raises(Broken, match="accepts TLSv1"):
            certificates.old_versions_refused(check, check.https)


KNOWN = {"DicomAlwaysAllowStore": False, "DicomModalities": {"ct": ["CT-SCANNER", "127.0.0.1", 104]}}


def test_F13_a_site_that_lets_known_modalities_in(another: Callable[..., Orthanc], small: Options) -> None:
    """F13: red with what to add, where it is unknown; green as one that is known."""
    policy = permitted(check_at(1).endpoint, KNOWN, "KORTHWEB").policy
    site = Site(another(**KNOWN), AUTHORITY, endpoint={"policy": policy})
    result = site.check(small)
    assert red(result) == ["store"]
    assert "takes no image from the AE title KORTHWEB: DicomAlwaysAllowStore is false" in rung(result, "store").detail
    assert "modalities (DicomModalities): {korthweb: {aet: KORTHWEB" in rung(result, "store").hint
    assert "--calling" in rung(result, "store").hint
    assert red(site.check(replace(small, calling_aet="CT-SCANNER"))) == []


NOBODY = {f"DicomAlwaysAllow{name}": False for name in ("Echo", "Store", "Find", "Get", "Move")}


def test_F13_a_rejected_association_says_what_to_add(another: Callable[..., Orthanc], small: Options) -> None:
    """F13: where nothing is allowed to unknown AE titles, Orthanc rejects the association itself, and says why."""
    site = Site(another(**{**KNOWN, **NOBODY}), AUTHORITY)
    echo = rung(site.check(small), "echo")
    assert "Calling AE title not recognised" in echo.detail
    assert "DicomModalities" in echo.hint
    assert red(site.check(replace(small, calling_aet="CT-SCANNER"))) == []


def test_F13_another_title_may_be_called(another: Callable[..., Orthanc], small: Options) -> None:
    """F13: --called, and what is said where it is not Orthanc's."""
    site = Site(another("ARCHIVE"), AUTHORITY)
    echo = rung(site.check(small), "echo")
    assert "Called AE title not recognised" in echo.detail
    assert "--called" in echo.hint
    with site.open() as endpoint:
        assert as_told(endpoint, Options(called_aet="ARCHIVE")).aet == "ARCHIVE"
    assert red(replace(site, endpoint={"aet": "ARCHIVE"}).check(small)) == []


def test_F13_F21_flags_become_options() -> None:
    """F13 and F21: every task that connects has the same flags; what is not typed is as it was."""
    assert options_of({}, None) == Options()
    ways = {"address": "10.0.0.9", "https_port": "30443", "dicom_port": "31112", "calling": "CT-1", "called": "PACS"}
    found = options_of({**ways, "move_to": "ARCHIVE"}, 60.0)
    wanted = Options(address="10.0.0.9", https_port=30443, dicom_port=31112, calling_aet="CT-1", called_aet="PACS")
    assert found == replace(wanted, move_to="ARCHIVE", timeout=60.0)
    for name in ("everything", "https", "dicom", "certificates"):
        words = getattr(tasks, name).words.parameters
        assert {"address", "https_port", "dicom_port", "timeout"} <= set(words), name
        assert ("calling" in words) == (name in ("everything", "dicom")), name


@pytest.mark.parametrize(
    ("ways", "says"),
    [
        ({"https_port": "https"}, "--https-port https is not a port"),
        ({"dicom_port": "0"}, "--dicom-port 0 is not a port"),
        ({"dicom_port": "65536"}, "is not a port"),
        ({"calling": "A_TITLE_THAT_IS_TOO_LONG"}, "--calling"),
        ({"called": "a\\b"}, "--called"),
    ],
)
def test_F13_F21_what_is_no_port_or_title_is_refused(ways: dict[str, str], says: str) -> None:
    """F13 and F21: with the flag that was meant."""
    with pytest.raises(UsageError, match=says):
        options_of(ways, None)


def test_F21_an_address_of_one_tenant_is_not_for_all() -> None:
    """F21: tenants share a gateway in the manual approach alone."""
    with pytest.raises(UsageError, match="--address is that of one tenant, and 2 would be verified"):
        refuse_several(Options(address="127.0.0.1"), "helm", 2)
    refuse_several(Options(address="127.0.0.1"), "manual", 2)
    refuse_several(Options(address="127.0.0.1"), "helm", 1)


def test_F21_another_address_and_other_ports(another: Callable[..., Orthanc], small: Options) -> None:
    """F21: as through a port-forward: names travel as SNI and Host, without a port; the certificate is verified."""
    site = Site(another(), AUTHORITY)
    with site.open() as endpoint:
        nowhere = replace(endpoint, address="", https_port=443, dicom_port=11112)
        ways = Options(address="localhost", https_port=endpoint.https_port, dicom_port=endpoint.dicom_port)
        told = as_told(nowhere, ways)
        assert told == replace(endpoint, address="localhost")
        result = LadderResult(ladder.verify(told, None, small))
        assert red(result) == []
        broken = LadderResult(ladder.verify(nowhere, None, small)).broken
    assert broken
    assert "--address, --https-port and --dicom-port" in broken.hint


@pytest.mark.parametrize(
    ("orthanc", "operations"),
    [
        ({}, set()),
        ({"DicomAlwaysAllowFind": True}, {"Find"}),
        ({"DicomModalities": {"ct": ["OTHER", "h", 104]}}, set()),
        ({"DicomModalities": {"k": ["KORTHWEB", "h", 104]}}, {"Store", "Find", "Get", "Move", "StorageCommitment"}),
        (
            {"DicomModalities": {"k": {"AET": "KORTHWEB", "AllowGet": False, "AllowMove": False}}},
            {"Store", "Find", "StorageCommitment"},
        ),
    ],
)
def test_F13_what_the_settings_allow_is_known(orthanc: dict[str, Any], operations: set[str]) -> None:
    """F13: by DicomAlwaysAllow... or by an entry of DicomModalities, in both of its forms."""
    endpoint = check_at(1).endpoint
    assert permitted(endpoint, orthanc, "KORTHWEB").policy.operations == frozenset(operations)


NO_SNI = replace(QUICK, only=("no-sni",))


def test_F10_a_modality_without_sni(another: Callable[..., Orthanc]) -> None:
    """F10: a rung of its own, where the settings let such modalities in; the certificate's name is looked at."""
    server, policy = another(), Policy(without_sni=0)
    let_in = Site(server, AUTHORITY, dicom_faults=Faults(any_name=True), endpoint={"policy": policy})
    seen = rung(let_in.check(NO_SNI), "no-sni")
    assert seen.status == "passed"
    assert f"BHC answers, with a certificate for {DICOM}" in seen.detail
    assert rung(Site(server, AUTHORITY).check(NO_SNI), "no-sni").status == "left out"
    refused = rung(Site(server, AUTHORITY, endpoint={"policy": policy}).check(NO_SNI), "no-sni")
    assert refused.status == "broken"
    assert "does not know this name" in refused.detail or "closed during the TLS handshake" in refused.detail


def test_F10_a_port_of_its_own_is_not_looked_for_at_a_typed_address() -> None:
    """F10, F21: a port-forward has the two usual ports."""
    check = replace(check_at(1, policy=Policy(without_sni=11114)), options=Options(address="127.0.0.1"))
    with pytest.raises(LeftOut, match="a port of its own \\(11114\\)"):
        dicom.without_sni(check)


def test_F10_a_certificate_of_somebody_else_is_red() -> None:
    """F10: who names nobody must not land at another tenant."""
    says = r"serves a certificate for dicom\.mhr\.test to those who name nobody"
    theirs = over(server_context(AUTHORITY.leaf("dicom.mhr.test")))
    with port(theirs) as number, pytest.raises(Broken, match=says):
        dicom.without_sni(check_at(number, policy=Policy(without_sni=0)))


@pytest.mark.parametrize(
    ("own", "chart", "port"),
    [
        (None, {}, None),
        (11115, {}, 11115),
        (None, {"ingress": {"withoutSni": {"enabled": True}}}, 0),
        (
            None,
            {
                "ingress": {"withoutSni": {"enabled": True, "entryPoint": "old"}},
                "traefik": {"ports": {"old": {"port": 11113, "exposedPort": 11114}}},
            },
            11114,
        ),
    ],
)
def test_F10_where_they_are_let_in(own: int | None, chart: dict[str, Any], port: int | None) -> None:
    """F10: by the tenant's setting, or by the chart's own values."""
    tenant: Any = SimpleNamespace(dicom=SimpleNamespace(without_sni=own))
    assert let_in_without_sni(check_at(1).endpoint, tenant, chart).policy.without_sni == port


def test_F21_what_must_be_refused_comes_last_at_a_typed_address() -> None:
    """F21: a kubectl port-forward may end at the first refusal; images and their removal are known by then."""
    names = [one.name for one in ladder.in_order(list(ladder.RUNGS), Options(address="127.0.0.1"))]
    refusals = [one.name for one in ladder.RUNGS if one.refusal]
    assert names[-len(refusals) :] == refusals
    assert names[: -len(refusals)][-1] == "clean"
    assert ladder.in_order(list(ladder.RUNGS), Options()) == list(ladder.RUNGS)


def test_F21_a_port_forward_that_ended_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """F21: what nobody listens to any more is left out, at once the second time; begun anew, it is tried."""
    monkeypatch.setattr(check_context, "BEGUN_ANEW", 0.4)
    with port(drop) as number:
        forwarded = replace(check_at(number), options=Options(address="127.0.0.1"))
        forwarded.listening(forwarded.dicom)
    begun = threading.Timer(0.3, lambda: held.append(socket.create_server(("127.0.0.1", number))))
    held: list[socket.socket] = []
    begun.start()
    forwarded.listening(forwarded.dicom)
    begun.join()
    held[0].close()
    with pytest.raises(LeftOut, match=f"nothing listens on 127.0.0.1:{number} any more .*run it in a loop"):
        dicom.plain_refused(forwarded)
    assert forwarded.gone
    began = time.monotonic()
    with pytest.raises(LeftOut):
        certificates.old_versions_refused(forwarded, forwarded.dicom)
    assert time.monotonic() - began < 0.1
    check_at(number).listening(forwarded.dicom)  # a load balancer is not waited for
