"""Helm charts of the lab, put together from what their projects' Go modules carry; none is kept in this repository."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from korthweb_tasks import paths
from korthweb_tasks.provision import builder

#: chart -> (component that carries it, folder of the chart, folder of its CRD templates, value that switches those on)
SOURCES = {"cert-manager": ("cert-manager", "share/chart", "share/crds", "installCRDs")}


def folder(version: str, *, progress: Callable[[str], None] | None = None) -> Path:
    """Return the folder that holds ``cert-manager-<version>``, made at the first call; ``version`` as ``v1.11.4``.

    Raises BuildFailed where the component can't be built.
    """
    chart = "cert-manager"
    component, templates, crds, switch = SOURCES[chart]
    built = builder.build(component, progress=progress)
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
