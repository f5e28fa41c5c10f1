"""TLS as a client sees it: contexts that always verify, what is served, and how old a version is taken."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from dataclasses import dataclass

from korthweb_tasks.verify.model import Broken

HANDSHAKE, ALERT = 22, 21
#: names of the versions on the wire
WIRE_VERSIONS = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2"}
#: suites that a server of any age knows: ECDHE and RSA with AES, CBC and GCM
SUITES = (0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0x009C, 0x009D)


@dataclass(frozen=True, slots=True)
class Served:
    """What one port gave in a handshake: certificates in DER (leaf first), version and cipher."""

    chain: tuple[bytes, ...]
    version: str
    cipher: str


def trusting(ca_pem: str) -> ssl.SSLContext:
    """Return a context that trusts this CA only and checks names. Raises Broken for what is no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The tenant's CA is the anchor whether it is self-signed or issued by another one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise Broken(f"the CA is no PEM certificate: {error}", "look at the tenant's CA secret") from error
    return context


def looking() -> ssl.SSLContext:
    """Return a context that takes any certificate, for looking at it.

    Only handshakes and refusals are made with it: no password and no image ever goes through.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake(context: ssl.SSLContext, address: str, port: int, name: str, timeout: float) -> Served:
    """Shake hands with SNI ``name``. Raises OSError, of which ssl.SSLError is one."""
    with (
        socket.create_connection((address, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        cipher = wrapped.cipher()
        return Served(_chain(wrapped), wrapped.version() or "?", cipher[0] if cipher else "?")


def _chain(wrapped: ssl.SSLSocket) -> tuple[bytes, ...]:
    # The chain is public from Python 3.13 on; before, the leaf is what there is.
    whole = getattr(wrapped, "get_unverified_chain", None)
    if whole is not None:
        return tuple(whole())
    leaf = wrapped.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


def answer_to_version(address: str, port: int, name: str, version: int, timeout: float) -> str:
    """Offer just one old version (0x0301 is TLS 1.0) by hand and return what the server says.

    By hand, since the OpenSSL of this machine may be unable to offer it, which must not pass for a refusal
    by the server. The answer is "accepted", "alert N" or "closed". Raises OSError where nothing listens.
    """
    with socket.create_connection((address, port), timeout) as plain:
        plain.settimeout(timeout)
        try:
            plain.sendall(client_hello(version, name))
            head = _exactly(plain, 5)
            body = _exactly(plain, min(struct.unpack("!H", head[3:5])[0], 6)) if head else b""
        except (ConnectionError, TimeoutError):
            return "closed"
    if not head:
        return "closed"
    if head[0] == ALERT:
        return f"alert {body[1] if len(body) > 1 else '?'}"
    if head[0] == HANDSHAKE and len(body) >= 6 and body[0] == 2:
        return "accepted" if struct.unpack("!H", body[4:6])[0] == version else "another version"
    return f"record type {head[0]}"


def client_hello(version: int, name: str) -> bytes:
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
    suites = struct.pack(f"!{len(SUITES)}H", *SUITES)
    body = (
        struct.pack("!H", version)
        + os.urandom(32)
        + b"\x00"
        + struct.pack("!H", len(suites))
        + suites
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
