"""Kinds of values that settings are made of, and how each is checked. Messages are read by people."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
_USER = re.compile(r"^[A-Za-z][A-Za-z0-9._-]*$")
_SQL = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")
_QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
_IMAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9./_:@-]*$")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(s|m|h)$")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
AET_LENGTH = 16


class Model(BaseModel):
    """Frozen, and without room for a misspelt key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def dns_label(value: str) -> str:
    """Return ``value`` if Kubernetes takes it as a name."""
    if not _LABEL.match(value):
        raise ValueError(f"{value!r} is not a DNS label (a-z, 0-9 and -, at most 63 characters, no - at the ends)")
    return value


def dns_name(value: str) -> str:
    """Return ``value`` if Kubernetes takes it as the name of a thing that may hold dots."""
    if len(value) > 253 or not all(_LABEL.match(label) for label in value.split(".")):
        raise ValueError(f"{value!r} is not a name of Kubernetes (a-z, 0-9, - and .)")
    return value


def sql_name(value: str) -> str:
    """Return ``value`` if PostgreSQL takes it as a name without quotes."""
    if not _SQL.match(value) or value.startswith("pg_"):
        raise ValueError(f"{value!r} is not a name for PostgreSQL (a-z, 0-9 and _, no pg_ first)")
    if value in ("postgres", "template0", "template1"):
        raise ValueError(f"{value!r} is kept for PostgreSQL itself")
    return value


def domain_name(value: str) -> str:
    """Return ``value`` if it is a domain in lower case."""
    if value != value.lower():
        raise ValueError(f"{value!r} must be lower-case: {value.lower()!r}")
    if len(value) > 240 or not all(_LABEL.match(label) for label in value.split(".")):
        raise ValueError(f"{value!r} is not a domain name like bhc.example.org")
    return value


def ae_title(value: str) -> str:
    """Return ``value`` if DICOM takes it as an AE title."""
    if not value.strip():
        raise ValueError("an AE title must not be blank")
    if len(value) > AET_LENGTH:
        raise ValueError(f"AE title {value!r} has {len(value)} characters; DICOM allows {AET_LENGTH}")
    if "\\" in value or not (value.isascii() and value.isprintable()):
        raise ValueError(f"AE title {value!r} must be printable ASCII without a backslash")
    if value != value.strip():
        raise ValueError(f"AE title {value!r} must not begin or end with a space")
    return value


def quantity(value: str) -> str:
    """Return ``value`` if it is an amount as Kubernetes writes it."""
    if not _QUANTITY.match(value):
        raise ValueError(f"{value!r} is not an amount like 500m, 512Mi or 10Gi")
    return value


def user_name(value: str) -> str:
    """Return ``value`` if it can be a user of Orthanc whose password has a variable of its own."""
    if not _USER.match(value):
        raise ValueError(f"user {value!r} must begin with a letter and hold only letters, digits, '.', '_' and '-'")
    if value.lower() == "postgres":
        raise ValueError("user 'postgres' is kept for the database")
    return value


def plain_name(value: str) -> str:
    """Return ``value`` if it is a name that can be typed without quotes."""
    if not _NAME.match(value):
        raise ValueError(f"{value!r} is not a name (letters, digits, '.', '_' and '-')")
    return value


def image_name(value: str) -> str:
    """Return ``value`` if it looks like the name of an image or of a folder of images."""
    if not _IMAGE.match(value) or value.endswith(("/", ":")) or "://" in value:
        raise ValueError(
            f"{value!r} is not an image name like docker.io/library/postgres:17 (no https://, no / at the end)"
        )
    return value


def host_port(value: str) -> str:
    """Return ``value`` if it is a host name or IPv4 address and a port."""
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536 or not all(_LABEL.match(label) for label in host.split(".")):
        raise ValueError(f"{value!r} is not written like pacs.hospital.example:11112")
    return value


def seconds(value: Any) -> Any:
    """Return ``90s``, ``10m`` or ``1h`` as seconds; numbers are seconds already."""
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return float(match.group(1)) * _UNITS[match.group(2)]
    if isinstance(value, str):
        raise ValueError(f"{value!r} is not a time like 90, 90s, 10m or 1h")
    return value


def network(value: str) -> str:
    """Return ``value`` if it is an IPv4 network in CIDR form."""
    try:
        return str(IPv4Network(value))
    except ValueError as error:
        raise ValueError(
            f"{value!r} is not an IPv4 network like 198.18.0.0/20: {str(error).replace(value, 'it')}"
        ) from error


def variable(name: str) -> str:
    """Return ``name`` as part of an environment variable: ``bhc-1`` becomes ``BHC_1``."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


HostPort = Annotated[str, AfterValidator(host_port)]
DnsLabel = Annotated[str, AfterValidator(dns_label)]
DnsName = Annotated[str, AfterValidator(dns_name)]
SqlName = Annotated[str, AfterValidator(sql_name)]
Domain = Annotated[str, AfterValidator(domain_name)]
AeTitle = Annotated[str, AfterValidator(ae_title)]
Quantity = Annotated[str, AfterValidator(quantity)]
UserName = Annotated[str, AfterValidator(user_name)]
PlainName = Annotated[str, AfterValidator(plain_name)]
ImageName = Annotated[str, AfterValidator(image_name)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Network = Annotated[str, AfterValidator(network)]
