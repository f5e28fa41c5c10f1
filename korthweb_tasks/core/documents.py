"""Reads the JSON that Kubernetes' clients print: a list, one object, nothing, or a stream of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from korthweb_tasks.core.command import Result


def items(result: Result) -> list[dict[str, Any]]:
    """Read the objects that ``get --output json`` printed: none, one or a list."""
    if not result.stdout.strip():
        return []
    data: dict[str, Any] = json.loads(result.stdout)
    return list(data["items"]) if "items" in data else [data]


class Documents:
    """Splits what a watch prints into JSON documents, in one line each or in many."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Return the documents that are complete now."""
        self._rest += data
        # A document ends with a line: whatever stands after the last one is not complete.
        lines, _, rest = self._rest.rpartition(b"\n")
        text, decoder, at = lines.decode(), json.JSONDecoder(), 0
        while (at := _skip(text, at)) < len(text):
            try:
                document, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                break
            yield document
        self._rest = text[at:].encode() + b"\n" + rest if at < len(text) else rest


def _skip(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())
