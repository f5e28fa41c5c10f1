"""What the system refuses about files, in words for a person: the one place that an OSError becomes ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from korthweb_tasks import errors
from korthweb_tasks.core import hints
from korthweb_tasks.files import check_output
from korthweb_tasks.run.console import STDOUT

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: faults of the person's own files and folders -> what is said of them
_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "it is on a read-only file system",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "it is a file, not a folder",
    errno.EEXIST: "it exists already",
    errno.ENOENT: "there is no such file or folder",
    errno.ELOOP: "its links lead round in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "input/output error",
    errno.ENXIO: "it is a socket or a pipe that nobody reads",
    errno.ETXTBSY: "it is a program that runs",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}
_PACKAGE = Path(__file__).parents[1]


def of_file(error: OSError) -> errors.KorthwebError | None:
    """Return the error that a person is told of, None where it is not about a file of theirs."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if error.errno in FULL:
        return _no_space(path, error)
    if not path or error.errno not in _REASONS or Path(path).is_relative_to(_PACKAGE):
        return None
    number = error.errno if error.errno != errno.EEXIST or Path(path).is_dir() else errno.ENOTDIR
    place = _culprit(Path(path)) if number in (errno.ENOTDIR, errno.EACCES, errno.EROFS) else Path(path)
    return errors.UsageError(f"{path} can't be used: {_reason(place, path, number)}", hint=_hint(place, error))


def refuse_paths(words: Mapping[str, Any]) -> None:
    """Look at the paths among a task's words before it begins. Raises UsageError and OSError."""
    for flag in ("out", "report"):
        if words.get(flag):
            check_output(Path(words[flag]).expanduser())
    if (ca := words.get("ca")) and not Path(ca).expanduser().is_file():
        raise errors.UsageError(f"--ca {ca} is not a file", hint="--ca takes the file with the authority's certificate")


def _reason(place: Path, path: str, number: int) -> str:
    reason = _REASONS[number]
    if str(place) == path:
        return reason
    return reason.replace("it is", f"{place} is") if "it is" in reason else f"{reason} at {place}"


def _hint(place: Path, error: OSError) -> str:
    look = hints.shell("ls", "-ld", place)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "`ulimit -n 4096` allows more of them"
    return f"`{look}` shows what is there; name another path, or mend that one"


def _culprit(path: Path) -> Path:
    """Return the part of ``path`` that is in the way: the deepest that is there."""
    return next((part for part in (path, *path.parents) if os.path.lexists(part)), path)


def _no_space(path: str, error: OSError) -> errors.NoSpace:
    if path == STDOUT:
        return errors.NoSpace(f"{STDOUT} can't be written: no space left on the device")
    where = f" at {path}" if path else ""
    if error.errno == errno.EFBIG:
        return errors.NoSpace(f"a file may not grow larger{where}", hint="`ulimit -f unlimited` lifts the limit")
    return errors.NoSpace(
        f"no space left on the device{where}",
        hint=f"free some space (`{hints.task('lab.prune')}` empties the caches)",
    )
