"""What Flux's controllers log, as lines that people read. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

#: what a line has for machines, or what is said otherwise
_PLUMBING = {"ts", "level", "msg", "error", "controller", "controllerGroup", "controllerKind", "name", "namespace",
             "reconcileID", "stacktrace", "logger", "caller"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a controller's log; ``time`` as it wrote it (UTC)."""

    time: str
    level: str
    object: str
    message: str

    def __str__(self) -> str:
        """Return time, level, object, message."""
        about = f"{self.object}: " if self.object else ""
        return f"{self.time[11:19] or '--:--:--'} {self.level:<5} {about}{self.message}"

    def as_data(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


def read(text: str) -> Line:
    """Read one line; what is not a JSON object is a message."""
    try:
        entry = json.loads(text)
    except json.JSONDecodeError:
        entry = None
    if not isinstance(entry, dict):
        return Line("", "info", "", text.strip())
    message = str(entry.get("msg", ""))
    if error := entry.get("error"):
        message = f"{message}: {error}" if message else str(error)
    if more := ", ".join(f"{key} {value}" for key, value in entry.items() if _worth(key, value)):
        message = f"{message} ({more})"
    return Line(str(entry.get("ts", "")), str(entry.get("level", "info")), _about(entry), message)


def _about(entry: dict[str, Any]) -> str:
    kind = str(entry.get("controllerKind", ""))
    name, namespace = str(entry.get("name", "")), str(entry.get("namespace", ""))
    if not kind or not name:
        return ""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _worth(key: str, value: Any) -> bool:
    """Return True if a further field is worth showing: plain ones are."""
    return key not in _PLUMBING and isinstance(value, (str, int, float)) and len(str(value)) < 200
