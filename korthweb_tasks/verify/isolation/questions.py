"""What a probe says to a port, how, and what its answer means. Pure: a script for bash in, lines of text out.

A sidecar takes any TCP connection by itself, so a connection is no answer: real first bytes are sent, and only
bytes that the server itself would say count as "reached".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from korthweb_tasks.verify.isolation.cells import Seen

#: seconds that one attempt waits for an answer
WAIT = 3
#: questions that one probe asks at one time: it is small
BATCH = 24
#: bytes of an answer that are looked at
HEAD = 200
#: PDU types by which an Acceptor answers (DICOM PS3.8, 9.3): accept, reject, abort
PDUS = {2: "the association is accepted", 3: "the association is rejected by Orthanc", 7: "Orthanc aborts"}
#: what PostgreSQL says to SSLRequest
TLS_WORDS = {b"S": "PostgreSQL offers TLS", b"N": "PostgreSQL answers without TLS", b"E": "PostgreSQL answers"}
#: statuses that a proxy answers in the place of Orthanc, which says none of them of /system
BY_PROXY = (403, 404, 421, 426, 502, 503, 504)
#: words of bash and dd -> words for a person; each of them is a refusal
REFUSALS: Mapping[str, str] = {
    "Connection refused": "connection refused",
    "Connection reset": "connection reset",
    "Broken pipe": "connection reset",
    "No route to host": "no route to host",
    "Network is unreachable": "network unreachable",
    "Connection timed out": "connection timed out",
}


@dataclass(frozen=True, slots=True)
class Question:
    """First bytes for a port, and how its answer is read. ``patience``: seconds in which it may be asked again."""

    name: str
    host: str
    port: int
    payload: bytes
    read: Callable[[bytes], Seen]
    patience: int = 0

    @property
    def where(self) -> str:
        """Return host and port as text."""
        return f"{self.host}:{self.port}"


def http(name: str, host: str, port: int = 8042, *, authority: str = "") -> Question:
    """Ask Orthanc for /system without a password: 401 is its own answer. ``authority`` is the Host, if another."""
    lines = (
        "GET /system HTTP/1.1",
        f"Host: {authority or f'{host}:{port}'}",
        "User-Agent: korthweb",
        "Connection: close",
    )
    return Question(name, host, port, "\r\n".join((*lines, "", "")).encode("ascii"), read_http)


def dicom(name: str, host: str, aet: str, port: int = 4242) -> Question:
    """Ask for an association with Verification."""
    return Question(name, host, port, associate_rq(aet), read_dicom)


def postgres(name: str, host: str, port: int = 5432) -> Question:
    """Ask PostgreSQL whether it speaks TLS, as every client may before anything else."""
    return Question(name, host, port, struct.pack("!II", 8, 80877103), read_postgres)


def read_http(answer: bytes) -> Seen:
    """Read the first line of an answer."""
    status_line = re.match(rb"HTTP/1\.[01] (\d{3}) ?([^\r\n]*)", answer)
    if not status_line:
        return Seen("reached", f"{len(answer)} bytes that are not HTTP")
    code, reason = int(status_line[1]), status_line[2].decode("ascii", "replace")
    text = f"{code} {reason}".strip()
    if code not in BY_PROXY:
        return Seen("reached", f"“{text}” from Orthanc")
    denied = "RBAC: access denied, " if b"RBAC" in answer else ""
    return Seen("refused", f"{denied}{text} from a proxy")


def read_dicom(answer: bytes) -> Seen:
    """Read the type of the first PDU."""
    return Seen("reached", PDUS.get(answer[0], f"{len(answer)} bytes that are not DICOM"))


def read_postgres(answer: bytes) -> Seen:
    """Read the one letter that answers SSLRequest."""
    return Seen("reached", TLS_WORDS.get(answer[:1], f"{len(answer)} bytes that are not PostgreSQL's"))


def associate_rq(called: str) -> bytes:
    """Return an A-ASSOCIATE-RQ for Verification in Implicit VR Little Endian (DICOM PS3.8, 9.3.2)."""
    context = bytes((1, 0, 0, 0)) + _item(0x30, b"1.2.840.10008.1.1") + _item(0x40, b"1.2.840.10008.1.2")
    user = _item(0x51, struct.pack("!I", 16384)) + _item(0x52, b"2.25.2463")
    items = _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
    titles = called.encode("ascii").ljust(16) + b"KORTHWEB".ljust(16)
    body = struct.pack("!HH", 1, 0) + titles + bytes(32) + items
    return struct.pack("!BBI", 1, 0, len(body)) + body


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, len(data)) + data


#: `one NAME HOST PORT BYTES PATIENCE` prints a line: name, exit code, microseconds, answer in hex, complaints
_SCRIPT = f"""\
export LC_ALL=C
talk() {{
  timeout {WAIT} bash -c '
    trap "" PIPE
    exec 3<>"/dev/tcp/$0/$1" || exit 71
    printf "$2" >&3
    answer=$(dd bs={HEAD} count=1 status=none <&3 | od -An -v -tx1 | tr -d " \\n"; exit "${{PIPESTATUS[0]}}")
    code=$?
    printf " answer=%s;" "$answer"
    exit "$code"' "$2" "$3" "$4" 2>&1 </dev/null
}}
one() {{
  local end=$((SECONDS + $5)) began said code
  while :; do
    began=${{EPOCHREALTIME/[.,]/}}
    said=$(talk "$@"); code=$?
    case "$said" in *answer=[0-9a-f]*) break ;; esac
    [ "$SECONDS" -lt "$end" ] || break
    sleep 0.3
  done
  printf '%s\\t%s\\t%s\\t%s\\n' "$1" "$code" "$((${{EPOCHREALTIME/[.,]/}} - began))" "${{said//[$'\\t\\n']/ }}"
}}
"""


def script(questions: Iterable[Question]) -> str:
    """Return a script for bash that asks side by side, and prints a line for each question."""
    lines = []
    for number, asked in enumerate(questions, 1):
        payload = "".join(f"\\x{byte:02x}" for byte in asked.payload)
        lines.append(f"one {asked.name} {asked.host} {asked.port} '{payload}' {asked.patience} &\n")
        lines += [] if number % BATCH else ["wait\n"]
    return f"{_SCRIPT}{''.join(lines)}wait\n"


def longest(questions: Sequence[Question]) -> float:
    """Return the seconds in which the script for ``questions`` ends, whatever it meets."""
    batches = -(-len(questions) // BATCH)
    return batches * (2.0 * WAIT + max((asked.patience for asked in questions), default=0))


def read(questions: Iterable[Question], text: str) -> dict[str, Seen]:
    """Read what the script printed; a question without its line is unclear."""
    lines = {line.split("\t")[0]: line.split("\t") for line in text.splitlines() if line.count("\t") == 3}
    return {asked.name: _seen(asked, lines.get(asked.name)) for asked in questions}


def _seen(asked: Question, line: list[str] | None) -> Seen:
    if line is None:
        return Seen("unclear", f"{asked.where}: the probe said nothing of it")
    _, code, micros, said = line
    ms = round(int(micros) / 1000, 2)
    answer = re.search(r"answer=([0-9a-f]+);", said)
    if answer:
        seen = asked.read(bytes.fromhex(answer[1]))
        return Seen(seen.kind, f"{asked.where}: {seen.text}", ms)
    for words, text in REFUSALS.items():
        if words in said:
            return Seen("refused", f"{asked.where}: {text}", ms)
    if code == "124":
        return Seen("refused", f"{asked.where}: no answer in {WAIT} s", ms, silent=True)
    if code == "0" and said.strip() == "answer=;":
        return Seen("refused", f"{asked.where}: closed without an answer", ms)
    complaint = said.replace("answer=;", " ").strip() or f"exit code {code}"
    return Seen("unclear", f"{asked.where}: {complaint[-120:]}", ms)
