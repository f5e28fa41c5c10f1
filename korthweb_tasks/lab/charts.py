"""Helm charts of the lab, put together from what their projects' Go modules carry; upstream's are not kept here.

Where a module has none, the lab has a small one of its own (recipes/charts) around what the module does have:
CRDs, or a manifest.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import yaml

from korthweb_tasks import paths
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab.packages import RECIPES, key_of
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.recipes import recipe
from korthweb_tasks.run.new_folder import new_folder
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.versions import PINS

#: chart -> (component that carries it, folder of the chart, folder of its CRD templates, value that switches those on)
SOURCES = {"cert-manager": ("cert-manager", "share/chart", "share/crds", "installCRDs")}

#: kinds of the Prometheus operator that the lab's chart has; each is large, and none of the others is used
MONITORING = ("prometheuses", "prometheusrules", "servicemonitors", "podmonitors", "probes")
#: lines of istiod's values that Istio's release changes
ISTIO_DEFAULTS = (
    (r"(?m)^    hub: \S+testing$", "    hub: docker.io/istio"),
    (r"(?m)^    tag: latest$", "    tag: {version}"),
)
FORMAT = 1  # counts up when the same ingredients give another chart


@cache
def _recipes() -> dict[str, dict[str, str]]:
    data: dict[str, dict[str, str]] = yaml.safe_load((RECIPES / "charts.yaml").read_text(encoding="utf-8"))
    return data


def component_of(chart: str) -> str:
    """Return the component that carries the program of a chart and what the chart is made of."""
    return _recipes()[chart]["component"]


def version_of(chart: str, wanted: Mapping[str, str]) -> str:
    """Return the version under which the lab has a chart: what is wanted, where that is free to choose.

    A chart out of a program's own module has that program's version, whatever is wanted.
    """
    if "pin" not in _recipes()[chart]:
        return recipe(component_of(chart)).version
    return wanted.get(chart) or PINS[_recipes()[chart]["pin"]].version


def chart_folder(version: str, *, progress: Callable[[str], None] | None = None, keep_caches: bool = False) -> Path:
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
    with new_folder(place) as draft:
        ignored = shutil.ignore_patterns("*.template.*", ".gitignore")
        shutil.copytree(built / templates, draft, ignore=ignored, dirs_exist_ok=True)
        about = yaml.safe_load((built / templates / "Chart.template.yaml").read_text("utf-8"))
        about.pop("annotations", None)
        (draft / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": version, "appVersion": version}))
        (draft / "templates" / "crds.yaml").write_text(_switched(built / crds, switch))
    return home


def _switched(crds: Path, switch: str) -> str:
    texts = [path.read_text("utf-8").strip() for path in sorted(crds.glob("*.yaml"))]
    return f"{{{{- if .Values.{switch} }}}}\n" + "\n---\n".join(texts) + "\n{{- end }}\n"


def packaged(chart: str, version: str, helm: Path, runner: Runner) -> Path:
    """Return the archive of a chart for the lab's registry, ``<chart>-<version>.tgz``, made at the first call.

    Raises BuildFailed where the component can't be built, CommandFailed where helm does not take the chart.
    """
    component = component_of(chart)
    built, source = builder.build(component), RECIPES / "charts" / chart
    files = {str(path.relative_to(source)): path.read_text("utf-8") for path in sorted(source.rglob("*.*"))}
    key = key_of([FORMAT, files, built.name, version, recipe(component).version])
    target = paths.cache_dir() / "charts" / f"{chart}-{key}" / f"{chart}-{version}.tgz"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as part:
            draft = Path(part) / chart
            draft.mkdir()
            _write(draft, files)
            FILL[chart](built, draft, version)
            versions = ("--version", version, "--app-version", recipe(component).version)
            argv = (str(helm), "package", str(draft), *versions, "--destination", part)
            runner.run(Command(argv=argv, timeout=60))
            (Path(part) / target.name).rename(target)
    return target


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def _traefik(built: Path, draft: Path, _: str) -> None:
    _write(draft, {"crds/crds.yaml": (built / "share" / "crds.yaml").read_text("utf-8")})


def _cert_manager(_: Path, draft: Path, version: str) -> None:
    shutil.copytree(chart_folder(version) / f"cert-manager-{version}", draft, dirs_exist_ok=True)


def _istio(built: Path, draft: Path, version: str) -> None:
    """Do what Istio's release does to its charts: name where the images are; and name the chart as the settings do."""
    source = built / "share" / "charts" / draft.name.removeprefix("istio-")
    shutil.copytree(source, draft, dirs_exist_ok=True)
    about = yaml.safe_load((source / "Chart.yaml").read_text("utf-8"))
    values = (source / "values.yaml").read_text("utf-8")
    for pattern, text in ISTIO_DEFAULTS if draft.name == "istiod" else ():
        values, number = re.subn(pattern, text.format(version=version), values)
        if number != 1:
            raise BuildFailed(f"the values of the chart {draft.name} have no line like '{text.strip()}'")
    _write(draft, {"Chart.yaml": yaml.safe_dump({**about, "name": draft.name}), "values.yaml": values})


def _cloudnative_pg(built: Path, draft: Path, _: str) -> None:
    """Part upstream's manifest: CRDs, which helm never deletes, and what the chart's template sets values in."""
    crds: list[str] = []
    others: list[str] = []
    for text in (built / "share" / "release.yaml").read_text("utf-8").split("\n---\n"):
        kind = re.search(r"(?m)^kind: (\S+)$", text)
        if kind and kind[1] != "Namespace":
            (crds if kind[1] == "CustomResourceDefinition" else others).append(text.strip("\n") + "\n")
    _write(draft, {"crds/crds.yaml": "---\n".join(crds), "files/release.yaml": "---\n".join(others)})


def _prometheus(built: Path, draft: Path, _: str) -> None:
    texts = [(built / "share" / "crd" / f"monitoring.coreos.com_{name}.yaml").read_text("utf-8") for name in MONITORING]
    _write(draft, {f"crds/{name}.yaml": text for name, text in zip(MONITORING, texts, strict=True)})


#: chart -> puts what the component carries into its folder
FILL: dict[str, Callable[[Path, Path, str], None]] = {
    "traefik": _traefik,
    "cert-manager": _cert_manager,
    "istio-base": _istio,
    "istiod": _istio,
    "cloudnative-pg": _cloudnative_pg,
    "kube-prometheus-stack": _prometheus,
}
