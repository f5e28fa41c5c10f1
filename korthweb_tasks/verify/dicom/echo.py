"""DICOM over TLS: association, C-ECHO, C-STORE, and the associations that must not come about."""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import replace

from korthweb_tasks.core import hints
from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom.association import Ask, as_modality, asked, association, rejection, unknown_calling
from korthweb_tasks.verify.model import Broken, Finding, LeftOut
from korthweb_tasks.verify.tls import certificates
from korthweb_tasks.verify.tls import connection as tls

TRIES = 5
#: seconds of silence that are a refusal where Orthanc's own answer comes so many times faster
SILENCE, TIMES = 3.0, 10
CONTROL = "the same association under the right name was taken in this run"


def echo(check: CheckContext) -> Finding:
    """C-ECHO over TLS, with SNI and verification."""
    calling = check.options.calling_aet
    with association(check, as_modality(check)) as link:
        if not link.is_established:
            raise Broken(f"Orthanc takes no C-ECHO from the AE title {calling}", unknown_calling(calling))
        began = time.perf_counter()
        status = link.send_c_echo()
        ms = (time.perf_counter() - began) * 1000
    if "Status" not in status or status.Status != 0x0000:
        raise Broken(
            f"C-ECHO was answered with {_status(status)}",
            hints.kubectl("logs", "deployment/orthanc", namespace=check.endpoint.namespace),
        )
    return Finding(f"{check.endpoint.aet} answers in {ms:.0f} ms", {"echo_ms": round(ms, 2)})


def without_sni(check: CheckContext) -> Finding:
    """C-ECHO by a client that names no server: it gets this tenant's certificate, and this tenant's Orthanc."""
    if (port := check.endpoint.policy.without_sni) is None:
        raise LeftOut("the settings let nobody in without SNI")
    if port and check.options.address:
        raise LeftOut(f"it has a port of its own ({port}), which the typed address may not have")
    at_port = replace(check, endpoint=replace(check.endpoint, dicom_port=port or check.endpoint.dicom_port))
    number, host = at_port.dicom.number, at_port.dicom.host
    context = tls.as_modality(check.endpoint.ca_pem)
    context.check_hostname = False  # there is no name to check by the library: it is checked below
    try:
        seen = at_port.handshake(context, at_port.dicom, None)
    except OSError as error:
        refusal = tls.refusal(error)
        raise Broken(f"port {number}, without SNI: {refusal.why}", refusal.hint) from error
    names = certificates.names_of(certificates.leaf_of(seen))
    if not any(certificates.matches(name, host) for name in names):
        raise Broken(f"port {number} serves a certificate for {', '.join(names)} to those who name nobody")
    with association(at_port, replace(as_modality(at_port), security=(context, None))) as link:
        if not link.is_established or getattr(link.send_c_echo(), "Status", None) != 0x0000:
            raise Broken("C-ECHO without SNI was not answered")
    return Finding(f"port {number}: {check.endpoint.aet} answers, with a certificate for {host}")


def plain_refused(check: CheckContext) -> Finding:
    """Ask for an association without TLS: it must not come about."""
    return _must_not(check, None, "an association without TLS")


def wrong_name_refused(check: CheckContext) -> Finding:
    """Ask under another name: neither a verifying client nor one that does not look must reach Orthanc."""
    wrong_name, how = certificates.wrong_name(check, check.dicom)
    _must_not(check, (tls.looking(), wrong_name), f"the name {wrong_name}")
    return Finding(f"{wrong_name}: {how}, and no way to Orthanc for a client that does not verify")


def wrong_aet_refused(check: CheckContext) -> Finding:
    """Call another AE title: Orthanc itself must reject it."""
    wrong = "NOT-" + secrets.token_hex(4).upper()
    refusal = called(check, wrong)
    if refusal is None:
        raise Broken(f"the called AE title {wrong} is accepted", 'orthanc.json: "DicomCheckCalledAet": true')
    return Finding(f"{wrong}: {refusal}")


def called(check: CheckContext, aet: str) -> str | None:
    """Call this AE title: None where Orthanc accepts it, else why it does not. Raises Broken for no answer."""
    # Orthanc ends the connection right after its rejection, and pynetdicom may see the end first.
    ask = replace(as_modality(check), aet=aet)
    for _ in range(TRIES):
        with asked(check, ask) as link:
            if link.is_established:
                return None
            if link.is_rejected:
                return rejection(link)
    raise Broken(f"called {aet}, Orthanc gave no answer instead of a rejection")


def _must_not(check: CheckContext, security: tuple[ssl.SSLContext, str] | None, what: str) -> Finding:
    """Ask for an association that must not come about. Raises Broken where it does, or where Orthanc answers.

    Silence is a refusal after the whole time-out, and sooner where the right association is taken much faster. That is
    not asked at a typed address: a kubectl port-forward may end with the attempt before it.
    """
    whole = check.options.timeout
    seconds = whole if check.options.address else min(SILENCE, whole)
    if _silent(check, security, what, seconds) and seconds < whole and _answer_time(check) * TIMES > seconds:
        _silent(check, security, what, whole)
    return Finding(f"no association; {CONTROL}")


def _silent(check: CheckContext, security: tuple[ssl.SSLContext, str] | None, what: str, seconds: float) -> bool:
    """Return True if nothing came back in that time, False where the connection was ended."""
    check.listening(check.dicom)
    began = time.monotonic()
    with asked(check, Ask(aet=check.endpoint.aet, security=security, seconds=seconds)) as link:
        if link.is_established:
            raise Broken(f"port {check.endpoint.dicom_port} takes {what}")
        if link.is_rejected:
            raise Broken(f"{what} reaches Orthanc, which rejects it only for: {rejection(link)}")
    return time.monotonic() - began >= seconds


def _answer_time(check: CheckContext) -> float:
    """Return the seconds in which the association is taken that has to be."""
    began = time.monotonic()
    with association(check, as_modality(check)):
        return time.monotonic() - began


def _status(status: object) -> str:
    code = getattr(status, "Status", None)
    return "no answer" if code is None else f"status 0x{code:04X}"
