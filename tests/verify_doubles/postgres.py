"""A real PostgreSQL on the loopback, from unpacked Debian packages, and a real Orthanc that keeps all in it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from korthweb_tasks.lab.packages import Debs, Selection
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc import orthanc_json
from tests.verify_doubles.orthanc import Orthanc, free_port

#: of the host's own release, so that its programs run without help
SERVER = Selection("host", ("postgresql", "postgresql-contrib"))
PLUGINS = Selection("trixie", ("orthanc", "orthanc-dicomweb", "orthanc-postgresql"))


@cache
def root() -> Path:
    """Return the folder of the unpacked server."""
    return Debs().unpack({"postgres": SERVER}) / "postgres"


@dataclass
class Postgres:
    """One server with its own folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    _child: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the cluster of databases, start it, and make Orthanc's database."""
        self.folder.mkdir(parents=True)
        share = next((root() / "usr/share/postgresql").glob("*"))
        self._run(
            "initdb", f"--pgdata={self.folder}/data", "--username=orthanc", "--auth=trust", "-N", "-L", str(share)
        )
        self.start()
        self.sql("CREATE DATABASE orthanc", "postgres")
        self.sql("CREATE EXTENSION pg_trgm")

    def start(self) -> None:
        """Start, and wait until it answers."""
        where = (f"-D{self.folder}/data", f"-p{self.port}", f"-k{self.folder}", "-cfsync=off")
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(self._argv("postgres", *where), env=self._env(), stdout=log, stderr=log)
        end = time.monotonic() + 30
        while self._call("pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}").returncode:
            assert time.monotonic() < end, (self.folder / "log").read_text()
            assert self._child.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as its container is ended."""
        if self._child:
            self._child.send_signal(signal.SIGINT)
            self._child.wait()
            self._child = None

    def sql(self, statement: str, database: str = "orthanc") -> str:
        """Return what the server answers."""
        where = ("--host=127.0.0.1", f"--port={self.port}", "--username=orthanc", f"--dbname={database}")
        return self._run("psql", "--no-psqlrc", "-qAt", *where, "--command", statement)

    def _run(self, *words: str) -> str:
        done = self._call(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._argv(*words), env=self._env(), capture_output=True, text=True, check=False)

    def _argv(self, program: str, *words: str) -> list[str]:
        # PostgreSQL refuses root, who is somebody else in a user namespace
        other = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
        return [*other, str(next((root() / "usr/lib/postgresql").glob("*/bin")) / program), *words]

    def _env(self) -> dict[str, str]:
        libraries = next((root() / "usr/lib").glob("*-linux-gnu"))
        return {**os.environ, "LD_LIBRARY_PATH": str(libraries), "LC_ALL": "C.UTF-8"}


class StoringOrthanc(Orthanc):
    """An Orthanc with index and images in PostgreSQL, from packages of its own."""

    def root(self) -> Path:
        """Return the folder of the packages, which have the PostgreSQL plugins."""
        return packages()


@cache
def packages() -> Path:
    """Return the folder of Orthanc's packages with its PostgreSQL plugins."""
    return Debs().unpack({"orthanc": PLUGINS}) / "orthanc"


def storing(folder: Path, database: Postgres, connections: int = 5) -> Orthanc:
    """Return an Orthanc on that database, set as the deployments set it."""
    plugins = sorted((packages() / "usr/lib/orthanc").glob("libOrthancPostgreSQL*.so.*"))
    config: dict[str, Any] = {
        "Plugins": [str(plugin) for plugin in plugins],
        "SaveJobs": False,
        "MaximumStorageCacheSize": 128,
        "PostgreSQL": {
            **orthanc_json(Settings(), Settings().tenants[0])["PostgreSQL"],
            # the scripts beside Orthanc read the port from here
            "ConnectionUri": f"postgresql://orthanc@127.0.0.1:{database.port}/orthanc?sslmode=disable",
            "IndexConnectionsCount": connections,
        },
    }
    return StoringOrthanc(folder, config=config)
