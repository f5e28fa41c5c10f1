"""F7: a real Orthanc on a real PostgreSQL that goes away, with the scripts of its container beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from pynetdicom import AE

from tests.verify_doubles.orthanc import USER, Orthanc
from tests.verify_doubles.postgres import Postgres, storing

SCRIPTS = Path(__file__).parents[3] / "helm" / "orthanc" / "files"
TERMINATED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'orthanc'"
)


@dataclass
class Pod:
    """Orthanc and its database, with the scripts beside orthanc.json as in the container."""

    orthanc: Orthanc
    database: Postgres

    @property
    def env(self) -> dict[str, str]:
        own = {"PROBE_USER": USER, "PROBE_VARIABLE": "WORD", "WORD": self.orthanc.password}
        return {**os.environ, **own, "TMPDIR": str(self.orthanc.folder)}

    def watched(self) -> subprocess.Popen[bytes]:
        """Start watch.sh, which sees the connections before anything happens to them."""
        with (self.orthanc.folder / "watch.log").open("wb") as log:
            child = subprocess.Popen(self.argv("watch.sh"), env=self.env, stdout=log, stderr=log)
        time.sleep(0.7)
        return child

    def argv(self, script: str) -> list[str]:
        return ["bash", str(self.orthanc.folder / script)]

    def ready(self) -> bool:
        """Ask as the probe does."""
        return subprocess.run(self.argv("ready.sh"), env=self.env, capture_output=True, check=False).returncode == 0

    def until_ready(self) -> None:
        end = time.monotonic() + 30
        while not self.ready():
            assert time.monotonic() < end, (self.orthanc.folder / "watch.log").read_text()
            time.sleep(0.1)

    def stored(self, count: int) -> list[int]:
        """Store images over one association; return the status of each."""
        image = dcmread(str(get_testdata_file("CT_small.dcm")))
        image.PatientID = image.StudyInstanceUID = image.SeriesInstanceUID = generate_uid()
        entity = AE()
        entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
        link = entity.associate("127.0.0.1", self.orthanc.dicom, ae_title=self.orthanc.aet)
        seen = []
        for _ in range(count):
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            seen.append(link.send_c_store(image).Status)
        link.release()
        return seen


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    if not shutil.which("apt-get"):
        pytest.skip("PostgreSQL and Orthanc come from Debian's packages")
    folder = tmp_path_factory.mktemp("lost")
    database = Postgres(folder / "postgres")
    try:
        database.make()
        orthanc = storing(folder / "orthanc", database)
        orthanc.start()
        for script in ("ready.sh", "watch.sh"):
            shutil.copy(SCRIPTS / script, orthanc.folder)
        yield Pod(orthanc, database)
        orthanc.stop()
    finally:
        database.stop()


@pytest.fixture
def pod(started: Pod) -> Iterator[Pod]:
    """Give the pod with its watcher, whole and with an image in it."""
    child = started.watched()
    try:
        started.until_ready()
        assert started.stored(1) == [0]
        yield started
    finally:
        child.kill()
        child.wait()


def test_F7_without_the_watcher_every_connection_refuses_an_image(started: Pod) -> None:
    """F7: the control. Five connections of the index and one of the images are lost: six images are refused."""
    assert started.stored(8) == [0] * 8
    started.database.sql(TERMINATED)
    assert started.stored(8) == [0xA700] * 6 + [0, 0]


def test_F7_terminated_backends_cost_no_image(pod: Pod) -> None:
    """F7: the server is there all the time, and ended the connections."""
    for _ in range(2):
        pod.database.sql(TERMINATED)
        time.sleep(1)
        pod.until_ready()
        assert pod.stored(8) == [0] * 8


def test_F7_some_connections_cut_cost_no_image(pod: Pod) -> None:
    """F7: as an idle time-out on the way does it, which ends some and leaves those in use."""
    pod.database.sql(f"{TERMINATED} AND pid % 2 = 0")
    time.sleep(1)
    pod.until_ready()
    assert pod.stored(8) == [0] * 8


def test_F7_an_idle_time_out_finds_no_idle_connection(pod: Pod) -> None:
    """F7: the probe uses every connection, here more often than the server's idle time-out allows none to be used."""
    sessions = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'orthanc' ORDER BY 1"
    pod.database.sql("ALTER ROLE orthanc SET idle_session_timeout = '3s'")
    try:
        pod.database.sql(TERMINATED)
        time.sleep(0.5)
        pod.until_ready()
        before = pod.database.sql(sessions).split()
        for _ in range(4):
            pod.until_ready()
            time.sleep(2)
        assert pod.database.sql(sessions).split() == before
        assert len(before) == 6
    finally:
        pod.database.sql("ALTER ROLE orthanc RESET idle_session_timeout")
        pod.database.sql(TERMINATED)


def test_F7_a_restarted_server_costs_no_image(pod: Pod) -> None:
    """F7: not Ready while it is away, and no image is refused after."""
    pod.database.stop()
    try:
        time.sleep(0.7)
        assert not pod.ready()
        time.sleep(2)
        assert not pod.ready()
    finally:
        pod.database.start()
    pod.until_ready()
    assert pod.stored(8) == [0] * 8


def test_F7_an_empty_archive_takes_its_first_image(pod: Pod) -> None:
    """F7: where nothing is stored, nothing can be read to use the connection of the images."""
    pod.orthanc.forget_all()
    pod.database.sql(TERMINATED)
    time.sleep(1)
    pod.until_ready()
    assert pod.stored(8) == [0] * 8


def test_F7_a_damaged_image_does_not_take_the_pod_away(pod: Pod) -> None:
    """F7: readiness reads an image, but what it asks is whether the database is there."""
    pod.database.sql("UPDATE attachedfiles SET compressedHash = md5('another'), uncompressedHash = md5('another')")
    # the watcher may have counted the connection of that statement, and miss it
    pod.until_ready()


def test_F7_pods_that_store_at_once_refuse_no_image(started: Pod) -> None:
    """F7: a transaction that ran into another pod's is repeated, more often than such things happen in a row."""
    more = [storing(started.orthanc.folder.parent / f"more-{number}", started.database) for number in range(2)]
    pods = [started, *(Pod(orthanc, started.database) for orthanc in more)]
    try:
        for orthanc in more:
            orthanc.start()
        with ThreadPoolExecutor(12) as senders:
            answers = [answer for some in senders.map(lambda pod: pod.stored(15), pods * 4) for answer in some]
        logs = "".join((pod.orthanc.folder / "log").read_text() for pod in pods)
    finally:
        for orthanc in more:
            orthanc.stop()
    assert "could not serialize access" in logs
    assert answers == [0] * 180
