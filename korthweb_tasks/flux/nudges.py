"""Which controllers should look again now, because what they wait for has come: they would poll for it. Pure.

Flux asks after dependencies every 30 seconds (``--requeue-dependency``), and tries a failed apply again only after
``retryInterval``: a chain of three layers loses up to 90 seconds by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from korthweb_tasks.core.tree import Nudge, Object, Ref
from korthweb_tasks.flux.cause import Causes
from korthweb_tasks.flux.messages import PASSING
from korthweb_tasks.flux.objects import SHOWN as LOOKED_AT
from korthweb_tasks.flux.objects import (
    SOURCES,
    Objects,
    applied,
    condition,
    dependencies,
    inventory,
    revision,
    source,
    status,
)
from korthweb_tasks.flux.state import waits_for

#: a switch of kustomize-controller: a request ends a health check that runs, which is a poll every 5 seconds
CANCELS = "CancelHealthCheckOnNewRevision=true"


def nudges(objects: Objects, *, wanted: str = "", cancels: bool | None = None) -> list[Nudge]:
    """Return the nudges that make sense now, the same ones for as long as they do: who acts remembers them.

    ``wanted`` is a Git commit that the sources shall fetch. ``cancels``: requests end health checks that run; by
    default the controller's own flags tell.
    """
    causes = Causes(objects)
    ends = cancels_checks(objects) if cancels is None else cancels
    found: list[Nudge] = []
    for ref in objects.of("GitRepository"):
        obj = objects.get(ref)
        if wanted and obj and wanted not in revision(obj) and not _idle(obj):
            found.append(Nudge(ref, f"wanted {wanted}"))
    for ref in objects.of(*SOURCES, "Kustomization", "HelmRelease"):
        obj = objects.get(ref)
        if obj and not _idle(obj):
            found.extend(_of(causes, ref, obj, ends))
    return found


def cancels_checks(objects: Objects) -> bool:
    """Say whether kustomize-controller runs with the switch that lets a request end a health check."""
    found = [objects.get(ref) for ref in objects.of("Deployment") if ref.name == "kustomize-controller"]
    containers = [one for obj in found if obj for one in obj["spec"]["template"]["spec"]["containers"]]
    return any(CANCELS in arg for one in containers for arg in one.get("args") or ())


def _idle(obj: Object) -> bool:
    """Say whether no controller may work on an object."""
    return bool(obj.get("spec", {}).get("suspend") or obj["metadata"].get("deletionTimestamp"))


def _of(causes: Causes, ref: Ref, obj: Object, ends: bool) -> Iterator[Nudge]:
    told = condition(obj)
    reason, message = told.get("reason", ""), str(told.get("message", ""))
    if ref.kind == "Kustomization" and ends and told.get("status") == "Unknown" and _checking(obj):
        if _all_well(causes, obj) and _moved(causes.objects, obj):
            yield Nudge(ref, f"healthy {status(obj).get('lastAttemptedRevision', '')}")
        return
    if told.get("status") != "False":
        return
    if reason == "DependencyNotReady" and not waits_for(causes.objects, obj):
        yield Nudge(ref, f"dependencies {_stamps(causes.objects, obj)}")
    elif ref.kind in SOURCES:
        if causes.seen(ref).patience == inf and PASSING.search(message):
            yield Nudge(ref, f"again {told.get('lastTransitionTime', '')}", passing=True)
    elif reason in ("SourceNotReady", "ArtifactFailed"):
        yield from _with_source(causes, ref, obj)
    elif reason == "HealthCheckFailed" and _all_well(causes, obj):
        yield Nudge(ref, f"healthy {status(obj).get('lastAttemptedRevision', '')} {message}")
    elif reason == "ReconciliationFailed" and PASSING.search(message):
        yield Nudge(ref, f"again {told.get('lastTransitionTime', '')}", passing=True)


def _with_source(causes: Causes, ref: Ref, obj: Object) -> Iterator[Nudge]:
    origin = source(obj)
    there = causes.objects.get(origin) if origin else None
    if there and revision(there) and condition(there).get("status") == "True":
        yield Nudge(ref, f"source {revision(there)}")


def _checking(obj: Object) -> bool:
    return str(condition(obj, "Reconciling").get("message", "")).startswith("Running health checks")


def _all_well(causes: Causes, obj: Object) -> bool:
    """Say whether everything that was applied is there and ready, as far as it is looked at."""
    mine = [ref for ref in inventory(obj) if ref.kind in LOOKED_AT]
    return bool(mine) and all(causes.objects.get(ref) and not causes.why(ref) for ref in mine)


def _moved(objects: Objects, obj: Object) -> bool:
    """Say whether something of it got ready since the reconciliation began.

    What was ready before is found so by the first look of a health check, which comes at once: to end that would
    only make the controller do everything again.
    """
    began = str(condition(obj, "Reconciling").get("lastTransitionTime", ""))
    return any(_newest(there) >= began for ref in inventory(obj) if (there := objects.get(ref)))


def _newest(obj: Object) -> str:
    """Return when a condition of an object changed for the last time; times of the API sort as text."""
    conditions = status(obj).get("conditions") or ()
    times = [str(one.get(key, "")) for one in conditions for key in ("lastTransitionTime", "lastUpdateTime")]
    return max(times, default="")


def _stamps(objects: Objects, obj: Object) -> str:
    """Return what tells this state of the dependencies from another one: revisions, and since when they are ready."""
    there = [(ref, objects.get(ref)) for ref in dependencies(obj)]
    return " ".join(f"{ref.name}={applied(o)}@{condition(o).get('lastTransitionTime', '')}" for ref, o in there if o)
