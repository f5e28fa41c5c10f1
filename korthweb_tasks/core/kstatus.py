"""Is a resource ready? The rules of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus), as pure functions.

``all([])`` is never ready: a workload with no pod asked for is current only when zero were asked for,
and a resource that has not been looked at by its controller yet is in progress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from korthweb_tasks.core import image_pulls

State = Literal["current", "progress", "failed"]
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a resource and, for a person, why."""

    state: State
    message: str = ""


CURRENT = Status("current")
#: kinds whose controllers report by a condition; without one they have not been looked at yet
REPORTS = {
    "Certificate": "Ready", "Issuer": "Ready", "ClusterIssuer": "Ready", "CertificateRequest": "Ready",
    "Kustomization": "Ready", "HelmRelease": "Ready", "GitRepository": "Ready", "OCIRepository": "Ready",
    "HelmRepository": "Ready", "HelmChart": "Ready", "Cluster": "Ready", "APIService": "Available",
    "CustomResourceDefinition": "Established", "Pod": "Ready",
}  # fmt: skip
#: waiting reasons that do not heal by themselves
FATAL_WAITS = {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}
CRASHES = 3


def status(obj: Object) -> Status:
    """Return the status of one resource."""
    meta, seen = obj.get("metadata", {}), obj.get("status") or {}
    if meta.get("deletionTimestamp"):
        return Status("progress", "is being deleted")
    if seen.get("observedGeneration", meta.get("generation", 0)) < meta.get("generation", 0):
        return Status("progress", "its controller has not seen the newest change yet")
    kind = obj.get("kind", "")
    if rule := RULES.get(kind):
        return rule(obj)
    return _by_conditions(obj, REPORTS.get(kind))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a pod does not become ready. ``passing``: another try may help, as with a registry that fails a minute."""

    text: str
    passing: bool = False


def pod_fault(pod: Object) -> str:
    """Return why this pod will not become ready by waiting, or an empty string.

    An image that can't be pulled, a broken container configuration, or a crash loop of three and more.
    """
    found = fault_of(pod)
    return found.text if found and not found.passing else ""


def fault_of(pod: Object) -> Fault | None:
    """Return why this pod does not become ready: what no waiting heals before what may pass; None where it may be."""
    name, seen = pod["metadata"]["name"], pod.get("status", {})
    passing: Fault | None = None
    for container in (*seen.get("initContainerStatuses", ()), *seen.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting") or {}
        reason, text = waiting.get("reason", ""), waiting.get("message", "")
        place = f"pod {name}, container {container['name']}"
        if image_pulls.may_pass(reason, text):
            why = f"{place}: the registry fails or limits pulls, which is tried again: {image_pulls.cause(text)}"
            passing = passing or Fault(why, passing=True)
            continue
        crashing = reason == "CrashLoopBackOff" and container.get("restartCount", 0) >= CRASHES
        if reason in FATAL_WAITS or image_pulls.refused(reason, text) or crashing:
            return Fault(f"{place}: {reason} {text}".strip())
    return passing


def _by_conditions(obj: Object, wanted: str | None) -> Status:
    conditions = _conditions(obj)
    if (stalled := conditions.get("Stalled")) and stalled["status"] == "True":
        return Status("failed", stalled.get("message", "stalled"))
    if (moving := conditions.get("Reconciling")) and moving["status"] == "True":
        return Status("progress", moving.get("message", ""))
    found = conditions.get(wanted or "Ready")
    if found is None:
        return Status("progress", "its controller has not looked at it yet") if wanted else CURRENT
    return CURRENT if found["status"] == "True" else Status("progress", found.get("message", ""))


def _deployment(obj: Object) -> Status:
    conditions, seen = _conditions(obj), obj.get("status") or {}
    if (late := conditions.get("Progressing")) and late.get("reason") == "ProgressDeadlineExceeded":
        return Status("failed", late.get("message", ""))
    if (denied := conditions.get("ReplicaFailure")) and denied["status"] == "True":
        return Status("failed", denied.get("message", ""))
    return _counts(obj, seen.get("updatedReplicas", 0), seen.get("availableReplicas", 0), seen.get("replicas", 0))


def _stateful_set(obj: Object) -> Status:
    seen = obj.get("status") or {}
    updated = seen.get("updatedReplicas", 0) if "updateRevision" in seen else 0
    return _counts(obj, updated, seen.get("readyReplicas", 0), seen.get("replicas", 0))


def _counts(obj: Object, updated: int, available: int, total: int) -> Status:
    wanted = obj["spec"].get("replicas", 1)
    if "observedGeneration" not in (obj.get("status") or {}):
        return Status("progress", "its controller has not looked at it yet")
    if updated < wanted:
        return Status("progress", f"{updated} of {wanted} pods are of the new kind")
    if total > updated:
        return Status("progress", f"{total - updated} old pods are still there")
    return CURRENT if available >= wanted else Status("progress", f"{available} of {wanted} pods are available")


def _daemon_set(obj: Object) -> Status:
    seen = obj.get("status") or {}
    wanted = seen.get("desiredNumberScheduled")
    if wanted is None or "observedGeneration" not in seen:
        return Status("progress", "its controller has not looked at it yet")
    ready = min(seen.get("updatedNumberScheduled", 0), seen.get("numberAvailable", 0))
    return CURRENT if ready >= wanted else Status("progress", f"{ready} of {wanted} pods are available")


def _job(obj: Object) -> Status:
    conditions = _conditions(obj)
    if (failed := conditions.get("Failed")) and failed["status"] == "True":
        return Status("failed", failed.get("message", "the job failed"))
    done = conditions.get("Complete")
    return CURRENT if done and done["status"] == "True" else Status("progress", "the job is not complete")


def _service(obj: Object) -> Status:
    if obj["spec"].get("type") != "LoadBalancer":
        return CURRENT
    given = (obj.get("status") or {}).get("loadBalancer", {}).get("ingress")
    return CURRENT if given else Status("progress", "no load balancer has given it an address yet")


def _claim(obj: Object) -> Status:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        return Status("failed", "its volume is lost")
    return CURRENT if phase == "Bound" else Status("progress", f"is {phase}")


def _definition(obj: Object) -> Status:
    names = _conditions(obj).get("NamesAccepted")
    if names and names["status"] == "False":
        return Status("failed", names.get("message", ""))
    return _by_conditions(obj, "Established")


def _conditions(obj: Object) -> dict[str, Mapping[str, Any]]:
    return {entry["type"]: entry for entry in (obj.get("status") or {}).get("conditions") or ()}


RULES: dict[str, Callable[[Object], Status]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "CustomResourceDefinition": _definition,
}
