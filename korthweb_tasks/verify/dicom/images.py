"""The instances that are sent: real ones, under identifiers of this run only."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import pydicom.data
from pydicom.uid import UID, generate_uid

from korthweb_tasks.errors import UsageError
from korthweb_tasks.verify.check_context import quiet_dicom
from korthweb_tasks.verify.dicom import dicomfile
from korthweb_tasks.verify.dicom.dicomfile import Layout, Unreadable

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
HINT = "--study takes a folder of DICOM files"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One instance to send, image or not. ``digest`` and ``size`` (bytes) are of what is compared (dicomfile)."""

    source: str
    path: Path
    patient: str
    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    digest: str
    size: int
    length: int

    def write(self, target: Path) -> None:
        """Write it with its identifiers of this run, as a DICOM file."""
        with dicomfile.opened(self.path) as (file, syntax, sop_class), target.open("wb") as out:
            layout = dicomfile.layout_of(file, syntax, sop_class)
            dicomfile.write(out, file, layout, self.identifiers)

    @property
    def identifiers(self) -> dict[int, str]:
        """Return what is given anew, by tag."""
        return {
            dicomfile.SOP_CLASS: self.sop_class,
            dicomfile.SOP_INSTANCE: self.instance,
            dicomfile.PATIENT_NAME: "Korthweb^Verify",
            dicomfile.PATIENT_ID: self.patient,
            dicomfile.STUDY: self.study,
            dicomfile.SERIES: self.series,
        }

    @property
    def kind(self) -> tuple[str, str]:
        """Return SOP class and transfer syntax, which is what an association is asked for."""
        return self.sop_class, self.transfer_syntax


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not sent, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class SentImages:
    """What one run sends; ``patient`` is the PatientID that only this run uses."""

    patient: str
    images: tuple[Image, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def studies(self) -> tuple[str, ...]:
        """Return the StudyInstanceUIDs."""
        return tuple(dict.fromkeys(image.study for image in self.images))

    @property
    def size(self) -> int:
        """Return the bytes that are compared: pixel data, and whole datasets where there are none."""
        return sum(image.size for image in self.images)


def prepare(
    folder: Path | None, mark: str = MARK, most: int | None = None, progress: Callable[[str], None] = lambda _: None
) -> SentImages:
    """Read the instances (ours, or those under ``folder``) and give them identifiers of this run.

    The PatientID begins with ``mark``, which begins with MARK. What has more than ``most`` bytes has no digest, since
    it will not be sent; ``progress`` is told how many files were looked at. Raises UsageError for a folder without
    instances.
    """
    patient = mark + secrets.token_hex(6).upper()
    marked = _Marker(patient, one_study=folder is None, most=most)
    images: list[Image] = []
    left_out: list[LeftOut] = []
    with quiet_dicom():
        for number, (source, path) in enumerate(shipped() if folder is None else under(folder), 1):
            seen = marked.look(source, path)
            images.append(seen) if isinstance(seen, Image) else left_out.append(seen)
            progress(f"{number} files looked at")
    if not images:
        reasons = f": {by_reason(left_out)}" if left_out else ""
        raise UsageError(f"no DICOM instance under {folder}{reasons}", hint=HINT)
    return SentImages(patient, tuple(images), tuple(left_out))


def shipped() -> Iterator[tuple[str, Path]]:
    """Yield the images of pydicom's own wheel."""
    # Not get_testdata_file(), which downloads what is not in the wheel.
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for name in SHIPPED:
        yield name, folder / name


def under(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file under ``folder``; raises UsageError where there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint=HINT)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield str(path.relative_to(folder)), path


def by_reason(left_out: Iterable[LeftOut]) -> str:
    """Return how many files were left out for which reason.

    >>> by_reason([LeftOut("a", "not a DICOM file"), LeftOut("b", "not a DICOM file"), LeftOut("c", "empty")])
    '2 not a DICOM file, 1 empty'
    """
    kinds = Counter(file.reason.partition(":")[0] for file in left_out)
    return ", ".join(f"{count} {reason}" for reason, count in kinds.most_common())


class _Marker:
    """Gives instances new identifiers; those of one study or series stay together."""

    def __init__(self, patient: str, *, one_study: bool, most: int | None) -> None:
        self.patient, self.one_study, self.most = patient, one_study, most
        self._uids: dict[Any, str] = {}

    def look(self, source: str, path: Path) -> Image | LeftOut:
        """Look at a file: what is to be sent, or why it is not."""
        try:
            with dicomfile.opened(path) as (file, syntax, sop_class):
                return self._marked(source, path, file, dicomfile.layout_of(file, syntax, sop_class))
        except Unreadable as error:
            return LeftOut(source, str(error))
        except OSError as error:
            return LeftOut(source, error.strerror or type(error).__name__)

    def _marked(self, source: str, path: Path, file: BinaryIO, layout: Layout) -> Image:
        texts = layout.texts
        study = "all" if self.one_study else texts.get(dicomfile.STUDY, "")
        series = (study, texts.get(dicomfile.SERIES, source), texts.get(dicomfile.MODALITY, ""))
        length = layout.end - layout.begin
        sent = self.most is None or length <= self.most
        digest, size = dicomfile.digest_of(file, layout) if sent else ("", 0)
        return Image(
            source=source,
            path=path,
            patient=self.patient,
            study=self._fresh(study),
            series=self._fresh(series),
            instance=self._fresh(object()),
            sop_class=texts[dicomfile.SOP_CLASS],
            transfer_syntax=layout.syntax,
            digest=digest,
            size=size,
            length=length,
        )

    def _fresh(self, key: Any) -> str:
        # prefix None: a UID made of a random UUID (2.25.…), which needs no registered root
        return self._uids.setdefault(key, str(generate_uid(prefix=None)))


def with_new_instance(image: Image) -> Image:
    """Return the same as another instance of its series."""
    return replace(image, instance=str(generate_uid(prefix=None)))


def transfer_syntaxes(images: Iterable[Image]) -> list[str]:
    """Return the names of the encodings, each once."""
    return list(dict.fromkeys(UID(image.transfer_syntax).name for image in images))
