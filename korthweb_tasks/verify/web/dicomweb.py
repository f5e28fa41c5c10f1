"""DICOMweb: found, read back identical, deleted again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom.images import MARK, Image, SentImages
from korthweb_tasks.verify.dicom.received import compare, of_answer
from korthweb_tasks.verify.model import Broken, Finding
from korthweb_tasks.verify.web import client as web

#: whole DICOM files in the encoding in which they are stored, whichever that is
WADO_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JSON_ACCEPT = "application/dicom+json"
STUDY_UID, INSTANCE_UID = "0020000D", "00080018"
PAGE = 100
#: bytes a second that come back at least, beyond the time-out
SLOWEST = 2e6


def find(check: CheckContext) -> Finding:
    """QIDO-RS: every study and every instance that was sent, and nothing else under this PatientID."""
    sent = check.sent_images()
    with web.logged_in(check) as session:
        began = time.perf_counter()
        studies = {_value(row, STUDY_UID) for row in query(check, session, "studies", PatientID=sent.patient)}
        ms = (time.perf_counter() - began) * 1000
        if studies != set(sent.studies):
            raise Broken(f"QIDO finds {len(studies)} studies of {sent.patient}, {len(sent.studies)} were sent")
        rows = [row for uid in studies for row in query(check, session, f"studies/{uid}/instances")]
        instances = {_value(row, INSTANCE_UID) for row in rows}
    missing = [image.source for image in sent.images if image.instance not in instances]
    if missing:
        raise Broken(f"QIDO does not find {len(missing)} of {len(sent.images)} images: {', '.join(missing[:3])}")
    many = "study" if len(studies) == 1 else "studies"
    return Finding(f"{len(studies)} {many}, {len(instances)} images, in {ms:.0f} ms", {"qido_ms": round(ms, 2)})


def read_back(check: CheckContext) -> Finding:
    """WADO-RS: each image comes back in its encoding with the same bytes of pixel data."""
    sent = check.sent_images()
    began, slowest = time.perf_counter(), 0.0
    with web.logged_in(check) as session:
        for number, image in enumerate(sent.images, 1):
            once = time.perf_counter()
            read_one(check, session, image)
            check.progress(f"{number} of {len(sent.images)} images read back")
            slowest = max(slowest, time.perf_counter() - once)
    seconds = time.perf_counter() - began
    speed = sent.size / seconds / 1e6
    return Finding(
        f"{len(sent.images)} images identical, {speed:.1f} MB/s",
        {"mb_per_s": round(speed, 2), "slowest_ms": round(slowest * 1000, 2)},
    )


def read_one(check: CheckContext, session: httpx.Client, image: Image) -> None:
    """Read one instance and compare it, without having it in memory. Raises Broken."""
    patience = check.options.timeout + image.length / SLOWEST

    def read() -> None:
        headers = {"Accept": WADO_ACCEPT}
        with session.stream("GET", wado_path(image), headers=headers, timeout=patience) as response:
            if response.status_code != 200:
                response.read()
            if response.status_code in web.PASSING and time.monotonic() <= check.calm_by:
                raise httpx.ReadError(f"answered with {response.status_code}")
            with of_answer(web.must(response).headers.get("content-type", ""), response.iter_bytes()) as file:
                compare(image, file)

    web.persistently(check, read)


def clean(check: CheckContext) -> Finding:
    """Delete what this run sent; nothing of it may be found afterwards."""
    sent = check.sent_images()
    count = sweep(check, sent)
    many = "study" if count == 1 else "studies"
    return Finding(f"{count} {many} deleted, nothing is found under {sent.patient}")


def sweep(check: CheckContext, sent: SentImages) -> int:
    """Delete every study of this run's PatientID and return how many. Raises Broken where one is left."""
    if not sent.patient.startswith(MARK):
        raise ValueError(f"{sent.patient} is not a PatientID of a verification")
    with web.logged_in(check) as session:
        studies = _ids(check, session, "Study", sent)
        for identifier in studies:
            # 404: deleted meanwhile, or by a request whose answer was lost
            web.must(web.patiently(check, session, "DELETE", f"/studies/{identifier}"), 200, 404)
        left = _ids(check, session, "Instance", sent)
        rows = query(check, session, "studies", PatientID=sent.patient)
    if left or rows:
        raise Broken(f"{len(left)} images of {sent.patient} are left", "delete that patient in Orthanc by hand")
    return len(studies)


def _ids(check: CheckContext, session: httpx.Client, level: str, sent: SentImages) -> list[str]:
    query = {"Level": level, "Query": {"PatientID": sent.patient}, "CaseSensitive": True}
    identifiers: list[str] = web.must(web.patiently(check, session, "POST", "/tools/find", json=query)).json()
    return identifiers


def query(check: CheckContext, session: httpx.Client, path: str, **filters: str) -> list[Mapping[str, Any]]:
    """Return all rows of a QIDO-RS query, page by page, since servers limit what one answer holds."""
    rows: list[Mapping[str, Any]] = []
    while True:
        paged = {**filters, "limit": str(PAGE), "offset": str(len(rows))}
        response = web.patiently(check, session, "GET", f"/dicom-web/{path}", accept=JSON_ACCEPT, params=paged)
        web.must(response, 200, 204)
        page = response.json() if response.status_code == 200 else []
        rows += page
        if len(page) < PAGE:
            return rows


def _value(row: Mapping[str, Any], tag: str) -> str:
    return str(row.get(tag, {}).get("Value", [""])[0])


def wado_path(image: Image) -> str:
    """Return the DICOMweb path of one image."""
    return f"/dicom-web/studies/{image.study}/series/{image.series}/instances/{image.instance}"
