"""Builds the components' binaries from Go modules, once, into the cache."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core.durations import about
from korthweb_tasks.errors import BuildFailed, Interrupted, NoSpace
from korthweb_tasks.provision import compiling, gotool, patching, prune
from korthweb_tasks.provision.estimates import compiling_line, of_all, remember
from korthweb_tasks.provision.locks import alone
from korthweb_tasks.provision.recipes import Recipe, recipe, recipes

Progress = Callable[[str], None]

#: GB that stay free beside what the builds themselves take
RESERVE = 2.0


def folder(component: str) -> Path:
    """Return where the binaries of ``component`` are or will be: ``<cache>/bin/<component>-<key>``."""
    wanted = recipe(component)
    return paths.cache_dir() / "bin" / f"{component}-{wanted.key(gotool.version(wanted.go))}"


def built(component: str) -> bool:
    """Return True if the binaries of ``component`` are there already."""
    return folder(component).is_dir()


def binary(component: str, name: str, *, progress: Progress | None = None, stop: threading.Event | None = None) -> Path:
    """Return the path of one binary of ``component``, building it first if it is not there."""
    path = build(component, progress=progress, stop=stop) / name
    if not path.is_file():
        raise BuildFailed(f"'{component}' has no binary '{name}'", hint=", ".join(recipe(component).binaries))
    return path


def build(component: str, *, progress: Progress | None = None, stop: threading.Event | None = None) -> Path:
    """Return the folder with the binaries of ``component`` (extras under ``share/``), building it if need be.

    Two processes never build the same component at once. Raises BuildFailed with the last lines and the log's
    path, NoSpace, ToolMissing (no Go) and Interrupted (``stop`` was set, or Ctrl-C).
    """
    wanted = recipe(component)
    target = folder(component)
    if target.is_dir():
        return target
    if stop and stop.is_set():
        raise Interrupted(f"interrupted before {component} was built")
    go = gotool.find(wanted.go, progress=progress, stop=stop)
    waiting = "another korthweb is building it; waiting"
    with alone(f"build-{component}", waiting, progress=progress, stop=stop), prune.build_caches_in_use():
        if not target.is_dir():
            _check_space([wanted])
            _make(wanted, go, target, progress or (lambda _: None), stop or threading.Event())
    return target


def fetch(component: str, stop: threading.Event | None = None) -> None:
    """Download the modules that ``component`` is built from, so that its build only compiles."""
    wanted = recipe(component)
    if wanted.patched:
        return  # Its packages are not complete before the files are generated; its build downloads by itself.
    with prune.build_caches_in_use(), _work_folder(wanted, "fetch-") as work:
        compiling.download(wanted, gotool.find(wanted.go, stop=stop), work, stop or threading.Event())


def missing(components: Iterable[str]) -> list[str]:
    """Return those of ``components`` that are not built, in the order of the recipes, which builds best."""
    names = [recipe(name).name for name in components]
    return [name for name in recipes() if name in names and not built(name)]


def check_space(components: Iterable[str]) -> None:
    """Raise NoSpace, with both figures, where the disk can not hold the builds that are still missing."""
    _check_space([recipe(name) for name in missing(components)])


def forecast(components: Iterable[str]) -> str:
    """Return how many programs are built first, how long that will take, and how much disk; nothing where none is."""
    names = missing(components)
    if not names:
        return ""
    disk = sum(recipe(name).disk for name in names) + RESERVE
    what = "1 program is" if len(names) == 1 else f"{len(names)} programs are"
    return (
        f"{what} built first ({', '.join(names)}): {about(of_all(names))},"
        f" up to {disk:.0f} GB in {paths.cache_dir()} meanwhile"
    )


def _make(wanted: Recipe, go: gotool.Go, target: Path, progress: Progress, stop: threading.Event) -> None:
    began = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{wanted.name}-????????"):
        prune.remove(left)  # of a build that was killed: we hold the lock, so nobody works there
    try:
        with _work_folder(wanted) as work:
            patching.patch(wanted, go, work, stop)
            packages = compiling.compiled(wanted, go, work, _reporter(wanted.name, progress), stop)
            out = work / "out"
            compiling.copy_extras(wanted, go, work, out / "share", stop)
            absent = [name for name in wanted.binaries if not (out / name).is_file()]
            if absent:
                raise BuildFailed(f"building {wanted.name} made no {', '.join(absent)}")
            out.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full(f"building {wanted.name}") from error
        raise
    remember(wanted.name, time.monotonic() - began, packages)


def _reporter(name: str, progress: Progress) -> Callable[[int], None]:
    began = time.monotonic()
    return lambda packages: progress(compiling_line(name, packages, time.monotonic() - began))


@contextmanager
def _work_folder(wanted: Recipe, prefix: str = "") -> Iterator[Path]:
    """Give a private copy of the pins, on the same disk as the result so that the last step is a rename."""
    parent = paths.cache_dir() / "bin"
    parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{prefix}{wanted.name}-", dir=parent))
    try:
        for path in wanted.sources:
            copy = work / path.relative_to(wanted.folder)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
        yield work
    finally:
        prune.remove(work)


def _check_space(wanted: list[Recipe]) -> None:
    if not wanted:
        return
    cache = paths.cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    needed = sum(recipe.disk for recipe in wanted) + RESERVE
    free = shutil.disk_usage(cache).free / 1e9
    # What earlier builds left in the caches is not needed a second time.
    have = prune.rough_size(cache / "go") / 1e9 if free < needed else 0.0
    if free + have < needed:
        names = ", ".join(recipe.name for recipe in wanted)
        raise NoSpace(
            f"{free:.1f} GB are free in {cache}, and building {names} needs {needed:.0f} GB",
            hint="free some space, or set KORTHWEB_CACHE to a folder on a larger disk",
        )


def _full(doing: str) -> NoSpace:
    free = shutil.disk_usage(paths.cache_dir()).free / 1e9
    return NoSpace(f"no space left while {doing}: {free:.1f} GB are free in {paths.cache_dir()}")
