"""What a kubeconfig says of the way to its server: login program, proxy, and when the login in it expires."""

from __future__ import annotations

import ipaddress
import json
import os
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Body = Mapping[str, Any]


def plugin(user: Body) -> str:
    """Return the program that logs in, without its arguments; empty where there is none."""
    found = user.get("exec")
    return str(found.get("command") or "") if isinstance(found, Mapping) else ""


def proxy(server: str, cluster: Body, environ: Mapping[str, str] | None = None) -> str:
    """Return the proxy that the way to ``server`` goes through, and who names it; empty where there is none.

    >>> proxy("https://api.example:6443", {}, {"HTTPS_PROXY": "http://me:secret@proxy.example:3128"})
    'http://proxy.example:3128 (HTTPS_PROXY)'
    """
    if own := str(cluster.get("proxy-url") or ""):
        return f"{_bare(own)} (proxy-url of the kubeconfig)"
    environment = os.environ if environ is None else environ
    url = urlsplit(server)
    name = "HTTP_PROXY" if url.scheme == "http" else "HTTPS_PROXY"
    for variable in (name, name.lower()):
        if (found := environment.get(variable)) and not _direct(url.hostname or "", environment):
            return f"{_bare(found)} ({variable})"
    return ""


def _bare(address: str) -> str:
    """Return a URL without user and password."""
    head, slashes, rest = address.rpartition("://")
    return f"{head}{slashes}{rest.rpartition('@')[2]}"


def _direct(host: str, environ: Mapping[str, str]) -> bool:
    """Return True if ``host`` is asked without a proxy: the loopback, and what NO_PROXY names, as Go reads it."""
    address = None
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    listed = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    return any(_covers(word.strip(), host, address) for word in listed.split(",") if word.strip())


def _covers(word: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address:
        with suppress(ValueError):
            return address in ipaddress.ip_network(word, strict=False)
    name = word.lower().partition(":")[0].removeprefix("*")
    return name == "" or host.lower() == name.lstrip(".") or host.lower().endswith(f".{name.lstrip('.')}")


def ended(user: Body, folder: Path) -> str:
    """Return when the certificate or token of ``user`` expired; empty where it did not, or nobody can tell."""
    now = datetime.now(timezone.utc)
    ends = [end for end in (_certificate_end(user, folder), token_end(user, folder)) if end and end < now]
    return f"{min(ends):%Y-%m-%d %H:%M} UTC" if ends else ""


def _certificate_end(user: Body, folder: Path) -> datetime | None:
    from cryptography import x509

    with suppress(ValueError, OSError):
        if inline := user.get("client-certificate-data"):
            raw = b64decode(str(inline))
        elif file := user.get("client-certificate"):
            raw = (folder / str(file)).read_bytes()
        else:
            return None
        return x509.load_pem_x509_certificate(raw).not_valid_after_utc
    return None


def token_end(user: Body, folder: Path) -> datetime | None:
    """Return when the token of ``user`` ends, as it says of itself; None for one that is not a JWT."""
    with suppress(ValueError, OSError, IndexError, KeyError, TypeError, OverflowError):
        file = user.get("tokenFile")
        token = (folder / str(file)).read_text() if file else str(user.get("token") or "")
        part = token.split(".")[1]
        body = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return datetime.fromtimestamp(float(body["exp"]), timezone.utc)
    return None
