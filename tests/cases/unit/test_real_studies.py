"""F15, F16: folders as archives have them, sent by `verify --study` to a real Orthanc as the bytes that they are."""

from __future__ import annotations

import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.verify.dicom import association, dicomfile, storing
from korthweb_tasks.verify.dicom.images import SentImages, prepare
from korthweb_tasks.verify.dicom.storing import PENDING, SLOWEST, _Paced
from korthweb_tasks.verify.limits import largest
from tests.verify_doubles.gateway import Faults
from tests.verify_doubles.orthanc import Orthanc, started
from tests.verify_doubles.pki import Authority
from tests.verify_doubles.site import QUICK, LadderResult, Site, red, rung

TEST_FILES = Path(pydicom.data.__file__).parent / "test_files"
AUTHORITY = Authority()
DICOM_ONLY = replace(QUICK, only=("pixels", "clean"))


@pytest.fixture(scope="module")
def orthanc(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    server.start()
    yield server
    server.stop()


def checked(orthanc: Orthanc, study: Path, **options: Any) -> LadderResult:
    return Site(orthanc, AUTHORITY).check(replace(DICOM_ONLY, study=study, **options))


def test_F15_pydicoms_whole_folder_of_test_files(orthanc: Orthanc) -> None:
    """F15: what DICOM allows is sent and comes back the same, the rest is named, and the sum is that of the files."""
    result = checked(orthanc, TEST_FILES)
    assert red(result) == []
    stored = rung(result, "store")
    files = sum(path.is_file() for path in TEST_FILES.rglob("*"))
    sent, left_out = int(stored.measures["images"]), int(stored.measures["left_out"])
    assert sent + left_out == files
    assert sent >= 151
    assert stored.detail.startswith(f"{sent} of {files} files sent; {left_out} left out (")
    assert len(stored.notes) == left_out
    assert "rtplan_truncated.dcm: left out: cut off: 265 bytes of (300A,00B0) are missing" in stored.notes
    assert rung(result, "pixels").detail.startswith(f"{sent} images identical")
    assert orthanc.counts() == (0, 0)


def bytes_of(source: str) -> bytes:
    return (TEST_FILES / source).read_bytes()


def dataset_of(source: str) -> bytes:
    """Return a file without preamble and file meta."""
    data = bytes_of(source)
    return data[144 + int.from_bytes(data[140:144], "little") :]


def odd() -> bytes:
    """Return an image of explicit VR whose pixel data have an odd length."""
    data = bytes_of("MR_small.dcm")
    at = data.index(b"\xe0\x7f\x10\x00OW") + 8
    length = int.from_bytes(data[at : at + 4], "little") - 1
    return data[:at] + length.to_bytes(4, "little") + data[at + 4 : at + 4 + length]


def with_group_lengths() -> bytes:
    """Return an image with the group lengths of old files, which will not be true any more."""
    data = bytes_of("MR_small.dcm")
    begin = 144 + int.from_bytes(data[140:144], "little")
    return data[:begin] + b"\x08\x00\x00\x00UL\x04\x00\x10\x00\x00\x00" + data[begin:]


def deflated() -> bytes:
    data = bytes_of("image_dfl.dcm")
    begin = 144 + int.from_bytes(data[140:144], "little")
    whole = zlib.decompress(data[begin:], -zlib.MAX_WBITS)
    pack = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return data[:begin] + pack.compress(whole) + pack.flush()


FILES = {
    "no pixels: plan": bytes_of("rtplan.dcm"),
    "no pixels: structures": bytes_of("rtstruct.dcm"),
    "no pixels: report": bytes_of("test-SR.dcm"),
    "no pixels: ECG": bytes_of("waveform_ecg.dcm"),
    "no preamble": bytes_of("MR_small.dcm")[132:],
    "no file meta, explicit": dataset_of("MR_small.dcm"),
    "no file meta, implicit": dataset_of("MR_small_implicit.dcm"),
    "no file meta, big endian": dataset_of("MR_small_expb.dcm"),
    "odd pixel data": odd(),
    "group lengths": with_group_lengths(),
    "deflated": deflated(),
    "a VR that nobody knows": bytes_of("badVR.dcm"),
}


def test_F15_every_kind_of_file_is_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    """F15: with or without pixels, preamble and file meta; what pydicom could not encode again goes as it is."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    result = checked(orthanc, tmp_path)
    assert rung(result, "store").notes == ()
    assert rung(result, "store").measures["images"] == len(FILES)
    assert red(result) == []


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"no image" * 100, "not a DICOM file"),
    "gzip": (bytes_of("zipMR.gz"), "not a DICOM file"),
    "cut off": (bytes_of("MR_small.dcm")[:-300], "cut off: 162 bytes of (7FE0,0010) are missing"),
    "index": (bytes_of("dicomdirtests/DICOMDIR"), "DICOMDIR: an index of files, not an instance"),
    "class": (bytes_of("nested_priv_SQ.dcm"), "no SOP Class UID"),
    "deflate": (bytes_of("image_dfl.dcm")[:400] + b"\xff" * 400, "unreadable: its deflated dataset"),
    "implicit": (
        bytes_of("SC_rgb_jpeg.dcm"),
        "malformed: its elements have no VR, which every compressed transfer syntax demands",
    ),
    "compressed": (
        bytes_of("MR_small_RLE.dcm").replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0", 1),
        "malformed: compressed pixel data under a transfer syntax for others",
    ),
    "meta alone": (bytes_of("MR_small.dcm")[:200], "cut off: nothing follows its file meta"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_F15_what_can_not_be_sent_is_named_with_its_reason(name: str, tmp_path: Path) -> None:
    """F15: a broken file is no fault of Orthanc's, and the others are sent."""
    data, reason = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "whole").write_bytes(bytes_of("MR_small.dcm"))
    found = prepare(tmp_path)
    assert [one.source for one in found.images] == ["whole"]
    assert [one.source for one in found.left_out] == [name]
    assert found.left_out[0].reason.startswith(reason)


def test_F15_a_file_that_nobody_may_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F15: the operating system's reason is told, too."""
    (tmp_path / "theirs").write_bytes(b"")
    (tmp_path / "whole").write_bytes(bytes_of("MR_small.dcm"))
    opening = Path.open

    def guarded(path: Path, *words: Any, **more: Any) -> Any:
        if path.name == "theirs":
            raise PermissionError(13, "Permission denied")
        return opening(path, *words, **more)

    monkeypatch.setattr(Path, "open", guarded)
    assert [one.reason for one in prepare(tmp_path).left_out] == ["Permission denied"]


def test_F15_no_bytes_but_the_identifiers_are_new(tmp_path: Path) -> None:
    """F15: a private element after the identifiers, and what pydicom can't make sense of, is there as it was."""
    (tmp_path / "badVR.dcm").write_bytes(bytes_of("badVR.dcm"))
    found: SentImages = prepare(tmp_path)
    found.images[0].write(tmp_path / "sent")
    before, after = bytes_of("badVR.dcm"), (tmp_path / "sent").read_bytes()
    assert after.endswith(before[before.index(b"\x20\x00\x11\x00") :])
    assert found.patient.encode() in after
    assert found.patient.encode() not in before


def three(folder: Path) -> Path:
    """Write three images, of which the second is the large one."""
    for name in ("1-small", "3-small"):
        (folder / name).write_bytes(bytes_of("MR_small.dcm"))
    large(folder / "2-large", 3 * MEGABYTE)
    return folder


def test_F15_a_file_at_which_the_connection_ends_ends_nothing_else(orthanc: Orthanc, tmp_path: Path) -> None:
    """F15: it is tried by itself, it is told whose fault it is, and the files after it are sent and read back."""
    faults = Faults(most=MEGABYTE)
    result = Site(orthanc, AUTHORITY, dicom_faults=faults).check(
        replace(DICOM_ONLY, study=three(tmp_path), timeout=1.0)
    )
    assert red(result) == ["store"]
    stored = rung(result, "store")
    assert stored.detail.startswith(
        "2 of 3 files sent; 1 not taken by Orthanc or the gateway: 2-large: the association"
    )
    assert "C-ECHO is answered" in stored.notes[0]
    assert rung(result, "pixels").detail.startswith("2 images identical")
    assert orthanc.counts() == (0, 0)


def test_F15_a_network_that_is_gone_is_not_called_orthancs_fault(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F15: what was not tried any more is counted, too."""
    asked, left = association.association, iter(range(2))

    def until_it_is_gone(check: Any, ask: Any) -> Any:
        return asked(check if next(left, None) is not None else replace(check, endpoint=nobody(check)), ask)

    monkeypatch.setattr(storing, "association", until_it_is_gone)
    faults = Faults(most=MEGABYTE)
    result = Site(orthanc, AUTHORITY, dicom_faults=faults).check(
        replace(DICOM_ONLY, study=three(tmp_path), timeout=1.0)
    )
    stored = rung(result, "store")
    assert stored.detail.startswith("1 of 3 files sent; 2 not taken by the network or the gateway: 2-large")
    assert stored.notes[1].startswith(
        "3-small: not sent, by fault of the network or the gateway: not tried: there is no"
    )


def nobody(check: Any) -> Any:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return replace(check.endpoint, dicom_port=held.getsockname()[1])


def test_F15_what_orthanc_does_not_take_is_told_and_the_rest_is_sent(packages: Path, tmp_path: Path) -> None:
    """F15: an encoding that it does not accept, by the name of the encoding and of the setting."""
    study = tmp_path / "study"
    study.mkdir()
    for name in ("MR_small_RLE.dcm", "MR_small_implicit.dcm"):
        (study / name).write_bytes(bytes_of(name))
    with started(tmp_path) as start:
        result = checked(start(AcceptedTransferSyntaxes=["1.2.840.10008.1.2"]), study)
    assert red(result) == ["store"]
    stored = rung(result, "store")
    assert stored.detail == (
        "1 of 2 files sent; 1 not taken by Orthanc: MR_small_RLE.dcm: it does not take MR Image Storage in RLE Lossless"
    )
    assert stored.hint == "orthanc.config: AcceptedTransferSyntaxes"
    assert rung(result, "pixels").status == "passed"


MEGABYTE = 1_000_000


def large(path: Path, size: int) -> Path:
    """Write an image of ``size`` bytes of pixel data."""
    data = bytes_of("MR_small.dcm")
    at = data.index(b"\xe0\x7f\x10\x00OW") + 8
    with path.open("wb") as file:
        file.write(data[:at] + size.to_bytes(4, "little"))
        file.seek(size - 1, 1)
        file.write(b"\1")
    return path.parent


def traced(run: Callable[[], LadderResult]) -> tuple[LadderResult, int]:
    """Return what came of it, and the bytes that Python had at the most."""
    tracemalloc.start()
    try:
        return run(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_F16_a_large_instance_is_never_in_memory(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F16: neither while it is looked at, nor while it is sent, nor when it comes back (700 MB took 87 MB in all)."""
    monkeypatch.setattr(dicomfile, "IN_MEMORY", MEGABYTE)
    study = large(tmp_path / "large.dcm", 16 * MEGABYTE)
    slow = Site(orthanc, AUTHORITY, dicom_faults=Faults(pause=0.005))
    result, peak = traced(lambda: slow.check(replace(DICOM_ONLY, study=study)))
    assert red(result) == []
    assert rung(result, "store").measures["bytes"] == 16 * MEGABYTE
    assert peak < 9 * MEGABYTE


def test_F16_what_orthanc_can_not_take_is_refused_before_anything_is_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    """F16: the small one beside it is not sent either, and the sentence names size, limit, reason and setting."""
    (tmp_path / "small.dcm").write_bytes(bytes_of("MR_small.dcm"))
    study = large(tmp_path / "large.dcm", 2200 * MEGABYTE)  # a hole in the file system
    settings = Settings()
    limit = largest(settings, orthanc_json(settings, settings.tenants[0]))
    result = checked(orthanc, study, largest=limit)
    broken = result.broken
    assert broken
    assert broken.name == "store"
    assert broken.detail == (
        "large.dcm has 2200 MB, more than the 470 MB that Orthanc can take in one instance (its memory limit is "
        "2048 MiB, and it has 4 copies while it stores); 1 such of 2 files; nothing was sent"
    )
    assert broken.hint == "orthanc.resources.limits.memory: 4 times the largest instance, and 256Mi"
    assert orthanc.counts() == (0, 0)


@pytest.mark.parametrize(
    ("memory", "storage", "size"),
    [("2Gi", True, 469762048), ("", True, 2**31 - 1), ("32Gi", True, 2**31 - 1), ("32Gi", False, 8522825728)],
)
def test_F16_the_limit_follows_the_settings(memory: str, storage: bool, size: int) -> None:
    """F16: Orthanc's memory, and a large object in PostgreSQL."""
    resources = {"requests": {"cpu": "250m", "memory": "1Gi"}, **({"limits": {"memory": memory}} if memory else {})}
    settings = Settings.model_validate({"orthanc": {"resources": resources}})
    found = largest(settings, {"PostgreSQL": {"EnableStorage": storage}})
    assert found
    assert found.size == size


def test_F16_an_instance_has_the_time_that_its_size_takes() -> None:
    """F16: what waits for an answer does not give up on 700 MB as on a slice of CT."""
    assert 15 + 700 * MEGABYTE / SLOWEST > 300


def test_F16_a_connection_that_takes_nothing_any_more_ends_the_sending() -> None:
    """F16: few PDUs wait at one time, and none for ever."""
    paced = _Paced(0.05)
    for number in range(PENDING + 3):
        paced.put(number)
    assert paced.qsize() == PENDING
    assert paced.stalled
