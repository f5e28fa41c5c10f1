"""From anything that is not ready to the deepest object that explains it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from korthweb_tasks.core import hints
from korthweb_tasks.core.tree import Cause, Object, Ref, State
from korthweb_tasks.flux.objects import (
    SOURCES,
    Objects,
    condition,
    event_text,
    ref_of,
    revision,
    source,
)
from korthweb_tasks.flux.state import FLUX, Seen, look, waits_for
from korthweb_tasks.tools.flux import typed

#: worst first
ORDER: tuple[State, ...] = ("failed", "suspended", "blocked", "waiting", "ready")
#: reasons for which the object itself explains all: what it was given is no good
_OWN = ("BuildFailed", "ReconciliationFailed", "PruneFailed", "InvalidCELExpression", "AccessDenied")
#: a workload in a controller's message: ``Deployment/namespace/name``
_WORKLOAD = re.compile(r"\b(Deployment|StatefulSet|DaemonSet|Job|Pod)/([A-Za-z0-9_.-]+)/([A-Za-z0-9_.-]+)")
_CONTROLLER = {"Kustomization": "kustomize", "HelmRelease": "helm", **dict.fromkeys(SOURCES, "source")}


def rank(cause: Cause) -> tuple[bool, int]:
    """Return how bad a cause is: what waiting can't heal comes first, then by state."""
    return (cause.patience == float("inf"), ORDER.index(cause.state))


@dataclass
class Causes:
    """Finds the deepest causes; each object is looked at once."""

    objects: Objects
    _found: dict[Ref, Cause | None] = field(default_factory=dict)
    _seen: dict[Ref, Seen] = field(default_factory=dict)

    def seen(self, ref: Ref) -> Seen:
        """Return how an object is by itself."""
        if ref not in self._seen:
            obj = self.objects.get(ref)
            self._seen[ref] = look(self.objects, obj) if obj else Seen("failed", "does not exist")
        return self._seen[ref]

    def why(self, ref: Ref) -> Cause | None:
        """Return why an object, or something below it, is not ready; None where all is well."""
        if ref not in self._found:
            self._found[ref] = None  # who comes back here by a circle finds nothing
            self._found[ref] = self._walk(ref)
        return self._found[ref]

    def above(self, ref: Ref) -> tuple[Ref, ...]:
        """Return who applied an object, and who applied that, from the source on top downwards."""
        way: list[Ref] = []
        at: Ref | None = ref
        while at and at not in way:
            way.append(at)
            above = self.objects.owner(at)
            obj = self.objects.get(at)
            at = above if above or at.kind != "Kustomization" or not obj else source(obj)
        return tuple(reversed(way[1:]))

    def _walk(self, ref: Ref) -> Cause | None:
        obj = self.objects.get(ref)
        if obj is None:
            if ref.kind == "HelmChart":  # helm-controller makes it for its release
                return Cause(
                    ref,
                    "waiting",
                    "is not made yet",
                    hints.task("gitops.logs", controller="helm"),
                    busy=True,
                    chain=(ref,),
                )
            return Cause(ref, "failed", "does not exist", hints.task("gitops.status"), chain=(ref,))
        seen = self.seen(ref)
        found = self._worst(self._deeper(ref, obj, seen))
        if found and seen.state == "ready" and found.state == "suspended":
            found = None  # a person wanted that
        if found:
            return replace(found, chain=(ref, *found.chain))
        if seen.state == "ready":
            return None
        message = seen.message or _last_event(self.objects, ref) or "no reason is told"
        message += self._aftermath(obj, seen)
        busy = ref.kind in FLUX and seen.state in ("waiting", "blocked")
        return Cause(ref, seen.state, message, hint(ref, seen), seen.patience, busy, (ref,))

    def _worst(self, refs: list[Ref]) -> Cause | None:
        found = [cause for cause in map(self.why, refs) if cause]
        return min(found, key=rank, default=None)

    def _deeper(self, ref: Ref, obj: Object, seen: Seen) -> list[Ref]:
        """Return where the reason may be, if it is not the object itself."""
        if seen.state == "suspended":
            return []
        if ref.kind in ("Kustomization", "HelmRelease"):
            return self._applied(ref, obj, seen)
        if ref.kind == "HelmChart":
            return self._origin(obj)
        if ref.kind == "Certificate":
            return self._request(ref, obj)
        if ref.kind == "CertificateRequest":
            return self._issuer(obj)
        if seen.state == "ready":
            return []
        return [ref_of(pod) for pod in self.objects.pods(ref)]

    def _applied(self, ref: Ref, obj: Object, seen: Seen) -> list[Ref]:
        if seen.state == "blocked":
            return list(waits_for(self.objects, obj))
        if seen.state != "ready" and condition(obj).get("reason") in _OWN:
            return []
        if seen.state != "ready" and (origin := self._origin(obj)) and self._without(obj, origin[0]):
            return origin
        return self.objects.below(ref)

    def _origin(self, obj: Object) -> list[Ref]:
        origin = source(obj)
        return [origin] if origin and self.why(origin) else []

    def _without(self, obj: Object, origin: Ref) -> bool:
        """Return True if an object has nothing to work with because of its source."""
        there = self.objects.get(origin)
        reason = condition(obj).get("reason")
        return there is None or not revision(there) or reason in ("ArtifactFailed", "SourceNotReady")

    def _request(self, ref: Ref, obj: Object) -> list[Ref]:
        note = "cert-manager.io/certificate-name"
        requests = [
            found
            for found in self.objects.of("CertificateRequest")
            if found.namespace == ref.namespace and _note(self.objects.get(found), note) == ref.name
        ]
        return [*requests, *self._issuer(obj)] if self.seen(ref).state != "ready" else []

    def _issuer(self, obj: Object) -> list[Ref]:
        wanted = obj.get("spec", {}).get("issuerRef") or {}
        if wanted.get("kind", "Issuer") != "Issuer" or self.seen(ref_of(obj)).state == "ready":
            return []
        issuer = Ref("Issuer", obj["metadata"].get("namespace", ""), wanted.get("name", ""))
        return [issuer] if self.objects.get(issuer) else []

    def _aftermath(self, obj: Object, seen: Seen) -> str:
        """Return what is left to read of a release that was taken back with its pods: the last warning about one."""
        if obj["kind"] != "HelmRelease" or seen.state != "failed":
            return ""
        for _, place, name in _WORKLOAD.findall(seen.message):
            for event in self.objects.orphaned_events(place):
                about = event.get("involvedObject") or {}
                if str(about.get("name", "")).startswith(name):
                    return f"; before that, {about.get('kind')} {about.get('name')}: {event_text(event)}"
        return ""


def hint(ref: Ref, seen: Seen) -> str:
    """Return the command that shows more of an object."""
    if seen.state == "suspended" and ref.kind in _CONTROLLER:
        return hints.task("gitops.resume", ref.name)
    if ref.kind == "Pod" and "CrashLoopBackOff" in seen.message:
        return hints.kubectl("logs", ref.name, "--previous", "--all-containers", namespace=ref.namespace)
    if ref.kind in ("Kustomization", "HelmRelease"):
        return hints.task("gitops.logs", controller=_CONTROLLER[ref.kind])
    return hints.kubectl("describe", *typed(ref).split("/"), namespace=ref.namespace)


def _last_event(objects: Objects, ref: Ref) -> str:
    events = objects.events(ref)
    return event_text(events[0]) if events else ""


def _note(obj: Object | None, note: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(note, "")) if obj else ""
