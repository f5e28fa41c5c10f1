"""A few requests to the lab's own API server, over the standard library: starting kubectl takes longer than asking."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from korthweb_tasks import files
from korthweb_tasks.core import hints
from korthweb_tasks.errors import ClusterUnreachable, CommandFailed
from korthweb_tasks.tools.resources import plural

FIELD_MANAGER = "korthweb-lab"
#: answers that mean "come again": kube-system is not there yet, a conflict, too busy, not ready
_NOT_YET = frozenset({404, 409, 429, 500, 502, 503, 504})


class Api:
    """One API server, spoken to with the admin certificate of ``pki``."""

    def __init__(self, address: str, port: int, pki: Path, timeout: float = 10.0) -> None:
        self.address, self.port, self.pki, self.timeout = address, port, pki, timeout

    def get(self, path: str) -> Any:
        """Return what is at ``path``; None where nothing is. Raises ClusterUnreachable and CommandFailed."""
        status, body = self.request("GET", path)
        if status == 404:
            return None
        _expect(status, body, f"GET {path}")
        return json.loads(body) if body.startswith(b"{") else body.decode()

    def ready(self) -> bool:
        """Return True if the server answers and calls itself ready."""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except ClusterUnreachable:
            return False

    def apply(self, objects: Iterable[Mapping[str, Any]], *, patience: float = 60.0) -> bool:
        """Apply objects on the server's side, in their order; return True if one of them was not there before.

        A server that has only just started is given ``patience`` seconds for all of them.
        """
        created = False
        deadline = time.monotonic() + patience
        connection = self._connection()
        try:
            for item in objects:
                status, body = self._applied(connection, item)
                while status in _NOT_YET and time.monotonic() < deadline:
                    time.sleep(0.3)
                    connection.close()
                    status, body = self._applied(connection, item)
                _expect(status, body, f"apply {location(item)}")
                created |= status == 201
        finally:
            connection.close()
        return created

    def _applied(self, connection: http.client.HTTPSConnection, item: Mapping[str, Any]) -> tuple[int, bytes]:
        path = f"{location(item)}?fieldManager={FIELD_MANAGER}&force=true"
        try:
            return _exchange(connection, "PATCH", path, item, "application/apply-patch+yaml")
        except ClusterUnreachable as error:
            return 503, str(error).encode()

    def patch(self, path: str, change: Mapping[str, Any]) -> None:
        """Merge ``change`` into the object at ``path``."""
        status, body = self.request("PATCH", path, change, "application/merge-patch+json")
        _expect(status, body, f"PATCH {path}")

    def request(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Return status and body of one request; raises ClusterUnreachable where no answer came."""
        connection = self._connection()
        try:
            return _exchange(connection, method, path, data, kind)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        try:
            context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
            context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        except OSError as error:  # also what ssl raises for a file that is half written
            raise _silent(self.address, self.port, error) from error
        return http.client.HTTPSConnection(self.address, self.port, timeout=self.timeout, context=context)


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, data: Mapping[str, Any] | None, kind: str
) -> tuple[int, bytes]:
    try:
        body = None if data is None else json.dumps(data)
        connection.request(method, path, body, {"Content-Type": kind} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _silent(connection.host, connection.port, error) from error


def _silent(address: str, port: int, error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"no answer from the lab's API server at {address}:{port} ({error})", hint=hints.task("lab.status")
    )


def location(item: Mapping[str, Any]) -> str:
    """Return the path of an object in the API."""
    version, kind, metadata = str(item["apiVersion"]), str(item["kind"]), item["metadata"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{base}{scope}/{plural(kind)}/{metadata['name']}"


def kubeconfig(context: str, server: str, ca: Path, certificate: Path, key: Path) -> str:
    """Return a kubeconfig (as JSON, which is YAML) with everything inside it."""
    ca64, certificate64, key64 = (base64.b64encode(path.read_bytes()).decode() for path in (ca, certificate, key))
    user = {"client-certificate-data": certificate64, "client-key-data": key64}
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": ca64}}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    return json.dumps(data, indent=1) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all, and not at all if it says so already."""
    if path.is_file() and path.read_text() == text:
        return
    files.write_private(path, text)


def _expect(status: int, body: bytes, what: str) -> None:
    if not 200 <= status < 300:
        try:
            message = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            message = body[:200].decode(errors="replace")
        raise CommandFailed(f"the lab's API server refused {what} ({status})", code=1, stderr=str(message))
