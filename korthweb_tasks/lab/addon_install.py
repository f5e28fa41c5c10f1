"""What an add-on is made of, and its install in a running lab: what can go side by side does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import yaml

from korthweb_tasks.lab import charts, gitserver, graph, mirror, node
from korthweb_tasks.lab.charts import component_of
from korthweb_tasks.lab.graph import Note, Work
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.images import image_archives
from korthweb_tasks.lab.packages import RECIPES, host_tools
from korthweb_tasks.lab.programs import Programs
from korthweb_tasks.lab.site import Site
from korthweb_tasks.provision import builder, tools
from korthweb_tasks.provision.recipes import recipes
from korthweb_tasks.run.console import Console


@dataclass(frozen=True, slots=True)
class Addon:
    """What can be asked for beside a lab: charts with the images that they run, CLIs, a Git server."""

    name: str
    charts: tuple[str, ...]
    clis: tuple[str, ...] = ()
    git: bool = False

    @property
    def images(self) -> list[str]:
        """Return the short names of the images."""
        return ImageRecipes().of_addon(self.name)

    def components(self) -> list[str]:
        """Return what has to be built, in the order of the recipes, which goes best."""
        clis = [name for name in self.clis if tools.present(tools.tool_of(name)) is None]
        images, charts = ImageRecipes().components(self.images), map(component_of, self.charts)
        needed = {*images, *charts, *clis}
        return [name for name in recipes() if name in needed]


@cache
def addons() -> dict[str, Addon]:
    """Return every add-on by its name, as recipes/addons.yaml lists them."""
    listed = yaml.safe_load((RECIPES / "addons.yaml").read_text(encoding="utf-8"))
    return {
        name: Addon(name, tuple(about["charts"]), tuple(about.get("clis", ())), bool(about.get("git")))
        for name, about in listed.items()
    }


@dataclass
class AddonInstall:
    """One add-on, installed in one lab. ``versions`` are those of the charts, as ``charts.version_of`` gives them."""

    site: Site
    console: Console
    addon: Addon
    versions: Mapping[str, str]
    keep_build_caches: bool = False
    helm: Path | None = None
    programs: Programs = field(init=False)

    def __post_init__(self) -> None:
        self.tools = self.git_tools = Path()
        self._importing = threading.Lock()
        components = self.addon.components()
        self.missing = builder.missing(components)
        stop, keep = self.site.runner.stopping, self.keep_build_caches
        self.programs = Programs(components, self._tell, keep_caches=keep, stop=stop)

    def run(self) -> bool:
        """Do it all; return True if anything had to be started, imported or put into the registry."""
        if forecast := builder.forecast(self.missing):
            self.console.line(forecast)
        self.programs.start()
        records = graph.run(self.works(), self.console, self.site.runner.stop)
        return any(record.verdict == "changed" for record in records)

    def works(self) -> list[Work]:
        """Return the pieces: an image or a chart waits for its own program alone."""
        works = self.programs.works(self.missing)
        works += [Work("tools", "host programs", self._tools), Work("registry", "registry", self._registry, ("tools",))]
        works += [Work("git", "Git server", self._git, ("tools",))] if self.addon.git else []
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
        return self._by_component({name: ImageRecipes().components([name]) for name in self.addon.images})

    def _charts(self) -> dict[str, list[str]]:
        return self._by_component({chart: [component_of(chart)] for chart in self.addon.charts})

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
        if self.addon.git:
            self.git_tools = host_tools(note, recipe_of="git")
        return False

    def _registry(self, _: Note) -> bool:
        return mirror.up(self.site, self.tools)

    def _git(self, _: Note) -> bool:
        return gitserver.up(self.site, self.git_tools)

    def _import(self, names: Sequence[str], note: Note) -> bool:
        with self._importing:  # what is imported is written into one file
            archives = image_archives(note, names)
            return node.import_images(
                self.site, self.tools, archives, {name: ImageRecipes().full_name(name) for name in names}, note
            )

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
