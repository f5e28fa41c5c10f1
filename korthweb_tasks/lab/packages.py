"""Debian packages without installing them: chosen by name, cached by content, unpacked into private folders.

The choice for a list of names is made once and written down (``<cache>/debs/<key>.json`` with
names, versions and sums); from then on the same recipe gives the same files, with no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.core import hints
from korthweb_tasks.errors import BuildFailed, LabImpossible, tail
from korthweb_tasks.files import write_private
from korthweb_tasks.lab import apt
from korthweb_tasks.lab.apt import Deb
from korthweb_tasks.paths import cache_dir
from korthweb_tasks.run.file_lock import file_lock
from korthweb_tasks.run.new_folder import new_folder
from korthweb_tasks.run.runner import Runner

Progress = Callable[[str], None]
RECIPES = Path(__file__).parent / "recipes"
UNPACKERS = max(2, min(8, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class Selection:
    """Package names of one suite, with all they depend on (or not), less the names that match ``exclude``."""

    suite: str
    packages: tuple[str, ...]
    closure: bool = True
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Selection:
        """Read one from a recipe."""
        exclude, closure = tuple(data.get("exclude", ())), bool(data.get("closure", True))
        return cls(str(data["suite"]), tuple(data["packages"]), closure, exclude)

    def key(self, suite: str) -> str:
        """Return what names this selection on a machine where ``suite`` is the real suite."""
        return key_of([suite, platform.machine(), sorted(self.packages), self.closure, sorted(self.exclude)])

    def keeps(self, name: str) -> bool:
        """Return True if a package of the closure is wanted."""
        return name in self.packages or not any(fnmatch(name, pattern) for pattern in self.exclude)


def key_of(data: object) -> str:
    """Return a short stable key (12 hex digits) of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def silent(_: str) -> None:
    """Report nothing."""


class Debs:
    """The store of package files: ``<cache>/debs/pool/<sha256>.deb`` and a manifest per selection."""

    def __init__(self, cache: Path | None = None, runner: Runner | None = None, etc: Path = Path("/etc/apt")) -> None:
        self.cache = cache or cache_dir()
        self.folder = self.cache / "debs"
        self.runner = runner or Runner()
        self.etc = etc

    def path(self, deb: Deb) -> Path:
        """Return where the file of this package is, or will be."""
        return self.folder / "pool" / f"{deb.sha256}.deb"

    def fetch(self, selection: Selection, progress: Progress = silent) -> list[Deb]:
        """Return the exact packages of the selection, all of them on disk afterwards.

        Raise LabImpossible where the host has no usable apt, BuildFailed when fetching fails.
        """
        suite = apt.host_codename() if selection.suite == apt.HOST else selection.suite
        manifest = self.folder / f"{selection.key(suite)}.json"
        with file_lock(self.folder / "locks" / suite):
            debs = read_manifest(manifest)
            if debs is None or not self._complete(debs):
                debs = self._choose(suite, selection, progress)
                write_private(manifest, manifest_text(suite, selection, debs))
        return debs

    def _complete(self, debs: Sequence[Deb]) -> bool:
        return all(self.path(deb).is_file() for deb in debs)

    def _choose(self, suite: str, selection: Selection, progress: Progress) -> list[Deb]:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise LabImpossible("the lab is made from Debian packages, and this machine has no apt-get and dpkg-deb")
        mirror = apt.pick_mirror(apt.host_sources(self.etc), apt.host_codename())
        private = apt.Apt(self.cache / "apt" / suite, suite, mirror, self.runner)
        if private.stale():
            progress(f"package lists of {suite}")
            private.update()
        packages = private.resolve(selection.packages, closure=selection.closure)
        debs = [deb for deb in packages if selection.keeps(deb.name)]
        missing = [deb for deb in debs if not self.path(deb).is_file()]
        if missing:
            progress(f"{len(missing)} packages from {suite}")
            self._download(private, missing)
        return debs

    def _download(self, private: apt.Apt, missing: Sequence[Deb]) -> None:
        """Fetch into a folder beside the pool, check every sum, then move each file into place."""
        pool = self.folder / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        apt.clear(self.folder, f"fetch-{private.suite}-*")
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=f"fetch-{private.suite}-") as temporary:
            private.download(missing, Path(temporary))
            got = {sha256_of(path): path for path in Path(temporary).glob("*.deb")}
            for deb in missing:
                if deb.sha256 not in got:
                    raise BuildFailed(f"the file of {deb.name} {deb.version} does not have the sum that apt names")
                got[deb.sha256].rename(self.path(deb))

    def unpack(self, selections: Mapping[str, Selection], progress: Progress = silent) -> Path:
        """Unpack each selection into its own folder of one root, and return the root (``<cache>/node/<key12>``)."""
        with ThreadPoolExecutor(len(selections) or 1) as pool:
            fetched = pool.map(lambda one: self.fetch(one, progress), selections.values())
            chosen = dict(zip(selections, fetched, strict=True))
        key = key_of({name: [deb.sha256 for deb in debs] for name, debs in chosen.items()})
        root = self.cache / "node" / key
        if root.is_dir():
            return root
        with file_lock(self.cache / "node" / ".lock"):
            if root.is_dir():  # another korthweb was faster
                return root
            progress(f"unpacking {sum(map(len, chosen.values()))} packages")
            apt.clear(self.cache / "node", ".*-*")
            with new_folder(root) as temporary:
                for name, debs in chosen.items():
                    self._extract(debs, temporary / name)
        return root

    def _extract(self, debs: Sequence[Deb], into: Path) -> None:
        """Unpack with the merged /usr of today's Debian, so that lib/x and usr/lib/x are one place."""
        into.mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (into / "usr" / name).mkdir(parents=True, exist_ok=True)
            (into / name).symlink_to(f"usr/{name}")
        with ThreadPoolExecutor(UNPACKERS) as pool:
            list(pool.map(lambda deb: extract(self.path(deb), into), debs))


def extract(deb: Path, into: Path) -> None:
    """Unpack one package over a folder, through directory links, owned by whoever unpacks."""
    source = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    sink = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(into)]
    done = subprocess.run(sink, stdin=source.stdout, capture_output=True, text=True, check=False)
    if source.stdout is not None:
        source.stdout.close()
    if source.wait() != 0 or done.returncode != 0:
        raise BuildFailed(f"{deb.name} can not be unpacked into {into}", details=tail(done.stderr))


def host_tools(progress: Progress = silent, debs: Debs | None = None, *, recipe_of: str = "node") -> Path:
    """Return the folder that holds every host-side program of the lab (its ``cni`` folder: the CNI plugins).

    containerd, its shim, ctr, etcd, runc, nft, iptables, ipset, conntrack and docker-registry: one entry on the
    PATH is enough. ``recipe_of="git"`` returns another folder, with what the Git server is made of.
    The host's own packages are not touched. Raise LabImpossible or BuildFailed.
    """
    recipe = yaml.safe_load((RECIPES / f"{recipe_of}.yaml").read_text())
    selections = {name: Selection.of(data) for name, data in recipe["packages"].items()}
    root = (debs or Debs()).unpack(selections, progress)
    folder = root / f"bin-{key_of(recipe['programs'])}"
    if not folder.is_dir():
        with new_folder(folder) as temporary:
            for name, program in recipe["programs"].items():
                add_program(name, program, root, temporary / program.get("folder", ""))
    return folder


def add_program(name: str, program: Mapping[str, Any], root: Path, folder: Path) -> None:
    """Put one program into the folder: a link, or a script around the loader of its own packages.

    ``link: true`` is for what is not a program: a folder of the packages, under a name that does not change.
    """
    home = root / program["from"]
    path = home / program["path"]
    if program.get("link") and path.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path)
        return
    if not path.is_file():
        raise BuildFailed(f"the packages hold no {program['path']} for {name}", hint=hints.task("lab.prune"))
    folder.mkdir(parents=True, exist_ok=True)
    if runs_natively(path):
        (folder / name).symlink_to(path)
        return
    if program.get("native"):
        raise LabImpossible(f"{name} can not run on this machine: a library is missing or too old", hint=f"ldd {path}")
    loader = next(home.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"))
    env = "".join(
        f"{key}={shlex.quote(text.format(lib=loader.parent))} " for key, text in program.get("env", {}).items()
    )
    call = shlex.join([str(loader), "--library-path", str(loader.parent), "--argv0", name, str(path)])
    (folder / name).write_text(f'#!/bin/sh\n{env}exec {call} "$@"\n')
    (folder / name).chmod(0o755)


def runs_natively(path: Path) -> bool:
    """Return True if the host's own libraries are all there and new enough for a program."""
    answer = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False)
    return "not found" not in answer.stdout + answer.stderr


def manifest_text(suite: str, selection: Selection, debs: Iterable[Deb]) -> str:
    """Return the manifest as JSON text."""
    data = {"suite": suite, "packages": list(selection.packages), "debs": [asdict(deb) for deb in debs]}
    return json.dumps(data, indent=1) + "\n"


def read_manifest(path: Path) -> list[Deb] | None:
    """Return the packages in a manifest; None when there is none, or it is damaged."""
    try:
        return [Deb(**deb) for deb in json.loads(path.read_text())["debs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 sum of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
