"""Fetches one file over HTTP and believes it only when its checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from korthweb_tasks.errors import Interrupted, ToolMissing

#: seconds without a byte, and how often a broken transfer is tried
PATIENCE = 20.0
ATTEMPTS = 3
BLOCK = 1 << 16


class Unreachable(ToolMissing):
    """The host gave no answer at all; another source may be tried."""


class WrongChecksum(ToolMissing):
    """What came is not what was published. Never passed over in silence."""


def verified(
    url: str,
    checksum_url: str,
    target: Path,
    *,
    progress: Callable[[str], None] | None = None,
    pause: float = 1.0,
    stop: threading.Event | None = None,
) -> Path:
    """Download ``url`` to ``target``, which appears only if its SHA-256 is the one that ``checksum_url`` gives.

    Broken transfers and 5xx answers are tried again after ``pause`` seconds, doubling. Raises Unreachable,
    WrongChecksum, Interrupted (``stop`` was set), or ToolMissing with the address and the answer.
    """
    name = url.rsplit("/", 1)[-1]
    stop = stop or threading.Event()
    wanted = checksum(_tried(lambda: _text(checksum_url), checksum_url, pause, stop), name)
    if wanted is None:
        raise ToolMissing(f"{checksum_url} has no SHA-256 for {name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        got = _tried(lambda: _save(url, partial, progress, stop), url, pause, stop)
        if got != wanted:
            raise WrongChecksum(
                f"{url}: the SHA-256 is {got}, published is {wanted}", hint="try again, or ask upstream"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def checksum(text: str, name: str) -> str | None:
    """Return the SHA-256 of ``name`` from a checksum file: one bare digest, or lines of ``digest  name``."""
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-fA-F]{64})(?:\s+\*?(\S+))?\s*", line)
        if match and (match[2] is None or match[2].rsplit("/", 1)[-1] == name):
            return match[1].lower()
    return None


def _tried(action: Callable[[], str], url: str, pause: float, stop: threading.Event) -> str:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 or attempt == ATTEMPTS:
                raise ToolMissing(f"{url} answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if _no_answer(error):
                raise Unreachable(f"{url.split('/')[2]} can not be reached: {_reason(error)}") from error
            if attempt == ATTEMPTS:
                raise ToolMissing(f"{url} can not be downloaded: {_reason(error)}") from error
        if stop.wait(pause * 2 ** (attempt - 1)):
            raise Interrupted("interrupted")
    raise AssertionError("unreachable")


def _text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read(1 << 20).decode("utf-8", "replace"))


def _save(url: str, path: Path, progress: Callable[[str], None] | None, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    done = 0
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer, path.open("wb") as file:
        whole = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(BLOCK):
            if stop.is_set():
                raise Interrupted("interrupted")
            file.write(block)
            digest.update(block)
            done += len(block)
            if progress and whole:
                progress(f"downloading, {100 * done // whole} % of {whole / 1e6:.0f} MB")
    if done < whole:
        raise http.client.IncompleteRead(b"", whole - done)
    return digest.hexdigest()


def _no_answer(error: BaseException) -> bool:
    reason = getattr(error, "reason", error)
    return isinstance(reason, (socket.gaierror, ConnectionRefusedError)) or (
        isinstance(error, urllib.error.URLError) and isinstance(reason, (TimeoutError, OSError))
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the transfer ended {error.expected} bytes early"
    return str(getattr(error, "reason", None) or error) or type(error).__name__
