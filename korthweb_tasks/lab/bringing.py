"""What an extra is made of, and the work of giving it to a running lab: what can go side by side does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from korthweb_tasks.lab import charts, gitserver, graph, mirror, node
from korthweb_tasks.lab.graph import Note, Work
from korthweb_tasks.lab.packages import RECIPES, host_tools
from korthweb_tasks.lab.programs import ON_REQUEST, Programs, of_images
from korthweb_tasks.lab.site import Site
from korthweb_tasks.provision import builder, tools
from korthweb_tasks.provision.recipes import recipe
from korthweb_tasks.run.console import Console
from korthweb_tasks.settings.versions import PINS


@dataclass(frozen=True, slots=True)
class Extra:
    """One thing that can be asked for: its charts, the component that each chart's version is of, and what else."""

    name: str
    charts: tuple[str, ...]
    clis: tuple[str, ...] = ()
    git: bool = False

    @property
    def images(self) -> tuple[str, ...]:
        """Return the short names of the images."""
        return ON_REQUEST[self.name]

    def components(self) -> list[str]:
        """Return what has to be built, in the order in which that goes best."""
        found = [*of_images(self.images, RECIPES / "images"), *(charts.OWN[chart] for chart in self.charts)]
        clis = [name for name in self.clis if tools.present(tools.tool_of(name)) is None]
        return list(dict.fromkeys([*found, *clis]))


EXTRAS = {
    "traefik": Extra("traefik", ("traefik",)),
    "gitops": Extra(
        "gitops",
        ("cert-manager", "istio-base", "istiod", "cloudnative-pg", "kube-prometheus-stack"),
        clis=("helm", "flux", "sops"),
        git=True,
    ),
}
#: charts whose version is that of the program they carry; the version of others is that of an upstream chart
MADE_OF = {"cert-manager": "cert-manager", "istio-base": "istio", "istiod": "istio"}
PIN_OF = {"cloudnative-pg": "cnpg-chart"}


def version_of(chart: str, wanted: Mapping[str, str]) -> str:
    """Return the version under which the lab has a chart: what is wanted, where that is free to choose.

    A chart out of a program's own module has that program's version, whatever is wanted.
    """
    if chart in MADE_OF:
        return recipe(MADE_OF[chart]).version
    return wanted.get(chart) or PINS[PIN_OF.get(chart, chart)].version


@dataclass
class Bringing:
    """One run for one extra and one lab. ``versions`` are those of the charts, as ``version_of`` gives them."""

    site: Site
    console: Console
    extra: Extra
    versions: Mapping[str, str]
    keep_build_caches: bool = False
    helm: Path | None = None
    programs: Programs = field(init=False)

    def __post_init__(self) -> None:
        self.tools = self.git_tools = Path()
        self._importing = threading.Lock()
        components = self.extra.components()
        self.missing = builder.missing(components)
        stop, keep = self.site.runner.stopping, self.keep_build_caches
        self.programs = Programs(components, self._tell, keep_caches=keep, stop=stop)

    def run(self) -> bool:
        """Do it all; say whether anything had to be started, imported or put into the registry."""
        if told := builder.forecast(self.missing):
            self.console.line(told)
        self.programs.start()
        records = graph.run(self.works(), self.console, self.site.runner.stop)
        return any(record.verdict == "changed" for record in records)

    def works(self) -> list[Work]:
        """Return the pieces: an image or a chart waits for its own program alone."""
        works = self.programs.works(self.missing)
        works += [Work("tools", "host programs", self._tools), Work("registry", "registry", self._registry, ("tools",))]
        works += [Work("git", "Git server", self._git, ("tools",))] if self.extra.git else []
        for component, names in self._images().items():
            title = f"images of {component}" if component else "images"
            action = partial(self._import, names)
            works.append(Work(f"images:{component}", title, action, ("tools", *self._built(component))))
        # a chart is packed by helm, which may have to be built first
        cli = self._built("helm")
        for component, listed in self._charts().items():
            title = f"charts of {component}" if component else "charts"
            needs = ("registry", *cli, *self._built(component))
            works.append(Work(f"charts:{component}", title, partial(self._push, listed), needs))
        return works

    def _built(self, component: str) -> tuple[str, ...]:
        return (f"build:{component}",) if component in self.missing else ()

    def _images(self) -> dict[str, list[str]]:
        """Return the images by the component that they wait for; "": those whose programs are there."""
        return self._by_component({name: of_images([name], RECIPES / "images") for name in self.extra.images})

    def _charts(self) -> dict[str, list[str]]:
        return self._by_component({chart: [charts.OWN[chart]] for chart in self.extra.charts})

    def _by_component(self, parts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for name, components in parts.items():
            waits = next((component for component in components if component in self.missing), "")
            groups.setdefault(waits, []).append(name)
        return groups

    def _tell(self, name: str, line: str) -> None:
        self.console.note(f"build:{name}", line)

    def _tools(self, note: Note) -> bool:
        self.tools = host_tools(note)
        self.site.paths = [self.tools]
        if self.extra.git:
            self.git_tools = host_tools(note, recipe_of="git")
        return False

    def _registry(self, _: Note) -> bool:
        return mirror.up(self.site, self.tools)

    def _git(self, _: Note) -> bool:
        return gitserver.up(self.site, self.git_tools)

    def _import(self, names: Sequence[str], note: Note) -> bool:
        from korthweb_tasks.lab.images import image_archives, image_names

        full = image_names()
        with self._importing:  # what is imported is written into one file
            archives = image_archives(note, names)
            return node.import_images(self.site, self.tools, archives, {name: full[name] for name in names}, note)

    def _push(self, listed: Sequence[str], note: Note) -> bool:
        helm, changed = self._helm(note), False
        for chart in listed:
            note(chart)
            archive = charts.packaged(chart, self.versions[chart], helm, self.site.runner)
            changed |= mirror.push_chart(self.site, helm, archive, self.versions[chart])
        return changed

    def _helm(self, note: Callable[[str], None]) -> Path:
        if self.helm is None:
            stop, keep = self.site.runner.stopping, self.keep_build_caches
            self.helm = tools.locate("helm", progress=note, stop=stop, keep_caches=keep).path
        return self.helm
