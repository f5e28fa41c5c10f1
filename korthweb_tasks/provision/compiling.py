"""Runs the Go commands of one build: download, compile, copy what a module carries besides code."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from korthweb_tasks import paths
from korthweb_tasks.errors import BuildFailed, Interrupted, NoSpace, tail
from korthweb_tasks.provision import calling, gotool
from korthweb_tasks.provision.recipes import Recipe

#: looks at a running build between two lines of progress
TICK = 5
#: seconds that reading or changing a go.mod may take: nothing is fetched for it
EDIT_SECONDS = 60
FULL = "no space left on device"


def log_of(component: str) -> Path:
    """Return where the log of the last build of ``component`` is."""
    return paths.cache_dir() / "logs" / f"build-{component}.log"


def download(wanted: Recipe, go: gotool.Go, work: Path, stop: threading.Event) -> None:
    """Fetch exactly the modules that the build needs: listing the packages opens them, ``go mod download`` gets all."""
    tags = [f"-tags={','.join(wanted.tags)}"] if wanted.tags else []
    argv = [str(go.path), "list", "-mod=readonly", *tags, "-deps", "-f", "{{.ImportPath}}", *wanted.packages]
    run(argv, wanted.name, work, "download", lambda _: None, stop)


def compiled(wanted: Recipe, go: gotool.Go, work: Path, progress: Callable[[int], None], stop: threading.Event) -> int:
    """Compile ``wanted`` into ``work/out`` and return how many packages that took; ``progress`` is told it meanwhile.

    Raises BuildFailed, NoSpace or Interrupted.
    """
    (work / "out").mkdir()
    argv = [str(go.path), "build", "-v", "-o", f"out{os.sep}", *wanted.arguments]
    count = _Count(progress)
    run(argv, wanted.name, work, "build", count.line, stop, count.tick)
    return count.packages


def copy_extras(wanted: Recipe, go: gotool.Go, work: Path, share: Path, stop: threading.Event) -> None:
    """Copy the files that a recipe wants from its modules to ``share``, writable unlike the module cache."""
    for extra in wanted.extras:
        source = module_folder(extra.module, go, work, stop) / extra.path
        target = share / extra.to
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    for path in share.rglob("*") if share.is_dir() else ():
        path.chmod(0o755 if path.is_dir() else 0o644)


def edit(go: gotool.Go, work: Path, change: str, stop: threading.Event) -> str:
    """Run ``go mod edit`` on the go.mod in ``work`` and return what it prints. Raises BuildFailed and Interrupted."""
    argv = [str(go.path), "mod", "edit", change]
    return calling.checked(argv, seconds=EDIT_SECONDS, cwd=work, env=gotool.environment(), stop=stop)


def module_folder(module: str, go: gotool.Go, work: Path, stop: threading.Event) -> Path:
    """Return the unpacked source of ``module`` as the go.mod in ``work`` selects it."""
    listed = json.loads(edit(go, work, "-json", stop))
    path, version = next((one["Path"], one["Version"]) for one in listed["Require"] if one["Path"] == module)
    for replaced in listed.get("Replace") or ():
        if replaced["Old"]["Path"] == module:
            if "Version" not in replaced["New"]:
                return work / str(replaced["New"]["Path"])
            path, version = replaced["New"]["Path"], replaced["New"]["Version"]
    return paths.cache_dir() / "go" / "mod" / f"{escaped(path)}@{version}"


def escaped(path: str) -> str:
    """Return a module path as the module cache spells it: a capital becomes "!" and its small letter."""
    return "".join(f"!{letter.lower()}" if letter.isupper() else letter for letter in path)


class _Count:
    """Counts the packages among the lines of ``go build -v``."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.progress = progress
        self.packages = 0

    def line(self, text: str) -> None:
        if text and not text.startswith(("#", "go: ", " ", "\t")):
            self.packages += 1

    def tick(self) -> None:
        self.progress(self.packages)


def run(
    argv: Sequence[str],
    component: str,
    work: Path,
    verb: str,
    line: Callable[[str], None],
    stop: threading.Event,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Run one Go command of a build with its output in the log. Raises BuildFailed, NoSpace or Interrupted."""
    log = log_of(component) if verb == "build" else log_of(component).with_suffix(".download.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8", errors="replace") as handle:
        code, gone = _watched(argv, work, handle, log, line, stop, tick)
    if gone:
        raise Interrupted(f"interrupted while building {component}")
    if code:
        _fail(component, verb, code, log)


def _watched(
    argv: Sequence[str],
    work: Path,
    handle: IO[str],
    log: Path,
    line: Callable[[str], None],
    stop: threading.Event,
    tick: Callable[[], None],
) -> tuple[int, bool]:
    """Run ``argv`` with its output in ``log``, reading along; return its exit code and whether it was stopped."""
    # Go's own scratch folder goes where ours is: one that is killed leaves gigabytes behind.
    (work / "tmp").mkdir(exist_ok=True)
    env = {**gotool.environment(), "GOTMPDIR": str(work / "tmp")}
    # Output of `go list` itself is of no use to anybody; what it says on stderr is.
    out = handle if argv[1] == "build" else subprocess.DEVNULL
    child = subprocess.Popen(
        calling.tied(argv), cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=handle,
        start_new_session=True,
    )  # fmt: skip
    try:
        with log.open(encoding="utf-8", errors="replace") as reader:
            for turn in itertools.count(1):
                ended = child.poll() is not None
                for text in reader:
                    line(text.rstrip("\n"))
                if ended:
                    break
                if turn % TICK == 0:
                    tick()
                if stop.wait(calling.PAUSE):
                    return 0, True
        return child.returncode, False
    finally:
        calling.end(child)


def _fail(component: str, verb: str, code: int, log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if FULL in text.lower() or os.strerror(errno.ENOSPC).lower() in text.lower():
        free = shutil.disk_usage(paths.cache_dir()).free / 1e9
        raise NoSpace(f"no space left while building {component}: {free:.1f} GB are free in {paths.cache_dir()}")
    shown = [one for one in text.splitlines() if one.startswith(("#", "go: ", "\t")) or ": " in one]
    shown = [one for one in shown if not one.startswith("go: downloading")]
    what = "downloading the modules of" if verb == "download" else "building"
    raise BuildFailed(
        f"{what} {component} failed (exit code {code})",
        hint=f"the whole log: {log}; the next run goes on from here",
        details=tail("\n".join(shown) or text),
    )
