"""Certificates for the gateway double: a CA and leaves, good and bad."""

from __future__ import annotations

import datetime
import ssl
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass
class Authority:
    """A CA that signs what it is asked to."""

    common: str = "Tests CA"
    key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(self.common))
            .issuer_name(_name(self.common))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + 400 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def leaf(self, *names: str, begins: float = -1, ends: float = 90) -> bytes:
        """Return key and certificate in PEM; ``begins`` and ``ends`` in days from now."""
        key, now = _key(), datetime.datetime.now(datetime.timezone.utc)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0] if names else "nobody"))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + ends * DAY)
        )
        if names:
            leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        signed = leaf.sign(self.key, hashes.SHA256())
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + signed.public_bytes(serialization.Encoding.PEM)


def server_context(pem: bytes, *, old: bool = False) -> ssl.SSLContext:
    """Return a server's context; ``old`` lets TLS 1.0 and 1.1 in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if old:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pem")
        file.write_bytes(pem)
        context.load_cert_chain(file)
    return context
