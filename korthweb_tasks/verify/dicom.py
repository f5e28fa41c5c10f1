"""DICOM over TLS: association, C-ECHO, C-STORE, and the associations that must not come about."""

from __future__ import annotations

import secrets
import socket
import ssl
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from korthweb_tasks.verify import images, tls
from korthweb_tasks.verify.climb import Climb, quiet_dicom
from korthweb_tasks.verify.images import Image
from korthweb_tasks.verify.model import Broken, Finding

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
#: presentation contexts that one association can hold (DICOM PS3.8)
CONTEXTS = 128
TRIES = 5
CONTROL = "the same association under the right name was taken in this run"


def echo(climb: Climb) -> Finding:
    """C-ECHO over TLS, with SNI and verification."""
    with association(climb, [(VERIFICATION, IMPLICIT)]) as link:
        began = time.perf_counter()
        status = link.send_c_echo()
        ms = (time.perf_counter() - began) * 1000
    if "Status" not in status or status.Status != 0x0000:
        raise Broken(f"C-ECHO was answered with {_status(status)}", "kubectl logs of the Orthanc pods say more")
    return Finding(f"{climb.endpoint.aet} answers in {ms:.0f} ms", {"echo_ms": round(ms, 2)})


def store(climb: Climb) -> Finding:
    """C-STORE of every image, over as few associations as the contexts allow."""
    consignment = images.prepare(climb.options.study)
    climb.sent = consignment
    times = send(climb, consignment.images)
    seconds, count = sum(times), len(consignment.images)
    measures = {
        "images": float(count),
        "bytes": float(consignment.size),
        "images_per_s": round(count / seconds, 1),
        "mb_per_s": round(consignment.size / seconds / 1e6, 2),
        "median_ms": round(statistics.median(times) * 1000, 2),
        "slowest_ms": round(max(times) * 1000, 2),
    }
    syntaxes = len(images.transfer_syntaxes(consignment.images))
    return Finding(
        f"{count} images in {syntaxes} encodings, {measures['images_per_s']:.0f} images/s, "
        f"{measures['mb_per_s']:.1f} MB/s",
        measures,
    )


def send(climb: Climb, all_images: Iterable[Image]) -> list[float]:
    """C-STORE the images and return the seconds that each took. Raises Broken."""
    times: list[float] = []
    for batch in batches(all_images):
        with association(climb, sorted({_context(image) for image in batch})) as link:
            times += [_send(link, image) for image in batch]
    return times


def batches(all_images: Iterable[Image]) -> Iterator[list[Image]]:
    """Split images so that each batch needs at most 128 presentation contexts."""
    batch: list[Image] = []
    contexts: set[tuple[str, str]] = set()
    for image in all_images:
        if _context(image) not in contexts and len(contexts) == CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(image)
        contexts.add(_context(image))
    if batch:
        yield batch


def plain_refused(climb: Climb) -> Finding:
    """Ask for an association without TLS: it must not come about."""
    return _must_not(climb, None, climb.endpoint.aet, "an association without TLS")


def wrong_name_refused(climb: Climb) -> Finding:
    """Ask under another name: neither a verifying client nor one that does not look must reach Orthanc."""
    stranger = f"stranger-{secrets.token_hex(4)}.{climb.endpoint.dicom_host.partition('.')[2]}"
    try:
        address, port = climb.endpoint.address, climb.endpoint.dicom_port
        tls.handshake(climb.context, address, port, stranger, climb.options.timeout)
    except OSError as error:
        how = _how(error)
    else:
        raise Broken(f"the certificate passes for {stranger}", "is it for a wildcard of the tenant's domain?")
    _must_not(climb, (tls.looking(), stranger), climb.endpoint.aet, f"the name {stranger}")
    return Finding(f"{stranger}: {how}, and no way to Orthanc for a client that does not verify")


def wrong_aet_refused(climb: Climb) -> Finding:
    """Call another AE title: Orthanc itself must reject it."""
    wrong = "NOT-" + secrets.token_hex(4).upper()
    refusal = called(climb, wrong)
    if refusal is None:
        raise Broken(f"the called AE title {wrong} is accepted", 'orthanc.json: "DicomCheckCalledAet": true')
    return Finding(f"{wrong}: {refusal}")


def called(climb: Climb, aet: str) -> str | None:
    """Call this AE title: None where Orthanc accepts it, else why it does not. Raises Broken for no answer."""
    # Orthanc ends the connection right after its rejection, and pynetdicom may see the end first.
    for _ in range(TRIES):
        with quiet_dicom():
            link = _associate(climb, (climb.context, climb.endpoint.dicom_host), aet, [(VERIFICATION, IMPLICIT)])
            try:
                if link.is_established:
                    return None
                if link.is_rejected:
                    return _rejection(link)
            finally:
                _end(link)
    raise Broken(f"called {aet}, Orthanc gave no answer instead of a rejection")


def _must_not(climb: Climb, tls_args: tuple[ssl.SSLContext, str] | None, aet: str, what: str) -> Finding:
    with quiet_dicom():
        link = _associate(climb, tls_args, aet, [(VERIFICATION, IMPLICIT)])
        try:
            if link.is_established:
                raise Broken(f"port {climb.endpoint.dicom_port} takes {what}")
            if link.is_rejected:
                raise Broken(f"{what} reaches Orthanc, which rejects it only for: {_rejection(link)}")
            return Finding(f"no association; {CONTROL}")
        finally:
            _end(link)


@contextmanager
def association(climb: Climb, contexts: list[tuple[str, str]]) -> Iterator[Association]:
    """Give an established association and release it. Raises Broken with the reason where there is none."""
    endpoint = climb.endpoint
    with quiet_dicom():
        link = _associate(climb, (climb.context, endpoint.dicom_host), endpoint.aet, contexts)
        try:
            if link.is_rejected:
                hint = "compare the AE titles and DicomModalities"
                raise Broken(f"the association is rejected: {_rejection(link)}", hint)
            if link.rejected_contexts and not link.accepted_contexts:
                hint = "orthanc.json: AcceptedTransferSyntaxes, and the SOP classes"
                raise Broken(f"none of the {len(contexts)} kinds of images and encodings offered is accepted", hint)
            if not link.is_established:
                raise Broken("there is no association: the connection ended", "does the route lead to port 4242?")
            yield link
        finally:
            _end(link)


def _associate(
    climb: Climb, tls_args: tuple[ssl.SSLContext, str] | None, aet: str, contexts: list[tuple[str, str]]
) -> Association:
    from pynetdicom import AE, evt

    entity = AE(ae_title=climb.options.calling_aet)
    seconds = climb.options.timeout
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
    for abstract, transfer in contexts:
        entity.add_requested_context(abstract, transfer)
    endpoint = climb.endpoint
    return entity.associate(
        endpoint.address,
        endpoint.dicom_port,
        ae_title=aet,
        tls_args=tls_args,
        evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
    )


def _no_delay(event: Event) -> None:
    """Send small messages at once: waiting for more (Nagle) would be measured as 40 ms of latency."""
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _end(link: Association) -> None:
    if link.is_established:
        link.release()


def _send(link: Association, image: Image) -> float:
    """Send one image and return the seconds it took. Raises Broken unless it is stored without a warning."""
    began = time.perf_counter()
    try:
        status = link.send_c_store(image.dataset)
    except ValueError as error:
        # pynetdicom: no accepted presentation context for this encoding
        hint = "Orthanc must accept the encoding (AcceptedTransferSyntaxes)"
        raise Broken(f"{image.source}: {error}", hint) from error
    if "Status" not in status or status.Status != 0x0000:
        raise Broken(f"C-STORE of {image.source} was answered with {_status(status)}")
    return time.perf_counter() - began


def _context(image: Image) -> tuple[str, str]:
    return str(image.dataset.SOPClassUID), image.transfer_syntax


def _status(status: object) -> str:
    code = getattr(status, "Status", None)
    return "no answer" if code is None else f"status 0x{code:04X}"


def _rejection(link: Association) -> str:
    primitive = link.acceptor.primitive
    return str(primitive.reason_str) if primitive is not None else "no reason given"


def _how(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return "the connection is ended" if not isinstance(error, TimeoutError) else "no answer"
