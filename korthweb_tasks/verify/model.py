"""What a verification is told and what it answers: plain data, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings let a tenant's modalities do; ``suites`` are cipher suites up to TLS 1.2, () for unknown.

    ``operations`` are those that Orthanc allows to the AE title that calls: Store, Find, Get, Move, StorageCommitment;
    None for unknown. ``reports_to`` is host and port of that AE title. ``without_sni`` is the port for modalities that
    name no server: 0 for that of DICOM, None where they are not let in.
    """

    tls_minimum: str = "1.2"
    suites: tuple[str, ...] = ()
    operations: frozenset[str] | None = None
    reports_to: tuple[str, int] | None = None
    without_sni: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One tenant as seen from outside the cluster.

    ``address`` is what is connected to (an IP or a name); ``web_host`` and ``dicom_host`` travel
    as SNI and Host, and are what the certificates must say, so no /etc/hosts is edited.
    """

    tenant: str
    address: str
    web_host: str
    dicom_host: str
    aet: str
    ca_pem: str = field(repr=False)
    username: str
    password: SecretStr
    https_port: int = 443
    dicom_port: int = 11112
    namespace: str = ""
    policy: Policy = field(default_factory=Policy)

    @property
    def url(self) -> str:
        """Return what a browser would be given."""
        return f"https://{self.host_header}"

    @property
    def host_header(self) -> str:
        """Return the Host of a request; the usual port is left out."""
        return self.web_host if self.https_port == 443 else f"{self.web_host}:{self.https_port}"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many bytes one instance may have, why, and what changes that."""

    size: int
    why: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to verify. Times are in seconds.

    ``only`` names the rungs wanted; those that they need come along. ``restart`` False leaves
    out the rung that deletes pods. ``settle`` is how long an ingress may have no backend at the
    beginning and after the pods were deleted. ``study`` is a folder of DICOM files to send instead of ours.
    ``largest`` is what one instance may have. ``address``, the ports and ``called_aet`` stand for those of the
    tenant. ``move_to`` is the AE title that C-MOVE sends the study to.
    """

    only: tuple[str, ...] = ()
    restart: bool = True
    study: Path | None = None
    timeout: float = 15.0
    restart_timeout: float = 300.0
    settle: float = 20.0
    min_days: float = 7.0
    calling_aet: str = "KORTHWEB"
    called_aet: str = ""
    address: str = ""
    https_port: int = 0
    dicom_port: int = 0
    move_to: str = ""
    approach: str = ""
    largest: Limit | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rung that holds has seen: one line for a person, numbers for machines, and what is told of each file."""

    detail: str
    measures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Broken(Exception):
    """A rung does not hold: one line that says why, what to do next, and what is told of each file.

    ``blocks`` False: enough came of it for later rungs to tell something.
    """

    def __init__(self, message: str, hint: str = "", *, notes: tuple[str, ...] = (), blocks: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.notes = notes
        self.blocks = blocks


class LeftOut(Exception):
    """A rung that this deployment is not configured for; the message says by what."""
