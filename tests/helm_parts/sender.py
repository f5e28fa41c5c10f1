"""A modality that stores one image after another over DICOM TLS, and tries again as the standard has it."""

from __future__ import annotations

import ssl
import threading
import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from pynetdicom import AE

from korthweb_tasks.verify.model import Endpoint


@dataclass
class Sender:
    """Stores an image, waits ``pause`` seconds, stores the next; an image is kept until the server has taken it.

    ``held`` sends this many images over each association before it is closed.
    """

    endpoint: Endpoint
    pause: float = 0.2
    held: int = 1
    stored: list[str] = field(default_factory=list)
    #: seconds from the first failure of an image until it was taken
    gaps: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Sender:
        """Begin."""
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send what is being sent, and end."""
        self._over.set()
        assert self._thread is not None
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def longest(self) -> float:
        """Return the longest time that an image had to wait."""
        return max(self.gaps, default=0.0)

    def _go_on(self) -> None:
        template = dcmread(str(get_testdata_file("CT_small.dcm")))
        template.StudyInstanceUID, template.SeriesInstanceUID = generate_uid(), generate_uid()
        template.PatientID = "KORTHWEB-VERIFY-STREAM"
        link: Any = None
        used = 0
        while not self._over.is_set():
            image = deepcopy(template)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            failed: float | None = None
            while True:
                if link is None or not link.is_established or used >= self.held:
                    if link is not None and link.is_established:
                        link.release()
                    link, used = self._associate(image), 0
                if link.is_established and self._sent(link, image):
                    used += 1
                    break
                failed = failed or time.monotonic()
                time.sleep(0.3)
            if failed is not None:
                self.gaps.append(time.monotonic() - failed)
            self.stored.append(str(image.SOPInstanceUID))
            self._over.wait(self.pause)
        if link is not None and link.is_established:
            link.release()

    def _associate(self, image: Any) -> Any:
        context = ssl.create_default_context(cadata=self.endpoint.ca_pem)
        entity = AE(ae_title="STREAM")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        entity.connection_timeout = 5
        entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
        where = (self.endpoint.address, self.endpoint.dicom_port)
        link = entity.associate(*where, ae_title=self.endpoint.aet, tls_args=(context, self.endpoint.dicom_host))
        if not link.is_established:
            self.faults.append(f"{time.strftime('%H:%M:%S')} no association")
        return link

    def _sent(self, link: Any, image: Any) -> bool:
        try:
            status = link.send_c_store(image)
        except (RuntimeError, ValueError) as error:
            self.faults.append(f"{time.strftime('%H:%M:%S')} {error}")
            return False
        good = getattr(status, "Status", None) == 0x0000
        if not good:
            self.faults.append(f"{time.strftime('%H:%M:%S')} status {getattr(status, 'Status', 'none')}")
        return good
