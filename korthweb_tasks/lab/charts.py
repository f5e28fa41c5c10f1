"""Helm charts of the lab, put together from what their projects' Go modules carry; upstream's are not kept here.

Traefik's is the exception: its module has no chart, so the lab has a small one of its own (recipes/charts).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from korthweb_tasks import paths
from korthweb_tasks.core.command import Command
from korthweb_tasks.lab.packages import RECIPES, key_of
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.recipes import recipe
from korthweb_tasks.run.runner import Runner

#: chart -> (component that carries it, folder of the chart, folder of its CRD templates, value that switches those on)
SOURCES = {"cert-manager": ("cert-manager", "share/chart", "share/crds", "installCRDs")}

#: charts of the lab's own: the component that carries the program and, as share/crds.yaml, its CRDs
OWN = {"traefik": "traefik"}


def folder(version: str, *, progress: Callable[[str], None] | None = None, keep_caches: bool = False) -> Path:
    """Return the folder that holds ``cert-manager-<version>``, made at the first call; ``version`` as ``v1.11.4``.

    Where the component has to be built first, the caches of that go afterwards unless ``keep_caches``.
    Raises BuildFailed where it can't be built.
    """
    chart = "cert-manager"
    component, templates, crds, switch = SOURCES[chart]
    tell = (lambda _, line: progress(line)) if progress else None
    built = builder.build_all([component], progress=tell, keep_caches=keep_caches)[component]
    home = paths.cache_dir() / "charts" / built.name
    place = home / f"{chart}-{version}"
    if place.is_dir():
        return home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as part:
        made = Path(part) / "chart"
        shutil.copytree(built / templates, made, ignore=shutil.ignore_patterns("*.template.*", ".gitignore"))
        about = yaml.safe_load((built / templates / "Chart.template.yaml").read_text("utf-8"))
        about.pop("annotations", None)
        (made / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": version, "appVersion": version}))
        (made / "templates" / "crds.yaml").write_text(_switched(built / crds, switch))
        if not place.exists():
            made.rename(place)
    return home


def _switched(crds: Path, switch: str) -> str:
    texts = [path.read_text("utf-8").strip() for path in sorted(crds.glob("*.yaml"))]
    return f"{{{{- if .Values.{switch} }}}}\n" + "\n---\n".join(texts) + "\n{{- end }}\n"


def packaged(chart: str, version: str, helm: Path, runner: Runner) -> Path:
    """Return the archive of a chart of the lab's own with its CRDs, ``<chart>-<version>.tgz``, made at the first call.

    Raises BuildFailed where the component can't be built, CommandFailed where helm does not take the chart.
    """
    component = OWN[chart]
    source = RECIPES / "charts" / chart
    crds = builder.build(component) / "share" / "crds.yaml"
    files = {str(path.relative_to(source)): path.read_text("utf-8") for path in sorted(source.rglob("*.*"))}
    key = key_of([files, crds.read_text("utf-8"), version, recipe(component).version])
    target = paths.cache_dir() / "charts" / f"{chart}-{key}" / f"{chart}-{version}.tgz"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as part:
            made = Path(part) / chart
            for name, text in {**files, "crds/crds.yaml": crds.read_text("utf-8")}.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text(text, "utf-8")
            versions = ("--version", version, "--app-version", recipe(component).version)
            argv = (str(helm), "package", str(made), *versions, "--destination", part)
            runner.run(Command(argv=argv, timeout=60))
            (Path(part) / target.name).rename(target)
    return target
