"""Images per second over 1, 4 and 8 associations, through the ingress and for Orthanc alone, in one run, as ratios.

``python bench/ingest.py manual helm gitops``, in a folder whose ``korthweb.yaml`` is deployed by these approaches, or
one of them. Each row is measured ``ROUNDS`` times in turn with Orthanc alone (SQLite, files, no TLS) on the same
machine, and the median is told. The sender is DCMTK's storescu with ``TCP_NODELAY=1``: it waits for Orthanc, and not
for itself. Wanted: one association at least 0.33, eight at least 0.75 of Orthanc alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

from korthweb_tasks.lab.packages import Debs, Selection
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import resolve
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.endpoints import find_endpoint
from tests.verify_doubles.orthanc import started

IMAGES, ROUNDS, ASSOCIATIONS = 200, 3, (1, 4, 8)
WANTED = {1: 0.33, 8: 0.75}
DCMTK = Selection("trixie", ("dcmtk",))


@dataclass(frozen=True)
class Goal:
    """Where images are sent: storescu's options and arguments."""

    name: str
    options: tuple[str, ...]
    address: str
    port: int


class Sender:
    """storescu, out of Debian's package."""

    def __init__(self) -> None:
        root = Debs().unpack({"dcmtk": DCMTK}) / "dcmtk"
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.argv = (str(next(libraries.glob("ld-linux*.so.*"))), "--library-path", str(libraries))
        self.program = str(root / "usr/bin/storescu")
        self.env = {**os.environ, "DCMDICTPATH": str(root / "usr/share/dcmtk/dicom.dic"), "TCP_NODELAY": "1"}

    def rate(self, goal: Goal, folders: Sequence[Path]) -> float:
        """Send each folder over an association of its own, all at once; return images per second."""
        # --no-halt: an image that is refused is told, and the next one is sent
        where = ("--no-halt", goal.address, str(goal.port), "+sd")
        began = time.perf_counter()
        children = [
            subprocess.Popen(
                (*self.argv, self.program, *goal.options, *where, str(folder)),
                env=self.env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder in folders
        ]
        for child in children:
            said = child.communicate(timeout=600)[1]
            if child.returncode:
                print(f"{goal.name}, {len(folders)}: storescu ended with {child.returncode} {said}", file=sys.stderr)
        return IMAGES / (time.perf_counter() - began)


def slices(folder: Path, parts: int) -> list[Path]:
    """Write CT slices of 0.5 MB with new identifiers, a patient for each association, and return their folders."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.uid import generate_uid

    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    image.Rows = image.Columns = 512
    made = [folder / f"patient-{number}" for number in range(parts)]
    for place in made:
        place.mkdir(parents=True)
        image.PatientID = f"KORTHWEB-VERIFY-{uuid4().hex[:12].upper()}"
        image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
        for number in range(IMAGES // parts):
            image.PixelData = os.urandom(2 * 512 * 512)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            image.save_as(place / f"{number}.dcm")
    return made


def deployed(approach: str, folder: Path) -> Goal:
    """Return the way in of the first tenant of the project."""
    loaded = load()
    kubectl = Kubectl(resolve(loaded))
    endpoint = find_endpoint(Runner().run, kubectl, loaded.settings.tenants[0], approach)
    authority = folder / f"{approach}.pem"
    authority.write_text(endpoint.ca_pem)
    trust = ("+tla", "+cf", str(authority), "--request-sni", endpoint.dicom_host)
    return Goal(f"korthweb {approach}", (*trust, "-aec", endpoint.aet), endpoint.address, endpoint.dicom_port)


def rows(goals: Sequence[Goal], folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Yield each goal with its medians; goals take turns, so that all see the machine alike."""
    sender = Sender()
    seen: dict[tuple[str, int], list[float]] = {}
    for turn in range(ROUNDS):
        for parts in ASSOCIATIONS:
            for goal in goals:
                made = slices(folder / f"{turn}-{parts}-{goals.index(goal)}", parts)
                seen.setdefault((goal.name, parts), []).append(sender.rate(goal, made))
    for goal in goals:
        yield goal.name, [statistics.median(seen[goal.name, parts]) for parts in ASSOCIATIONS]


def main(approaches: Sequence[str]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["TCP_NODELAY"] = "1"  # for Orthanc alone: it and its senders share this environment
        with started(folder / "alone") as start:
            server = start()
            alone = Goal("Orthanc alone", ("-aec", server.aet), "127.0.0.1", server.dicom)
            found = list(rows([alone, *(deployed(one, folder) for one in approaches)], folder))
    limit = found[0][1]
    print("| | " + " | ".join(f"{number} associations" for number in ASSOCIATIONS) + " |")
    print("|---|" + "---|" * len(ASSOCIATIONS))
    for name, rates in found:
        told = (f"{rate:.0f} images/s, {rate / most:.2f}" for rate, most in zip(rates, limit, strict=True))
        print(f"| {name} | " + " | ".join(told) + " |")
    for number, least in WANTED.items():
        print(f"wanted of {number}: at least {least:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
