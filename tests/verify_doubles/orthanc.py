"""A real Orthanc on the loopback, from unpacked Debian packages: nothing is installed on the host."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from korthweb_tasks.lab.packages import Debs, Selection

SELECTION = Selection("trixie", ("orthanc", "orthanc-dicomweb"))
USER, PASSWORD = "admin", "the-tests'-own-word"


@cache
def root() -> Path:
    """Return the folder of the unpacked packages, from the cache or downloaded once."""
    return Debs().unpack({"orthanc": SELECTION}) / "orthanc"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@dataclass
class Orthanc:
    """One server with its own folder; ``config`` is laid over a sound configuration."""

    folder: Path
    aet: str = "BHC"
    config: Mapping[str, Any] = field(default_factory=dict)
    password: str = PASSWORD
    http: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)
    _child: subprocess.Popen[bytes] | None = None

    def root(self) -> Path:
        """Return the folder of the packages."""
        return root()

    def start(self) -> None:
        """Start and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps({**self._sound(), **self.config}))
        libraries = self.root() / "usr/lib/x86_64-linux-gnu"
        loader = next(libraries.glob("ld-linux*.so.*"))
        argv = [str(part) for part in (loader, "--library-path", libraries, self.root() / "usr/sbin/Orthanc", file)]
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(argv, stdout=log, stderr=log, env=self._env())
        end = time.monotonic() + 10
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it: a clean end takes seconds, and images must outlive a hard one."""
        if self._child:
            self._child.kill()
            self._child.wait()

    def lose_everything(self) -> None:
        """Forget all images, as a server on a volume that ends with its pod does."""
        shutil.rmtree(self.folder / "db")

    def damage_all(self) -> None:
        """Turn one bit in the middle of the pixel data of every stored image."""
        for file in (self.folder / "db").rglob("*"):
            if file.is_file() and (data := file.read_bytes())[128:132] == b"DICM":
                middle = len(data) - 4000
                file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])

    def forget_all(self) -> None:
        """Delete every image through the API."""
        for patient in json.loads(self._call("GET", "/patients")):
            self._call("DELETE", f"/patients/{patient}")

    def counts(self) -> tuple[int, int]:
        """Return the numbers of studies and instances."""
        found = json.loads(self._call("GET", "/statistics"))
        return found["CountStudies"], found["CountInstances"]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "LC_ALL": "C.UTF-8", "DCMDICTPATH": str(self.root() / "usr/share/dcmtk/dicom.dic")}

    def _answers(self) -> bool:
        try:
            self._call("GET", "/system")
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str) -> bytes:
        token = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        url = f"http://127.0.0.1:{self.http}{path}"
        request = urllib.request.Request(url, method=method, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bytes(answer.read())

    def _sound(self) -> dict[str, Any]:
        return {
            "Name": "tests",
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": self.aet,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: self.password},
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "MaximumStorageCacheSize": 0,
            "Plugins": [str(self.root() / "usr/lib/orthanc/libOrthancDicomWeb.so.1.20")],
        }


@contextmanager
def started(folder: Path) -> Iterator[Callable[..., Orthanc]]:
    """Give what starts one more Orthanc (as ``aet``, with a password, over a configuration); all end with the block."""
    made: list[Orthanc] = []

    def start(aet: str = "BHC", password: str = PASSWORD, **config: Any) -> Orthanc:
        server = Orthanc(folder / f"orthanc-{len(made)}", aet, config, password)
        made.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in made:
            server.stop()
