"""Add-ons of a running lab: a program that one approach needs, its image, and its chart in the lab's registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import LabImpossible, UsageError
from korthweb_tasks.lab import cluster, gitserver, mirror, store
from korthweb_tasks.lab.addon_install import Addon, AddonInstall, addons
from korthweb_tasks.lab.api import write_private
from korthweb_tasks.lab.charts import version_of
from korthweb_tasks.lab.gitserver import GitAccess
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.site import Site
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner

LOCK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class InstalledAddon:
    """An add-on of a lab. ``source`` and ``version`` are the (first) chart's; ``ca_file`` vouches for its registry.

    ``charts`` maps each chart to its source and version; ``git`` is the address of the repository, if there is one.
    """

    extra: str
    source: str
    version: str
    ca_file: str
    changed: bool
    charts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    git: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        charts = {name: {"source": source, "version": version} for name, (source, version) in self.charts.items()}
        return {**asdict(self), "charts": charts}


def install(
    lab: str,
    extra: str,
    console: Console | None = None,
    *,
    versions: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    helm: Path | None = None,
    keep_build_caches: bool = False,
) -> InstalledAddon:
    """Install an add-on in a running lab: build and import its images, start the registry, put its charts there.

    ``versions`` are those wanted of charts that are the lab's own (none: the pins). With ``gitops`` comes the Git
    server. What is there already is left as it is. After a build the caches of builds are removed unless
    ``keep_build_caches``. Raises UsageError, LabImpossible, BuildFailed, NoSpace, NotReady, LockHeld and Interrupted.
    """
    console, runner = console or Console(), runner or Runner()
    layout = checked(lab, extra)
    parts = addons()[extra]
    wanted = {chart: version_of(chart, versions or {}) for chart in parts.charts}
    with store.locked(lab, wait=LOCK_SECONDS):
        begun = store.load(lab)
        assert begun is not None
        work = AddonInstall(Site(begun, runner), console, parts, wanted, keep_build_caches, helm)
        with console.table(f"{extra} for the lab '{lab}'"):
            changed = work.run()
        write_private(_record(layout), json.dumps({**_versions(layout), **wanted}) + "\n")
    charts = {chart: (mirror.chart_source(layout, chart), version) for chart, version in wanted.items()}
    source, version = charts[parts.charts[0]]
    git = git_access(lab) if parts.git else None
    return InstalledAddon(extra, source, version, str(mirror.ca_file(layout)), changed, charts, git.url if git else "")


def git_access(lab: str) -> GitAccess | None:
    """Return how to reach a lab's Git repository; None where the lab has no Git server. Only looks."""
    begun = store.load(lab)
    return gitserver.access(begun.layout) if begun else None


def addon(extra: str, *, simulated: bool = False) -> Addon:
    """Return what an add-on is made of, before anything is done. Raises UsageError and LabImpossible."""
    if extra not in addons():
        raise unknown("extra", extra, addons(), "--with takes")
    if simulated:
        raise LabImpossible(
            f"a simulated lab can't be given {extra}: its pods run no programs", hint=hints.task("lab.up")
        )
    return addons()[extra]


def checked(lab: str, extra: str) -> Layout:
    """Return the layout of a lab that can be given an add-on. Raises UsageError and LabImpossible."""
    addon(extra)
    state = cluster.status(lab)
    begun = store.load(lab)
    if begun is None or state.state not in ("running", "degraded"):
        raise UsageError(f"the lab '{lab}' is {state.state}", hint=hints.task("lab.up", name=lab))
    addon(extra, simulated=begun.layout.simulated)
    return begun.layout


def chart_source(lab: str, chart: str, version: str = "") -> tuple[str, Path] | None:
    """Return where a lab's registry has a chart, and the CA for it; None where it is not there (in that version).

    Only looks.
    """
    begun = store.load(lab)
    pushed = _versions(begun.layout).get(chart) if begun else None
    if begun is None or pushed is None or version not in ("", pushed):
        return None
    return mirror.chart_source(begun.layout, chart), mirror.ca_file(begun.layout)


def _record(layout: Layout) -> Path:
    """Return the file that says which charts of add-ons a lab was given, whole, and in which version."""
    return layout.config / "extras.json"


def _versions(layout: Layout) -> dict[str, str]:
    try:
        versions: dict[str, str] = json.loads(_record(layout).read_text())
    except (OSError, ValueError):
        return {}
    return versions
