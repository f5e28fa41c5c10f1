"""A Git server on the loopback: git's own smart HTTP behind Python's server, and a work tree to commit in."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_ENV = {
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "t@localhost", "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "t@localhost", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@dataclass
class Repository:
    """A bare repository that is served, and a work tree of it."""

    work: Path
    url: str

    def commit(self, files: Mapping[str, str | None], message: str = "a change") -> str:
        """Write (or, for None, remove) files, commit, push, and return the commit's hash."""
        for name, text in files.items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message", message)
        return self.push()

    def revert(self) -> str:
        """Take the last commit back by another one, push, and return its hash."""
        git(self.work, "revert", "--no-edit", "HEAD")
        return self.push()

    def push(self) -> str:
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")


def git(folder: Path, *args: str) -> str:
    command = ("git", "-C", str(folder), *args)
    env = {**os.environ, **_ENV}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=env).stdout.strip()


@contextmanager
def served(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Repository]:
    """Serve an empty repository below ``folder`` while the block runs; with ``tls`` by HTTPS, for localhost."""
    bare, work = folder / "fleet.git", folder / "work"
    work.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(bare, "config", "http.receivepack", "true")
    git(folder, "clone", "--quiet", str(bare), str(work))
    git(work, "checkout", "--quiet", "-B", "main")

    class Handler(_Smart):
        root = folder

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    place = f"https://localhost:{server.server_port}" if tls else f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Repository(work, f"{place}/fleet.git")
    finally:
        server.shutdown()
        server.server_close()


class _Smart(BaseHTTPRequestHandler):
    """Hands each request to git http-backend, a CGI program."""

    root: Path

    def do_GET(self) -> None:
        self._ask(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._ask(body)

    def _ask(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(("git", "http-backend"), input=body, capture_output=True, env=env, timeout=60, check=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for key, value in lines if key == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for key, value in lines:
            if key != "Status":
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    def log_message(self, *args: object) -> None: ...
