"""The project's choice of a cluster, kept in ``.korthweb/context``; never in anybody's kubeconfig."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.errors import SettingsError

LAB_PREFIX = "korthweb-"


def chosen_context(project: Path | None = None) -> str | None:
    """Return the name given to ``context.use``, or None; raises SettingsError if the file can't be read."""
    path = _file(project)
    try:
        return path.read_text("utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read ({error})", hint="inv context.use NAME") from error


def choose_context(name: str, project: Path | None = None) -> None:
    """Make ``name`` the project's choice."""
    write_private(_file(project), f"{name}\n")


def forget_context(name: str, project: Path | None = None) -> None:
    """Undo the choice of ``name``, if it is the choice: ``lab.down`` calls this."""
    if chosen_context(project) == name:
        _file(project).unlink(missing_ok=True)


def lab_of(context: str) -> str | None:
    """Return the name of the lab whose context this is, if that lab exists."""
    name = context.removeprefix(LAB_PREFIX)
    is_lab = context.startswith(LAB_PREFIX) and name not in ("", ".", "..") and "/" not in name
    return name if is_lab and paths.lab_dir(name).is_dir() else None


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one go: readers see the old text or the new, never half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _file(project: Path | None) -> Path:
    return (project / ".korthweb" if project else paths.work_dir()) / "context"
