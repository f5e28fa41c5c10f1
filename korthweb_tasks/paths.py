"""The one place that says where korthweb keeps things on disk."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of everything that can be made again: binaries, images, packages."""
    return _base("KORTHWEB_CACHE", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Return the folder of what is running now: one sub-folder per lab."""
    return _base("KORTHWEB_STATE", "XDG_STATE_HOME", ".local/state")


def lab_dir(name: str) -> Path:
    """Return the folder of one lab; ``lab.down`` removes it whole."""
    return state_dir() / "labs" / name


def project_dir() -> Path:
    """Return the folder of the nearest ``korthweb.yaml`` above the working directory, else that directory."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "korthweb.yaml").is_file()), here)


def work_dir() -> Path:
    """Return the project's own ``.korthweb`` folder: context choice, recorded guards, journals."""
    return project_dir() / ".korthweb"


def artifacts_dir(approach: str) -> Path:
    """Return the folder of ``manual``, ``helm`` or ``gitops`` artifacts, in a checkout or inside the wheel."""
    package = Path(__file__).parent
    inside = package / "artifacts" / approach
    return inside if inside.is_dir() else package.parent / approach


def _base(own: str, xdg: str, default: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen)
    return Path(os.environ.get(xdg) or Path.home() / default) / "korthweb"
