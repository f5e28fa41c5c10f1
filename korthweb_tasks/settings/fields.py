"""Kinds of values that settings are made of, and how each is checked. Messages are read by people."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from korthweb_tasks.core.words import describe
from korthweb_tasks.settings.orthanc_options import chart_file

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_SQL = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_:@-]*")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT = re.compile(r"[0-9]{1,5}")
_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+)(?::([0-9]{1,5}))?")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
AET_LENGTH = 16
#: the user whose password is the database's
DATABASE_USER = "postgres"


class Model(BaseModel):
    """Frozen, and without room for a misspelt key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InnerError(ValueError):
    """What can't be; ``key`` says which part of the value it is about."""

    def __init__(self, text: str, key: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.key = key


def dns_label(value: str, *, written: str = "") -> str:
    """Return ``value`` if Kubernetes takes it as a name; an error shows what was ``written``, where it is another."""
    if not _LABEL.fullmatch(value):
        raise ValueError(
            f"{(written or value)!r} is not a DNS label (a-z, 0-9 and -, at most 63 characters, no - at the ends)"
        )
    return value


def tenant_namespace(value: str) -> str:
    """Return ``value`` if it is a name that a tenant's namespace may have."""
    dns_label(value)
    reserved = chart_file("reserved.json")
    owners = [owner for start, owner in reserved["prefixes"].items() if value.startswith(start)]
    if owner := reserved["names"].get(value) or next(iter(owners), ""):
        raise ValueError(f"{value!r} is reserved for {owner}; a tenant needs a namespace of its own")
    return value


def dns_name(value: str) -> str:
    """Return ``value`` if Kubernetes takes it as the name of a thing that may hold dots."""
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError(f"{value!r} is not a name of Kubernetes (a-z, 0-9, - and .)")
    return value


def sql_name(value: str) -> str:
    """Return ``value`` if PostgreSQL takes it as a name without quotes."""
    if not _SQL.fullmatch(value) or value.startswith("pg_"):
        raise ValueError(f"{value!r} is not a name for PostgreSQL (a-z, 0-9 and _, no pg_ first)")
    if value in ("postgres", "template0", "template1"):
        raise ValueError(f"{value!r} is kept for PostgreSQL itself")
    return value


def domain_name(value: str) -> str:
    """Return ``value`` if it is a domain in lower case."""
    if value != value.lower():
        raise ValueError(f"{value!r} must be lower-case: {value.lower()!r}")
    labels = value.split(".")
    if len(value) > 240 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{value!r} is not a domain name like bhc.example.org")
    if len(labels) < 2 or re.fullmatch(
        "[0-9]+", labels[-1]
    ):  # web.localhost, web.10.0.0.1: no client resolves or verifies them
        raise ValueError(f"{value!r} is not a domain name with at least two parts, like bhc.example.org")
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


def user_name(value: str) -> str:
    """Return ``value`` if it can be a user of Orthanc whose password has a variable of its own."""
    if not _USER.fullmatch(value):
        raise ValueError(f"user {value!r} must begin with a letter and hold only letters, digits, '.', '_' and '-'")
    if value.lower() == DATABASE_USER:
        raise ValueError("user 'postgres' is kept for the database")
    return value


def environment_name(value: str) -> str:
    """Return ``value`` if it can be the name of an environment variable."""
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"{value!r} is not a name for a variable (letters, digits and _, no digit first)")
    return value


def variable_pattern(value: str) -> str:
    """Return ``value`` if it is the name of a variable, or its beginning and a star."""
    return environment_name(value.removesuffix("*")) + "*" * value.endswith("*")


def plain_name(value: str) -> str:
    """Return ``value`` if it is a name that can be typed without quotes."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name (letters, digits, '.', '_' and '-')")
    return value


def image_name(value: str) -> str:
    """Return ``value`` if it looks like the name of an image or of a folder of images."""
    host, slash, path = value.partition("/")
    repository = re.split("[:@]", path if slash and ("." in host or ":" in host) else value)[0]
    if repository != repository.lower():
        raise ValueError(f"{value!r} is not an image name: a repository is lower-case")
    if not _IMAGE.fullmatch(value) or value.endswith(("/", ":")) or "://" in value:
        raise ValueError(
            f"{value!r} is not an image name like docker.io/library/postgres:17 (no https://, no / at the end)"
        )
    return value


def host_name(value: str) -> str:
    """Return ``value`` if it is a host name or an IP address, and nothing beside it (no user, port or scheme)."""
    if not _NAME.fullmatch(value):
        try:
            ip_address(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is not a host name or address (user and port have keys of their own)"
            ) from None
    return value


def host_port(value: str) -> str:
    """Return ``value`` if it is a host name or IPv4 address and a port."""
    host, _, port = value.rpartition(":")
    if (
        not _PORT.fullmatch(port)
        or not 0 < int(port) < 65536
        or not all(_LABEL.fullmatch(label) for label in host.split("."))
    ):
        raise ValueError(f"{value!r} is not written like pacs.hospital.example:11112")
    return value


def web_origin(value: str) -> str:
    """Return ``value`` as browsers write the origin of a page: scheme, host, and a port that is not the usual one.

    >>> web_origin("https://Viewer.hospital.example:443")
    'https://viewer.hospital.example'
    """
    match = _ORIGIN.fullmatch(value.lower())
    if match is None or not all(_LABEL.fullmatch(label) for label in match[2].split(".")):
        why = "with * any page could read with a person's login" if "*" in value else "no path, no / at the end"
        raise ValueError(f"{value!r} is not an origin like https://viewer.hospital.example ({why})")
    scheme, host, port = match.groups()
    if port and not 0 < int(port) < 65536:
        raise ValueError(f"{value!r} has no port from 1 to 65535")
    usual = {"https": "443", "http": "80"}[scheme]
    return f"{scheme}://{host}" + (f":{port}" if port and port != usual else "")


def seconds(value: Any) -> Any:
    """Return ``90s``, ``10m`` or ``1h`` as seconds; numbers are seconds already."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match.group(1)) * _UNITS[match.group(2)]
    if isinstance(value, str | bool):
        raise ValueError(f"{describe(value)} is not a time like 90, 90s, 10m or 1h")
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


def written(pattern: str, *also: str, **more: Any) -> WithJsonSchema:
    """Return what an editor is told of a text: ``pattern``, and each of ``also``, met from its beginning to its end."""
    ahead = "".join(f"(?={one}$)" for one in also)
    return WithJsonSchema({"type": "string", "pattern": f"^{ahead}(?:{pattern})$", **more})


#: what is left of an image's name without its registry and tag
_LOWER = "(?:[^/]*[.:][^/]*/)?[^A-Z:@]*(?:[:@].*)?"
_DNS = rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*"

HostName = Annotated[
    str, AfterValidator(host_name), written(rf"{_NAME.pattern}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Za-z.:%]*")
]
HostPort = Annotated[str, AfterValidator(host_port), written(rf"{_DNS}:{_PORT.pattern}")]
TenantNamespace = Annotated[str, AfterValidator(tenant_namespace), written(_LABEL.pattern)]
DnsLabel = Annotated[str, AfterValidator(dns_label), written(_LABEL.pattern)]
DnsName = Annotated[str, AfterValidator(dns_name), written(_DNS, maxLength=253)]
SqlName = Annotated[str, AfterValidator(sql_name), written(_SQL.pattern, "(?!pg_|(?:postgres|template0|template1)$).*")]
Domain = Annotated[str, AfterValidator(domain_name), written(_DNS, r".*\..*", r".*[^.0-9][^.]*", maxLength=240)]
AeTitle = Annotated[str, AfterValidator(ae_title), written(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")]
EnvironmentName = Annotated[str, AfterValidator(environment_name), written(_VARIABLE.pattern)]
VariablePattern = Annotated[str, AfterValidator(variable_pattern), written(rf"{_VARIABLE.pattern}\*?")]
UserName = Annotated[str, AfterValidator(user_name), written(_USER.pattern, "(?![Pp][Oo][Ss][Tt][Gg][Rr][Ee][Ss]$).*")]
PlainName = Annotated[str, AfterValidator(plain_name), written(_NAME.pattern)]
ImageName = Annotated[str, AfterValidator(image_name), written(_IMAGE.pattern, _LOWER, "(?!.*://).*[^/:]")]
WebOrigin = Annotated[
    str, AfterValidator(web_origin), written("[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
]
Seconds = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"type": ["number", "string"], "pattern": rf"^\s*{_DURATION.pattern}\s*$", "exclusiveMinimum": 0}),
]
Network = Annotated[str, AfterValidator(network), written("[0-9]{1,3}(?:\\.[0-9]{1,3}){3}(?:/[0-9.]{1,15})?")]
