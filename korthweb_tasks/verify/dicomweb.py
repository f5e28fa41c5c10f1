"""DICOMweb: found, read back identical, deleted again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from korthweb_tasks.verify import web
from korthweb_tasks.verify.climb import Climb
from korthweb_tasks.verify.images import MARK, Consignment, Image
from korthweb_tasks.verify.model import Broken, Finding
from korthweb_tasks.verify.received import compare, of_answer

#: whole DICOM files in the encoding in which they are stored, whichever that is
WADO_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JSON_ACCEPT = "application/dicom+json"
STUDY_UID, INSTANCE_UID = "0020000D", "00080018"
PAGE = 100
#: bytes a second that come back at least, beyond the time-out
SLOWEST = 2e6


def find(climb: Climb) -> Finding:
    """QIDO-RS: every study and every instance that was sent, and nothing else under this PatientID."""
    consignment = climb.consignment()
    with web.logged_in(climb) as session:
        began = time.perf_counter()
        studies = {_value(row, STUDY_UID) for row in query(climb, session, "studies", PatientID=consignment.patient)}
        ms = (time.perf_counter() - began) * 1000
        if studies != set(consignment.studies):
            sent = len(consignment.studies)
            raise Broken(f"QIDO finds {len(studies)} studies of {consignment.patient}, {sent} were sent")
        rows = [row for uid in studies for row in query(climb, session, f"studies/{uid}/instances")]
        found = {_value(row, INSTANCE_UID) for row in rows}
    missing = [image.source for image in consignment.images if image.instance not in found]
    if missing:
        raise Broken(f"QIDO does not find {len(missing)} of {len(consignment.images)} images: {', '.join(missing[:3])}")
    many = "study" if len(studies) == 1 else "studies"
    return Finding(f"{len(studies)} {many}, {len(found)} images, in {ms:.0f} ms", {"qido_ms": round(ms, 2)})


def read_back(climb: Climb) -> Finding:
    """WADO-RS: each image comes back in its encoding with the same bytes of pixel data."""
    consignment = climb.consignment()
    began, slowest = time.perf_counter(), 0.0
    with web.logged_in(climb) as session:
        for image in consignment.images:
            once = time.perf_counter()
            read_one(climb, session, image)
            slowest = max(slowest, time.perf_counter() - once)
    seconds = time.perf_counter() - began
    speed = consignment.size / seconds / 1e6
    return Finding(
        f"{len(consignment.images)} images identical, {speed:.1f} MB/s",
        {"mb_per_s": round(speed, 2), "slowest_ms": round(slowest * 1000, 2)},
    )


def read_one(climb: Climb, session: httpx.Client, image: Image) -> None:
    """Read one instance and compare it, without having it in memory. Raises Broken."""
    patience = climb.options.timeout + image.length / SLOWEST

    def read() -> None:
        headers = {"Accept": WADO_ACCEPT}
        with session.stream("GET", wado_path(image), headers=headers, timeout=patience) as response:
            if response.status_code != 200:
                response.read()
            if response.status_code in web.PASSING and time.monotonic() <= climb.calm_by:
                raise httpx.ReadError(f"answered with {response.status_code}")
            with of_answer(web.must(response).headers.get("content-type", ""), response.iter_bytes()) as file:
                compare(image, file)

    web.persistently(climb, read)


def clean(climb: Climb) -> Finding:
    """Delete what this run sent; nothing of it may be found afterwards."""
    consignment = climb.consignment()
    count = sweep(climb, consignment)
    many = "study" if count == 1 else "studies"
    return Finding(f"{count} {many} deleted, nothing is found under {consignment.patient}")


def sweep(climb: Climb, consignment: Consignment) -> int:
    """Delete every study of this run's PatientID and return how many. Raises Broken where one is left."""
    if not consignment.patient.startswith(MARK):
        raise ValueError(f"{consignment.patient} is not a PatientID of a verification")
    with web.logged_in(climb) as session:
        found = _ids(climb, session, "Study", consignment)
        for identifier in found:
            # 404: deleted meanwhile, or by a request whose answer was lost
            web.must(web.patiently(climb, session, "DELETE", f"/studies/{identifier}"), 200, 404)
        left = _ids(climb, session, "Instance", consignment)
        rows = query(climb, session, "studies", PatientID=consignment.patient)
    if left or rows:
        raise Broken(f"{len(left)} images of {consignment.patient} are left", "delete that patient in Orthanc by hand")
    return len(found)


def _ids(climb: Climb, session: httpx.Client, level: str, consignment: Consignment) -> list[str]:
    query = {"Level": level, "Query": {"PatientID": consignment.patient}, "CaseSensitive": True}
    found: list[str] = web.must(web.patiently(climb, session, "POST", "/tools/find", json=query)).json()
    return found


def query(climb: Climb, session: httpx.Client, path: str, **filters: str) -> list[Mapping[str, Any]]:
    """Return all rows of a QIDO-RS query, page by page, since servers limit what one answer holds."""
    rows: list[Mapping[str, Any]] = []
    while True:
        paged = {**filters, "limit": str(PAGE), "offset": str(len(rows))}
        response = web.patiently(climb, session, "GET", f"/dicom-web/{path}", accept=JSON_ACCEPT, params=paged)
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
