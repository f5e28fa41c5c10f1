"""A modality that stores synthetic images over DICOM TLS, and tells the status of each."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from korthweb_tasks.verify.model import Endpoint

Answers = list[str]


@cache
def template() -> Any:
    """Return the image that all others are copies of."""
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    image.PatientID = "KORTHWEB-VERIFY-MODALITY"
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    return image


@contextmanager
def association(endpoint: Endpoint, seconds: float = 60) -> Iterator[Any]:
    """Give one association over TLS."""
    entity = AE(ae_title="MODALITY")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
    entity.add_requested_context(template().SOPClassUID, template().file_meta.TransferSyntaxUID)
    context = ssl.create_default_context(cadata=endpoint.ca_pem)
    context.set_alpn_protocols(["dicom"])
    link = entity.associate(
        endpoint.address,
        endpoint.dicom_port,
        ae_title=endpoint.aet,
        tls_args=(context, endpoint.dicom_host),
        evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
    )
    try:
        yield link
    finally:
        if link.is_established:
            link.release()


def _no_delay(event: Any) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def stored(link: Any, count: int, pause: float = 0) -> Answers:
    """Store ``count`` images, ``pause`` seconds apart; return the status of each, or why there is none."""
    answers = []
    for _ in range(count):
        image = deepcopy(template())
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        answers.append(_answer(link, image))
        time.sleep(pause)
    return answers


def _answer(link: Any, image: Any) -> str:
    if not link.is_established:
        return "no association"
    try:
        return f"{link.send_c_store(image).Status:#06x}"
    except (AttributeError, RuntimeError, ValueError) as error:
        return str(error) or "no answer"
