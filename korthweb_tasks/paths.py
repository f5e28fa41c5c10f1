"""The one place that says where korthweb keeps things on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from korthweb_tasks.errors import UsageError

#: the settings file of a project
SETTINGS = "korthweb.yaml"
_named: list[Path] = []


def cache_dir() -> Path:
    """Return the folder of everything that can be made again: binaries, images, packages."""
    return _base("KORTHWEB_CACHE", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Return the folder of what is running now: one sub-folder per lab."""
    return _base("KORTHWEB_STATE", "XDG_STATE_HOME", ".local/state")


def lab_dir(name: str) -> Path:
    """Return the folder of one lab; ``lab.down`` removes it whole."""
    return state_dir() / "labs" / name


def settings_file() -> Path:
    """Return the settings file: that of --settings, else the nearest ``korthweb.yaml`` here or above.

    Where there is none it is the one that would be in the working directory. A link that leads nowhere is taken: it
    is refused when it is read, and nothing further above takes its place.
    """
    if _named:
        return _named[-1]
    here = Path.cwd()
    places = (folder / SETTINGS for folder in (here, *here.parents))
    return next((file for file in places if os.path.lexists(file)), here / SETTINGS)


@contextmanager
def settings_from(file: Path | None) -> Iterator[None]:
    """Let ``file`` be the settings file inside the block; None changes nothing."""
    if file is None:
        yield
        return
    _named.append(file.expanduser().absolute())
    try:
        yield
    finally:
        _named.pop()


def project_dir() -> Path:
    """Return the folder of the settings file, which relative paths in it begin at."""
    return settings_file().parent


def work_dir() -> Path:
    """Return the project's own ``.korthweb`` folder: context choice, recorded guards, journals."""
    return project_dir() / ".korthweb"


def artifacts_dir(approach: str) -> Path:
    """Return the folder of ``manual``, ``helm`` or ``gitops`` artifacts, in a checkout or inside the wheel."""
    package = Path(__file__).parent
    inside = package / "artifacts" / approach
    return inside if inside.is_dir() else package.parent / approach


def docs(page: str) -> Path:
    """Return a page of the documentation, which a wheel brings along."""
    return artifacts_dir("docs") / page


def _base(own: str, xdg: str, default: str) -> Path:
    if (chosen := os.environ.get(own)) is not None:
        if not chosen.strip():
            raise UsageError(f"{own} is empty", hint=f"give it the path of a folder, or `unset {own}`")
        return Path(chosen)
    return Path(os.environ.get(xdg) or Path.home() / default) / "korthweb"
