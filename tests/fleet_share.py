"""Shares of a fleet repository for tests, and the objects in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.render import parse
from korthweb_tasks.settings.model import Settings

REPOSITORY = Path(__file__).parents[1]
LAB = yaml.safe_load((REPOSITORY / "korthweb_tasks/settings/profiles/lab.yaml").read_text())
#: cluster -> settings
SETTINGS: dict[str, dict[str, Any]] = {"hospital": {}, "lab": LAB}
ARTIFACTS = Artifacts.read(REPOSITORY / "gitops")


def fleet(cluster: str = "hospital", given: dict[str, Any] | None = None, **more: Any) -> Fleet:
    settings = Settings(**(SETTINGS[cluster] if given is None else given))
    charts = {
        name: ChartAt(f"oci://198.18.0.2:5000/charts/{name}" if chart.source == "lab" else chart.source, chart.version)
        for name, chart in settings.charts.items()
    }
    return Fleet(settings, cluster, more.pop("tenants", settings.tenants[:1]), ARTIFACTS, charts, **more)


def objects(files: dict[str, str], under: str = "") -> list[dict[str, Any]]:
    return [
        obj
        for name, text in files.items()
        if name.startswith(under) and name.endswith(".yaml")
        for obj in parse(text, name)
        if not obj["apiVersion"].startswith("kustomize.config.k8s.io/")
    ]


def the(files: dict[str, str], kind: str, name: str, under: str = "tenants/") -> dict[str, Any]:
    (found,) = [o for o in objects(files, under) if (o["kind"], o["metadata"].get("name")) == (kind, name)]
    return found
