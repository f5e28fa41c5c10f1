"""The parts of the verification by themselves: old TLS, images, multipart answers, certificates, the tasks' words."""

from __future__ import annotations

import datetime
import io
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from cryptography import x509

from korthweb_tasks.errors import UsageError, VerifyFailed
from korthweb_tasks.report.model import RungRecord
from korthweb_tasks.run.console import Console
from korthweb_tasks.services import verify as services
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.verify.check_context import quiet_dicom
from korthweb_tasks.verify.dicom import images, received, storing
from korthweb_tasks.verify.dicom.images import MARK, SHIPPED, prepare
from korthweb_tasks.verify.ladder import RUNGS
from korthweb_tasks.verify.model import Broken, Options
from korthweb_tasks.verify.options import folder_of
from korthweb_tasks.verify.tls import certificates
from korthweb_tasks.verify.tls import connection as tls
from tests.fakes import put
from tests.verify_doubles.pki import Authority, server_context
from tests.verify_doubles.site import a_study


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Listen once, read a little, send ``answer`` and close; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


SERVER_HELLO = struct.pack("!BHH", 22, 0x0302, 6) + b"\x02\x00\x00\x26"


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (b"", "closed"),
        (b"\x15\x03\x02\x00\x02\x02\x46", "alert 70"),
        (SERVER_HELLO + b"\x03\x02", "accepted"),
        (SERVER_HELLO + b"\x03\x01", "another version"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "record type 72"),
    ],
)
def test_what_a_server_says_to_an_old_version(answer: bytes, meaning: str) -> None:
    with answering(answer) as port:
        assert tls.answer_to_version("127.0.0.1", port, "web.bhc.test", 0x0302, 5) == meaning


@pytest.mark.parametrize("version", [0x0301, 0x0302, 0x0303])
@pytest.mark.parametrize("old", [True, False])
def test_the_hello_made_by_hand_is_one_that_servers_take(version: int, old: bool) -> None:
    """The control of the refusals: a server that allows the version does answer."""
    context = server_context(Authority().leaf("web.bhc.test"), old=old)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        answer = tls.answer_to_version("127.0.0.1", listening.getsockname()[1], "web.bhc.test", version, 5)
        thread.join(5)
    taken = old or version == 0x0303
    assert (answer == "accepted") == taken, answer


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("web.bhc.test", "WEB.bhc.test", True),
        ("*.bhc.test", "web.bhc.test", True),
        ("*.bhc.test", "a.web.bhc.test", False),
        ("*.test", "web.bhc.test", False),
        ("bhc.test", "web.bhc.test", False),
    ],
)
def test_what_a_name_in_a_certificate_covers(pattern: str, host: str, covered: bool) -> None:
    assert certificates.matches(pattern, host) is covered


def test_a_common_name_is_no_name() -> None:
    leaf = x509.load_pem_x509_certificate(Authority().leaf().split(b"-----END PRIVATE KEY-----\n")[1])
    now = datetime.datetime.now(datetime.timezone.utc)
    with pytest.raises(Broken, match="for no name, not for nobody"):
        certificates.judge(leaf, "nobody", now, 7)


def test_shipped_images_are_in_the_wheel_and_of_many_encodings() -> None:
    sent = prepare(None)
    assert [image.source for image in sent.images] == list(SHIPPED)
    assert len({image.transfer_syntax for image in sent.images}) == 8
    assert len({image.sop_class for image in sent.images}) >= 4
    assert len(sent.studies) == 1
    assert not sent.left_out


def test_each_run_has_identifiers_of_its_own() -> None:
    one, other = prepare(None), prepare(None)
    assert one.patient != other.patient
    assert one.patient.startswith(MARK)
    assert len(one.patient) <= 64
    for kind in ("study", "series", "instance"):
        mine, theirs = ({getattr(image, kind) for image in run.images} for run in (one, other))
        assert not mine & theirs
        assert all(re.fullmatch(r"2\.25\.\d+", uid) and len(uid) <= 64 for uid in mine)


def written(image: images.Image, folder: Path) -> pydicom.FileDataset:
    """Return an image as it is sent."""
    image.write(folder / "sent")
    with quiet_dicom():
        return pydicom.dcmread(folder / "sent")


def test_all_but_the_identifiers_is_left_as_it_was(tmp_path: Path) -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for image in prepare(None).images:
        with quiet_dicom():
            before = pydicom.dcmread(folder / image.source)
        after = written(image, tmp_path)
        names = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        assert [after[name].value for name in names] == [
            image.patient, "Korthweb^Verify", image.study, image.series, image.instance
        ]  # fmt: skip
        for name in names:
            del before[name], after[name]
        assert after == before
        assert after.file_meta.MediaStorageSOPInstanceUID == image.instance
        assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID


def test_a_study_of_the_user_keeps_its_order(tmp_path: Path) -> None:
    source = Path(pydicom.data.__file__).parent / "test_files"
    for number, (study, series) in enumerate([("1.1", "1.1.1"), ("1.1", "1.1.1"), ("1.1", "1.1.2"), ("1.2", "1.2.1")]):
        dataset = pydicom.dcmread(source / "MR_small.dcm")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        (tmp_path / f"deep/{number}").mkdir(parents=True)
        dataset.save_as(tmp_path / f"deep/{number}/image")
    (tmp_path / "README.txt").write_text("no image")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "plan.dcm").write_bytes((source / "rtplan.dcm").read_bytes())
    sent = prepare(tmp_path)
    *found, plan = sent.images
    assert [image.source for image in found] == [f"deep/{n}/image" for n in range(4)]
    assert plan.source == "plan.dcm"
    assert {one.source: one.reason for one in sent.left_out} == {
        "README.txt": "not a DICOM file",
        "empty": "empty",
    }
    assert [image.study for image in found] == [found[0].study] * 3 + [found[3].study]
    assert [image.series for image in found] == [found[0].series] * 2 + [found[2].series, found[3].series]
    assert len({image.instance for image in found}) == 4
    assert {str(written(image, tmp_path).PatientName) for image in found} == {"Korthweb^Verify"}


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_without_images_is_refused(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "study"
    if make:
        folder.mkdir()
    with pytest.raises(UsageError, match=r"no DICOM instance|is not a folder"):
        prepare(folder)


def test_no_batch_needs_more_contexts_than_an_association_has(tmp_path: Path) -> None:
    image = prepare(a_study(tmp_path / "study")).images[0]

    kinds = [replace(image, sop_class=f"1.2.3.{number % 300}") for number in range(600)]
    parts = list(storing.batches(kinds))
    assert [one for part in parts for one in part] == kinds
    assert all(len({one.kind for one in part}) <= 128 for part in parts)
    assert list(storing.batches([])) == []


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_file_of_a_multipart_answer_is_taken_out(quote: str, size: int) -> None:
    kind = f"multipart/related; type=application/dicom; boundary={quote}a-b{quote}"
    body = b"--a-b\r\nContent-Type: x\r\n\r\none\r\n\r\nstill\r\n--a-b--\r\n"
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    with received.of_answer(kind, chunks) as file:
        assert file.read() == b"one\r\n\r\nstill"
    with pytest.raises(Broken, match="ends before its last boundary"), received.of_answer(kind, [body[:-7]]):
        pass


def test_two_files_for_one_are_not_the_one(tmp_path: Path) -> None:
    image = prepare(a_study(tmp_path / "study")).images[0]
    image.write(tmp_path / "sent")
    data = (tmp_path / "sent").read_bytes()
    with (tmp_path / "sent").open("rb") as file:
        received.compare(image, file)
    with pytest.raises(Broken, match="is not one DICOM file"):
        received.compare(image, io.BytesIO(data + b"\r\n--a-b\r\nContent-Type: x\r\n\r\n" + data))
    with pytest.raises(Broken, match="another instance"):
        received.compare(replace(image, instance="1.2"), io.BytesIO(data))


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/related"])
def test_what_is_no_multipart_answer_is_said_so(kind: str) -> None:
    with pytest.raises(Broken, match="WADO answers with"), received.of_answer(kind, ()):
        pass


class Clock:
    """Says what it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_session(**more: Any) -> Any:
    settings = Settings()
    plain = {
        "settings": settings,
        "dry_run": False,
        "console": Console(stream=io.StringIO()),
        "timeout": None,
        "tenants": (),
    }
    about = {"context": "korthweb-t", "server": "https://198.18.0.2:6443", "settings": ""}
    ref = SimpleNamespace(lab="")
    return SimpleNamespace(**{**plain, "about": about, "ref": ref, "contact": lambda: None, **more})


def test_a_dry_run_contacts_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    services.prove(a_session(dry_run=True), Options(restart=False), None, None, "text")
    text = capsys.readouterr().out
    assert "Nothing is contacted" in text
    assert "images survive the deletion of every pod (left out)" in text


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="no output format 'yaml'"):
        services.prove(a_session(), Options(), None, None, "yaml")
    with pytest.raises(UsageError, match="/nowhere is not a folder"):
        folder_of("/nowhere")
    with pytest.raises(UsageError, match="approach 'x'"):
        services.prove(a_session(), Options(), "x", None, "text")


@pytest.mark.parametrize("output", ["text", "json", "junit"])
def test_a_broken_rung_ends_with_its_name(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.unit.test_verify_pods import ENDPOINT

    rungs = (
        RungRecord(
            tenant="BHC",
            name="address",
            title="the ingress has an address",
            status="passed",
            ms=1.2,
            detail="198.18.0.9",
        ),
        RungRecord(
            tenant="BHC", name="echo", title="C-ECHO over TLS", status="broken", ms=3, detail="no", hint="look there"
        ),
        RungRecord(tenant="BHC", name="store", title="C-STORE", status="not reached", detail="echo is broken"),
    )

    def checked(*words: Any) -> tuple[RungRecord, ...]:
        *_, on_rung, on_start, on_progress = words
        on_start(RUNGS[0])
        clock.now += 61
        on_progress(RUNGS[0], "3 of 9 images sent")
        on_progress(RUNGS[0], "4 of 9 images sent")
        for rung in rungs:
            on_rung(rung)
        return rungs

    clock, stream = Clock(), io.StringIO()

    put(monkeypatch, "korthweb_tasks.verify.endpoints.find_endpoint", lambda *_: ENDPOINT)
    put(monkeypatch, "korthweb_tasks.verify.ladder.verify", checked)
    tenant = Settings().tenants[0]
    runner = SimpleNamespace(run=None)
    console = Console(stream=stream, clock=clock)
    session = a_session(tenants=(tenant,), runner=runner, kubectl=None, console=console)
    with pytest.raises(VerifyFailed, match="BHC: the rung “C-ECHO over TLS” is broken: no") as caught:
        services.prove(session, Options(), None, str(tmp_path / "report"), output)
    assert caught.value.exit_code == 8
    assert caught.value.hint == "look there"
    assert "  … the ingress has an address: 3 of 9 images sent\n" in stream.getvalue()
    assert "4 of 9" not in stream.getvalue()  # a line a minute
    assert (tmp_path / "report/report.html").is_file()
    text = capsys.readouterr().out
    starts = {"text": "Verifying BHC: web.bhc.test", "json": "{", "junit": "<?xml"}
    assert text.startswith(starts[output])
    if output == "text":
        assert "✗ C-ECHO over TLS" in text
        assert "1 of 3 rungs hold" in text
