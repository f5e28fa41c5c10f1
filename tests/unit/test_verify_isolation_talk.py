"""What a probe says and how answers are read: by real bash, at real ports of the loopback."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from korthweb_tasks.verify.isolation import questions as talk
from korthweb_tasks.verify.isolation.cells import Seen
from korthweb_tasks.verify.isolation.questions import Question

Behaviour = Callable[[socket.socket], None]


def answering(data: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(data)
        silent(connection)  # and keeps the connection, as Orthanc and PostgreSQL do

    return behave


def closing(connection: socket.socket) -> None:
    connection.recv(1000)


def resetting(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(1000):
            pass


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], int]]:
    """Start servers that take connections, as a sidecar always does, and then behave."""
    with ExitStack() as stack:

        def start(behave: Behaviour) -> int:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def loop() -> None:
                with suppress(OSError):
                    while True:
                        connection, _ = listening.accept()
                        threading.Thread(target=one, args=(connection,), daemon=True).start()

            def one(connection: socket.socket) -> None:
                with connection:
                    behave(connection)

            threading.Thread(target=loop, daemon=True).start()
            return int(listening.getsockname()[1])

        yield start


def ask(*questions: Question, wait: float = 20.0) -> dict[str, Seen]:
    text = talk.script(questions).replace(f"timeout {talk.WAIT} ", f"timeout {wait} ")
    ended = subprocess.run(["bash", "-s"], input=text, capture_output=True, text=True, timeout=30, check=False)
    assert ended.stderr == ""
    return talk.read(questions, ended.stdout)


def association(name: str, host: str) -> Question:
    return talk.dicom(name, host, "MHR")


UNAUTHORIZED = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="Orthanc Secure Area"\r\n\r\n'
DENIED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 19\r\n\r\nRBAC: access denied"


@pytest.mark.parametrize(
    ("make", "data", "kind", "says"),
    [
        (talk.http, UNAUTHORIZED, "reached", "401 Unauthorized"),
        (talk.http, b"HTTP/1.1 200 OK\r\n\r\n{}", "reached", "200 OK"),
        (talk.http, b"HTTP/1.0 500 Internal Server Error\r\n\r\n", "reached", "500"),
        (talk.http, DENIED, "refused", "RBAC: access denied, 403 Forbidden"),
        (talk.http, b"HTTP/1.1 503 Service Unavailable\r\n\r\nupstream connect error", "refused", "503"),
        (talk.http, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refused", "502"),
        (talk.http, b"SSH-2.0\r\n", "reached", "not HTTP"),
        (association, b"\x02\x00\x00\x00\x00\x04", "reached", "is accepted"),
        (association, b"\x03\x00\x00\x00\x00\x04", "reached", "rejected by Orthanc"),
        (association, b"\x00\x00", "reached", "not DICOM"),
        (talk.postgres, b"S", "reached", "offers TLS"),
        (talk.postgres, b"N", "reached", "without TLS"),
    ],
)
def test_an_answer_is_read(
    make: Callable[..., Question], data: bytes, kind: str, says: str, serve: Callable[[Behaviour], int]
) -> None:
    asked = make("q", "127.0.0.1")
    asked = Question(asked.name, asked.host, serve(answering(data)), asked.payload, asked.read)
    seen = ask(asked)["q"]
    assert seen.kind == kind
    assert says in seen.text
    assert f"127.0.0.1:{asked.port}" in seen.text
    assert 0 < seen.ms < 20_000
    assert not seen.silent


def test_no_answer_is_a_refusal_of_its_own_kind(serve: Callable[[Behaviour], int]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nobody = held.getsockname()[1]
        ports = {"closed": serve(closing), "reset": serve(resetting), "silent": serve(silent), "nobody": nobody}
        found = ask(*(talk.postgres(name, "127.0.0.1", port) for name, port in ports.items()), wait=1.5)
    assert {name: (seen.kind, seen.silent) for name, seen in found.items()} == {
        "closed": ("refused", False),
        "reset": ("refused", False),
        "silent": ("refused", True),
        "nobody": ("refused", False),
    }
    for name, says in (
        ("closed", "closed without an answer"), ("reset", "connection reset"), ("silent", "no answer in 3 s"),
        ("nobody", "connection refused"),
    ):  # fmt: skip
        assert says in found[name].text


def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    seen = ask(talk.postgres("q", "postgres-rw.nobody.invalid"))["q"]
    assert seen.kind == "unclear"
    assert "invalid" in seen.text


def test_a_probe_without_its_programs_is_no_refusal() -> None:
    assert talk.read([talk.postgres("q", "h")], "q\t127\t900\tbash: dd: command not found\n")["q"].kind == "unclear"


def test_a_question_without_its_line_is_unclear() -> None:
    found = talk.read([talk.postgres("a", "h"), talk.postgres("b", "h")], "b\t0\t900\tanswer=53;\nrubbish\n")
    assert found["a"].kind == "unclear"
    assert found["b"].kind == "reached"


def test_patience_asks_again_until_there_is_an_answer(serve: Callable[[Behaviour], int]) -> None:
    count = []

    def third(connection: socket.socket) -> None:
        count.append(1)
        (answering(b"S") if len(count) == 3 else closing)(connection)

    port = serve(third)
    asked = Question("q", "127.0.0.1", port, b"hello", talk.read_postgres, patience=20)
    assert ask(asked)["q"].kind == "reached"
    assert len(count) == 3


def test_impatience_asks_once(serve: Callable[[Behaviour], int]) -> None:
    count = []

    def counted(connection: socket.socket) -> None:
        count.append(1)
        closing(connection)

    assert ask(talk.postgres("q", "127.0.0.1", serve(counted)))["q"].kind == "refused"
    assert len(count) == 1


def test_the_first_bytes_arrive_as_they_are(serve: Callable[[Behaviour], int]) -> None:
    came: list[bytes] = []

    def keep(connection: socket.socket) -> None:
        data = connection.recv(1000)
        while data.startswith(b"GET") and not data.endswith(b"\r\n\r\n"):
            data += connection.recv(1000)  # bash sends line by line
        came.append(data)
        connection.sendall(b"N")
        silent(connection)

    ask(talk.postgres("q", "127.0.0.1", serve(keep)))
    ask(talk.dicom("q", "127.0.0.1", "MHR", serve(keep)))
    ask(talk.http("q", "127.0.0.1", serve(keep), authority="orthanc.mhr:8042"))
    assert came[0] == bytes((0, 0, 0, 8, 4, 210, 22, 47))
    assert came[1] == talk.associate_rq("MHR")
    assert came[2].startswith(b"GET /system HTTP/1.1\r\nHost: orthanc.mhr:8042\r\n")
    assert b"Authorization" not in came[2]


def test_the_association_is_one_that_pynetdicom_understands() -> None:
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    pdu = A_ASSOCIATE_RQ()
    pdu.decode(talk.associate_rq("MHR"))
    assert pdu.called_ae_title == "MHR"
    assert pdu.calling_ae_title == "KORTHWEB"
    assert pdu.application_context_name == "1.2.840.10008.3.1.1.1"
    (context,) = pdu.presentation_context
    assert context.abstract_syntax == "1.2.840.10008.1.1"
    assert [str(syntax) for syntax in context.transfer_syntax] == ["1.2.840.10008.1.2"]
    assert pdu.user_information is not None
    assert pdu.user_information.maximum_length == 16384


def test_a_script_without_questions_ends() -> None:
    ended = subprocess.run(["bash", "-s"], input=talk.script([]), capture_output=True, text=True, check=True)
    assert ended.stdout == ""


def test_many_questions_are_asked_in_batches() -> None:
    asked = [talk.postgres(f"q{number}", "127.0.0.1", 1) for number in range(2 * talk.BATCH + 1)]
    assert [line for line in talk.script(asked).splitlines() if line == "wait"] == ["wait"] * 3
    found = ask(*asked)
    assert len(found) == len(asked)
    assert {seen.kind for seen in found.values()} == {"refused"}
    assert talk.longest(asked) == 3 * 2 * talk.WAIT
