"""Layers of images, written from Debian packages, files and text.

Layers are reproducible: times are 0, owners are what the recipe says (root), and no maintainer script
runs; what such scripts would have left behind (users, links) is written down in the recipes.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from korthweb_tasks.errors import BuildFailed, tail
from korthweb_tasks.lab.oci import Blob, Hashing

MERGED = ("bin", "sbin", "lib", "lib64")  # folders of the root that are links into /usr
#: what no container needs; a pattern matches a path and everything below it
DROPPED = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug",
    "usr/share/common-licenses", "usr/share/menu", "usr/share/bash-completion", "usr/lib/systemd", "etc/init.d",
    "usr/include", "usr/games", "boot", "var/run", "var/lock", "var/cache", "var/backups",
)  # fmt: skip


class Source(Protocol):
    """Where the bytes of a large file come from; ``fingerprint`` changes whenever they do."""

    @property
    def fingerprint(self) -> str:
        """What names the content, without reading it."""

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Open the content for reading."""

    def size(self) -> int:
        """Return its length in bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer that comes from a recipe: content, a source to copy, a link, or (none of them) a folder."""

    path: str
    content: bytes | None = None
    source: Source | None = None
    link: str | None = None
    mode: int = 0o644
    owner: int = 0

    def key(self) -> list[str | int | None]:
        """Return plain data that changes whenever the entry does."""
        text = hashlib.sha256(self.content).hexdigest() if self.content is not None else None
        source = self.source.fingerprint if self.source is not None else None
        return [self.path, text, source, self.link, self.mode, self.owner]


class LayerWriter:
    """Writes one layer. The first entry for a path wins, so recipe entries come before packages.

    ``move`` says where else a file or folder of a package goes: path in the package -> path in the image.
    """

    def __init__(self, stream: IO[bytes], drop: Sequence[str] = (), move: Mapping[str, str] | None = None) -> None:
        self.out = Hashing(stream)
        stream_of = cast(IO[bytes], self.out)  # write() is all that tarfile asks of it
        self.tar = tarfile.open(fileobj=stream_of, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20)  # noqa: SIM115
        self.drop = (*DROPPED, *drop)
        self.move = move or {}
        self.seen: set[str] = set()

    def entry(self, entry: Entry) -> None:
        """Add one entry of a recipe."""
        info = tarfile.TarInfo(merged(entry.path))
        info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
        if entry.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            self._add(info)
        elif entry.source is not None:
            info.size = entry.source.size()
            with entry.source.open() as source:
                self._add(info, source)
        elif entry.content is not None:
            info.size = len(entry.content)
            self._add(info, io.BytesIO(entry.content))
        else:
            info.type = tarfile.DIRTYPE
            self._add(info)

    def package(self, deb: Path) -> None:
        """Add the files of one Debian package. Raise BuildFailed if it can not be read."""
        command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            with tarfile.open(fileobj=child.stdout, mode="r|", bufsize=1 << 20) as source:
                for member in source:
                    self._member(member, source)
            child.stdout.read()  # what pads the archive, else dpkg-deb dies of a closed pipe
            complaint = child.stderr.read().decode(errors="replace")
        if child.returncode != 0:
            raise BuildFailed(f"the package {deb.name} can not be read", details=tail(complaint))

    def _member(self, member: tarfile.TarInfo, source: tarfile.TarFile) -> None:
        path = merged(member.name)
        if path in ("", *MERGED) or dropped(path, self.drop):
            return
        member.name, member.uid, member.gid = moved(path, self.move), 0, 0
        if member.islnk():
            member.linkname = moved(merged(member.linkname), self.move)
        self._add(member, source.extractfile(member) if member.isreg() else None)

    def _add(self, info: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        if info.name in self.seen:
            return
        self.seen.add(info.name)
        info.mtime, info.uname, info.gname, info.pax_headers = 0, "", "", {}
        self.tar.addfile(info, content)

    def close(self) -> Blob:
        """End the layer and return what it is."""
        self.tar.close()
        return self.out.blob


def merged(name: str) -> str:
    """Return a path of a package as it is where /bin, /sbin, /lib and /lib64 are links into /usr."""
    path = PurePosixPath(name.removeprefix("./").strip("/") or ".")
    text = "" if str(path) == "." else str(path)
    return f"usr/{text}" if len(path.parts) > 1 and path.parts[0] in MERGED else text


def dropped(path: str, patterns: Iterable[str]) -> bool:
    """Return True if a path, or a folder it is in, matches one of the patterns."""
    return any(fnmatch(path, one) or fnmatch(path, f"{one}/*") for one in patterns)


def moved(path: str, places: Mapping[str, str]) -> str:
    """Return where a path goes: ``{"a": "b"}`` takes ``a/x`` to ``b/x``."""
    for old, new in places.items():
        if path == old or path.startswith(f"{old}/"):
            return new + path.removeprefix(old)
    return path


def write_layer(
    target: Path,
    entries: Iterable[Entry],
    debs: Iterable[Path],
    drop: Sequence[str] = (),
    move: Mapping[str, str] | None = None,
) -> Blob:
    """Write one layer into a file: the entries in order of their paths, then the packages."""
    with target.open("wb") as stream:
        layer = LayerWriter(stream, drop, move)
        for entry in sorted(entries, key=lambda one: one.path):
            layer.entry(entry)
        for deb in debs:
            layer.package(deb)
        return layer.close()
