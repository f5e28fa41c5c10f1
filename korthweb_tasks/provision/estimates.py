"""How long each build took the last time on this machine, and how it is told."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from korthweb_tasks import paths


def estimate(component: str) -> float | None:
    """Return the seconds that a whole build of ``component`` took on this machine, if it is known."""
    return _all().get(component, (None, 0))[0]


def remember(component: str, seconds: float, packages: int) -> None:
    """Note that building ``component`` took ``seconds`` for ``packages``; a build that only went on says little."""
    if packages < _all().get(component, (0, 0))[1] / 2:
        return
    locks = paths.cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / "estimates").open("w") as handle:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX)
        known = {**_all(), component: (round(seconds, 1), packages)}
        fresh = _file().with_name(f".estimates-{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(_file())


def clock(seconds: float) -> str:
    """Return ``seconds`` as a person says them."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _file() -> Path:
    return paths.cache_dir() / "estimates.json"


def _all() -> dict[str, tuple[float, int]]:
    """Return component → (seconds, packages); a note of another shape is as good as none."""
    try:
        noted = json.loads(_file().read_text(encoding="utf-8"))
        return {name: (float(seconds), int(packages)) for name, (seconds, packages) in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
