"""The images that are sent: real ones, under identifiers of this run only."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.errors import UsageError
from korthweb_tasks.verify.climb import quiet_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Files inside pydicom's wheel, which need no download: CT and MR plain, big-endian, RLE, JPEG-LS, JPEG 2000,
#: colour, a palette, and 30 frames of JPEG.
SHIPPED = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)
#: Every PatientID of a verification begins so, and so can be told from a patient's.
MARK = "KORTHWEB-VERIFY-"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One image to send; ``digest`` is of its pixel data as encoded, ``size`` in bytes."""

    source: str
    dataset: Dataset
    study: str
    series: str
    instance: str
    transfer_syntax: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Consignment:
    """What one run sends; ``patient`` is the PatientID that only this run uses."""

    patient: str
    images: tuple[Image, ...]

    @property
    def studies(self) -> tuple[str, ...]:
        """Return the StudyInstanceUIDs."""
        return tuple(dict.fromkeys(image.study for image in self.images))

    @property
    def size(self) -> int:
        """Return the bytes of pixel data."""
        return sum(image.size for image in self.images)


def digest_of(dataset: Dataset) -> str:
    """Return the SHA-256 of the pixel data, byte for byte as it is encoded."""
    return hashlib.sha256(bytes(dataset["PixelData"].value)).hexdigest()


def prepare(folder: Path | None, mark: str = MARK) -> Consignment:
    """Read the images (ours, or those under ``folder``) and give them identifiers of this run.

    The PatientID begins with ``mark``, which begins with MARK. Raises UsageError for a folder without images.
    """
    with quiet_dicom():
        patient = mark + secrets.token_hex(6).upper()
        marked = _Marker(patient, one_study=folder is None)
        found = shipped() if folder is None else under(folder)
        images = tuple(marked(source, dataset) for source, dataset in found)
    if not images:
        raise UsageError(f"no DICOM image under {folder}", hint="--study takes a folder of DICOM files with pixel data")
    return Consignment(patient, images)


def shipped() -> Iterator[tuple[str, Dataset]]:
    """Return the images of pydicom's own wheel."""
    import pydicom.data

    # Not get_testdata_file(), which downloads what is not in the wheel.
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for name in SHIPPED:
        yield name, pydicom.dcmread(folder / name)


def under(folder: Path) -> Iterator[tuple[str, Dataset]]:
    """Return every file under ``folder`` that is a DICOM image with pixel data and a known encoding."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="--study takes a folder of DICOM files with pixel data")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path)
        except (InvalidDicomError, EOFError, ValueError):
            continue
        if "PixelData" in dataset and "SOPClassUID" in dataset and "TransferSyntaxUID" in dataset.file_meta:
            yield str(path.relative_to(folder)), dataset


class _Marker:
    """Gives images new identifiers; images of one study or series stay together."""

    def __init__(self, patient: str, *, one_study: bool) -> None:
        self.patient, self.one_study = patient, one_study
        self._uids: dict[Any, str] = {}

    def __call__(self, source: str, dataset: Dataset) -> Image:
        study = "all" if self.one_study else str(dataset.get("StudyInstanceUID", ""))
        series = (study, str(dataset.get("SeriesInstanceUID", source)), str(dataset.get("Modality", "")))
        dataset.PatientID = self.patient
        dataset.PatientName = "Korthweb^Verify"
        dataset.StudyInstanceUID = self._fresh(study)
        dataset.SeriesInstanceUID = self._fresh(series)
        dataset.SOPInstanceUID = self._fresh(object())
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return Image(
            source,
            dataset,
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
            str(dataset.SOPInstanceUID),
            str(dataset.file_meta.TransferSyntaxUID),
            digest_of(dataset),
            len(bytes(dataset["PixelData"].value)),
        )

    def _fresh(self, key: Any) -> str:
        from pydicom.uid import generate_uid

        # prefix None: a UID made of a random UUID (2.25.…), which needs no registered root
        return self._uids.setdefault(key, str(generate_uid(prefix=None)))


def transfer_syntaxes(images: Iterable[Image]) -> list[str]:
    """Return the names of the encodings, each once."""
    from pydicom.uid import UID

    return list(dict.fromkeys(UID(image.transfer_syntax).name for image in images))
