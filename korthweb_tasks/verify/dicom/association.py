"""DICOM associations over TLS to the address, under the tenant's name: established, or why there is none."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from korthweb_tasks.verify.check_context import CheckContext, quiet_dicom
from korthweb_tasks.verify.model import Broken
from korthweb_tasks.verify.tls import connection as tls

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
#: presentation contexts that one association can hold (DICOM PS3.8)
CONTEXTS = 128
ECHO = ((VERIFICATION, IMPLICIT),)
#: seconds within which a connection ends that a gateway closes
AT_ONCE = 2.0
#: SOP class and transfer syntax
Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ask:
    """What an association is asked for. ``roles``: SOP classes that we take, too (C-GET), by ``handlers``.

    ``security`` is the TLS context and the name that travels as SNI (None: none); None asks without TLS.
    ``seconds`` is how long an answer may take, 0 for the time-out of the options.
    """

    kinds: tuple[Kind, ...] = ECHO
    aet: str = ""
    security: tuple[ssl.SSLContext, str | None] | None = None
    roles: tuple[str, ...] = ()
    handlers: tuple[tuple[Any, Callable[..., Any]], ...] = ()
    seconds: float = 0.0


def as_modality(check: CheckContext, kinds: Iterable[Kind] = ECHO, **words: Any) -> Ask:
    """Return what a modality that is set up rightly asks for."""
    security = (check.dicom_context, check.endpoint.dicom_host)
    return Ask(tuple(kinds), check.endpoint.aet, security, **words)


@contextmanager
def association(check: CheckContext, ask: Ask) -> Iterator[Association]:
    """Give an established association and release it. Raises Broken with the reason where there is none."""
    with quiet_dicom():
        try:
            link = check.connected(lambda: _answered(check, ask))
        except ConnectionResetError:
            raise Broken("there is no association: the connection ended", ended_hint(check)) from None
        if link.is_rejected:
            raise Broken(f"the association is rejected: {rejection(link)}", _rejected_hint(check, link))
        with _released(link):
            yield link


@contextmanager
def asked(check: CheckContext, ask: Ask) -> Iterator[Association]:
    """Ask for an association and give what came of it; one that came about is released."""
    with quiet_dicom(), _released(_associate(check, ask)) as link:
        yield link


@contextmanager
def _released(link: Association) -> Iterator[Association]:
    try:
        yield link
    finally:
        if link.is_established:
            link.release()


def _answered(check: CheckContext, ask: Ask) -> Association:
    """Return an association that Orthanc answered: established, rejected, or without any context of ours.

    Raises ConnectionResetError where the connection ended at once, Broken where it took its time.
    """
    began = time.monotonic()
    link = _associate(check, ask)
    if link.is_established or link.is_rejected or link.rejected_contexts:
        return link
    if time.monotonic() - began > AT_ONCE:
        raise Broken("there is no association: the connection ended", ended_hint(check))
    raise ConnectionResetError


def _associate(check: CheckContext, ask: Ask) -> Association:
    entity = AE(ae_title=check.options.calling_aet)
    seconds = ask.seconds or check.options.timeout
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
    for abstract, transfer in ask.kinds:
        entity.add_requested_context(abstract, transfer)
    return entity.associate(
        check.endpoint.address,
        check.endpoint.dicom_port,
        ae_title=ask.aet,
        tls_args=cast(Any, ask.security),  # None as a name: a client without SNI
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class in ask.roles],
        evt_handlers=[(evt.EVT_CONN_OPEN, no_delay), *ask.handlers],
    )


def no_delay(event: Event) -> None:
    """Send small messages at once: waiting for more (Nagle) would be measured as 40 ms of latency."""
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def rejection(link: Association) -> str:
    """Return the reason of a rejection, in the words of the standard."""
    primitive = link.acceptor.primitive
    return str(primitive.reason_str) if primitive is not None else "no reason given"


def refused_kinds(link: Association) -> set[Kind]:
    """Return what was asked for and rejected."""
    # An answer repeats no more than the number of a context.
    requested = {context.context_id: context for context in link.requestor.requested_contexts}
    refused = [requested[context.context_id] for context in link.rejected_contexts]
    return {(str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in refused}


def _rejected_hint(check: CheckContext, link: Association) -> str:
    primitive = link.acceptor.primitive
    if primitive is None or primitive.result_source != 1:  # not by Orthanc itself
        return ended_hint(check)
    called = f"give Orthanc's own AE title: --called AET ({check.endpoint.aet} was called)"
    return {3: unknown_calling(check.options.calling_aet), 7: called}.get(primitive.diagnostic or 0, "")


def unknown_calling(calling: str) -> str:
    """Return what lets a modality in where Orthanc takes those alone that it knows."""
    entry = f"{{{calling.lower()}: {{aet: {calling}, host: ..., port: 104}}}}"
    return (
        f"add it to the tenant's modalities (DicomModalities): {entry}, or take the title of a known one: --calling AET"
    )


def ended_hint(check: CheckContext) -> str:
    """Return what to look at where a connection ended without an answer of Orthanc."""
    try:
        check.handshake_once(check.dicom_context, check.dicom)
    except OSError as error:
        return tls.refusal(error).hint
    return "does the route lead to port 4242, and does the ingress know the protocol (ALPN) dicom?"
