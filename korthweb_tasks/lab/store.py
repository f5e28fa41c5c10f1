"""What is kept about a lab on disk (``lab.json``), and the lock that lets one korthweb at a time change it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.files import Tree, own_folder
from korthweb_tasks.lab.api import write_private
from korthweb_tasks.lab.layout import DEFAULT_SUBNET, Layout
from korthweb_tasks.paths import cache_dir, lab_dir, state_dir
from korthweb_tasks.run.file_lock import file_lock

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that was begun: where it is, and since when (seconds since 1970)."""

    layout: Layout
    created: float
    port: int = 0

    def save(self) -> None:
        """Write ``lab.json``; the lab exists from then on."""
        data = {
            "name": self.layout.name,
            "index": self.layout.index,
            "subnet": str(self.layout.subnet),
            "simulated": self.layout.simulated,
            "created": self.created,
            "port": self.port,
        }
        write_private(self.layout.root / "lab.json", json.dumps(data, indent=1) + "\n")


def checked(name: str) -> str:
    """Return a lab's name. Raises SettingsError where it can't be one of a context, an interface and a folder."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"'{name}' is not a valid lab name", hint="lower-case letters, digits and dashes, 30 at the most"
        )
    return name


def load(name: str) -> Lab | None:
    """Return the lab called ``name``, None where there is none (or where its begin was cut short)."""
    root = lab_dir(checked(name))
    try:
        data = json.loads((root / "lab.json").read_text())
        layout = Layout(name, root, data["index"], IPv4Network(data["subnet"]), data["simulated"])
        return Lab(layout, data["created"], data["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def names() -> list[str]:
    """Return the names of all labs of this user."""
    return sorted(path.parent.name for path in (state_dir() / "labs").glob("*/lab.json"))


def is_simulated(name: str) -> bool:
    """Return True if there is a lab of this name and its pods run no programs."""
    lab = load(name)
    return lab is not None and lab.layout.simulated


def used_indices() -> set[int]:
    """Return the indices of this user's real labs."""
    labs = (load(name) for name in names())
    return {lab.layout.index for lab in labs if lab and not lab.layout.simulated}


def create(name: str, index: int, *, subnet: IPv4Network = DEFAULT_SUBNET, simulated: bool = False) -> Lab:
    """Write down a new lab."""
    root = Tree(state_dir()).make(f"labs/{checked(name)}")
    root.chmod(0o700)
    own_folder(root)
    lab = Lab(Layout(name, root, index, subnet, simulated), time.time())
    lab.save()
    return lab


@contextmanager
def locked(what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock ``what`` (a lab's name); it ends with this process, however that ends.

    Raises LockHeld when another korthweb still has it after ``wait`` seconds.
    """
    state = state_dir()
    Tree(state).make("labs")  # refuses a state that is no folder, or not ours
    owner = hashlib.sha256(str(state).encode()).hexdigest()[:8]
    path = cache_dir() / "locks" / f"lab-{owner}-{what}"  # not in the state, of which nothing is left after lab.down
    with file_lock(path, seconds=wait, holder=f"another korthweb is changing the lab '{what}'"):
        try:
            yield
        finally:
            for folder in (state / "labs", state):
                with suppress(OSError):  # where a lab is left
                    folder.rmdir()
