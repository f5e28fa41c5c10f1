"""Small fleets: Kustomizations in a chain, each with a workload, as files of a Git repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Objects = Mapping[str, Any]


def source(url: str) -> dict[str, Any]:
    """Return the GitRepository of the fleet."""
    spec = {"url": url, "interval": "10m", "ref": {"branch": "main"}}
    return flux("source.toolkit.fluxcd.io/v1", "GitRepository", "flux-system", spec)


def kustomization(name: str, path: str, *needs: str, **more: Any) -> dict[str, Any]:
    """Return a Kustomization of the fleet."""
    spec = {
        "sourceRef": {"kind": "GitRepository", "name": "flux-system"},
        "path": path, "prune": True, "wait": True, "interval": "10m", "retryInterval": "1m", "timeout": "1m", **more,
    }  # fmt: skip
    if needs:
        spec["dependsOn"] = [{"name": need} for need in needs]
    return flux("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, spec)


def flux(version: str, kind: str, name: str, spec: Objects, namespace: str = "flux-system") -> dict[str, Any]:
    """Return an object of Flux."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}


def deployment(name: str, namespace: str, *, node: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a Deployment whose pods are only pretended; a ``node`` that is not there keeps them from starting."""
    labels = {"app": name}
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "none:1"}]}
    if node:
        spec["nodeSelector"] = dict(node)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def namespace(name: str) -> dict[str, Any]:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def text(*objects: Objects) -> str:
    """Return objects as one file; JSON is YAML."""
    return "\n---\n".join(json.dumps(obj, indent=1) for obj in objects) + "\n"


def chain(*names: str, place: str) -> dict[str, str]:
    """Return the files of layers that need each other in this order, and of the top Kustomization's folder."""
    files = {}
    for before, name in zip((None, *names), names, strict=False):
        layer = kustomization(name, f"./layers/{name}", *([before] if before else []))
        files[f"clusters/test/{name}.yaml"] = text(layer)
        first = [namespace(place)] if before is None else []
        files[f"layers/{name}/all.yaml"] = text(*first, deployment(name, place))
    return files
