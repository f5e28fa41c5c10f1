"""Text as a person may see it: secrets out of sight in every form, and nothing that a terminal would obey. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "********"
#: shorter texts are not looked for in their other forms: too much else would fit
SHORTEST = 6
#: sequences that a terminal obeys (ECMA-48): CSI with its end, strings such as OSC (title, clipboard, links) too
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
#: what is left of control characters, and those that turn the direction of text or hide in it
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return ``text`` without anything but printable characters, tabs and line breaks.

    Logs of pods and messages of servers are written by others: a title, the clipboard, a link or a line drawn over
    another one must not come from them.

    >>> printable("ok\x1b]52;c;cm0gLXJm\x07 \x1b[2Kready\r\n")
    'ok ready\n'
    """
    return _CONTROL.sub("", _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def masked(text: str, masks: Iterable[str]) -> str:
    """Return ``text`` with every one of ``masks`` put out of sight, in whatever encoding it stands there.

    >>> masked("Authorization: Basic YWRtaW46b25lLXNlY3JldA==", ["one-secret"])
    'Authorization: Basic YWRtaW46********'
    """
    wanted = tuple(sorted({mask for mask in masks if mask}))
    return _pattern(wanted).sub(MASK, text) if wanted else text


@lru_cache(maxsize=64)
def _pattern(masks: tuple[str, ...]) -> re.Pattern[str]:
    found = {form for mask in masks for form in _forms(mask)}
    return re.compile("|".join(sorted(found, key=len, reverse=True)))


def _forms(secret: str) -> Iterator[str]:
    """Give a pattern for each form of ``secret``."""
    texts = {secret}
    if len(secret) >= SHORTEST:
        texts |= _escaped(secret) | {text for form in _escaped(secret) for text in _escaped(form)}
        yield from _base64(secret.encode("utf-8", "surrogatepass"))
        yield secret.encode("utf-8", "surrogatepass").hex()
    for text in texts:
        # folded lines of YAML break where there was a space
        yield r"\s+".join(re.escape(word) for word in re.split(r"\s+", text)) if text.strip() else re.escape(text)


def _escaped(secret: str) -> set[str]:
    """Return how JSON, YAML, HTML, URLs, shells, SQL and Python write ``secret``."""
    url = {
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    lower = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text) for text in url}
    return {
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
        shlex.quote(secret).removeprefix("'").removesuffix("'"),
        secret.replace("'", "''"),
        secret.replace("\\", "\\\\").replace("'", "\\'"),
        *url,
        *lower,
    }


def _base64(raw: bytes) -> Iterator[str]:
    """Give the part that every Base64 text with ``raw`` in it has, for each of the three places it can begin at."""
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        whole = base64.b64encode(b"\0" * offset + raw).decode()
        sure = whole[first : (offset + len(raw)) * 8 // 6]
        for text in {sure, sure.replace("+", "-").replace("/", "_")} if len(sure) >= SHORTEST else ():
            # the characters around it hold bits of it, or the name that stands before it
            before = "[A-Za-z0-9+/_-]*" if offset else ""
            yield f"{before}{re.escape(text)}[A-Za-z0-9+/_-]*={{0,2}}"
