"""What came back by WADO-RS: taken out of its multipart answer onto disk, and compared with what was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from korthweb_tasks.verify.check_context import quiet_dicom
from korthweb_tasks.verify.dicom import dicomfile
from korthweb_tasks.verify.dicom.dicomfile import Unreadable
from korthweb_tasks.verify.dicom.images import Image
from korthweb_tasks.verify.model import Broken

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_END_OF_HEAD = b"\r\n\r\n"
#: what may stand after the last boundary
_ROOM = 16


@contextmanager
def of_answer(content_type: str, chunks: Iterable[bytes]) -> Iterator[BinaryIO]:
    """Give the one file of a multipart answer; a large one is on disk. Raises Broken for anything else."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/related") or not boundary:
        raise Broken(f"WADO answers with {content_type or 'no content type'}, not with multipart/related")
    with SpooledTemporaryFile(max_size=dicomfile.IN_MEMORY) as file:
        head = b""
        for chunk in chunks:
            if file.tell() or _END_OF_HEAD in head:
                file.write(chunk)
            elif _END_OF_HEAD in (head := head + chunk):
                file.write(head.split(_END_OF_HEAD, 1)[1])
        _cut_at_end(file, b"\r\n--" + boundary[1].encode("ascii") + b"--")
        yield cast(BinaryIO, file)


def _cut_at_end(file: SpooledTemporaryFile[bytes], mark: bytes) -> None:
    begin = max(0, file.tell() - len(mark) - _ROOM)
    file.seek(begin)
    at = file.read().rfind(mark)
    if at < 0:
        raise Broken("WADO does not give a whole file: the answer ends before its last boundary")
    file.truncate(begin + at)
    file.seek(0)


def compare(image: Image, file: BinaryIO) -> None:
    """Raise Broken unless ``file`` is just this instance, with the same encoding and the same bytes that count."""
    try:
        with quiet_dicom(), dicomfile.contents(file) as (dataset, syntax, sop_class):
            layout = dicomfile.layout_of(dataset, syntax, sop_class)
            digest, size = dicomfile.digest_of(dataset, layout)
    except Unreadable as error:
        raise Broken(f"what WADO gives for {image.source} is not one DICOM file: {error}") from error
    if layout.texts.get(dicomfile.SOP_INSTANCE) != image.instance:
        raise Broken(f"WADO gives another instance than {image.source}")
    if layout.syntax != image.transfer_syntax:
        raise Broken(f"{image.source} was sent as {image.transfer_syntax} and comes back as {layout.syntax}")
    if digest != image.digest:
        what = "pixel data" if layout.pixels else "values"
        raise Broken(f"the {what} of {image.source} differ: {image.size} bytes were sent, {size} came back")
