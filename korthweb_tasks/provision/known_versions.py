"""The versions of programs, asked once each: a run that knows them starts no process."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from korthweb_tasks import paths
from korthweb_tasks.core.environment import for_build
from korthweb_tasks.errors import UntrustedFile
from korthweb_tasks.files import write_private

#: seconds that a program may take to say its version
PATIENCE = 30.0


class Asked(Protocol):
    """What a tool must offer to be asked for its version."""

    @property
    def ask(self) -> tuple[str, ...]:
        """Return the arguments that make it say its version."""

    def parse_version(self, text: str) -> str | None:
        """Return the version in its answer."""


def version_of(tool: Asked, program: Path) -> str | None:
    """Return the version of ``program``, remembered for as long as the file stays the same; None if it says none."""
    try:
        real = program.resolve(strict=True)
        state = real.stat()
    except OSError:
        return None
    key = f"{real} {state.st_mtime_ns} {state.st_size}"
    known = _all()
    if known.get(key):
        return known[key]
    if version := asked(tool, program):
        _remember(real, key, version)
    return version


def asked(tool: Asked, program: Path) -> str | None:
    """Run ``program`` and return the version that it says, or None."""
    quiet = {"KUBECONFIG": os.devnull, "HELM_KUBECONTEXT": "", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            [str(program), *tool.ask], capture_output=True, text=True, check=False, timeout=PATIENCE,
            stdin=subprocess.DEVNULL, env={**for_build(os.environ), **quiet},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tool.parse_version(done.stdout) if done.returncode == 0 else None


def _file() -> Path:
    return paths.cache_dir() / "tools.json"


def _all() -> dict[str, str]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(real: Path, key: str, version: str) -> None:
    """Add one line and forget what the same file was before; a lost race costs one question, nothing else."""
    known = {**{one: value for one, value in _all().items() if not one.startswith(f"{real} ")}, key: version}
    with suppress(OSError, UntrustedFile):
        write_private(_file(), json.dumps(known, indent=1, sort_keys=True) + "\n")
