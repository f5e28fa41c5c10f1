"""What the rungs of one verification share: endpoint, options, the way to the pods, what was sent."""

from __future__ import annotations

import logging
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

import httpx

from korthweb_tasks.verify.model import Broken, Endpoint, LeftOut, Options
from korthweb_tasks.verify.tls import connection as tls

if TYPE_CHECKING:
    from korthweb_tasks.verify.dicom.images import SentImages

T = TypeVar("T")
#: seconds until a port-forward has seen a reset, and until whoever runs it in a loop has begun it anew
RESET_SEEN, BEGUN_ANEW = 0.2, 20.0
#: how often a connection is made that must come about, and is closed without a word of why; seconds between
CONNECTS, RECONNECT = 3, 0.3


@dataclass(frozen=True, slots=True)
class Port:
    """A port and the name that travels as SNI to it."""

    number: int
    host: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One Orthanc pod. ``fault`` says why it can never become ready, where that is known."""

    name: str
    uid: str
    ready: bool
    fault: str = ""
    namespace: str = ""


class Get(Protocol):
    """Asks one pod over HTTP, with the tenant's credentials."""

    def __call__(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""


class ClusterAccess(Protocol):
    """The way to each replica, past the ingress. Every method may raise a KorthwebError."""

    def pods(self) -> list[Pod]:
        """Return the tenant's Orthanc pods that are not being deleted."""

    def reach(self, pod: Pod) -> AbstractContextManager[Get]:
        """Give the way to ask this very pod."""

    def delete(self, pods: list[Pod]) -> None:
        """Delete the pods; returns before they are gone."""

    def wait(self, count: int, old: frozenset[str], seconds: float) -> list[Pod]:
        """Watch until ``count`` pods whose UID is not in ``old`` are ready, and return them.

        Raises NotReady when that does not come within ``seconds``, or can not come any more.
        """


@dataclass
class CheckContext:
    """The state of one verification. ``sent`` is set as soon as a first image may have arrived.

    ``calm_by`` (monotonic clock) is until when an ingress may be without a backend. ``gone``: the typed address does
    not listen any more. ``closed`` are the connections that were closed during the handshake and made again.
    ``progress`` is told how far a long rung has come.
    """

    endpoint: Endpoint
    access: ClusterAccess | None
    options: Options
    sent: SentImages | None = None
    calm_by: float = 0.0
    gone: bool = False
    closed: list[str] = field(default_factory=list)
    progress: Callable[[str], None] = lambda _: None

    def listening(self, port: Port) -> None:
        """Wait until a typed address listens, before something is tried there that must be refused.

        A kubectl port-forward ends when the gateway resets a connection, and what nobody listens to any more would pass
        for a refusal. Raises LeftOut where nobody begins it anew.
        """
        if not self.options.address or self.gone:
            self._still(port)
            return
        time.sleep(RESET_SEEN)
        end = time.monotonic() + BEGUN_ANEW
        while not _listens(self.endpoint.address, port.number):
            if time.monotonic() > end:
                self.gone = True
                self._still(port)
            time.sleep(RESET_SEEN)

    def _still(self, port: Port) -> None:
        if self.gone:
            why = "a kubectl port-forward ends at the first refusal: run it in a loop"
            raise LeftOut(f"nothing listens on {self.endpoint.address}:{port.number} any more ({why})")

    def connected(self, connect: Callable[[], T]) -> T:
        """Make a connection that must come about; one that is closed without an alert is made again, and noted.

        A gateway that gets its routes anew closes what comes at that moment, and modalities ask again, too. Raises
        what the last one was.
        """
        for _ in range(CONNECTS - 1):
            try:
                return connect()
            except (OSError, httpx.ConnectError) as error:
                if not tls.is_closed(error):
                    raise
            self.closed.append("a connection was closed before it was answered, and made again")
            time.sleep(RECONNECT)
        return connect()

    def handshake(self, context: ssl.SSLContext, port: Port, name: str | None = "") -> tls.Served:
        """Shake hands with a port, where that must come about, under its own name. Raises OSError."""
        return self.connected(lambda: self.handshake_once(context, port, name))

    def handshake_once(self, context: ssl.SSLContext, port: Port, name: str | None = "") -> tls.Served:
        """Shake hands with a port under a name ("": its own, None: none). Raises OSError."""
        sni = port.host if name == "" else name
        return tls.handshake(context, self.endpoint.address, port.number, sni, self.options.timeout)

    def offer(self, port: Port, version: int, suites: Collection[int] = tuple(tls.SUITES.values())) -> str:
        """Offer one version, and these suites of it; return the answer. Raises OSError where nothing listens."""
        return tls.answer_to_version(
            self.endpoint.address, port.number, port.host, version, self.options.timeout, suites
        )

    def be_patient(self, times: int = 1) -> None:
        """From now on, for ``times`` × ``settle`` seconds, an ingress without a backend is asked again."""
        self.calm_by = time.monotonic() + times * self.options.settle

    @property
    def https(self) -> Port:
        """Return the port for browsers and DICOMweb."""
        return Port(self.endpoint.https_port, self.endpoint.web_host)

    @property
    def dicom(self) -> Port:
        """Return the port for DICOM over TLS."""
        return Port(self.endpoint.dicom_port, self.endpoint.dicom_host)

    @cached_property
    def tls_context(self) -> ssl.SSLContext:
        """Return the context that trusts the tenant's CA and nothing else."""
        return tls.trusting(self.endpoint.ca_pem)

    @cached_property
    def dicom_context(self) -> ssl.SSLContext:
        """Return the same context for DICOM."""
        return tls.as_modality(self.endpoint.ca_pem)

    def cluster(self) -> ClusterAccess:
        """Return the way to the pods. Raises Broken where there is none."""
        if self.access is None:
            raise Broken("there is no access to the cluster", "give --context")
        return self.access

    def sent_images(self) -> SentImages:
        """Return the images that were sent. Raises Broken before that."""
        if self.sent is None:
            raise Broken("no image was sent")
        return self.sent


def _listens(address: str, number: int) -> bool:
    try:
        with socket.create_connection((address, number), BEGUN_ANEW):
            return True
    except OSError:
        return False


@contextmanager
def quiet_dicom() -> Iterator[None]:
    """Keep pydicom's and pynetdicom's remarks off the terminal: a rung says what there is to say."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "pynetdicom")]
    before = [(logger, logger.level) for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in before:
                logger.setLevel(level)
