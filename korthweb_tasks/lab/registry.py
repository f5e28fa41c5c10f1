"""Images from and to a registry, by the plain protocol of the OCI distribution specification.

The lab's network has no way out, so the host pulls: what comes is an archive like one that was built here.
"""

from __future__ import annotations

import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab import oci
from korthweb_tasks.lab.oci import ARCHITECTURES, Blob, Stored

Progress = Callable[[str], None]
INDEXES = (oci.INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (oci.MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
CONNECT_SECONDS, TRANSFER_SECONDS = 5.0, 120.0
HUB = "docker.io"  # its API has another host name, and one-word images are in a folder of it


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name taken apart: host of the registry, repository, and tag or digest."""

    host: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, image: str) -> Reference:
        """Read ``[host/]repository[:tag|@digest]`` as every container runtime does."""
        first, slash, rest = image.partition("/")
        is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
        host, path = (first, rest) if is_host else (HUB, image)
        match = re.fullmatch(r"(?P<path>[^:@]+)(?::(?P<tag>[^:@]+))?(?:@(?P<digest>\S+))?", path)
        if match is None:
            raise BuildFailed(f"{image!r} is not an image name")
        repository = match["path"] if host != HUB or "/" in match["path"] else f"library/{match['path']}"
        return cls(host, repository, match["digest"] or match["tag"] or "latest")

    @property
    def url(self) -> str:
        """Where its repository is served: plain HTTP on the loopback only."""
        near = self.host.split(":")[0] in ("localhost", "127.0.0.1")
        host = f"registry-1.{HUB}" if self.host == HUB else self.host
        return f"{'http' if near else 'https'}://{host}/v2/{self.repository}"


class Registry:
    """A connection to registries, with anonymous tokens where they are asked for. Use as a context manager."""

    def __init__(self, client: httpx.Client | None = None) -> None:
        timeout = httpx.Timeout(TRANSFER_SECONDS, connect=CONNECT_SECONDS)
        self.client = client or httpx.Client(timeout=timeout, follow_redirects=True)
        self._tokens: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def missing(self, images: Sequence[str]) -> dict[str, str]:
        """Return which images can not be pulled, and why ("not there", or what the connection failed with)."""
        reasons: dict[str, str] = {}
        for image in images:
            reference = Reference.parse(image)
            try:
                answer = self._call("HEAD", reference, f"/manifests/{reference.tag}", headers=_accept())
                if answer.status_code != 200:
                    known = {401: "not allowed", 403: "not allowed", 404: "not there"}
                    reasons[image] = known.get(answer.status_code, f"status {answer.status_code}")
            except httpx.HTTPError as error:
                reasons[image] = f"no answer from {reference.host} ({type(error).__name__})"
        return reasons

    def pull(self, remote: str, name: str, folder: Path, progress: Progress) -> Path:
        """Fetch an image into an archive that calls it ``name``; return the archive's path.

        Every part is checked against its digest. Raise BuildFailed.
        """
        reference = Reference.parse(remote)
        with _explained(remote, "pulled"):
            manifest, media = self._manifest(reference)
            target = folder / f"{_plain(name)}-{oci.blob_of(manifest.content).digest[:12]}.tar"
            if target.is_file():
                return target
            progress(f"pulling {remote}")
            folder.mkdir(parents=True, exist_ok=True)
            data = manifest.json()
            with tempfile.TemporaryDirectory(dir=folder, prefix=".pull-") as temporary:
                parts = [self._fetch(reference, part, Path(temporary)) for part in (data["config"], *data["layers"])]
                whole = Path(temporary, "image.tar")
                oci.write_layout(whole, name, manifest.content, media, oci.read_stored(parts[0][1]), parts[1:])
                whole.rename(target)
        return target

    def push(self, archive: Path, remote: str) -> None:
        """Send an archive's image to a registry under a name. Raise BuildFailed."""
        reference = Reference.parse(remote)
        files, descriptor, manifest = oci.read_image(archive)
        with _explained(remote, "pushed"):
            for part in (manifest["config"], *manifest["layers"]):
                self._send(reference, part, files[oci.blob_path(part)])
            self._checked(
                self._call(
                    "PUT",
                    reference,
                    f"/manifests/{reference.tag}",
                    content=oci.read_stored(files[oci.blob_path(descriptor)]),
                    headers={"Content-Type": descriptor["mediaType"]},
                )
            )

    def _manifest(self, reference: Reference) -> tuple[httpx.Response, str]:
        """Return the manifest for this machine's architecture, through an index if there is one."""
        answer = self._checked(self._call("GET", reference, f"/manifests/{reference.tag}", headers=_accept()))
        media = _media(answer)
        if media not in INDEXES:
            return answer, media
        mine = {"os": "linux", "architecture": ARCHITECTURES.get(platform.machine(), platform.machine())}
        for offer in answer.json()["manifests"]:
            offered = offer.get("platform", {})
            if all(offered.get(key) == value for key, value in mine.items()):
                answer = self._call("GET", reference, f"/manifests/{offer['digest']}", headers=_accept())
                _compare(offer["digest"], oci.blob_of(self._checked(answer).content).digest)
                return answer, str(offer["mediaType"])
        raise BuildFailed(f"{reference.repository}:{reference.tag} has no image for {mine['architecture']}")

    def _fetch(self, reference: Reference, part: Mapping[str, Any], folder: Path) -> tuple[Blob, Stored]:
        digest = str(part["digest"]).removeprefix("sha256:")
        target = folder / digest
        with target.open("wb") as stream:
            sink = oci.Hashing(stream)
            plain = {"Accept-Encoding": "identity"}
            answer = self._call("GET", reference, f"/blobs/{part['digest']}", stream=True, headers=plain)
            with closing(answer):
                for chunk in self._checked(answer).iter_bytes(1 << 20):
                    sink.write(chunk)
        _compare(str(part["digest"]), sink.blob.digest)
        return sink.blob, Stored(target, 0, sink.size)

    def _send(self, reference: Reference, part: Mapping[str, Any], stored: Stored) -> None:
        """Upload one part unless the registry has it."""
        digest = str(part["digest"])
        if self._call("HEAD", reference, f"/blobs/{digest}", action="pull,push").status_code == 200:
            return
        begun = self._checked(self._call("POST", reference, "/blobs/uploads/", action="pull,push"))
        where = httpx.URL(reference.url).join(begun.headers["Location"]).copy_merge_params({"digest": digest})
        headers = {"Content-Length": str(stored.size), "Content-Type": "application/octet-stream"}
        headers |= self._authorization(reference)
        self._checked(self.client.put(where, content=stored.chunks(), headers=headers))

    def _call(
        self, method: str, reference: Reference, path: str, *, action: str = "pull", stream: bool = False, **more: Any
    ) -> httpx.Response:
        answer = self.client.send(self._request(method, reference, path, **more), stream=stream)
        if answer.status_code == 401 and self._authenticate(answer, reference, action):
            answer.close()
            answer = self.client.send(self._request(method, reference, path, **more), stream=stream)
        return answer

    def _request(self, method: str, reference: Reference, path: str, **options: Any) -> httpx.Request:
        headers = {**options.pop("headers", {}), **self._authorization(reference)}
        return self.client.build_request(method, reference.url + path, headers=headers, **options)

    def _authorization(self, reference: Reference) -> dict[str, str]:
        token = self._tokens.get((reference.host, reference.repository))
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _authenticate(self, answer: httpx.Response, reference: Reference, action: str) -> bool:
        """Get an anonymous token as the refusal says; return True if there is one to try again with."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        fields = dict(re.findall(r'([A-Za-z0-9_]+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer ") or "realm" not in fields:
            return False
        wanted = {"scope": f"repository:{reference.repository}:{action}"}
        if "service" in fields:
            wanted["service"] = fields["service"]
        reply = self.client.get(fields["realm"], params=wanted)
        token = reply.json().get("token") or reply.json().get("access_token") if reply.status_code == 200 else None
        if not token:
            return False
        self._tokens[reference.host, reference.repository] = str(token)
        return True

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            raise BuildFailed(f"{answer.request.method} {answer.url} answered {answer.status_code}")
        return answer


def _accept() -> dict[str, str]:
    return {"Accept": ", ".join((*MANIFESTS, *INDEXES))}


def _media(answer: httpx.Response) -> str:
    return str(answer.headers.get("Content-Type", "")).split(";")[0].strip() or oci.MANIFEST


def _compare(wanted: str, got: str) -> None:
    if wanted != f"sha256:{got}":
        raise BuildFailed(f"the registry gave {got[:12]} where the image says {wanted.removeprefix('sha256:')[:12]}")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)


def missing_images(client: httpx.Client, images: Sequence[str]) -> dict[str, str]:
    """Return which of ``images`` can not be pulled by ``client``, and why."""
    return Registry(client).missing(images)


@contextmanager
def _explained(image: str, verb: str) -> Iterator[None]:
    """Turn what goes wrong between here and the registry into one error that names the image."""
    hint = "check the registry in the settings (images.registry), or build: lab.images = build"
    try:
        yield
    except BuildFailed as error:
        raise BuildFailed(f"{image} can not be {verb}: {error.message}", hint=hint) from error
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise BuildFailed(f"{image} can not be {verb}: {error or type(error).__name__}", hint=hint) from error
