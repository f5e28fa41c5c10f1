"""Files of the project: read only where nobody else could have put them, written whole and without following links.

Settings decide what runs (a kubeconfig may name a program), so a korthweb.yaml that a stranger left in a parent folder
must not be read. The rule is git's for ``safe.directory``: what is read belongs to the caller or to root (with sudo: or
to the user who called it), and so do the folders above it; nobody else may write to it.
``KORTHWEB_TRUST=/folder:/another`` (or ``*``) says which folders are read and written whoever owns them.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.errors import UntrustedFile

#: the project's own folder: nothing in it belongs into Git
WORK = ".korthweb"
TRUST = "KORTHWEB_TRUST"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40  # as many as Linux follows


def check_trusted(path: Path) -> None:
    """Raise UntrustedFile where somebody else could have written ``path``; a file that is missing is trusted.

    Looked at are the file, every folder above it, and every link on the way with what it leads to.
    """
    whole = _whole(path)
    if not os.path.lexists(whole) or is_trusted_by_name(whole):
        return
    for place, state in _places(whole):
        if why := _fault(state):
            raise _refusal(whole, place, why)


def is_trusted_by_name(path: Path) -> bool:
    """Return True if KORTHWEB_TRUST names ``path`` or a folder above it."""
    named = [word for word in os.environ.get(TRUST, "").split(os.pathsep) if word]
    whole = _whole(path)
    return "*" in named or any(whole.is_relative_to(_whole(Path(word))) for word in named)


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder to write into. Names are relative to it; no link below it is followed.

    ``private`` folders are of mode 0700 and their files of 0600; in ``strict`` ones nobody else may be able to write.
    Every file is written whole or not at all.

    >>> Tree(project).write(".korthweb/context", "hospital-a")
    """

    root: Path
    private: bool = True
    strict: bool = True

    def write(self, name: str, text: str | bytes, *, mode: int | None = None) -> Path:
        """Write a file in the place of what was there; a link there is replaced, not followed."""
        folder, last = _split(name)
        data = text.encode("utf-8") if isinstance(text, str) else text
        with _about(self.root / name), self._entered(folder, make=True) as here:
            part = f".{last}.{uuid.uuid4().hex[:12]}.part"
            asked = mode if mode is not None else 0o600 if self.private else 0o666
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, asked, dir_fd=here)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                if mode is not None:
                    os.chmod(part, mode, dir_fd=here)
                os.replace(part, last, src_dir_fd=here, dst_dir_fd=here)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=here)
                raise
        return self.root / name

    def append(self, name: str, text: str) -> None:
        """Append to a file; raises UntrustedFile for a link and for a file of somebody else."""
        folder, last = _split(name)
        with _about(self.root / name), self._entered(folder, make=True) as here:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(self._opened(last, flags, here, name), "a", encoding="utf-8") as file:
                file.write(text)

    def read(self, name: str) -> str:
        """Return the text of a file; raises FileNotFoundError, and UntrustedFile for a link or a stranger's file."""
        folder, last = _split(name)
        with (
            _about(self.root / name),
            self._entered(folder, make=False) as here,
            os.fdopen(self._opened(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, here, name), "rb") as file,
        ):
            return file.read().decode("utf-8")

    def make(self, name: str) -> Path:
        """Make a folder, if it is not there, and return its path."""
        with _about(self.root / name), self._entered(Path(name).parts, make=True):
            return self.root / name

    def remove(self, name: str) -> None:
        """Remove a file (a link itself, never what it leads to); none is fine."""
        folder, last = _split(name)
        with suppress(FileNotFoundError), _about(self.root / name), self._entered(folder, make=False) as here:
            os.unlink(last, dir_fd=here)

    def prune(self, name: str, pattern: re.Pattern[str], keep: int) -> None:
        """Remove the oldest of the folder's folders whose names are ``pattern``'s: nobody else's, and no links."""
        with self._entered(Path(name).parts, make=False) as here:
            names = sorted(one for one in os.listdir(here) if pattern.fullmatch(one))  # noqa: PTH208  # by descriptor
            ours = [one for one in names if _is_own_folder(os.stat(one, dir_fd=here, follow_symlinks=False))]
        for old in ours[:-keep]:
            shutil.rmtree(self.root / name / old, ignore_errors=True)

    @contextmanager
    def _entered(self, parts: tuple[str, ...], *, make: bool) -> Iterator[int]:
        """Give a descriptor of a folder below the root, each step on the way looked at."""
        if make:
            self.root.mkdir(mode=0o700 if self.private else 0o777, parents=True, exist_ok=True)
        here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path = self.root
            for part in parts:
                path = path / part
                there = self._enter(here, part, path, make=make)
                os.close(here)
                here = there
            yield here
        finally:
            os.close(here)

    def _enter(self, here: int, part: str, path: Path, *, make: bool) -> int:
        if part in ("..", "/"):
            raise UntrustedFile(f"{path} leads out of {self.root}")
        if make:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700 if self.private or part == WORK else 0o777, dir_fd=here)
        try:
            there = os.open(part, _OPEN, dir_fd=here)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(part, here):
                raise _link(path) from error
            raise
        try:
            self._look_at(os.fstat(there), path)
            if make and part == WORK:
                _ignore(there)
        except BaseException:
            os.close(there)
            raise
        return there

    def _opened(self, name: str, flags: int, here: int, whole: str) -> int:
        path = self.root / whole
        try:
            handle = os.open(name, flags | os.O_CLOEXEC, 0o600 if self.private else 0o666, dir_fd=here)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link(path) from error
            raise
        try:
            self._look_at(os.fstat(handle), path)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _look_at(self, state: os.stat_result, path: Path) -> None:
        """Raise UntrustedFile for what somebody else owns; in a strict private tree, for what others may write to."""
        why = _fault(state) if self.private and self.strict else _foreign(state)
        if why and not is_trusted_by_name(path):
            raise _refusal(path, path, why)


def output(folder: Path) -> Tree:
    """Return the folder that a person named for output (``--out``, ``--report``), made if need be.

    The folder itself must not be a link; of a path inside of the working directory no part may be one. What is written
    names hosts, people and studies: it is for the caller alone, whatever the umask, in a folder that was there too.
    """
    whole, here = _whole(folder), Path.cwd()
    if whole == here:
        return Tree(whole, strict=False)
    anchor = here if whole.is_relative_to(here) else whole.parent
    Tree(anchor, strict=False).make(str(whole.relative_to(anchor)))
    return Tree(whole, strict=False)


def check_output(folder: Path) -> None:
    """Raise OSError where ``folder`` can't be made or written to: before the work whose result goes there."""
    whole = _whole(folder)
    there = next(part for part in (whole, *whole.parents) if os.path.lexists(part))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(whole))
    if not os.access(there, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number), str(whole))


def own_folder(folder: Path) -> Tree:
    """Return a folder of korthweb's own outside of a project: for the caller alone, and ignored by Git."""
    folder.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    tree = Tree(folder)
    if not (folder / ".gitignore").exists():
        tree.write(".gitignore", "*\n")
    return tree


def located(path: Path) -> tuple[Tree, str]:
    """Return the tree that ``path`` is in, and its name there: a project, for what is in its ``.korthweb``."""
    parts = _whole(path).parts
    depth = len(parts) - 1 - parts[::-1].index(WORK) if WORK in parts else len(parts) - 1
    return Tree(Path(*parts[:depth])), str(Path(*parts[depth:]))


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one go: readers see the old text or the new, never half of it."""
    tree, name = located(path)
    tree.write(name, text)


def read_private(path: Path) -> str:
    """Return the text of a file of korthweb's own; raises FileNotFoundError, and UntrustedFile."""
    tree, name = located(path)
    return tree.read(name)


def _whole(path: Path) -> Path:
    """Return the absolute path as it was typed: links on it are looked at, not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _split(name: str) -> tuple[tuple[str, ...], str]:
    *folders, last = Path(name).parts
    return tuple(folders), last


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Let what the system refuses in the block name the whole path: by itself it names what a descriptor was given."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str) or not Path(error.filename).is_absolute():
            error.filename = str(_whole(path))
        raise


def _is_link(name: str, here: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)


def _is_own_folder(state: os.stat_result) -> bool:
    return stat.S_ISDIR(state.st_mode) and state.st_uid in _callers()


def _ignore(folder: int) -> None:
    """Keep what is in the project's own folder out of Git: keys and journals are no ``git add -A`` away."""
    with suppress(FileExistsError):
        handle = os.open(".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("*\n")


def _places(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Give every folder, link and file that is passed on the way to ``path``; ends where nothing is there."""
    here, todo, links = Path("/"), list(path.parts[1:]), 0
    yield here, here.lstat()
    while todo:
        part = todo.pop(0)
        if part == "..":
            here = here.parent
            continue
        place = here / part
        try:
            state = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        yield place, state
        if not stat.S_ISLNK(state.st_mode):
            here = place
            continue
        links += 1
        if links > _LINKS:
            raise _refusal(path, place, "leads round in a circle of links")
        target = place.readlink()
        here = Path("/") if target.is_absolute() else here
        todo[:0] = [name for name in target.parts if name != "/"]


def _callers() -> frozenset[int]:
    """Return the users whose files are read: the caller, root, and with sudo the one who called it."""
    me = os.geteuid()
    behind = os.environ.get("SUDO_UID", "") if me == 0 else ""
    return frozenset({0, me, *([int(behind)] if re.fullmatch(r"[0-9]{1,10}", behind) else [])})


def _foreign(state: os.stat_result) -> str:
    return "" if state.st_uid in _callers() else f"belongs to {_user(state.st_uid)}"


def _fault(state: os.stat_result) -> str:
    """Return why somebody else could have put this there, or nothing."""
    if foreign := _foreign(state):
        return foreign
    mode = state.st_mode
    # in a folder like /tmp nobody can take away or rename what is somebody else's
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return ""
    if mode & stat.S_IWOTH:
        return "may be written to by everybody"
    if mode & stat.S_IWGRP and not _is_private_group(state):
        return f"may be written to by the group {state.st_gid}"
    return ""


def _is_private_group(state: os.stat_result) -> bool:
    """Return True for the group of one person, which systems with the umask 002 give to each user."""
    try:
        user, group = pwd.getpwuid(state.st_uid), grp.getgrgid(state.st_gid)
    except KeyError:
        return False
    alone = not set(group.gr_mem) - {user.pw_name}
    return alone and state.st_gid not in (0,) and user.pw_gid == state.st_gid and group.gr_name == user.pw_name


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def _refusal(path: Path, place: Path, why: str) -> UntrustedFile:
    where = "it" if place == path else str(place)
    words = ("chmod", "go-w") if why.startswith("may be") else ("sudo", "chown", str(os.getuid()))
    mend = hints.shell(*words, place)
    return UntrustedFile(
        f"{path} is not used: {where} {why}, who could have changed it",
        hint=f"`{mend}`; or work in another folder; {TRUST}={path.parent} trusts whatever is in it",
    )


def _link(path: Path) -> UntrustedFile:
    return UntrustedFile(f"{path} is a symbolic link, and is not followed", hint=hints.shell("ls", "-l", path))
