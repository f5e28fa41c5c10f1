"""From outside of the cluster, through B's own gateway: A's certificate, password, AE title and images."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import permutations

import httpx

from korthweb_tasks.core.durations import limit
from korthweb_tasks.verify.check_context import CheckContext, Port, quiet_dicom
from korthweb_tasks.verify.dicom import echo as dicom
from korthweb_tasks.verify.dicom import images, storing
from korthweb_tasks.verify.dicom.images import SentImages
from korthweb_tasks.verify.isolation.cells import Attempts, Controls, Seen
from korthweb_tasks.verify.model import Broken, Endpoint, Options
from korthweb_tasks.verify.web import client as web
from korthweb_tasks.verify.web import dicomweb

#: PatientIDs of this verification alone, so that what a killed one has left is told from everybody else's
MARK = f"{images.MARK}ISOLATION-"
#: tenants that are spoken to at one time
SIDE_BY_SIDE = 4
#: how often an image is sent, and the seconds between
TRIES, PAUSE = 3, 1.0
FAULTS = (Broken, OSError, ValueError, httpx.HTTPError)


@dataclass
class Outside:
    """Every tenant's endpoint, and what this run has stored in it."""

    endpoints: Mapping[str, Endpoint]
    options: Options = field(default_factory=Options)
    name: str = "from outside"
    rows: tuple[str, ...] = ("certificate", "password", "aet", "images")

    def __post_init__(self) -> None:
        self.checks = {name: CheckContext(endpoint, None, self.options) for name, endpoint in self.endpoints.items()}

    def controls(self, *, again: bool) -> Controls:
        """Let every tenant in by its own gateway; the first time, store one image in each."""
        tests = CONTROLS if again else {**CONTROLS, "images": stored_and_found}
        keys = [(row, name) for name in self.checks for row in tests]
        with quiet_dicom(), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            seen = pool.map(lambda key: _timed(tests[key[0]], self.checks[key[1]]), keys)
            return dict(zip(keys, seen, strict=True))

    def attempts(self) -> Attempts:
        """Try what is A's at B's gateway."""
        keys = [(row, a, b) for a, b in permutations(self.checks, 2) for row in ATTEMPTS]
        with quiet_dicom(), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            seen = pool.map(lambda key: _tried(key[0], self.checks[key[1]], self.checks[key[2]]), keys)
            return dict(zip(keys, seen, strict=True))

    def leave(self) -> tuple[str, ...]:
        """Delete what was stored."""
        notes = []
        for name, check in self.checks.items():
            if check.sent is None:
                continue
            check.be_patient()
            try:
                dicomweb.sweep(check, check.sent)
            except FAULTS as error:
                notes.append(f"images under PatientID {check.sent.patient} may be left in {name}: {error}")
            else:
                check.sent = None
        return tuple(notes)


def _timed(test: Callable[[CheckContext], str], check: CheckContext) -> Seen:
    """Run one control; whatever is not a success is unclear."""
    began = time.perf_counter()
    check.be_patient()
    try:
        text = test(check)
    except FAULTS as error:
        return Seen("unclear", _told(error))
    return Seen("reached", text, _ms(began))


def own_certificate(check: CheckContext) -> str:
    """Verify both ports with the tenant's own authority."""
    for port in (check.https, check.dicom):
        check.handshake(check.tls_context, port)
    return "its own certificate holds on both ports"


def own_password(check: CheckContext) -> str:
    """Log in."""
    with web.logged_in(check) as session:
        web.must(web.patiently(check, session, "GET", "/system"))
    return "200 with its own password"


def own_aet(check: CheckContext) -> str:
    """C-ECHO under the tenant's own AE title."""
    dicom.echo(check)
    return f"C-ECHO as {check.endpoint.aet}"


def own_images(check: CheckContext) -> str:
    """Find what was stored, by the very question that must find nothing elsewhere."""
    ways = sightings(check, check.sent_images())
    if len(ways) != 2:
        raise Broken(f"{check.endpoint.tenant} does not find its own image: {', '.join(ways) or 'nothing at all'}")
    return "its own image is found by QIDO and WADO"


def stored_and_found(check: CheckContext) -> str:
    """Remove what a killed run has left, store one image, and find it."""
    dicomweb.sweep(check, SentImages(f"{MARK}*", ()))
    whole = images.prepare(None, MARK)
    check.sent = SentImages(whole.patient, whole.images[:1])
    _stored(check, check.sent)
    return own_images(check)


def _stored(check: CheckContext, sent: SentImages, tries: int = TRIES) -> None:
    """Store, again where Orthanc refuses: its database may have been away since it was asked last."""
    try:
        storing.send(check, sent.images)
    except Broken:
        if tries == 1:
            raise
        time.sleep(PAUSE)
        _stored(check, sent, tries - 1)


CONTROLS: Mapping[str, Callable[[CheckContext], str]] = {
    "certificate": own_certificate,
    "password": own_password,
    "aet": own_aet,
    "images": own_images,
}


def _tried(row: str, a: CheckContext, b: CheckContext) -> tuple[Seen, ...]:
    began = time.perf_counter()
    b.be_patient()
    try:
        return tuple(replace(seen, ms=seen.ms or _ms(began)) for seen in ATTEMPTS[row](a, b))
    except FAULTS as error:
        return (Seen("unclear", _told(error), _ms(began)),)


def certificate(a: CheckContext, b: CheckContext) -> Iterator[Seen]:
    """B's ports under A's names, and under B's for a client that trusts A's authority alone.

    A gateway that both share serves A's names rightly.
    """
    for theirs, mine in ((a.https, b.https), (a.dicom, b.dicom)):
        if (a.endpoint.address, theirs.number) != (b.endpoint.address, mine.number):
            yield _under_name(a, b, theirs, mine.number)
        yield _by_authority(a, b, mine)


def _under_name(a: CheckContext, b: CheckContext, theirs: Port, number: int) -> Seen:
    where = f"{number} as {theirs.host}"
    try:
        b.handshake_once(a.tls_context, Port(number, theirs.host))
    except ssl.SSLCertVerificationError as error:
        return Seen("refused", f"{where}: {error.verify_message}")
    except TimeoutError:
        return Seen("refused", f"{where}: no answer in {limit(b.options.timeout)}", silent=True)
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
        return Seen("refused", f"{where}: the connection is ended")
    return Seen("reached", f"{where}: served with a certificate of {a.endpoint.tenant}")


def _by_authority(a: CheckContext, b: CheckContext, mine: Port) -> Seen:
    where = f"{mine.number} by {a.endpoint.tenant}'s authority"
    try:
        b.handshake_once(a.tls_context, mine)
    except ssl.SSLCertVerificationError as error:
        return Seen("refused", f"{where}: {error.verify_message}")
    return Seen("reached", f"{where}: {mine.host} passes")


def password(a: CheckContext, b: CheckContext) -> Iterator[Seen]:
    """A's user and password at B's web."""
    with_their_user = replace(b, endpoint=replace(b.endpoint, username=a.endpoint.username))
    with web.client(with_their_user, a.endpoint.password.get_secret_value()) as session:
        code = web.patiently(b, session, "GET", "/system").status_code
    kinds: Mapping[int, Seen] = {401: Seen("refused", "401"), 200: Seen("reached", f"200 for {a.endpoint.username}")}
    yield kinds.get(code, Seen("unclear", f"{code}, which is neither 401 nor 200"))


def aet(a: CheckContext, b: CheckContext) -> Iterator[Seen]:
    """An association with B that calls A's AE title."""
    refusal = dicom.called(b, a.endpoint.aet)
    yield Seen("reached", f"{a.endpoint.aet} is accepted") if refusal is None else Seen("refused", refusal)


def of_images(a: CheckContext, b: CheckContext) -> Iterator[Seen]:
    """A's image by B's QIDO and WADO, with B's login."""
    ways = sightings(b, a.sent_images())
    yield Seen("reached", f"{', '.join(ways)} shows it") if ways else Seen("refused", "QIDO: none, WADO: 404")


ATTEMPTS: Mapping[str, Callable[[CheckContext, CheckContext], Iterator[Seen]]] = {
    "certificate": certificate,
    "password": password,
    "aet": aet,
    "images": of_images,
}


def sightings(check: CheckContext, sent: SentImages) -> list[str]:
    """Return by what the tenant sees the images: QIDO, WADO, both or nothing. Raises Broken for any other answer."""
    image = sent.images[0]
    with web.logged_in(check) as session:
        rows = dicomweb.query(check, session, "studies", PatientID=sent.patient)
        rows += dicomweb.query(check, session, "studies", StudyInstanceUID=image.study)
        answer = web.patiently(check, session, "GET", dicomweb.wado_path(image), accept=dicomweb.WADO_ACCEPT)
        code = web.must(answer, 200, 404).status_code
    return [*(["QIDO"] if rows else []), *(["WADO"] if code == 200 else [])]


def _told(error: BaseException) -> str:
    return error.message if isinstance(error, Broken) else f"{type(error).__name__}: {error}"


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
