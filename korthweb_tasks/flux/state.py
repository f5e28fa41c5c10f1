"""How one object is, seen by itself: its state, a message, and for how long waiting makes sense. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from korthweb_tasks.core import kstatus
from korthweb_tasks.core.image_pulls import PULL_GRACE
from korthweb_tasks.core.tree import Object, State
from korthweb_tasks.core.webhooks import GRACE, unreached
from korthweb_tasks.flux.messages import (
    CHART_FAULT,
    PASSING,
    REFUSED,
    UNKNOWN_KIND,
    build_fault,
    clean,
    short,
)
from korthweb_tasks.flux.objects import (
    SOURCES,
    Objects,
    applied,
    condition,
    dependencies,
    event_text,
    ref_of,
    revision,
    source,
    status,
)

#: seconds for which a fault that waiting can not heal has to stay before it counts
STAYS = 5.0
#: seconds for what can be a race with another layer: a kind that is not there yet
RACE = 60.0
ATTEMPTED = "lastAttemptedRevision"
#: kinds that Flux works on
FLUX = (*SOURCES, "Kustomization", "HelmRelease")


@dataclass(frozen=True, slots=True)
class Seen:
    """How an object is. ``patience`` in seconds, as in :class:`korthweb_tasks.core.tree.Cause`."""

    state: State
    message: str = ""
    patience: float = math.inf


READY = Seen("ready")


def look(objects: Objects, obj: Object) -> Seen:
    """Return how one object is."""
    kind = obj["kind"]
    if kind in FLUX:
        return _flux(objects, obj)
    if kind == "Pod":
        return _pod(objects, obj)
    if kind == "Cluster":
        return _cluster(obj)
    found = kstatus.status(obj)
    words: dict[kstatus.State, State] = {"current": "ready", "progress": "waiting", "failed": "failed"}
    return Seen(words[found.state], found.message, _workload_patience(kind, found.message, found.state))


def waits_for(objects: Objects, obj: Object) -> list[Any]:
    """Return the dependencies of a Kustomization or HelmRelease that are not as it needs them, missing ones too."""
    return [ref for ref in dependencies(obj) if not satisfied(objects, obj, objects.get(ref))]


def satisfied(objects: Objects, obj: Object, needed: Object | None) -> bool:
    """Return True if a controller would find this dependency ready: the rules of its own check."""
    if needed is None:
        return False
    meta = needed["metadata"]
    seen = status(needed).get("observedGeneration") == meta.get("generation")
    if not seen or condition(needed).get("status") != "True":
        return False
    origin = source(needed)
    if needed["kind"] != "Kustomization" or origin != source(obj) or origin is None:
        return True
    there = objects.get(origin)
    return there is not None and revision(there) == applied(needed)


def _flux(objects: Objects, obj: Object) -> Seen:
    meta, spec, told = obj["metadata"], obj.get("spec", {}), condition(obj)
    if meta.get("deletionTimestamp"):
        return Seen("waiting", "is being deleted")
    if spec.get("suspend"):
        return Seen("suspended", "suspended", STAYS)
    if not told and obj["kind"] == "HelmRepository" and spec.get("type") == "oci":
        return READY  # nothing is ever fetched for it
    moving = condition(obj, "Reconciling")
    unseen = status(obj).get("observedGeneration", -1) != meta.get("generation")
    if unseen and told.get("status") != "False":
        return Seen("waiting", clean(str(moving.get("message") or "its controller has not looked at it yet")))
    if told.get("status") == "True":
        return _up_to_date(objects, obj)
    if told.get("status") == "False" and told.get("reason") == "DependencyNotReady":
        names = ", ".join(str(ref) for ref in waits_for(objects, obj))
        return Seen("blocked", f"waits for {names}" if names else "its turn comes next")
    if told.get("status") == "False":
        stale = obj["kind"] == "Kustomization" and _offered(objects, obj) not in ("", status(obj).get(ATTEMPTED, ""))
        text = clean(str(told.get("message", "")))
        if told.get("reason") in ("BuildFailed", "ArtifactFailed"):
            text = build_fault(text, str(spec.get("path", "")).strip("./")) or text
        if hook := unreached(text):
            text = str(hook)
        return Seen("failed", text, math.inf if stale else _flux_patience(obj, told))
    return Seen("waiting", clean(str((moving or told).get("message", ""))))


def _up_to_date(objects: Objects, obj: Object) -> Seen:
    """Return the state of an object whose controller was content: with the newest revision?"""
    offered = _offered(objects, obj) if obj["kind"] == "Kustomization" else ""
    if offered and offered != applied(obj):
        return Seen("waiting", f"{short(offered)} is not applied yet")
    return READY


def _offered(objects: Objects, obj: Object) -> str:
    """Return the revision that an object's source has now."""
    origin = source(obj)
    there = objects.get(origin) if origin else None
    return revision(there) if there else ""


def _flux_patience(obj: Object, told: Mapping[str, Any]) -> float:
    """Return for how long it is worth waiting after this failure."""
    message, reason = str(told.get("message", "")), told.get("reason", "")
    if condition(obj, "Stalled").get("status") == "True":
        return STAYS
    if unreached(message):
        return GRACE
    if obj["kind"] == "Kustomization":
        if reason == "BuildFailed" or "path not found" in message:
            return STAYS
        if reason == "ReconciliationFailed":
            if UNKNOWN_KIND.search(message):
                return RACE
            return math.inf if PASSING.search(message) else STAYS
    if obj["kind"] == "HelmRelease" and CHART_FAULT.search(message):
        return STAYS
    if obj["kind"] in SOURCES and REFUSED.search(message):
        return RACE / 2 if obj["kind"] == "HelmChart" else STAYS
    return math.inf


def _workload_patience(kind: str, message: str, state: kstatus.State) -> float:
    # a quota does not grow by waiting; a service account may come a moment later
    if state == "failed" and (kind == "Job" or "exceeded quota" in message or "denied the request" in message):
        return STAYS
    return math.inf


def _cluster(obj: Object) -> Seen:
    notes = obj["metadata"].get("annotations") or {}
    if notes.get("cnpg.io/hibernation") == "on":
        # a tenant that comes back: Flux wakes it in its turn
        return Seen("suspended", "hibernates: cnpg.io/hibernation is on", 2 * RACE)
    found, seen = kstatus.status(obj), status(obj)
    if found.state == "current":
        return READY
    phase = ": ".join(str(seen[key]) for key in ("phase", "phaseReason") if seen.get(key))
    return Seen("waiting", phase or found.message)


def _pod(objects: Objects, obj: Object) -> Seen:
    if fault := kstatus.fault_of(obj):
        text = clean(fault.text).removeprefix(f"pod {obj['metadata']['name']}, ")
        return Seen("waiting" if fault.passing else "failed", text, PULL_GRACE if fault.passing else STAYS)
    if kstatus.status(obj).state == "current":
        return READY
    return Seen("waiting", _pod_trouble(objects, obj))


def _pod_trouble(objects: Objects, pod: Object) -> str:
    """Return why a pod is not ready yet: the scheduler, a container that ended, its last warning."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"can not be scheduled: {scheduled.get('message', '')}"
    told = [_container(one) for one in _containers(pod)]
    if events := objects.events(ref_of(pod)):
        told.append(event_text(events[0]))
    texts = [text for text in told if text]
    return "; ".join(texts) or str(condition(pod).get("message") or status(pod).get("phase", "is starting"))


def _containers(pod: Object) -> list[Mapping[str, Any]]:
    seen = status(pod)
    return [*(seen.get("initContainerStatuses") or ()), *(seen.get("containerStatuses") or ())]


def _container(one: Mapping[str, Any]) -> str:
    if one.get("ready") or (one.get("state", {}).get("terminated") or {}).get("exitCode") == 0:
        return ""
    name, waiting = one.get("name", ""), one.get("state", {}).get("waiting") or {}
    ended = one.get("state", {}).get("terminated") or one.get("lastState", {}).get("terminated") or {}
    if ended.get("exitCode"):
        return f"container {name} ended with code {ended['exitCode']} ({ended.get('reason', '')})"
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        return f"container {name}: {waiting['reason']} {waiting.get('message', '')}".strip()
    return ""
