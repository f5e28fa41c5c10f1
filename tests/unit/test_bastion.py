"""The tunnel through a bastion, against a real SSH server (paramiko's) on the loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import paramiko
import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import ClusterUnreachable
from korthweb_tasks.run import bastion


@dataclass
class Bastion:
    host: str
    port: int
    identity: str | None
    user: str | None = "imaging"


class Gate(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    """Lets one key in and forwards to wherever it is asked."""

    def __init__(self, key: paramiko.PKey) -> None:
        self.key = key

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_SUCCESSFUL if key == self.key else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_direct_tcpip_request(self, chanid: int, origin: object, destination: tuple[str, int]) -> int:
        self.destination = destination
        return int(paramiko.OPEN_SUCCEEDED)


def _pump(channel: paramiko.Channel, address: tuple[str, int]) -> None:
    with socket.create_connection(address) as out:

        def back() -> None:
            while data := out.recv(65536):
                channel.sendall(data)
            channel.close()

        threading.Thread(target=back, daemon=True).start()
        while data := channel.recv(65536):
            out.sendall(data)


def _serve(listener: socket.socket, host_key: paramiko.PKey, user_key: paramiko.PKey) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        transport = paramiko.Transport(client)
        transport.add_server_key(host_key)
        gate = Gate(user_key)
        try:
            transport.start_server(server=gate)
        except (EOFError, paramiko.SSHException):
            continue
        while channel := transport.accept(60):
            threading.Thread(target=_pump, args=(channel, gate.destination), daemon=True).start()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bastion]:
    host_key, user_key = paramiko.RSAKey.generate(2048), paramiko.RSAKey.generate(2048)
    user_key.write_private_key_file(str(tmp_path / "id"))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    threading.Thread(target=_serve, args=(listener, host_key, user_key), daemon=True).start()
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
    yield Bastion("127.0.0.1", port, str(tmp_path / "id"))
    listener.close()


@pytest.fixture
def api() -> Iterator[int]:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"api server")

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def _get(url: str) -> bytes:
    for _ in range(100):
        try:
            return bytes(urllib.request.urlopen(url, timeout=10).read())
        except urllib.error.URLError as error:  # noqa: PERF203
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.02)  # the tunnel does not listen yet
    raise AssertionError("the tunnel never listened")


def kubeconfig(port: int) -> Result:
    server = {"name": "k", "cluster": {"server": f"http://localhost:{port}"}}
    view = {"clusters": [server], "users": [{"name": "u", "user": {"token": "t0ken"}}]}
    return Result(Command(argv=("kubectl",)), 0, json.dumps(view), "", 0.0)


def test_the_api_server_is_reached_through_the_bastion(host: Bastion, api: int, tmp_path: Path) -> None:
    with bastion.through(host, Cluster("prod"), lambda _: kubeconfig(api), tmp_path / "work") as target:
        assert target.kubeconfig is not None
        path = Path(target.kubeconfig)
        assert path.stat().st_mode & 0o777 == 0o600
        cluster = json.loads(path.read_text())["clusters"][0]["cluster"]
        assert cluster["tls-server-name"] == "localhost"
        assert _get(cluster["server"]) == b"api server"
    assert not path.exists()


def test_an_unknown_host_key_is_refused(host: Bastion, api: int, tmp_path: Path) -> None:
    (tmp_path / ".ssh/known_hosts").write_text("")
    with (
        pytest.raises(ClusterUnreachable, match="not found in known_hosts"),
        bastion.through(host, Cluster("prod"), lambda _: kubeconfig(api), tmp_path),
    ):
        pass


def test_a_bastion_that_is_not_there_is_named(host: Bastion, api: int, tmp_path: Path) -> None:
    closed = Bastion("127.0.0.1", 1, host.identity)
    with (
        pytest.raises(ClusterUnreachable, match=r"imaging@127\.0\.0\.1, port 1"),
        bastion.through(closed, Cluster("prod"), lambda _: kubeconfig(api), tmp_path),
    ):
        pass
