"""STOW-RS: instances stored over HTTPS, with a length that is known beforehand and in chunks."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom.images import Image, with_new_instance
from korthweb_tasks.verify.model import Broken, Finding
from korthweb_tasks.verify.web import client as web
from korthweb_tasks.verify.web import dicomweb

#: of an answer: what is not stored, and why
FAILED, REASON, STORED = "00081198", "00081197", "00081199"
#: bytes of a chunk
CHUNK = 8192


def stow(check: CheckContext) -> Finding:
    """Store the smallest instance anew, two times, and read both back."""
    smallest = min(check.sent_images().images, key=lambda image: image.length)
    with web.logged_in(check) as session:
        for chunked in (False, True):
            image = with_new_instance(smallest)
            _store(session, image, chunked=chunked)
            dicomweb.read_one(check, session, image)
    return Finding("stored with Content-Length and chunked, and read back identical")


def _store(session: httpx.Client, image: Image, *, chunked: bool) -> None:
    how = "chunked" if chunked else "with Content-Length"
    mark = secrets.token_hex(16)
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={mark}',
        "Accept": dicomweb.JSON_ACCEPT,
    }
    head = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + _file(image) + f"\r\n--{mark}--\r\n".encode()
    pieces = (body[at : at + CHUNK] for at in range(0, len(body), CHUNK))
    answer = session.post("/dicom-web/studies", content=pieces if chunked else body, headers=headers)
    if answer.status_code in (411, 413, 501):
        hint = "the ingress, or a proxy before it, does not take such a body"
        raise Broken(f"STOW-RS {how} was answered with {answer.status_code}", hint)
    said: Mapping[str, Any] = web.must(answer, 200, 202, 409).json()
    if said.get(FAILED, {}).get("Value") or not said.get(STORED, {}).get("Value"):
        failed = (said.get(FAILED, {}).get("Value") or [{}])[0]
        code = (failed.get(REASON, {}).get("Value") or ["none given"])[0]
        raise Broken(f"STOW-RS {how}: Orthanc does not store {image.source} (reason {code})", "the log of Orthanc")


def _file(image: Image) -> bytes:
    with tempfile.TemporaryDirectory(prefix="korthweb-") as folder:
        image.write(Path(folder, "instance.dcm"))
        return Path(folder, "instance.dcm").read_bytes()
