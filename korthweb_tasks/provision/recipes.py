"""What can be built, as data: ``recipes.yaml`` and the pins in ``modules/<component>/{go.mod,go.sum}``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.errors import BuildFailed

HERE = Path(__file__).parent

#: The same for every component, so that a package compiled for one serves the others too.
#: A default.pgo beside a main package would compile all its dependencies once more; DWARF is stripped anyway.
BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-pgo=off", "-gcflags=all=-dwarf=false")
LINK_FLAGS = ("-s", "-w")


@dataclass(frozen=True)
class Extra:
    """A file or folder of a Go module that is kept beside the binaries, as ``share/<to>``."""

    module: str
    path: str
    to: str


@dataclass(frozen=True)
class Recipe:
    """How one component is built. ``disk`` is the GB that its build takes at most, caches included."""

    name: str
    version: str
    packages: tuple[str, ...]
    binaries: tuple[str, ...]
    variables: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    extras: tuple[Extra, ...] = ()
    patched: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    go: str = "1.26.4"
    disk: float = 1.0
    folder: Path = HERE

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return the files that pin the build: go.mod, go.sum and Go code of ours where there is some."""
        return tuple(sorted(path for path in self.folder.rglob("*") if path.suffix in (".mod", ".sum", ".go")))

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the arguments of ``go build``, without the output folder."""
        linked = " ".join((*LINK_FLAGS, *(f"-X {variable}" for variable in self.variables)))
        tags = (f"-tags={','.join(self.tags)}",) if self.tags else ()
        return (*BUILD_FLAGS, *tags, f"-ldflags={linked}", *self.packages)

    def key(self, go_version: str) -> str:
        """Return 12 hex digits that change whenever what is built would change."""
        digest = hashlib.sha256()
        entry = {**asdict(self), "folder": None, "disk": None, "arguments": self.arguments, "toolchain": go_version}
        for added in ("patched", "inputs"):  # these came later; where they are not used, keys stay what they were
            if not entry[added]:
                del entry[added]
        digest.update(json.dumps(entry, sort_keys=True).encode())
        for path in self.sources:
            digest.update(str(path.relative_to(self.folder)).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:12]


def recipe(component: str) -> Recipe:
    """Return the recipe of ``component``. Raises BuildFailed for a name that has none."""
    known = recipes()
    if component not in known:
        raise BuildFailed(f"no recipe for '{component}'", hint=f"known: {', '.join(sorted(known))}")
    return known[component]


def recipes() -> dict[str, Recipe]:
    """Return every recipe, in the order in which they build best."""
    return _read(HERE)


@lru_cache(maxsize=4)
def _read(folder: Path) -> dict[str, Recipe]:
    entries = yaml.safe_load((folder / "recipes.yaml").read_text(encoding="utf-8"))
    return {name: _recipe(name, entry, folder) for name, entry in entries.items()}


def _recipe(name: str, entry: dict[str, Any], folder: Path) -> Recipe:
    version = str(entry["version"])
    extras = tuple(Extra(**extra) for extra in entry.get("extras", ()))
    return Recipe(
        name=name,
        version=version,
        packages=tuple(entry["packages"]),
        binaries=tuple(entry["binaries"]),
        variables=tuple(text.replace("{version}", version) for text in entry.get("variables", ())),
        tags=tuple(entry.get("tags", ())),
        extras=extras,
        patched=entry.get("patched", ""),
        inputs=tuple(entry.get("inputs", {}).items()),
        go=str(entry.get("go", "1.26.4")),
        disk=float(entry.get("disk", 1.0)),
        folder=folder / "modules" / entry.get("module", name),
    )
