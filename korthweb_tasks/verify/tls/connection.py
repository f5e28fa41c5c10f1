"""TLS as a client sees it: contexts that always verify, what is served, and how old a version is taken."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from korthweb_tasks.verify.model import Broken

HANDSHAKE, ALERT = 22, 21
#: seconds to wait for the other side to end a connection, too
PARTING = 0.1
#: names of the versions on the wire
WIRE_VERSIONS = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2"}
#: the name of DICOM among protocols (IANA, ALPN)
DICOM = "dicom"
#: cipher suites of TLS 1.2 that old modalities may need
OLD_SUITES: Mapping[str, int] = {
    "ECDHE-ECDSA-AES128-SHA": 0xC009,
    "ECDHE-ECDSA-AES256-SHA": 0xC00A,
    "ECDHE-RSA-AES128-SHA": 0xC013,
    "ECDHE-RSA-AES256-SHA": 0xC014,
    "AES128-GCM-SHA256": 0x009C,
    "AES256-GCM-SHA384": 0x009D,
    "AES128-SHA": 0x002F,
    "AES256-SHA": 0x0035,
}
#: the same, and those of BCP 195
SUITES: Mapping[str, int] = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    **OLD_SUITES,
}


@dataclass(frozen=True, slots=True)
class Served:
    """What one port gave in a handshake: certificates in DER (leaf first), version and cipher."""

    chain: tuple[bytes, ...]
    version: str
    cipher: str


def trusting(ca_pem: str) -> ssl.SSLContext:
    """Return a context that trusts this CA only and checks names. Raises Broken for what is not a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The tenant's CA is the anchor whether it is self-signed or issued by another one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise Broken(f"the CA is not a PEM certificate: {error}", "look at the tenant's CA secret") from error
    return context


def as_modality(ca_pem: str) -> ssl.SSLContext:
    """Return the same for DICOM. It names its protocol (ALPN), as DCMTK does from 3.6.8 on. Raises Broken."""
    context = trusting(ca_pem)
    context.set_alpn_protocols([DICOM])
    return context


def looking() -> ssl.SSLContext:
    """Return a context that takes any certificate, for looking at it.

    Only handshakes and refusals are made with it: no password and no image ever goes through.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake(context: ssl.SSLContext, address: str, port: int, name: str | None, timeout: float) -> Served:
    """Shake hands with SNI ``name``, or without any. Raises OSError, of which ssl.SSLError is one."""
    with (
        socket.create_connection((address, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        cipher = wrapped.cipher()
        served = Served(_chain(wrapped), wrapped.version() or "?", cipher[0] if cipher else "?")
        _part(wrapped)
        return served


def _part(connection: socket.socket) -> None:
    """End a connection without a reset, which what is left unread would cause: it ends a kubectl port-forward, too."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PARTING)
        while connection.recv(1 << 14):
            pass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handshake did not come about, and what to do about it."""

    why: str
    hint: str = ""


_CLOSED = Refusal(
    "the connection is closed during the TLS handshake",
    "an ingress does so for a name (SNI) that it has no route for: is the tenant deployed on this address and port?",
)
_NO_TLS = Refusal("what answers on this port does not speak TLS", "is it the ingress's own port for TLS, or another?")
#: part of OpenSSL's reason -> what it means; the first that fits
REFUSALS: Mapping[str, Refusal] = {
    "HANDSHAKE_FAILURE": Refusal(
        "no shared cipher suite: the server takes none that this client offers (alert 40)",
        "the tenant's dicom.tls.ciphers, and the key of its certificate: AES128-SHA needs an RSA key",
    ),
    "INSUFFICIENT_SECURITY": Refusal(
        "the server takes only stronger cipher suites than this client offers (alert 71)", "the tenant's dicom.tls"
    ),
    "PROTOCOL_VERSION": Refusal(
        "no shared TLS version (alert 70)", "the tenant's dicom.tls.minimum, and what this machine's OpenSSL allows"
    ),
    "UNSUPPORTED_PROTOCOL": Refusal(
        "the server speaks only TLS versions that this machine's OpenSSL refuses", "the tenant's dicom.tls.minimum"
    ),
    "UNRECOGNIZED_NAME": Refusal(
        "the server does not know this name (SNI, alert 112)",
        "is the tenant deployed on this address and port, under this domain?",
    ),
    "NO_APPLICATION_PROTOCOL": Refusal(
        "no shared protocol: the ingress does not know the ALPN protocol that this client names (alert 120)",
        "the ingress must know dicom on this port, or no ALPN at all",
    ),
    "CERTIFICATE_REQUIRED": Refusal(
        "the server asks for a client's certificate (alert 116)", "mutual TLS is not what korthweb deploys here"
    ),
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "EOF": _CLOSED,
}


def refusal(error: BaseException) -> Refusal:
    """Return what a handshake that failed means: no shared cipher, version, name, certificate, closed, no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(
            f"certificate not trusted: {error.verify_message}",
            "is it issued by the tenant's own authority, for this name?",
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).upper().replace(" ", "_")
        return next((meant for part, meant in REFUSALS.items() if part in reason), Refusal(f"TLS: {error}"))
    if isinstance(error, TimeoutError):
        return Refusal("timed out: no answer during the TLS handshake", "--timeout, or a firewall that drops packets")
    if isinstance(error, ConnectionError):
        return _CLOSED
    return Refusal(f"{type(error).__name__}: {error}")


def is_closed(error: BaseException) -> bool:
    """Return True for a connection that was closed during the handshake without an alert, which would say why."""
    cause = behind(error) or error
    return not isinstance(cause, ConnectionRefusedError) and refusal(cause) is _CLOSED


def behind(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS error that an error came of, if it is one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _chain(wrapped: ssl.SSLSocket) -> tuple[bytes, ...]:
    # The chain is public from Python 3.13 on; before, the leaf is what there is.
    whole = getattr(wrapped, "get_unverified_chain", None)
    if whole is not None:
        return tuple(whole())
    leaf = wrapped.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


def answer_to_version(
    address: str, port: int, name: str, version: int, timeout: float, suites: Collection[int] = tuple(SUITES.values())
) -> str:
    """Offer just one version (0x0301 is TLS 1.0), with these suites, by hand and return what the server says.

    By hand, since the OpenSSL of this machine may be unable to offer it, which must not pass for a refusal
    by the server. The answer is "accepted", "alert N" or "closed". Raises OSError where nothing listens.
    """
    with socket.create_connection((address, port), timeout) as plain:
        plain.settimeout(timeout)
        try:
            plain.sendall(client_hello(version, name, suites))
            head = _exactly(plain, 5)
            body = _exactly(plain, min(struct.unpack("!H", head[3:5])[0], 6)) if head else b""
            _part(plain)
        except (ConnectionError, TimeoutError):
            return "closed"
    if not head:
        return "closed"
    if head[0] == ALERT:
        return f"alert {body[1] if len(body) > 1 else '?'}"
    if head[0] == HANDSHAKE and len(body) >= 6 and body[0] == 2:
        return "accepted" if struct.unpack("!H", body[4:6])[0] == version else "another version"
    return f"record type {head[0]}"


def client_hello(version: int, name: str, suites: Collection[int] = tuple(SUITES.values())) -> bytes:
    """Return a ClientHello that offers ``version`` and nothing newer, with SNI."""
    host = name.encode("idna")
    server_name = struct.pack("!HBH", len(host) + 3, 0, len(host)) + host
    groups = struct.pack("!H3H", 6, 29, 23, 24)
    # Signature algorithms are an extension of TLS 1.2; older servers skip it.
    algorithms = struct.pack("!H6H", 12, 0x0403, 0x0804, 0x0401, 0x0503, 0x0203, 0x0201)
    extensions = b"".join(
        struct.pack("!HH", kind, len(data)) + data
        for kind, data in ((0, server_name), (10, groups), (11, b"\x01\x00"), (13, algorithms))
    )
    offered = struct.pack(f"!{len(suites)}H", *suites)
    body = (
        struct.pack("!H", version)
        + os.urandom(32)
        + b"\x00"
        + struct.pack("!H", len(offered))
        + offered
        + b"\x01\x00"
        + struct.pack("!H", len(extensions))
        + extensions
    )
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BHH", HANDSHAKE, 0x0301, len(message)) + message


def _exactly(plain: socket.socket, count: int) -> bytes:
    """Read ``count`` bytes, or nothing where the peer ends before."""
    read = b""
    while len(read) < count:
        more = plain.recv(count - len(read))
        if not more:
            return b""
        read += more
    return read
