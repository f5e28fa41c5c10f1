"""Downloads against a stand-in for a release host on the loopback."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from korthweb_tasks.errors import ToolMissing
from korthweb_tasks.provision import download

FILE = b"#!/bin/sh\necho tool\n" * 1000
DIGEST = hashlib.sha256(FILE).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Host:
    """A release host: path → what it answers; counts what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                host.answers.get(self.path, status(404))(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


def body(content: bytes, *, promised: int | None = None) -> Answer:
    """Answer ``content``, promising another length where the transfer is to break."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(promised or len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def status(code: int) -> Answer:
    return lambda request: request.send_error(code)


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


@pytest.fixture
def host() -> Iterator[Host]:
    one = Host()
    yield one
    one.server.shutdown()
    one.server.server_close()


def fetch(host: Host, target: Path) -> Path:
    return download.verified(f"{host.url}/tool", f"{host.url}/tool.sha256", target, pause=0.01)


def test_a_file_with_the_published_checksum_is_kept(host: Host, tmp_path: Path) -> None:
    host.answers = {"/tool": body(FILE), "/tool.sha256": body(f"{DIGEST}\n".encode())}
    told: list[str] = []
    made = download.verified(
        f"{host.url}/tool", f"{host.url}/tool.sha256", tmp_path / "a" / "tool", progress=told.append, pause=0.01
    )
    assert made.read_bytes() == FILE
    assert told[-1].startswith("downloading, 100 %")


def test_a_wrong_checksum_leaves_nothing_and_is_not_tried_again(host: Host, tmp_path: Path) -> None:
    host.answers = {"/tool": body(FILE + b"!"), "/tool.sha256": body(DIGEST.encode())}
    with pytest.raises(download.WrongChecksum, match=DIGEST):
        fetch(host, tmp_path / "tool")
    assert not list(tmp_path.iterdir())
    assert host.asked.count("/tool") == 1


def test_a_truncated_transfer_is_tried_again(host: Host, tmp_path: Path) -> None:
    broken = body(FILE[:100], promised=len(FILE))
    host.answers = {"/tool": in_turn(broken, body(FILE)), "/tool.sha256": body(DIGEST.encode())}
    assert fetch(host, tmp_path / "tool").read_bytes() == FILE


def test_a_transfer_that_stays_truncated_fails_and_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.answers = {"/tool": body(FILE[:100], promised=len(FILE)), "/tool.sha256": body(DIGEST.encode())}
    with pytest.raises(ToolMissing, match="the transfer ended 19900 bytes early"):
        fetch(host, tmp_path / "tool")
    assert host.asked.count("/tool") == download.ATTEMPTS
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("code", "times"), [(404, 1), (403, 1), (503, download.ATTEMPTS)])
def test_only_a_servers_own_trouble_is_tried_again(host: Host, tmp_path: Path, code: int, times: int) -> None:
    host.answers = {"/tool": status(code), "/tool.sha256": body(DIGEST.encode())}
    with pytest.raises(ToolMissing, match=f"/tool answers {code}"):
        fetch(host, tmp_path / "tool")
    assert host.asked.count("/tool") == times


def test_a_server_that_recovers_is_forgiven(host: Host, tmp_path: Path) -> None:
    host.answers = {
        "/tool": in_turn(status(502), body(FILE)),
        "/tool.sha256": in_turn(status(500), body(DIGEST.encode())),
    }
    assert fetch(host, tmp_path / "tool").is_file()


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(download.Unreachable, match=f"127.0.0.1:{port} can not be reached"):
        download.verified(
            f"http://127.0.0.1:{port}/tool", f"http://127.0.0.1:{port}/sum", tmp_path / "tool", pause=0.01
        )


def test_a_checksum_file_without_the_file_is_no_checksum(host: Host, tmp_path: Path) -> None:
    host.answers = {"/tool": body(FILE), "/tool.sha256": body(f"{DIGEST}  other\n".encode())}
    with pytest.raises(ToolMissing, match="no SHA-256 for tool"):
        fetch(host, tmp_path / "tool")
    assert "/tool" not in host.asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DIGEST, True),
        (f"{DIGEST}\n", True),
        (f"{DIGEST.upper()}  tool\n", True),
        (f"{DIGEST} *tool", True),
        (f"{'0' * 64}  other\n{DIGEST}  ./dist/tool\n", True),
        (f"{DIGEST}  tool.old\n", False),
        ("<html>not found</html>", False),
        ("", False),
    ],
)
def test_checksum_files_are_read_in_every_usual_shape(text: str, found: bool) -> None:
    assert (download.checksum(text, "tool") == DIGEST) is found
