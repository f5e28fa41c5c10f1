"""The container images of the lab: recipes in, OCI archives for ``ctr images import`` out.

An archive is named for all that went into it, so an image that is already there costs nothing. Layers are
found again inside earlier archives: a changed recipe writes only the layers that it touches.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.errors import BuildFailed, NoSpace
from korthweb_tasks.files import write_private
from korthweb_tasks.lab import commands, oci
from korthweb_tasks.lab import layers as layering
from korthweb_tasks.lab.apt import Deb, clear
from korthweb_tasks.lab.image_parts import Parts, Programs, require_tools
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.layers import Entry
from korthweb_tasks.lab.oci import Blob, Stored
from korthweb_tasks.lab.packages import Debs, Selection, key_of, silent
from korthweb_tasks.paths import cache_dir
from korthweb_tasks.provision import builder
from korthweb_tasks.run.file_lock import file_lock

Progress = Callable[[str], None]
FORMAT = 1  # counts up when the same recipe gives other bytes, so that old archives are not taken for new ones
IN_USE_SECONDS = 3600
WORKERS = max(2, min(4, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer before it is written: what is in it, and the key of that."""

    entries: tuple[Entry, ...]
    debs: tuple[Deb, ...]
    drop: tuple[str, ...]
    move: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name the content by its ingredients."""
        sums = [deb.sha256 for deb in self.debs]
        moves = [self.move] if self.move else []
        return key_of([FORMAT, [entry.key() for entry in self.entries], sums, self.drop, layering.DROPPED, *moves])


@dataclass
class Images:
    """The images of the lab in ``<cache>/images``. Thread-safe; two processes take turns."""

    cache: Path = field(default_factory=cache_dir)
    debs: Debs = field(default_factory=Debs)
    programs: Programs | None = None
    recipes: ImageRecipes = field(default_factory=ImageRecipes)
    progress: Progress = silent

    def __post_init__(self) -> None:
        self.folder = self.cache / "images"
        self.parts = Parts(self.recipes.folder, self.cache / "downloads", self._program, self.debs.runner)
        self.sets: dict[str, Any] = yaml.safe_load((self.recipes.folder.parent / "sets.yaml").read_text())
        self._compiling = threading.Lock()
        self._writing: dict[str, threading.Lock] = {}

    def build(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the archive of each image, building side by side what is not there.

        Raise BuildFailed, LabImpossible or NoSpace; images that were finished before stay.
        """
        require_tools()
        self.folder.mkdir(parents=True, exist_ok=True)
        with file_lock(self.folder / "lock"):
            clear(self.cache / "downloads", "fetch-*")
            for rest in self.folder.glob("**/*.new"):
                rest.unlink(missing_ok=True)
            try:
                with ThreadPoolExecutor(WORKERS) as pool:
                    archives = list(pool.map(self._image, names))
            except OSError as error:
                what = f"the images can not be written to {self.folder}: {error.strerror}"
                raise (NoSpace if error.errno == errno.ENOSPC else BuildFailed)(what) from error
            self._tidy()
        return dict(zip(names, archives, strict=True))

    def _image(self, name: str) -> Path:
        recipe = self.recipes.read(name)
        layers = [self._layer(layer) for layer in recipe["layers"]]
        key = key_of([recipe["name"], recipe.get("config", {}), [layer.key for layer in layers]])
        target = self.folder / f"{name}-{key}.tar"
        if not target.is_file():
            self.progress(f"image {name}")
            blobs = [self._written(layer) for layer in layers]
            self._check(name, blobs)
            temporary = target.with_suffix(".new")
            oci.write_archive(temporary, recipe["name"], recipe.get("config", {}), blobs)
            temporary.rename(target)
        target.touch()  # the newest archive of an image is the one in use
        return target

    def _check(self, name: str, blobs: Sequence[tuple[Blob, Stored]]) -> None:
        """Raise BuildFailed where an image that stands in for a vendor's has a command which the vendor's lacks."""
        allowed = commands.allowed(name, self.recipes.folder)
        if allowed is None:
            return
        commands_found = {one for _, stored in blobs for one in commands.in_layer(stored)}
        if more := sorted(commands_found - allowed):
            what = f"the image '{name}' has commands that the vendor's lacks: {', '.join(more)}"
            raise BuildFailed(what, hint=f"leave them out in recipes/images/{name}.yaml, or correct {commands.FILE}")

    def _layer(self, spec: Mapping[str, Any]) -> Layer:
        """Resolve one layer of a recipe; ``set`` takes it from sets.yaml, ``less`` leaves out that set's packages."""
        if "set" in spec:
            return self._layer(self.sets[spec["set"]])
        debs: list[Deb] = []
        if "packages" in spec:
            debs = self.debs.fetch(Selection.of(spec), self.progress)
        if "less" in spec:
            below = {deb.name for deb in self.debs.fetch(Selection.of(self.sets[spec["less"]]), self.progress)}
            debs = [deb for deb in debs if deb.name not in below]
        entries = tuple(self.parts.entries(spec))
        return Layer(entries, tuple(debs), tuple(spec.get("drop", ())), spec.get("move", {}))

    def _written(self, layer: Layer) -> tuple[Blob, Stored]:
        """Return the layer's blob, from an earlier archive if one holds it."""
        note = self.folder / "layers" / f"{layer.key}.json"
        with self._writing.setdefault(layer.key, threading.Lock()):
            if known := self._known(note):
                return known
            temporary = self.folder / "blobs" / f"{layer.key}.new"
            temporary.parent.mkdir(parents=True, exist_ok=True)
            blob = layering.write_layer(
                temporary, layer.entries, map(self.debs.path, layer.debs), layer.drop, layer.move
            )
            target = temporary.with_name(blob.digest)
            temporary.rename(target)
            write_private(note, json.dumps({"digest": blob.digest, "size": blob.size}))
            return blob, Stored(target, 0, blob.size)

    def _known(self, note: Path) -> tuple[Blob, Stored] | None:
        try:
            blob = Blob(**json.loads(note.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        path = self.folder / "blobs" / blob.digest
        if path.is_file() and path.stat().st_size == blob.size:
            return blob, Stored(path, 0, blob.size)
        for archive in self.folder.glob("*.tar"):
            stored = oci.archived(archive).get(f"blobs/sha256/{blob.digest}")
            if stored is not None and stored.size == blob.size:
                return blob, stored
        return None

    def _program(self, component: str) -> Path:
        """Return a component's folder; one at a time, since a compiler takes all cores by itself."""
        with self._compiling:
            if self.programs is not None:
                return self.programs(component)
            return builder.build(component, progress=lambda line: self.progress(f"{component}: {line}"))

    def _tidy(self) -> None:
        """Remove what is in the archives by now, and archives that a newer one of the same image replaces."""
        for path in (self.folder / "blobs").glob("*"):
            path.unlink(missing_ok=True)
        for name in self.recipes.names():
            drop_older(self.folder, name)


def drop_older(folder: Path, name: str) -> None:
    """Keep the archive of ``name`` that was used last; its name ends with 12 digits of what is in it.

    One that was used a moment ago stays: another lab, of another version of korthweb, may be reading it.
    """
    mine = [path for path in folder.glob(f"{name}-*.tar") if len(path.stem) == len(name) + 13]
    for old in sorted(mine, key=lambda path: path.stat().st_mtime)[:-1]:
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > IN_USE_SECONDS:
                old.unlink()


def image_archives(
    progress: Progress = silent,
    names: Sequence[str] | None = None,
    *,
    mode: str = "build",
    mirror: str | None = None,
    before_build: Callable[[], None] | None = None,
) -> dict[str, Path]:
    """Return the archive of each image (short name → path), making or fetching what is not there.

    ``names`` are recipes such as ``orthanc`` or ``proxyv2``; None means all. Each archive names its image
    (``korthweb.lab/orthanc:1.12.7``) by itself: ``ctr -n k8s.io images import PATH`` is all it needs.
    ``mode`` is ``build``; ``pull``: from ``mirror`` (such as ``mirror.hospital/lab``), without one from upstream;
    or ``auto``: pull when there is a mirror that has every image, else build.
    ``before_build`` is called where images will be built: it may compile what goes into them.
    Raise BuildFailed, LabImpossible or NoSpace.
    """
    images = Images(progress=progress)
    wanted = list(names) if names is not None else images.recipes.names()
    if mode == "pull" or (mode == "auto" and mirror):
        remotes = {name: remote_name(images.recipes.read(name), mirror) for name in wanted}
        if pulled := pulled_archives(images, remotes, must=mode == "pull"):
            return pulled
    if before_build:
        before_build()
    return images.build(wanted)


def remote_name(recipe: Mapping[str, Any], mirror: str | None) -> str:
    """Return where an image is pulled from: the mirror in the place of ``korthweb.lab``, or its upstream name."""
    return f"{mirror}/{recipe['name'].partition('/')[2]}" if mirror else str(recipe["upstream"])


def pulled_archives(images: Images, remotes: Mapping[str, str], *, must: bool) -> dict[str, Path] | None:
    """Return the archives of images fetched from a registry; None where it lacks one and that is not an error."""
    from korthweb_tasks.lab.registry import Registry  # httpx is slow to load

    with Registry() as registry:
        if lacking := registry.missing(list(remotes.values())):
            image, reason = next(iter(lacking.items()))
            if must:
                what = f"{len(lacking)} of {len(remotes)} images can not be pulled; {image}: {reason}"
                raise BuildFailed(what, hint="check images.registry, or set lab.images: build")
            images.progress(f"building: {image} can not be pulled ({reason})")
            return None
        with file_lock(images.folder / "lock"), ThreadPoolExecutor(WORKERS) as pool:
            clear(images.folder / "pulled", ".pull-*")

            def pull(name: str) -> Path:
                full = str(images.recipes.read(name)["name"])
                archive = registry.pull(remotes[name], full, images.folder / "pulled", images.progress)
                archive.touch()
                drop_older(archive.parent, archive.stem[:-13])
                return archive

            return dict(zip(remotes, pool.map(pull, remotes), strict=True))


def push_images(archives: Mapping[str, Path], mirror: str, progress: Progress = silent) -> list[str]:
    """Send images of the lab to a mirror, for other machines to pull; return their names there."""
    from korthweb_tasks.lab.registry import Registry

    images, sent = Images(), []
    with Registry() as registry:
        for name, archive in archives.items():
            sent.append(remote_name(images.recipes.read(name), mirror))
            progress(f"pushing {sent[-1]}")
            registry.push(archive, sent[-1])
    return sent
