"""git over HTTPS with a login and an authority of one's own: a small stand-in around git's own http-backend."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from korthweb_tasks.run.checkout import Checkout
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.git import Author, Remote
from korthweb_tasks.tools.git_faults import GitFailed

SECRET = "s3cret-Token'$(x)"
BACKEND = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
pytestmark = pytest.mark.skipif(not (BACKEND / "git-http-backend").exists(), reason="git has no http-backend here")


class Handler(BaseHTTPRequestHandler):
    """Smart HTTP for one folder; the user korthweb alone may come in."""

    root = ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Be silent."""

    def _answer(self) -> None:
        wanted = "Basic " + base64.b64encode(f"korthweb:{SECRET}".encode()).decode()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="fleet"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "korthweb",
        }
        made = subprocess.run(
            [str(BACKEND / "git-http-backend")], input=body, env=env, capture_output=True, check=False
        ).stdout
        head, _, rest = made.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


def certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1 with its key, and return its path."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleet")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.pem"


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    bare = tmp_path / "srv" / "fleet.git"
    subprocess.run(["git", "init", "--bare", "--quiet", "--initial-branch=main", str(bare)], check=True)
    subprocess.run(["git", "config", "http.receivepack", "true"], cwd=bare, check=True)
    authority = certificate(tmp_path)
    handler = type("Here", (Handler,), {"root": str(tmp_path / "srv")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}/fleet.git"
    yield Remote(url, username="korthweb", password=SECRET, ca_file=str(authority))
    server.shutdown()
    server.server_close()


def test_a_login_and_an_authority_and_no_trace_of_the_password(remote: Remote, tmp_path: Path) -> None:
    asked: list[str] = []
    journal = Journal.begin(tmp_path / "runs", "push")
    runner = Runner(echo=asked.append, record=journal.command)
    Path(os.environ["HOME"], ".gitconfig").write_text(
        f"[credential]\nhelper = store --file={tmp_path}/stored\n[http]\nsslVerify = true\n"
    )
    made = Checkout(runner, remote, tmp_path / "work")
    files = {"README.md": "hello\n"}
    with made.held():
        assert made.refresh() == ""
        made.put(lambda _: (files, ()))
        commit = made.publish(lambda _: (files, ()), "korthweb: x", Author("k", "k@k"))
        assert made.refresh() == commit
        made.may_push()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "srv" not in path.parts]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert not (tmp_path / "stored").exists()
    assert len(asked) > 5
    assert SECRET not in "\n".join(asked) + repr(made) + repr(made.git.push("main"))
    assert (tmp_path / "work" / "askpass").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("change", "text", "hint"),
    [
        ({"password": "wrong"}, "does not let the user korthweb with the password given in", "GIT_PASSWORD"),
        ({"password": None}, "does not let anybody without a password in", "KORTHWEB_SECRET_GIT_PASSWORD"),
        ({"username": "nobody"}, "does not let the user nobody", "gitops.username"),
        ({"ca_file": ""}, "certificate of 127.0.0.1 is not vouched for by this machine", "gitops.ca_file"),
    ],
)
def test_what_is_wrong_and_what_to_set(
    remote: Remote, tmp_path: Path, change: dict[str, str], text: str, hint: str
) -> None:
    made = Checkout(Runner(patience=0), replace(remote, **change), tmp_path / "work")
    with pytest.raises(GitFailed) as raised:
        made.refresh()
    assert text in raised.value.message
    assert hint in raised.value.hint
    assert SECRET not in raised.value.message + raised.value.details
    assert "wrong" not in json.dumps([raised.value.message, raised.value.details])


def test_a_repository_that_is_not_there(remote: Remote, tmp_path: Path) -> None:
    made = Checkout(Runner(patience=0), replace(remote, url=remote.url.replace("fleet", "other")), tmp_path / "work")
    with pytest.raises(GitFailed, match="there is no repository"):
        made.refresh()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    made = Checkout(Runner(patience=0), Remote("https://127.0.0.1:1/fleet.git", password="x" * 8), tmp_path / "work")
    with pytest.raises(GitFailed, match=r"Git server 127\.0\.0\.1 can not be reached"):
        made.refresh()
