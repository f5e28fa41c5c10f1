"""A cluster behind an SSH host: a tunnel to its API server, and a kubeconfig that goes through it. Uses fabric."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import ClusterUnreachable, KorthwebError
from korthweb_tasks.files import check_trusted, write_private

CONNECT_SECONDS = 15
Reached = TypeVar("Reached", bound=Cluster)


class Bastion(Protocol):
    """The SSH host: :class:`korthweb_tasks.settings.cluster.BastionSettings` says it."""

    @property
    def host(self) -> str:
        """Return a name or address."""

    @property
    def user(self) -> str | None:
        """Return the SSH user; None leaves it to ssh's own rules."""

    @property
    def port(self) -> int:
        """Return the SSH port."""

    @property
    def identity(self) -> str | None:
        """Return the path of the private key; None means the agent or ssh's defaults."""


@contextmanager
def through(bastion: Bastion, cluster: Reached, run: Callable[[Command], Result], folder: Path) -> Iterator[Reached]:
    """Open a tunnel from a free port of the loopback to the API server; give a cluster that uses it.

    Its kubeconfig is private, lies in ``folder`` and is removed at the end; the name that the
    server's certificate must carry stays the original one. The bastion's host key must be known to ssh.
    The tunnel listens a moment after it is given: a first "connection refused" passes by itself.
    Raises ClusterUnreachable, naming the bastion.
    """
    config = _flat(cluster, run)
    url = urlsplit(config["clusters"][0]["cluster"]["server"])
    if not url.hostname:
        raise KorthwebError(f"context {cluster.context} has no server to tunnel to")
    port = _free_port()
    with _connection(bastion) as connection:
        path = _write(folder, rewritten(config, port))
        try:
            with connection.forward_local(port, url.port or 443, url.hostname):
                yield replace(cluster, kubeconfig=str(path))
        finally:
            path.unlink(missing_ok=True)


def rewritten(config: Mapping[str, Any], port: int) -> dict[str, Any]:
    """Return a flattened kubeconfig of one cluster that goes to ``port`` of the loopback."""
    entry = config["clusters"][0]
    url = urlsplit(entry["cluster"]["server"])
    cluster = {
        "tls-server-name": url.hostname,
        **entry["cluster"],
        "server": f"{url.scheme}://127.0.0.1:{port}{url.path}",
    }
    return {**config, "clusters": [{**entry, "cluster": cluster}]}


@contextmanager
def _connection(bastion: Bastion) -> Iterator[Any]:
    from fabric import Connection
    from paramiko import RejectPolicy, SSHException

    if bastion.identity:
        check_trusted(Path(bastion.identity).expanduser())
    keys = {"key_filename": bastion.identity} if bastion.identity else {}
    connection = Connection(
        bastion.host, user=bastion.user, port=bastion.port, connect_kwargs=keys, connect_timeout=CONNECT_SECONDS
    )
    # fabric adds unknown host keys by itself: not on the way to patient images
    connection.client.set_missing_host_key_policy(RejectPolicy())
    connection.client.load_system_host_keys()
    try:
        connection.open()
    except (SSHException, OSError) as error:
        who = f"{connection.user}@{bastion.host}"
        raise ClusterUnreachable(
            f"the bastion {who}, port {bastion.port}, can not be used: {error}",
            hint=f"ssh -p {bastion.port} {who}   (it must work without a question)",
        ) from error
    with connection:
        yield connection


def _flat(cluster: Cluster, run: Callable[[Command], Result]) -> dict[str, Any]:
    view = ("kubectl", *cluster.kubectl_args(), "config", "view", "--raw", "--minify", "--flatten", "--output=json")
    config: dict[str, Any] = json.loads(run(Command(argv=view, target=cluster)).stdout)
    return config


def _write(folder: Path, config: Mapping[str, Any]) -> Path:
    path = folder / f"bastion-{os.getpid()}.kubeconfig"
    write_private(path, json.dumps(config))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
