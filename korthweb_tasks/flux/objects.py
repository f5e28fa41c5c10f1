"""The objects of Flux and what is below them, found by name, by owner and by what they depend on. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from korthweb_tasks.core.flux_home import FluxHome
from korthweb_tasks.core.tree import Object, Ref

SOURCES = ("GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket", "ExternalArtifact")
#: kinds that are shown in the tree below a Kustomization or HelmRelease
SHOWN = (
    "GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Kustomization", "HelmRelease",
    "Issuer", "Certificate", "Cluster", "Job", "StatefulSet", "DaemonSet", "Deployment",
)  # fmt: skip
#: kinds -> labels by which Flux marks what it has applied
_OWNERS = {"Kustomization": "kustomize.toolkit.fluxcd.io", "HelmRelease": "helm.toolkit.fluxcd.io"}
_OF_FLUX = frozenset({*SOURCES, *_OWNERS})
#: kinds whose objects make other ones: they follow their owner, not the label that they may have taken over
_CLUSTER, _JOB = "cnpg.io/cluster", "job-name"


class Objects:
    """All objects at one moment."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._by_ref: dict[Ref, Object] = {}
        self._by_kind: dict[str, list[Ref]] = defaultdict(list)
        self._below: dict[Ref, dict[Ref, None]] = defaultdict(dict)
        self._events: dict[Ref, list[Object]] = defaultdict(list)
        self._depths: dict[Ref, int] = {}
        self._pods: dict[str, list[Object]] = defaultdict(list)
        for obj in objects:
            ref = ref_of(obj)
            if ref.kind == "Event":
                self._events[_about(obj)].append(obj)
            elif ref.kind == "Pod":
                self._pods[ref.namespace].append(obj)
                self._by_ref[ref] = obj
            else:
                self._by_ref[ref] = obj
                self._by_kind[ref.kind].append(ref)
        for kind in SHOWN:
            for ref in self._by_kind[kind]:
                self._place(ref)
        self._above: dict[Ref, list[Ref]] = defaultdict(list)
        for owner, below in self._below.items():
            for ref in below:
                self._above[ref].append(owner)

    def get(self, ref: Ref) -> Object | None:
        """Return an object, or None."""
        return self._by_ref.get(ref)

    def of(self, *kinds: str) -> list[Ref]:
        """Return the objects of some kinds, sorted."""
        return sorted(ref for kind in kinds for ref in self._by_kind.get(kind, ()))

    def below(self, ref: Ref) -> list[Ref]:
        """Return what an object has applied, as far as it is shown."""
        return sorted(self._below.get(ref, ()), key=lambda below: (SHOWN.index(below.kind), self.depth(below), below))

    def depth(self, ref: Ref, above: tuple[Ref, ...] = ()) -> int:
        """Return how many layers come before an object by its dependencies, at most."""
        obj = self.get(ref)
        if obj is None or ref in above or not obj.get("spec", {}).get("dependsOn"):
            return 0
        if ref not in self._depths:
            self._depths[ref] = 1 + max(self.depth(one, (*above, ref)) for one in dependencies(obj))
        return self._depths[ref]

    def owner(self, ref: Ref) -> Ref | None:
        """Return who applied an object; the source of a Kustomization is not owned by it, though it applied it."""
        for owner in self._above.get(ref, ()):
            obj = self.get(owner)
            if obj is None or source(obj) != ref:
                return owner
        return None

    def suspended(self, ref: Ref) -> bool:
        """Return True if a person has suspended an object."""
        return bool((self.get(ref) or {}).get("spec", {}).get("suspend"))

    def pods(self, ref: Ref) -> list[Object]:
        """Return the pods of a workload that are neither done nor on their way out."""
        obj = self.get(ref)
        if obj is None:
            return []
        wanted = _selector(obj)
        found = (pod for pod in self._pods.get(ref.namespace, ()) if wanted and _has(pod, wanted))
        return [pod for pod in found if _counts(pod, of_job=ref.kind == "Job")]

    def every_pod(self) -> list[Ref]:
        """Return all pods."""
        return sorted(ref_of(pod) for pods in self._pods.values() for pod in pods)

    def events(self, ref: Ref) -> list[Object]:
        """Return the warnings about an object, newest first."""
        return sorted(self._events.get(ref, ()), key=_when, reverse=True)

    def orphaned_events(self, namespace: str) -> list[Object]:
        """Return the warnings in a namespace about pods and workloads that are not there any more, newest first."""
        kinds = ("Pod", "ReplicaSet", "Deployment", "StatefulSet", "Job")
        found = (
            event
            for ref, events in self._events.items()
            if ref.namespace == namespace and ref.kind in kinds and ref not in self._by_ref
            for event in events
        )
        return sorted(found, key=_when, reverse=True)

    def _place(self, ref: Ref) -> None:
        """Put an object below the one that applied it."""
        obj = self._by_ref[ref]
        labels = obj["metadata"].get("labels") or {}
        for kind, group in _OWNERS.items():
            owner = Ref(kind, labels.get(f"{group}/namespace", ""), labels.get(f"{group}/name", ""))
            # what a controller makes for itself may have copied labels: an owner inside of the cluster counts
            if owner.name and owner != ref and not obj["metadata"].get("ownerReferences"):
                self._below[owner][ref] = None
        if ref.kind in _OWNERS:
            for below in inventory(obj):
                if below.kind in SHOWN and below != ref and below in self._by_ref:
                    self._below[ref][below] = None


def ours(objects: Iterable[Object], home: FluxHome) -> Iterable[Object]:
    """Return objects without those of Flux that are of others, where its controllers are somebody else's."""
    return (obj for obj in objects if not home.beside or obj["kind"] not in _OF_FLUX or _is_ours(obj, home))


def _is_ours(obj: Object, home: FluxHome) -> bool:
    applied_in = (obj["metadata"].get("labels") or {}).get(f"{_OWNERS['Kustomization']}/namespace")
    return home.namespace in (obj["metadata"].get("namespace"), applied_in)


def ref_of(obj: Object) -> Ref:
    """Return the name of an object."""
    return Ref(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def inventory(obj: Object) -> list[Ref]:
    """Return what a Kustomization or HelmRelease says that it has applied."""
    found = []
    for entry in (status(obj).get("inventory") or {}).get("entries") or ():
        # namespace_name_group_Kind; a colon in the name is written __
        namespace, *name, _group, kind = entry["id"].split("_")
        found.append(Ref(kind, namespace, "_".join(name).replace("__", ":")))
    return found


def status(obj: Object) -> Mapping[str, Any]:
    """Return an object's status, which may not be there."""
    return obj.get("status") or {}


def condition(obj: Object, wanted: str = "Ready") -> Mapping[str, Any]:
    """Return one condition of an object, or an empty mapping."""
    return next((entry for entry in status(obj).get("conditions") or () if entry["type"] == wanted), {})


def dependencies(obj: Object) -> list[Ref]:
    """Return what a Kustomization or HelmRelease waits for by its own wish."""
    meta = obj["metadata"]
    return [
        Ref(obj["kind"], entry.get("namespace") or meta.get("namespace", ""), entry["name"])
        for entry in obj.get("spec", {}).get("dependsOn") or ()
    ]


def source(obj: Object) -> Ref | None:
    """Return where a Kustomization, HelmRelease or HelmChart gets its files from."""
    spec, meta = obj.get("spec", {}), obj.get("metadata", {})
    if obj["kind"] == "HelmRelease" and not spec.get("chartRef"):
        chart = spec.get("chart")
        if not chart:
            return None
        place = chart["spec"]["sourceRef"].get("namespace") or meta["namespace"]
        return Ref("HelmChart", place, f"{meta['namespace']}-{meta['name']}")
    entry = spec.get("chartRef") if obj["kind"] == "HelmRelease" else spec.get("sourceRef")
    if not entry:
        return None
    return Ref(entry["kind"], entry.get("namespace") or meta.get("namespace", ""), entry["name"])


def revision(obj: Object) -> str:
    """Return the revision of the artifact that a source holds."""
    return str((status(obj).get("artifact") or {}).get("revision", ""))


def applied(obj: Object) -> str:
    """Return the revision that a Kustomization has applied and found healthy."""
    return str(status(obj).get("lastAppliedRevision", ""))


def event_text(event: Object) -> str:
    """Return what an event says, in one line."""
    return f"{event.get('reason', '')}: {' '.join(str(event.get('message', '')).split())}"


def _about(event: Object) -> Ref:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return Ref(about.get("kind", ""), about.get("namespace", ""), about.get("name", ""))


def _when(event: Object) -> str:
    series = event.get("series") or {}
    told = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime")
    return str(told or event["metadata"].get("creationTimestamp") or "")


def _selector(obj: Object) -> Mapping[str, str]:
    kind, name = obj["kind"], obj["metadata"]["name"]
    if kind == "Cluster":
        return {_CLUSTER: name}
    if kind == "Job":
        return {_JOB: name}
    labels: Mapping[str, str] = (obj.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    return labels


def _has(pod: Object, wanted: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _counts(pod: Object, *, of_job: bool) -> bool:
    phase = status(pod).get("phase")
    ended = phase == "Succeeded" or (phase == "Failed" and not of_job)
    return not ended and not pod["metadata"].get("deletionTimestamp")
