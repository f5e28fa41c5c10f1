"""What a running lab gets on request: a program that one approach needs, its image and its chart from a registry."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from korthweb_tasks.errors import LabImpossible, UsageError
from korthweb_tasks.lab import charts, cluster, mirror, node, store
from korthweb_tasks.lab.api import write_private
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.site import Site
from korthweb_tasks.provision import builder, tools
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.versions import PINS

#: what can be asked for; each is a component, an image and a chart of that name
EXTRAS = ("traefik",)
LOCK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Brought:
    """What ``bring`` did. ``source`` and ``version`` are the chart's; ``ca_file`` vouches for its registry."""

    extra: str
    source: str
    version: str
    ca_file: str
    changed: bool

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def bring(
    lab: str,
    extra: str,
    console: Console | None = None,
    *,
    version: str = "",
    runner: Runner | None = None,
    helm: Path | None = None,
    keep_build_caches: bool = False,
) -> Brought:
    """Give a running lab an extra: build and import its image, start the registry, put its chart there.

    ``version`` is the chart's (none: the pin). What is there already is left as it is. After a build the
    caches of builds are removed unless ``keep_build_caches``.
    Raises UsageError, LabImpossible, BuildFailed, NoSpace, NotReady, LockHeld and Interrupted.
    """
    console, runner = console or Console(), runner or Runner()
    layout = checked(lab, extra)
    version = version or PINS[extra].version
    with store.locked(lab, wait=LOCK_SECONDS), console.task(f"{extra} for the lab {lab}") as task:
        found = store.load(lab)
        assert found is not None
        site = Site(found, runner)
        builder.build_all(
            [charts.OWN[extra]],
            progress=lambda _, line: task.update(line),
            keep_caches=keep_build_caches,
            stop=runner.stopping,
        )
        if helm is None:
            found_helm = tools.locate("helm", progress=task.update, stop=runner.stopping, keep_caches=keep_build_caches)
            helm = found_helm.path
        changed = _brought(site, extra, version, helm, task.update)
        write_private(_record(layout), json.dumps({**_versions(layout), extra: version}) + "\n")
        task.result = "" if changed else "was there already"
    source = mirror.chart_source(layout, extra)
    return Brought(extra, source, version, str(mirror.ca_file(layout)), changed)


def checked(lab: str, extra: str) -> Layout:
    """Return the layout of a lab that can be given an extra. Raises UsageError and LabImpossible."""
    if extra not in EXTRAS:
        raise UsageError(f"a lab has no extra '{extra}'", hint=f"known: {', '.join(EXTRAS)}")
    state = cluster.status(lab)
    found = store.load(lab)
    if found is None or state.state not in ("running", "degraded"):
        raise UsageError(f"the lab '{lab}' is {state.state}", hint=f"korthweb lab.up --name {lab}")
    if found.layout.simulated:
        raise LabImpossible(f"the lab '{lab}' is simulated: its pods run no programs", hint="korthweb lab.up")
    return found.layout


def chart_source(lab: str, chart: str, version: str = "") -> tuple[str, Path] | None:
    """Return where a lab's registry has a chart, and the CA for it; None where it was not brought (in that version).

    Only looks.
    """
    found = store.load(lab)
    there = _versions(found.layout).get(chart) if found else None
    if found is None or there is None or version not in ("", there):
        return None
    return mirror.chart_source(found.layout, chart), mirror.ca_file(found.layout)


def _record(layout: Layout) -> Path:
    """Return the file that says which extras a lab was given, whole, and in which version."""
    return layout.config / "extras.json"


def _versions(layout: Layout) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(_record(layout).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _brought(site: Site, extra: str, version: str, helm: Path, note: node.Note) -> bool:
    from korthweb_tasks.lab.images import image_archives, image_names
    from korthweb_tasks.lab.packages import host_tools

    programs = host_tools(note)
    site.paths = [programs]
    archives = image_archives(note, [extra])
    changed = node.import_images(site, programs, archives, {extra: image_names()[extra]}, note)
    note("registry")
    changed |= mirror.up(site, programs)
    note("chart")
    archive = charts.packaged(extra, version, helm, site.runner)
    return mirror.push_chart(site, helm, archive, version) or changed
