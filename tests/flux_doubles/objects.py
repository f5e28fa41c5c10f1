"""Objects as controllers leave them, for tables of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]
OLD, NEW = "main@sha1:aaaaaaaaaaaa", "main@sha1:bbbbbbbbbbbb"
SYSTEM = "flux-system"


def made(
    kind: str, name: str, namespace: str = SYSTEM, *, labels: Mapping[str, str] | None = None, **more: Any
) -> Object:
    """Return an object of generation 1 that its controller has seen."""
    meta = {"name": name, "namespace": namespace, "generation": 1, "labels": dict(labels or {})}
    return {"kind": kind, "metadata": meta, "spec": {}, "status": {"observedGeneration": 1}, **more}


def told(
    obj: Object, value: str, reason: str = "", message: str = "", type_: str = "Ready", when: str = "t1"
) -> Object:
    """Add a condition, for which there was none of that type, and return the object."""
    entry = {"type": type_, "status": value, "reason": reason, "message": message, "lastTransitionTime": when}
    obj["status"].setdefault("conditions", []).append(entry)
    return obj


def git(revision: str = NEW, *, ready: str = "True", message: str = "", name: str = SYSTEM) -> Object:
    """Return a GitRepository."""
    obj = told(made("GitRepository", name), ready, "GitOperationFailed" if ready == "False" else "Succeeded", message)
    if revision:
        obj["status"]["artifact"] = {"revision": revision}
    return obj


def layer(
    name: str,
    ready: str = "True",
    reason: str = "",
    message: str = "",
    *,
    needs: Iterable[str] = (),
    applied: str = NEW,
    attempted: str = NEW,
    inventory: Iterable[str] = (),
    of: str = "",
    **spec: Any,
) -> Object:
    """Return a Kustomization; ``inventory`` are entries such as ``ns_name_apps_Deployment``; ``of``: who applied it."""
    labels = {f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in (("name", of), ("namespace", SYSTEM)) if of}
    obj = made("Kustomization", name, labels=labels)
    obj["spec"] = {"sourceRef": {"kind": "GitRepository", "name": SYSTEM}, "path": f"./layers/{name}", **spec}
    if needs:
        obj["spec"]["dependsOn"] = [{"name": need} for need in needs]
    obj["status"] |= {
        "lastAppliedRevision": applied, "lastAttemptedRevision": attempted,
        "inventory": {"entries": [{"id": entry, "v": "v1"} for entry in inventory]},
    }  # fmt: skip
    return told(obj, ready, reason, message)


def release(
    name: str, ready: str = "True", reason: str = "", message: str = "", *, chart: str = "OCIRepository", **spec: Any
) -> Object:
    """Return a HelmRelease, whose chart is an OCIRepository of its name or comes from the HelmRepository ``charts``."""
    obj = made("HelmRelease", name)
    ref = {"chartRef": {"kind": "OCIRepository", "name": name}}
    if chart != "OCIRepository":
        ref = {"chart": {"spec": {"chart": name, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}}  # type: ignore[dict-item]
    obj["spec"] = {**ref, **spec}
    return told(obj, ready, reason, message)


def chart(name: str, ready: str = "True", reason: str = "", message: str = "", kind: str = "OCIRepository") -> Object:
    """Return a source of charts, with an artifact when it is ready."""
    obj = told(made(kind, name), ready, reason, message)
    if ready == "True":
        obj["status"]["artifact"] = {"revision": "1.0.0@sha256:cccc"}
    return obj


def deployment(name: str, namespace: str = "app", *, ready: bool = True, owner: str = "", **conditions: str) -> Object:
    """Return a Deployment of one pod; ``owner`` is the HelmRelease that applied it."""
    labels = {f"helm.toolkit.fluxcd.io/{k}": v for k, v in (("name", owner), ("namespace", SYSTEM)) if owner}
    obj = made("Deployment", name, namespace, labels=labels)
    obj["spec"] = {"replicas": 1, "selector": {"matchLabels": {"app": name}}}
    obj["status"] |= {"replicas": 1, "updatedReplicas": 1, "availableReplicas": int(ready)}
    for type_, message in conditions.items():
        told(obj, "True", "", message, type_)
    return obj


def pod(
    name: str, namespace: str = "app", *, app: str = "", labels: Mapping[str, str] | None = None, **status: Any
) -> Object:
    """Return a pod that is not ready; ``app`` is the Deployment that it belongs to."""
    obj = made("Pod", name, namespace, labels=labels or {"app": app})
    obj["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}], **status}
    return obj


def waiting(reason: str, message: str = "", *, restarts: int = 0, name: str = "orthanc") -> Object:
    """Return the status of a container that does not run."""
    return {
        "name": name, "ready": False, "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": message}},
    }  # fmt: skip


def event(about: str, reason: str, message: str, when: str = "2026-01-01T00:00:00Z", namespace: str = "app") -> Object:
    """Return a warning about ``Kind/name``."""
    kind, name = about.split("/")
    return {
        "kind": "Event", "metadata": {"name": f"{name}.{reason}.{when}", "namespace": namespace},
        "involvedObject": {"kind": kind, "name": name, "namespace": namespace},
        "type": "Warning", "reason": reason, "message": message, "lastTimestamp": when,
    }  # fmt: skip
