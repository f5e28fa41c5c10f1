"""Certificates as they are served: chain, names, validity, version; and what must be refused."""

from __future__ import annotations

import datetime
import secrets
import socket
import ssl
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from korthweb_tasks.core import hints
from korthweb_tasks.verify.check_context import CheckContext, Port
from korthweb_tasks.verify.model import Broken, Finding, LeftOut
from korthweb_tasks.verify.tls import connection as tls


def served(check: CheckContext, port: Port) -> Finding:
    """Check that the chain, the names and the validity hold as served on ``port``."""
    try:
        seen = check.handshake(tls.looking(), port)
    except OSError as error:
        refusal = tls.refusal(error)
        raise Broken(f"port {port.number}: {refusal.why}", refusal.hint) from error
    if not seen.chain:
        raise Broken(f"port {port.number} serves no certificate", _served_hint())
    leaf = leaf_of(seen)
    days = judge(leaf, port.host, datetime.datetime.now(datetime.timezone.utc), check.options.min_days)
    context = tls.trusting(check.endpoint.ca_pem)
    try:
        trusted = check.handshake(context, port)
    except ssl.SSLCertVerificationError as error:
        raise Broken(f"port {port.number}: {error.verify_message}", _served_hint()) from error
    return Finding(
        f"{', '.join(names_of(leaf))} by {_common_name(leaf.issuer)}, {days:.0f} days left, {trusted.version}",
        {"days_left": round(days, 2)},
    )


def judge(leaf: x509.Certificate, host: str, now: datetime.datetime, min_days: float) -> float:
    """Return the days left of a certificate that is for ``host`` now. Raises Broken.

    ``min_days`` must be left, or a tenth of its lifetime where that is less: some are made for a day.
    """
    names = names_of(leaf)
    if not any(matches(name, host) for name in names):
        raise Broken(f"the certificate is for {', '.join(names) or 'no name'}, not for {host}", _served_hint())
    if now < leaf.not_valid_before_utc:
        raise Broken(f"the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", CLOCK_HINT)
    days = (leaf.not_valid_after_utc - now).total_seconds() / 86400
    if days <= 0:
        raise Broken(f"the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", _renew_hint())
    lifetime = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() / 86400
    if days < (least := min(min_days, lifetime / 10)):
        raise Broken(f"the certificate expires in {days:.1f} days, less than {least:.1f}", _renew_hint())
    return days


CLOCK_HINT = "compare the clocks of this machine and of the cluster"


def _served_hint() -> str:
    look = hints.kubectl("get", "certificates,secrets", "--all-namespaces")
    return f"`{look}`: does the gateway read the secret that the certificate is written to?"


def _renew_hint() -> str:
    look = hints.kubectl("get", "certificates,certificaterequests", "--all-namespaces")
    return f"cert-manager should have renewed it: `{look}`"


def leaf_of(seen: tls.Served) -> x509.Certificate:
    """Return the certificate of the server itself."""
    return x509.load_der_x509_certificate(seen.chain[0])


def names_of(leaf: x509.Certificate) -> list[str]:
    """Return the DNS names a certificate is for; the common name does not count, as for any client of today."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(names.value.get_values_for_type(x509.DNSName))


def matches(pattern: str, host: str) -> bool:
    """Return True if a name of a certificate covers ``host``; a star stands for one whole label."""
    if pattern.startswith("*."):
        return host.partition(".")[2].lower() == pattern[2:].lower()
    return pattern.lower() == host.lower()


def old_versions_refused(check: CheckContext, port: Port) -> Finding:
    """Offer TLS 1.0 and 1.1 alone: each must be refused, while the control (TLS 1.2 or 1.3) was taken.

    On the DICOM port, a tenant's settings may let them in.
    """
    answers = []
    for version, number in ((0x0301, "1.0"), (0x0302, "1.1")):
        check.listening(port)
        name = tls.WIRE_VERSIONS[version]
        if port == check.dicom and check.endpoint.policy.tls_minimum <= number:
            answers.append(f"{name}: allowed by dicom.tls.minimum")
            continue
        answer = check.offer(port, version)
        if answer == "accepted":
            raise Broken(f"port {port.number} accepts {name}", "set the gateway's minProtocolVersion to TLSV1_2")
        answers.append(f"{name}: {answer}")
    return Finding(", ".join(answers))


def suites_as_set(check: CheckContext) -> Finding:
    """Offer each cipher suite of TLS 1.2 alone: those of the tenant's dicom.tls are taken, and no other."""
    policy, number = check.endpoint.policy, check.dicom.number
    if not policy.suites:
        raise LeftOut("the settings are not known")
    key = "ECDSA" if _has_curve(check) else "RSA"
    wanted = [suite for suite in policy.suites if _fits(suite, key)] if policy.tls_minimum != "1.3" else []
    if unfit := [suite for suite in policy.suites if suite in tls.OLD_SUITES and not _fits(suite, key)]:
        hint = f"a certificate with the other kind of key, or a suite for {key}"
        raise Broken(f"no modality gets {unfit[0]}: the certificate's key is {key}", hint)

    def is_taken(code: int) -> bool:
        answer = check.offer(check.dicom, 0x0303, (code,))
        if answer == "closed":  # no alert says that there is no shared suite
            raise ConnectionResetError
        return answer == "accepted"

    taken = [suite for suite, code in tls.SUITES.items() if _once_told(check, is_taken, code)]
    again = hints.task(f"{check.options.approach or 'manual'}.deploy", tenant=check.endpoint.tenant)
    if missing := [suite for suite in wanted if suite not in taken]:
        raise Broken(f"port {number} does not take {', '.join(missing)}, which dicom.tls has", again)
    if others := [suite for suite in taken if suite not in policy.suites]:
        raise Broken(f"port {number} takes {', '.join(others)}, which dicom.tls does not have", again)
    return Finding(f"TLS 1.2: {', '.join(taken) or 'none'}; no other")


def _once_told(check: CheckContext, is_taken: Callable[[int], bool], code: int) -> bool:
    """Return True if a suite is taken; what ends again and again without an alert is not."""
    try:
        return check.connected(lambda: is_taken(code))
    except ConnectionResetError:
        return False


def _fits(suite: str, key: str) -> bool:
    """Return True if a server with such a key can have a suite."""
    return ("ECDSA" in suite) == (key == "ECDSA")


def _has_curve(check: CheckContext) -> bool:
    seen = check.handshake(tls.looking(), check.dicom)
    return isinstance(leaf_of(seen).public_key(), ec.EllipticCurvePublicKey)


def wrong_name(check: CheckContext, port: Port) -> tuple[str, str]:
    """Ask under a name that nobody has; return it and how it is refused. Raises Broken where the certificate passes."""
    name = f"wrong-{secrets.token_hex(4)}.{port.host.partition('.')[2]}"
    check.listening(port)
    try:
        check.handshake_once(check.tls_context, port, name)
    except ssl.SSLCertVerificationError as error:
        return name, error.verify_message
    except OSError as error:
        return name, "no answer" if isinstance(error, TimeoutError) else "the connection is ended"
    raise Broken(f"the certificate passes for {name}", "is it for a wildcard of the tenant's domain?")


def other_ca_refused(check: CheckContext, port: Port) -> Finding:
    """Trust another CA than the tenant's: the handshake must fail, and because of the certificate."""
    context = tls.trusting(other_ca())
    try:
        check.handshake(context, port)
    except ssl.SSLCertVerificationError as error:
        return Finding(f"refused: {error.verify_message}")
    raise Broken(f"port {port.number} passes for a client that trusts only another CA")


def other_ca() -> str:
    """Return the certificate, in PEM, of a CA made for this moment, whose key is thrown away."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority that nobody trusts")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def address_known(check: CheckContext) -> Finding:
    """Check that there is an address to connect to, and that it resolves."""
    address = check.endpoint.address
    if not address:
        look = hints.kubectl("get", "services", "--all-namespaces")
        hint = f"`{look}`: is a load balancer giving out addresses? For a NodePort or port-forward: --address"
        raise Broken("the ingress has no address", f"{hint}, --https-port and --dicom-port")
    try:
        addresses = socket.getaddrinfo(address, check.endpoint.https_port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        hint = "is the load balancer's name in DNS yet?"
        raise Broken(f"{address} does not resolve: {error.strerror}", hint) from error
    numeric = sorted({str(entry[4][0]) for entry in addresses})
    return Finding(address if numeric == [address] else f"{address} is {', '.join(numeric)}")


def port_open(check: CheckContext, port: Port) -> Finding:
    """Check that a TCP connection is taken."""
    try:
        with socket.create_connection((check.endpoint.address, port.number), check.options.timeout):
            return Finding(f"{check.endpoint.address}:{port.number} answers")
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        hint = "is the port in the ingress Service, and does a Gateway open it? a firewall between?"
        raise Broken(f"{check.endpoint.address}:{port.number}: {why}", hint) from error


def _common_name(name: x509.Name) -> str:
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else name.rfc4514_string() or "an unnamed issuer"
