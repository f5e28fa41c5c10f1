"""The project's choice of a cluster, kept in ``.korthweb/context``; never in anybody's kubeconfig."""

from __future__ import annotations

from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.files import located, read_private, write_private
from korthweb_tasks.settings.snapshot import forget, once

LAB_PREFIX = "korthweb-"


def chosen_context(project: Path | None = None) -> str | None:
    """Return the name given to ``context.use``, or None; raises SettingsError if the file can't be read."""
    return once(_chosen, _file(project))


def _chosen(path: Path) -> str | None:
    try:
        name = read_private(path).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text", hint=hints.task("context.use", "NAME")) from error
    if not name:
        raise SettingsError(f"{path} is empty", hint=hints.task("context.use", "NAME"))
    return name


def choose_context(name: str, project: Path | None = None) -> None:
    """Make ``name`` the project's choice."""
    write_private(_file(project), f"{name}\n")
    forget(_file(project))


def forget_context(name: str) -> None:
    """Undo the choice of ``name``, if it is the choice: ``lab.down`` calls this."""
    if chosen_context() == name:
        tree, file = located(_file(None))
        tree.remove(file)
        forget(_file(None))


def lab_of(context: str) -> str | None:
    """Return the name of the lab whose context this is, if that lab exists."""
    name = context.removeprefix(LAB_PREFIX)
    is_lab = context.startswith(LAB_PREFIX) and name not in ("", ".", "..") and "/" not in name
    return name if is_lab and paths.lab_dir(name).is_dir() else None


def _file(project: Path | None) -> Path:
    return (project / ".korthweb" if project else paths.work_dir()) / "context"
