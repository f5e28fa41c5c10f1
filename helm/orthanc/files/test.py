"""From inside of the cluster, through the ingress: 401 without a password, an answer with it, TLS for the DICOM name,
and a C-ECHO that Orthanc sends to its own Service. Certificates are verified. Every image of Orthanc has python3.
"""

import base64
import http.client
import json
import os
import socket
import ssl
import sys
import time
from pathlib import Path

SECONDS = 20
#: routes need a moment until the ingress has read them
TRIES = 30
AUTHORITY = Path("/etc/korthweb/tls/ca.crt")
ENTRY, ORTHANC, AET = os.environ["ENTRY"], os.environ["ORTHANC"], os.environ["AET"]
WEB, DICOM = os.environ["WEB_HOST"], os.environ["DICOM_HOST"]
BASE = f"https://{WEB}" if ENTRY else f"http://{ORTHANC}:8042"


def fail(what: str, reason: object) -> None:
    """End with a line that says what does not work, and why."""
    sys.exit(f"{what}: FAILED: {reason}")


def handshake(host: str, port: int, protocol: str) -> ssl.SSLSocket:
    """Connect as ``host`` (SNI), whose certificate must be valid for that name, for one protocol (ALPN)."""
    known = AUTHORITY.is_file() and AUTHORITY.stat().st_size > 0
    context = ssl.create_default_context(cafile=str(AUTHORITY) if known else None)
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(socket.create_connection((ENTRY, port), SECONDS), server_hostname=host)


def ask(path: str, body: str = "", login: bool = False) -> tuple[int, bytes]:
    """Return status and body of an answer; POST where there is a body to send."""
    connection = http.client.HTTPConnection(WEB if ENTRY else ORTHANC, 443 if ENTRY else 8042, timeout=SECONDS)
    if ENTRY:
        connection.sock = handshake(WEB, 443, "http/1.1")
    headers = {"Host": WEB} if ENTRY else {}
    if login:
        word = f"{os.environ['TEST_USER']}:{os.environ[os.environ['TEST_VARIABLE']]}"
        headers["Authorization"] = "Basic " + base64.b64encode(word.encode()).decode()
    try:
        connection.request("POST" if body else "GET", path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def first_answer() -> int:
    """Return the status without a password, once there is a route."""
    reason: object = "nothing"
    for _ in range(TRIES):
        try:
            status, _body = ask("/system")
        except (OSError, http.client.HTTPException) as error:
            reason = error
        else:
            if status != 404:
                return status
            reason = "HTTP 404"
        time.sleep(1)
    fail("HTTPS", f"no answer from {BASE} ({reason})")
    return 0


if (status := first_answer()) != 401:
    fail("without a password", f"HTTP {status} instead of 401")
print("without a password: 401")
status, body = ask("/system", login=True)
if status != 200:
    fail("login", f"{BASE}/system: HTTP {status}")
print(f"with the password: Orthanc {json.loads(body)['Version']}")
if ENTRY:
    began = time.monotonic()
    try:
        # the handshake is what counts: a DICOM server has no answer to HTTP
        handshake(DICOM, 11112, "dicom").close()
    except OSError as error:
        fail(f"TLS for {DICOM}", error)
    print(f"TLS for {DICOM}: handshake in {time.monotonic() - began:.3f} s")
order = json.dumps({"AET": AET, "Host": ORTHANC, "Port": 4242, "Timeout": 10})
if (status := ask("/tools/dicom-echo", order, login=True)[0]) != 200:
    fail("C-ECHO", f"{ORTHANC}:4242: HTTP {status}")
print(f"C-ECHO: {AET} at {ORTHANC}:4242 answers")
