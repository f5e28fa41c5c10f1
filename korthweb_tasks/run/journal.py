"""What a run did, kept in ``.korthweb/runs/<time>/``: readable by its owner only, masked, whole after a crash."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from korthweb_tasks.core.command import Result, masked
from korthweb_tasks.errors import tail
from korthweb_tasks.files import located, write_private

#: runs kept; older ones are removed when a new one begins
KEPT = 50
#: what a run's folder is called; nothing else is ever removed
RUN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{6}")


@dataclass
class Journal:
    """One JSON object a line in ``journal.jsonl``; reports of the run lie beside it."""

    folder: Path
    masks: tuple[str, ...] = field(default=(), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def begin(cls, root: Path, title: str, masks: tuple[str, ...] = ()) -> Journal:
        """Make the folder of a new run below ``root``."""
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
        folder = root / stamp
        tree, name = located(root)
        tree.make(f"{name}/{stamp}")
        journal = cls(folder, masks)
        journal.note("run", title=title, began=datetime.now(timezone.utc).isoformat())
        tree.prune(name, RUN, KEPT)
        return journal

    def note(self, event: str, **data: Any) -> None:
        """Append one event."""
        line = masked(json.dumps({"event": event, **data}, default=str), self.masks) + "\n"
        with self._lock:
            tree, name = located(self.folder / "journal.jsonl")
            tree.append(name, line)

    def command(self, result: Result) -> None:
        """Append what a command did: never its stdin, never its stdout."""
        stderr = masked(tail(result.stderr, 5), result.command.masks) if result.code not in result.command.ok else ""
        self.note(
            "command",
            command=str(result.command),
            code=result.code,
            seconds=round(result.seconds, 3),
            attempts=result.attempts,
            stderr=stderr,
        )

    def write(self, name: str, text: str) -> Path:
        """Write a file of the run at once or not at all."""
        path = self.folder / name
        write_private(path, masked(text, self.masks))
        return path
