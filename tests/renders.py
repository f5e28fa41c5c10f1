"""What each approach deploys for some settings, as a cluster would get it: by helm and kustomize themselves."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from korthweb_tasks.approaches.helm.values import values
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.render import parse
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.charts import staged
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from tests.fleet_share import fleet

REPOSITORY = Path(__file__).parents[1]
APPROACHES = ("manual", "helm", "gitops")
Objects = list[dict[str, Any]]


def made(approach: str, given: dict[str, Any]) -> Objects:
    """Return the objects of all tenants. ``given`` are settings; rendering the same twice costs nothing."""
    return list(_made(approach, json.dumps(given, sort_keys=True)))


@functools.cache
def _made(approach: str, given: str) -> Objects:
    settings = Settings.model_validate_json(given)
    return {"manual": _manual, "helm": _helm, "gitops": _gitops}[approach](settings)


def _manual(settings: Settings) -> Objects:
    made = Manifests(settings, Secrets(), Artifacts.read(REPOSITORY / "manual"))
    files = rendered(made, settings.tenants)
    return [
        obj for name, text in files.items() if name.endswith(".yaml") and "values" not in name for obj in parse(text)
    ]


@functools.cache
def chart() -> str:
    """Return our chart without its dependency."""
    return str(staged(REPOSITORY / "helm" / "orthanc", (), Runner().run, {}).folder)


def _helm(settings: Settings) -> Objects:
    return [obj for tenant in settings.tenants for obj in by_helm(values(settings, tenant), tenant.namespace)]


def by_helm(given: dict[str, Any], namespace: str = "radiology") -> Objects:
    """Return what our chart makes of values; fails with what helm says."""
    done = _template(given, namespace)
    assert done.returncode == 0, done.stderr
    return [obj | {"metadata": {"namespace": namespace, **obj["metadata"]}} for obj in parse(done.stdout)]


def refused_by_helm(given: dict[str, Any]) -> str:
    """Return what our chart says against values; nothing where it takes them."""
    done = _template(given, "radiology")
    return done.stderr if done.returncode else ""


def _template(given: dict[str, Any], namespace: str) -> subprocess.CompletedProcess[str]:
    argv = [str(builder.binary("helm", "helm")), "template", "orthanc", chart(), "--namespace", namespace]
    argv += ["--kube-version", "1.36.0", "--values", "-"]
    return subprocess.run(argv, input=json.dumps(given), text=True, capture_output=True, timeout=120, check=False)


def _gitops(settings: Settings) -> Objects:
    share = fleet(given=settings.model_dump(), tenants=settings.tenants)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in share.files().items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        home = root / "clusters" / "hospital"
        folders = sorted(path.parent for path in home.rglob("kustomization.yaml") if path.parent != home)
        return [obj for place in folders for obj in kustomized(place)]


def kustomized(folder: Path) -> Objects:
    """Return what kustomize makes of a folder."""
    argv = (str(locate("kubectl").path), "kustomize", str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(parse(done.stdout))


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return kind/name and the spec of the pods of every workload."""
    for obj in objects:
        name = f"{obj['kind']}/{obj['metadata']['name']}"
        if obj["kind"] == "Pod":
            yield name, obj["spec"]
        elif isinstance(template := obj.get("spec", {}).get("template"), dict) and "spec" in template:
            yield name, template["spec"]


def named(objects: Objects, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    """Return the one object of this name."""
    (found,) = (
        obj
        for obj in objects
        if (obj["kind"], obj["metadata"]["name"]) == (kind, name)
        and namespace in ("", obj["metadata"].get("namespace", ""))
    )
    return found


def chart_values(given: dict[str, Any]) -> dict[str, Any]:
    """Return values laid over those of our chart."""
    import yaml

    own = yaml.safe_load((REPOSITORY / "helm" / "orthanc" / "values.yaml").read_text(encoding="utf-8"))
    return deep_merge(own, given)
