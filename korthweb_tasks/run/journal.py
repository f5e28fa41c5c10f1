"""What a run did, kept in ``.korthweb/runs/<time>/``: readable by its owner only, masked, whole after a crash."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from korthweb_tasks.core.command import Result, masked
from korthweb_tasks.errors import KorthwebError, NoSpace, tail

#: runs kept; older ones are removed when a new one begins
KEPT = 50


@dataclass
class Journal:
    """One JSON object a line in ``journal.jsonl``; reports of the run lie beside it."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def begin(cls, root: Path, title: str) -> Journal:
        """Make the folder of a new run below ``root``; raises NoSpace on a full disk, KorthwebError elsewise."""
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
        folder = root / stamp
        try:
            folder.mkdir(parents=True, mode=0o700)
            journal = cls(folder)
            journal.note("run", title=title, began=datetime.now(timezone.utc).isoformat())
        except OSError as error:
            what = f"can not write the journal {folder}: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(what, hint="df -h .") from error
            raise KorthwebError(what, hint=f"ls -ld {root.parent}") from error
        for old in sorted(path for path in root.iterdir() if path.is_dir())[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return journal

    def note(self, event: str, **data: Any) -> None:
        """Append one event."""
        line = json.dumps({"event": event, **data}, default=str) + "\n"
        with self._lock:
            descriptor = os.open(self.folder / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line)

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
        part = path.with_suffix(path.suffix + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
        return path


def as_row(record: Any) -> Mapping[str, Any]:
    """Return a dataclass with slots as a mapping, for ``note``."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
