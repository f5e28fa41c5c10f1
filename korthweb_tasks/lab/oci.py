"""OCI images as files: layers written from Debian packages, files and text, and the layout tar around them.

Everything is reproducible: times are 0, owners are what the recipe says (root), and no maintainer
script runs; what such scripts would have left behind (users, links) is written down in the recipes.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, cast

from korthweb_tasks.errors import BuildFailed, tail

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

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


@dataclass(frozen=True, slots=True)
class Blob:
    """A content-addressed part of an image: the digest without ``sha256:``, and its size in bytes."""

    digest: str
    size: int

    def descriptor(self, media: str) -> dict[str, Any]:
        """Return how a manifest points to it."""
        return {"mediaType": media, "digest": f"sha256:{self.digest}", "size": self.size}


@dataclass
class Hashing:
    """A write-only stream that sums what passes."""

    stream: IO[bytes]
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        """Write and count."""
        self.digest.update(data)
        self.size += len(data)
        return self.stream.write(data)

    @property
    def blob(self) -> Blob:
        """What has been written so far."""
        return Blob(self.digest.hexdigest(), self.size)


class LayerWriter:
    """Writes one layer. The first entry for a path wins, so recipe entries come before packages."""

    def __init__(self, stream: IO[bytes], drop: Sequence[str] = ()) -> None:
        self.out = Hashing(stream)
        stream_of = cast(IO[bytes], self.out)  # write() is all that tarfile asks of it
        self.tar = tarfile.open(fileobj=stream_of, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20)  # noqa: SIM115
        self.drop = (*DROPPED, *drop)
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
        member.name, member.uid, member.gid = path, 0, 0
        if member.islnk():
            member.linkname = merged(member.linkname)
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
    """Say whether a path, or a folder it is in, matches one of the patterns."""
    return any(fnmatch(path, one) or fnmatch(path, f"{one}/*") for one in patterns)


def write_layer(target: Path, entries: Iterable[Entry], debs: Iterable[Path], drop: Sequence[str] = ()) -> Blob:
    """Write one layer into a file: the entries in order of their paths, then the packages."""
    with target.open("wb") as stream:
        layer = LayerWriter(stream, drop)
        for entry in sorted(entries, key=lambda one: one.path):
            layer.entry(entry)
        for deb in debs:
            layer.package(deb)
        return layer.close()


def image_config(layers: Sequence[Blob], config: Mapping[str, Any]) -> bytes:
    """Return the image configuration: user, environment, entry point, and the layers it is made of."""
    data = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
    }
    return json.dumps(data, sort_keys=True).encode()


def image_manifest(config: Blob, layers: Sequence[Blob]) -> bytes:
    """Return the image manifest."""
    data = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER) for layer in layers],
    }
    return json.dumps(data, sort_keys=True).encode()


def image_index(name: str, manifest: Blob, media: str = MANIFEST) -> bytes:
    """Return the index of a layout that holds one image, with its full name as containerd reads it."""
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    data = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**manifest.descriptor(media), "annotations": annotations}],
    }
    return json.dumps(data, sort_keys=True).encode()


def blob_of(data: bytes) -> Blob:
    """Return digest and size of some bytes."""
    return Blob(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the bytes of a blob are: a file of its own, or a stretch of an image archive."""

    path: Path
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, a megabyte at a time. Raise BuildFailed if there are fewer than there should be."""
        with self.path.open("rb") as source:
            source.seek(self.offset)
            left = self.size
            while left and (chunk := source.read(min(left, 1 << 20))):
                yield chunk
                left -= len(chunk)
        if left:
            raise BuildFailed(f"{self.path} is cut off", hint="korthweb lab.prune")

    def copy_to(self, stream: IO[bytes]) -> None:
        """Append the bytes to a stream."""
        for chunk in self.chunks():
            stream.write(chunk)


def write_archive(target: Path, name: str, config: Mapping[str, Any], layers: Sequence[tuple[Blob, Stored]]) -> None:
    """Write an image that was made here as a layout tar. ``name`` is the full image name with its tag."""
    blobs = [blob for blob, _ in layers]
    config_data = image_config(blobs, config)
    manifest_data = image_manifest(blob_of(config_data), blobs)
    write_layout(target, name, manifest_data, MANIFEST, config_data, layers)


def write_layout(
    target: Path, name: str, manifest: bytes, media: str, config: bytes, layers: Sequence[tuple[Blob, Stored]]
) -> None:
    """Write the layout tar that ``ctr images import`` takes; ``media`` is the media type of the manifest."""
    small = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": image_index(name, blob_of(manifest), media),
        f"blobs/sha256/{blob_of(manifest).digest}": manifest,
        f"blobs/sha256/{blob_of(config).digest}": config,
    }
    with target.open("wb") as stream:
        for path, data in small.items():
            stream.write(_header(path, len(data)))
            stream.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
        for blob, stored in layers:
            stream.write(_header(f"blobs/sha256/{blob.digest}", blob.size))
            stored.copy_to(stream)
            stream.write(b"\0" * (-blob.size % tarfile.BLOCKSIZE))
        stream.write(b"\0" * (2 * tarfile.BLOCKSIZE))


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH
    return info.tobuf(tarfile.GNU_FORMAT)


def archived(archive: Path) -> dict[str, Stored]:
    """Return every file of an image archive and where its bytes are; nothing for one that can not be read."""
    try:
        with tarfile.open(archive, "r:") as tar:
            return {member.name: Stored(archive, member.offset_data, member.size) for member in tar}
    except (OSError, tarfile.TarError):
        return {}


def read_stored(stored: Stored) -> bytes:
    """Return the bytes of a small blob."""
    return b"".join(stored.chunks())


def read_image(archive: Path) -> tuple[dict[str, Stored], dict[str, Any], dict[str, Any]]:
    """Return an archive's files, the descriptor of its manifest (with the image's name), and the manifest.

    Raise BuildFailed for what is no image archive.
    """
    files = archived(archive)
    try:
        descriptor = json.loads(read_stored(files["index.json"]))["manifests"][0]
        return files, descriptor, json.loads(read_stored(files[blob_path(descriptor)]))
    except (KeyError, IndexError, ValueError) as error:
        raise BuildFailed(f"{archive} is no image archive", hint="korthweb lab.prune") from error


def unpack_image(archive: Path, into: Path) -> None:
    """Lay the layers of an archive over each other in a folder, for a look into an image without a runtime."""
    files, _, manifest = read_image(archive)
    tar = shutil.which("tar") or "tar"
    for layer in manifest["layers"]:
        command = [tar, "-x", "--keep-directory-symlink", "-C", str(into)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            assert child.stdin is not None
            files[blob_path(layer)].copy_to(child.stdin)
        if child.returncode != 0:
            raise BuildFailed(f"a layer of {archive.name} can not be unpacked")


def blob_path(descriptor: Mapping[str, Any]) -> str:
    """Return where a layout holds what a descriptor points to."""
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
