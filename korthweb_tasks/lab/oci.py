"""OCI images as files: manifest, configuration and the layout tar around the layers, written and read."""

from __future__ import annotations

import hashlib
import json
import platform
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from korthweb_tasks.core import hints
from korthweb_tasks.errors import BuildFailed

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


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
            raise BuildFailed(f"{self.path} is cut off", hint=hints.task("lab.prune"))

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

    Raise BuildFailed for what is not an image archive.
    """
    files = archived(archive)
    try:
        descriptor = json.loads(read_stored(files["index.json"]))["manifests"][0]
        return files, descriptor, json.loads(read_stored(files[blob_path(descriptor)]))
    except (KeyError, IndexError, ValueError) as error:
        raise BuildFailed(f"{archive} is not an image archive", hint=hints.task("lab.prune")) from error


def blob_path(descriptor: Mapping[str, Any]) -> str:
    """Return where a layout holds what a descriptor points to."""
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
