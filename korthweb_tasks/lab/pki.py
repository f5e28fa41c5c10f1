"""The lab's certificates: a CA, the admin's pair (where kwokctl looks for it), and one pair per component."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

VALIDITY = datetime.timedelta(days=3650)
#: who the API server's own certificate says it is
ADMIN = "korthweb-admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for: user and group in Kubernetes' eyes, and the names and addresses that it serves."""

    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def create(folder: Path, names: Iterable[str], addresses: Iterable[str]) -> None:
    """Make ``ca`` and ``admin`` in ``folder``; kwokctl makes its own only where the folder is missing."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity("korthweb-lab-ca")
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = _builder(identity, _name(identity), key).add_extension(x509.BasicConstraints(True, None), critical=True)
    certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    _write(folder / "ca", certificate, key)
    issue(folder, folder / "admin", Identity(ADMIN, "system:masters", tuple(names), tuple(addresses)))


def issue(pki: Path, into: Path, identity: Identity) -> None:
    """Write ``<into>.crt`` and ``<into>.key`` (0600), signed by ``<pki>/ca``, unless that CA signed them already."""
    ca = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    if _signed(into, ca):
        return
    signer = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in identity.addresses]
    builder = _builder(identity, ca.subject, key)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    _write(into, builder.sign(signer, hashes.SHA256()), key)


def _signed(into: Path, ca: x509.Certificate) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(into.with_suffix(".crt").read_bytes())
        certificate.verify_directly_issued_by(ca)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return into.with_suffix(".key").is_file()


def _builder(identity: Identity, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(identity))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALIDITY)
    )


def _name(identity: Identity) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
    if identity.group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
    return x509.Name(attributes)


def _write(into: Path, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> None:
    """Write the key first: a pair that is there is whole."""
    into.parent.mkdir(parents=True, exist_ok=True)
    path = into.with_suffix(".key")
    path.touch(mode=0o600)
    # the older form, which every reader of keys knows
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    into.with_suffix(".crt").write_bytes(certificate.public_bytes(Encoding.PEM))
