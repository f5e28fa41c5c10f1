"""Our chart made ready: a copy with its dependency beside it, from whatever source the settings name."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks import paths
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.render import as_yaml, digest
from korthweb_tasks.errors import UsageError
from korthweb_tasks.files import check_trusted
from korthweb_tasks.run.new_folder import new_folder
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.tools.helm import pull

Run = Callable[[Command], Result]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that ours needs. ``source`` is ``oci://.../name``, ``https://...`` of a repository, or a path."""

    name: str
    source: str
    version: str
    #: authority of the registry; empty: those that the system trusts
    ca_file: str = ""

    @property
    def repository(self) -> str:
        """Return the source as Chart.yaml names it."""
        if "://" not in self.source:
            return f"file://{Path(self.source).resolve()}"
        return self.source.rpartition("/")[0] if self.source.startswith("oci://") else self.source


@dataclass(frozen=True, slots=True)
class Staged:
    """A chart that helm can take: its folder, and its version with a digest of what is in it."""

    folder: Path
    version: str


def staged(source: Path, dependencies: tuple[Dependency, ...], run: Run, defaults: Mapping[str, Any]) -> Staged:
    """Return a copy of the chart in ``source`` with ``dependencies`` (and no others) in it; made at the first call.

    ``defaults`` are laid over its values.yaml, for an archive that carries a site's own defaults; empty leaves that
    file as it is. The version of the copy ends in ``+<digest>``, so that any change is another version.
    Raises UsageError for a path that is not a chart, and what ``run`` raises where a chart can't be had.
    """
    key = digest([_content(source), [[d.name, d.source, d.version] for d in dependencies], defaults], 10)
    about = yaml.safe_load((source / "Chart.yaml").read_text(encoding="utf-8"))
    version = f"{about['version']}+{key}"
    place = paths.cache_dir() / "charts" / f"{about['name']}-{key}" / about["name"]
    if place.is_dir():
        return Staged(place, version)
    with new_folder(place) as draft:
        shutil.copytree(source, draft, ignore=shutil.ignore_patterns("charts", "Chart.lock"), dirs_exist_ok=True)
        listed = [_listed(about, dependency) for dependency in dependencies]
        text = as_yaml([{**about, "version": version, "dependencies": listed}])
        (draft / "Chart.yaml").write_text(text, encoding="utf-8")
        if defaults:
            _lay_over(draft / "values.yaml", defaults)
        (draft / "charts").mkdir()
        for dependency in dependencies:
            _add(dependency, draft / "charts", run)
    return Staged(place, version)


def _content(folder: Path) -> str:
    """Return a digest of names and contents of the files below ``folder``."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "charts" not in path.relative_to(folder).parts:
            total.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode())
            total.update(path.read_bytes() + b"\0")
    return total.hexdigest()


def _listed(about: Mapping[str, Any], dependency: Dependency) -> dict[str, Any]:
    """Return the entry of Chart.yaml, with the conditions that our chart gives it."""
    entry = next(entry for entry in about["dependencies"] if entry["name"] == dependency.name)
    return {**entry, "version": dependency.version, "repository": dependency.repository}


def _lay_over(file: Path, defaults: Mapping[str, Any]) -> None:
    values = deep_merge(yaml.safe_load(file.read_text(encoding="utf-8")), defaults)
    head = "# Defaults of a site, laid over those of the chart; README.md describes every value.\n"
    file.write_text(head + as_yaml([values]), encoding="utf-8")


def _add(dependency: Dependency, folder: Path, run: Run) -> None:
    if "://" in dependency.source:
        run(pull(dependency.source, dependency.version, str(folder), chart=dependency.name, ca_file=dependency.ca_file))
        return
    path = Path(dependency.source)
    check_trusted(path)
    if path.is_dir() and (path / "Chart.yaml").is_file():
        shutil.copytree(path, folder / dependency.name)
    elif path.is_file():
        shutil.copy(path, folder)
    else:
        raise UsageError(
            f"charts.{dependency.name}.source: {path} is not a chart", hint="a folder with Chart.yaml, or its archive"
        )
