"""Real sockets on the loopback that behave as API servers, proxies and other things at a wrong address do."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

#: what a server does with a connection that is established (TLS included)
Talk = Callable[[socket.socket], None]
UID = "11111111-2222-3333-4444-555555555555"


@dataclass
class Server:
    """A server that runs: its port, and the connections that it got."""

    port: int
    met: list[str] = field(default_factory=list)


@contextmanager
def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve on a free port of the loopback; every connection is given to ``talk``, behind TLS with ``tls``."""
    listener = socket.create_server(("127.0.0.1", 0))
    server, ended = Server(listener.getsockname()[1]), threading.Event()
    kept: list[socket.socket] = []

    def serve() -> None:
        while not ended.is_set():
            try:
                one, _ = listener.accept()
            except OSError:
                return
            kept.append(one)
            server.met.append("connection")
            threading.Thread(target=_talked, args=(one, talk, tls, kept), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in kept:
            one.close()


def _talked(one: socket.socket, talk: Talk, tls: ssl.SSLContext | None, kept: list[socket.socket]) -> None:
    with suppress(OSError):
        if tls:
            one = tls.wrap_socket(one, server_side=True)
            kept.append(one)
        talk(one)


def answering(status: str, body: str = "", kind: str = "application/json", **headers: str) -> Talk:
    """Answer every request with the same status and body; a status of Kubernetes' own is made by :func:`refusing`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = "\r\n".join([*lines, "Connection: close", "", body]).encode()

    def talk(one: socket.socket) -> None:
        if _request(one):
            one.sendall(answer)
        one.close()

    return talk


def refusing(code: int, reason: str, message: str) -> Talk:
    """Answer as Kubernetes does when it refuses: a Status."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return answering(f"{code} {reason}", json.dumps({**status, "reason": reason, "message": message}))


def kubernetes(one: socket.socket) -> None:
    """Answer the first question as an API server does."""
    body = json.dumps({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": UID}})
    answering("200 OK", body)(one)


def silent(one: socket.socket) -> None:
    """Take what comes and say nothing, until the other side gives up."""
    while one.recv(1 << 12):
        pass


def resetting(one: socket.socket) -> None:
    """Cut the connection with a reset, in the middle of the request."""
    one.recv(1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def hanging_up(one: socket.socket) -> None:
    """Read the request and close without an answer."""
    _request(one)
    one.close()


def speaking(greeting: bytes) -> Talk:
    """Say what no TLS is, at once: SSH, SMTP."""

    def talk(one: socket.socket) -> None:
        one.sendall(greeting)
        one.recv(1 << 12)
        one.close()

    return talk


def plain_web(one: socket.socket) -> None:
    """Answer as a web server without TLS does to who begins with TLS: at once, that this is no HTTP."""
    one.recv(1 << 12)
    one.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    one.close()


def _request(one: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = one.recv(1 << 16)
        if not more:
            break
        data += more
    return data


def server_tls(folder: Path, pem: bytes, clients: str = "") -> ssl.SSLContext:
    """Return the context of a server with this key and certificate; ``clients`` is the CA that theirs must be from."""
    file = folder / "server.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients)
    return context
