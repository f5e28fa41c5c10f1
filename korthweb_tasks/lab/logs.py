"""The components' logs."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import nearest, unknown
from korthweb_tasks.errors import UsageError
from korthweb_tasks.lab import process, store
from korthweb_tasks.run.console import say


def log_file(name: str, component: str) -> Path:
    """Return the log of a component; raises UsageError where the lab, or the log, is not there."""
    lab = store.load(name)
    if lab is None:
        raise UsageError(
            f"there is no lab '{name}'{nearest(name, store.names())}", hint=hints.task("lab.up", name=name)
        )
    layout = lab.layout
    logs = {path.stem: path for folder in (layout.logs, layout.kwok / "logs") for path in sorted(folder.glob("*.log"))}
    alias = {"apiserver": "kube-apiserver", "scheduler": "kube-scheduler", "kwok": "kwok-controller", "dns": "coredns"}
    found = logs.get(alias.get(component, component))
    if found is None:
        known = sorted(logs) or list(process.CONTROL_PLANE)
        raise unknown(f"log in the lab '{name}' of", component, known)
    return found


def last_lines(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file."""
    with path.open(errors="replace") as stream:
        return [line.rstrip("\n") for line in deque(stream, maxlen=max(0, lines))]


def follow_log(path: Path) -> None:
    """Print what is added to a file, until Ctrl-C."""
    with path.open(errors="replace") as stream:
        stream.seek(0, 2)
        try:
            while True:
                if line := stream.readline():
                    say(line, end="")
                else:
                    time.sleep(0.2)
        except KeyboardInterrupt:
            return
