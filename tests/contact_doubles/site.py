"""A kubeconfig for a stand-in server, and how a first contact with it ends."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.run import guard
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.contact import Contact
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.resolve import ChosenCluster, resolve
from tests.verify_doubles.pki import Authority

#: a login that any stand-in takes
TOKEN = {"token": "t"}


@dataclass
class Site:
    """A folder with a kubeconfig of one context, x."""

    folder: Path
    kubectl: str
    authority: Authority = field(default_factory=Authority)
    said: io.StringIO = field(default_factory=io.StringIO)

    def kubeconfig(
        self, server: str, user: Mapping[str, Any] = TOKEN, cluster: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the kubeconfig and return it; the server's certificate is trusted where ours signed it."""
        trust = {"certificate-authority-data": encoded(self.authority.pem.encode())} if server[:5] == "https" else {}
        body = {
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **(trust if cluster is None else cluster)}}],
            "users": [{"name": "u", "user": dict(user)}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(body))
        return path

    @property
    def ref(self) -> ChosenCluster:
        """Return the cluster that x is, as a task finds it; KUBECONFIG names the kubeconfig."""
        return resolve(Settings(), "x")

    def contact(self, seconds: float = 1.5) -> guard.Identity:
        """Meet the cluster as a task does; what a person sees is kept in ``said``."""
        runner = Runner(programs={"kubectl": self.kubectl})
        asking = Contact(runner, self.ref, Console(self.said), seconds, lambda: False, patience=0.5)
        return guard.check(self.ref, asking.run)

    def trouble(self, seconds: float = 1.5) -> KorthwebError:
        """Return the error that a first contact ends with."""
        with pytest.raises(KorthwebError) as raised:
            self.contact(seconds)
        return raised.value


def encoded(raw: bytes) -> str:
    """Return bytes as a kubeconfig holds them."""
    return base64.b64encode(raw).decode()


def pair(pem: bytes) -> dict[str, str]:
    """Return a key and its certificate as a kubeconfig's user has them."""
    mark = b"-----BEGIN CERTIFICATE"
    key, _, certificate = pem.partition(mark)
    return {"client-key-data": encoded(key), "client-certificate-data": encoded(mark + certificate)}


def plugin(command: str, *args: str, version: str = "v1", mode: str = "IfAvailable") -> dict[str, Any]:
    """Return a user who logs in by a program."""
    body = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": command, "args": list(args)}
    return {"exec": {**body, "interactiveMode": mode}}


def script(text: str, **more: str) -> dict[str, Any]:
    """Return a user who logs in by a shell script."""
    return plugin("sh", "-c", text, **more)


def credential(version: str = "v1") -> str:
    """Return the shell command that gives a login."""
    return (
        f'echo \'{{"apiVersion":"client.authentication.k8s.io/{version}","kind":"ExecCredential",'
        '"status":{"token":"t"}}\''
    )
