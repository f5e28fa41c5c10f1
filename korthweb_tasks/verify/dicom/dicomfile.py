"""A DICOM file as the bytes it is: its encoding, where its elements lie, what is compared, and other identifiers.

Nothing is decoded and encoded again: what pydicom could not write stays as it is, and pixel data are never in memory.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

SOP_CLASS, SOP_INSTANCE, MODALITY = 0x00080016, 0x00080018, 0x00080060
PATIENT_NAME, PATIENT_ID, STUDY, SERIES = 0x00100010, 0x00100020, 0x0020000D, 0x0020000E
#: what is read of a file, and (but for the modality) given anew
NAMED = (SOP_CLASS, SOP_INSTANCE, MODALITY, PATIENT_NAME, PATIENT_ID, STUDY, SERIES)
VRS = {PATIENT_NAME: b"PN", PATIENT_ID: b"LO"}
#: integer, float and double pixel data: an object has one of them or none
PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
TRAILING_PADDING = 0xFFFCFFFC
UNDEFINED = 0xFFFFFFFF
IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
DICOMDIR = "1.2.840.10008.1.3.10"
PREAMBLE = 128
#: values beyond this are left on disk while a file is looked at; chunks to copy and to hash; what may be in memory
SMALL, CHUNK, IN_MEMORY = 1024, 1 << 20, 16 << 20
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


class Unreadable(Exception):
    """A file that can't be sent, with the reason."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the outermost level: from ``start`` (its tag) and ``value`` (its first byte) to ``end``."""

    tag: int
    start: int
    value: int
    end: int
    undefined: bool = False

    @property
    def length(self) -> int:
        """Return how many bytes its value has."""
        return self.end - self.value


@dataclass(frozen=True, slots=True)
class Layout:
    """What one look at a file tells. Offsets are those of the file, of a deflated one those of what it holds."""

    syntax: str
    begin: int
    end: int
    implicit: bool
    little: bool
    elements: tuple[Element, ...]
    texts: Mapping[int, str]

    @property
    def pixels(self) -> Element | None:
        """Return the pixel data."""
        return next((element for element in self.elements if element.tag in PIXELS), None)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, str, str]]:
    """Give the contents of a file, as ``contents`` does."""
    with path.open("rb") as file, contents(file) as whole:
        yield whole


@contextmanager
def contents(file: BinaryIO) -> Iterator[tuple[BinaryIO, str, str]]:
    """Give a file where its dataset begins (of a deflated one: what it holds), its transfer syntax and SOP class.

    Transfer syntax and SOP class are those that the file meta names, "" where it does not. Raises Unreadable.
    """
    syntax, sop_class = _meta(file)
    if syntax != DEFLATED:
        yield file, syntax, sop_class
        return
    with _inflated(file) as whole:
        yield whole, syntax, sop_class


def _meta(file: BinaryIO) -> tuple[str, str]:
    """Read the file meta, if there is one, and stop where the dataset begins."""
    head = file.read(PREAMBLE + 4)
    if head[PREAMBLE:] != b"DICM":
        file.seek(0)
        if head[:2] != b"\x02\x00":  # neither a preamble nor elements of the file meta
            return "", ""
    try:
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        return str(meta.get("TransferSyntaxUID", "")), str(meta.get("MediaStorageSOPClassUID", ""))
    except Exception as error:
        raise Unreadable(f"unreadable: its file meta: {error}") from error


@contextmanager
def _inflated(file: BinaryIO) -> Iterator[BinaryIO]:
    with SpooledTemporaryFile(max_size=IN_MEMORY) as whole:
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            while data := file.read(CHUNK):
                whole.write(unpack.decompress(data))
            whole.write(unpack.flush())
        except zlib.error as error:
            raise Unreadable(f"unreadable: its deflated dataset: {error}") from error
        whole.seek(0)
        yield cast(BinaryIO, whole)


def layout_of(file: BinaryIO, syntax: str, sop_class: str) -> Layout:
    """Look at the dataset that begins where ``file`` is. Raises Unreadable for what is not a whole instance."""
    begin = file.tell()
    end = file.seek(0, 2)
    file.seek(begin)
    implicit, little = _encoding(file.read(8))
    file.seek(begin)
    known = bool(syntax or begin)
    elements, texts = _elements(file, end, implicit, little, known=known)
    if known and not elements:
        raise Unreadable("cut off: nothing follows its file meta")
    texts = {SOP_CLASS: sop_class, **texts} if sop_class else texts
    if not _UID.fullmatch(texts.get(SOP_CLASS, "")):
        raise Unreadable("no SOP Class UID" if known else "not a DICOM file" if end else "empty")
    if texts[SOP_CLASS] == DICOMDIR:
        raise Unreadable("DICOMDIR: an index of files, not an instance")
    if not syntax or syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN):
        # what it is, whatever the file says of itself
        syntax = IMPLICIT if implicit else EXPLICIT if little else BIG_ENDIAN
        if any(element.tag in PIXELS and element.undefined for element in elements):
            raise Unreadable("malformed: compressed pixel data under a transfer syntax for others")
    elif implicit:
        raise Unreadable("malformed: its elements have no VR, which every compressed transfer syntax demands")
    return Layout(syntax, begin, end, implicit, little, elements, texts)


def _encoding(head: bytes) -> tuple[bool, bool]:
    """Return whether the first element has no VR, and whether its numbers are little-endian."""
    if not re.fullmatch(rb"[A-Z]{2}", head[4:6]):
        return True, True
    return False, int.from_bytes(head[:2], "little") < 0x0400


def _elements(
    file: BinaryIO, end: int, implicit: bool, little: bool, *, known: bool
) -> tuple[tuple[Element, ...], dict[int, str]]:
    elements: list[Element] = []
    texts: dict[int, str] = {}
    after = file.tell()
    try:
        for element in data_element_generator(file, implicit, little, defer_size=SMALL):
            tag, start, after = int(element.tag), after, file.tell()
            if not isinstance(element, RawDataElement):  # a sequence of undefined length
                elements.append(Element(tag, start, element.file_tell or start, after))
                continue
            undefined, value = element.length == UNDEFINED, element.value_tell
            if not undefined and (missing := value + element.length - end) > 0:
                cut_off = f"cut off: {missing} bytes of ({tag >> 16:04X},{tag & 0xFFFF:04X}) are missing"
                raise Unreadable(cut_off if known else "not a DICOM file")
            elements.append(Element(tag, start, value, after, undefined))
            if tag in NAMED:
                texts[tag] = (element.value or b"").decode("ascii", "replace").strip(" \0")
    except Unreadable:
        raise
    except EOFError as error:
        raise Unreadable("cut off: it ends in the middle of a sequence") from error
    except Exception as error:
        raise Unreadable(f"unreadable: {error}" if known else "not a DICOM file") from error
    if after < end and known:
        raise Unreadable(f"unreadable: from byte {after} of {end} on")
    return tuple(elements), texts


def digest_of(file: BinaryIO, layout: Layout) -> tuple[str, int]:
    """Return the SHA-256 and the size of what is compared: the pixel data as encoded, else all values but identifiers.

    Where an object has no pixel data, sequences count by what is in them, since there are several ways to write them.
    """
    digest = hashlib.sha256()
    if pixels := layout.pixels:
        for chunk in _chunks(file, pixels.value, pixels.end):
            digest.update(chunk)
        digest.update(b"\0" * (pixels.length % 2))
        return digest.hexdigest(), pixels.length + pixels.length % 2

    file.seek(layout.begin)
    for line in _values(read_dataset(file, layout.implicit, layout.little), outermost=True):
        digest.update(line)
    return digest.hexdigest(), layout.end - layout.begin


def _values(dataset: Dataset, *, outermost: bool = False) -> Iterator[bytes]:
    for tag in sorted(dataset.keys()):
        if tag.element == 0 or tag == TRAILING_PADDING or (outermost and tag in NAMED and tag != MODALITY):
            continue
        value = dataset.get_item(tag).value  # as it is in the file, until the element is asked for
        items = _items(dataset, tag)
        if items is None:
            yield b"%08X" % tag + (value if isinstance(value, bytes) else str(value).encode()).rstrip(b" \0")
            continue
        yield b"%08X[" % tag
        for item in items:
            yield from _values(item)
            yield b"/"
        yield b"]"


def _items(dataset: Dataset, tag: int) -> list[Dataset] | None:
    """Return the items of a sequence, and None for any other element."""
    try:
        element = dataset[tag]
        return list(element.value) if element.VR == "SQ" else None
    except Exception:  # noqa: BLE001 - whatever pydicom can't make of a value is compared as bytes
        return None


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end and (data := file.read(min(CHUNK, end - start))):
        start += len(data)
        yield data


def write(out: BinaryIO, file: BinaryIO, layout: Layout, identifiers: Mapping[int, str]) -> None:
    """Write a whole DICOM file with other identifiers."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(identifiers[SOP_CLASS])
    meta.MediaStorageSOPInstanceUID = UID(identifiers[SOP_INSTANCE])
    meta.TransferSyntaxUID = UID(layout.syntax)
    out.write(b"\0" * PREAMBLE + b"DICM")
    write_file_meta_info(DicomFileLike(out), meta, enforce_standard=True)
    pack = zlib.compressobj(wbits=-zlib.MAX_WBITS) if layout.syntax == DEFLATED else None
    for data in changed(file, layout, identifiers):
        out.write(pack.compress(data) if pack else data)
    out.write(pack.flush() if pack else b"")
    out.write(b"\0" * (out.tell() % 2))  # messages have an even number of bytes


def changed(file: BinaryIO, layout: Layout, identifiers: Mapping[int, str]) -> Iterator[bytes]:
    """Yield the dataset with other identifiers: these elements alone are new, and every other byte is as it was."""
    todo = sorted(identifiers.items())
    # the length of a group, which old files have, would not be true any more
    groups = {tag & 0xFFFF0000 for tag in identifiers}
    kept = layout.begin
    for element in layout.elements:
        if (todo and todo[0][0] <= element.tag) or element.tag in identifiers or element.tag in groups:
            yield from _chunks(file, kept, element.start)
            while todo and todo[0][0] <= element.tag:
                yield _element(layout, *todo.pop(0))
            gone = element.tag in identifiers or element.tag in groups
            kept = element.end if gone else element.start
    if (pixels := layout.pixels) and pixels.length % 2:
        # some write pixel data as they are; their length has to be even
        yield from _chunks(file, kept, pixels.value - 4)
        yield struct.pack("<L" if layout.little else ">L", pixels.length + 1)
        yield from _chunks(file, pixels.value, pixels.end)
        yield b"\0"
        kept = pixels.end
    yield from _chunks(file, kept, layout.end)
    yield from (_element(layout, *identifier) for identifier in todo)


def _element(layout: Layout, tag: int, text: str) -> bytes:
    vr = VRS.get(tag, b"UI")
    value = text.encode("ascii")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    order = "<" if layout.little else ">"
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if layout.implicit:
        return head + struct.pack(f"{order}L", len(value)) + value
    return head + vr + struct.pack(f"{order}H", len(value)) + value
