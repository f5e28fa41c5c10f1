"""What comes of a change of one object: rules by its kind. What no rule knows is not judged, and said to be so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from korthweb_tasks.changes import doors
from korthweb_tasks.changes.model import Consequence, Reason, listed
from korthweb_tasks.changes.objects import Object, places
from korthweb_tasks.settings.charts import CHARTS
from korthweb_tasks.settings.versions import PINS

Rule = Callable[[Object, Object], Iterator[Reason]]
DICOM_PORTS, DATABASE_PORT = frozenset({104, 2762, 4242, 11112}), 5432
#: charts whose pods carry associations, and those whose upgrade restarts databases
CARRIERS, KEEPERS = frozenset({"traefik", "istiod", "istio-base"}), frozenset({"cloudnative-pg"})
#: a repository's last word in an image -> the component whose version its tag is
IMAGES = {"orthanc": "orthanc", "postgres": "postgres", "postgresql": "postgres", "kiali": "kiali"}
IMAGES |= {"prometheus": "prometheus", "grafana": "grafana", "jaeger": "jaeger", "cloudnative-pg": "cnpg"}
_TAG = re.compile(r"v?[0-9]+(\.[0-9]+)*")


def judged(old: Object | None, new: Object | None) -> tuple[Reason, ...]:
    """Return what comes of a change; ``old`` or ``new`` is None where there is no such object."""
    kind = str((new or old or {}).get("kind"))
    if kind not in RULES:
        return (Reason(Consequence.UNKNOWN, f"there is no rule for a {kind}: read it"),)
    found = [reason for rule in RULES[kind] for reason in rule(old or {}, new or {})]
    return tuple(found) or (Reason(Consequence.NOTHING, "no pod, way or volume depends on it at once"),)


def workload(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what has pods: do they restart, and who is cut off?"""
    if _hook(old or new) or not old:
        return
    if not new:
        yield from _ended(old, "it is removed, and its pods end")
        return
    one, two = (obj["spec"].get("template") or {} for obj in (old, new))
    if one != two:
        yield from _ended(old, listed(places(one, two, "template")))
    before, after = (obj["spec"].get("replicas", 1) for obj in (old, new))
    if isinstance(before, int) and isinstance(after, int) and after < before:
        yield from _ended(old, f"replicas {before} → {after}")
    for key in ("volumeClaimTemplates", "serviceName", "selector"):
        if old["spec"].get(key) != new["spec"].get(key):
            yield Reason(Consequence.DATA if key[0] == "v" else Consequence.PODS, f"{key} can't change: made anew")


def job(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what runs once."""
    if new and new.get("spec") != old.get("spec") and _images(new) & {"postgres", "postgresql"}:
        yield Reason(Consequence.DATA, "a job runs against the database")


def autoscaler(old: Object, new: Object) -> Iterator[Reason]:
    """Judge an autoscaler: with fewer replicas, pods end."""
    for key in ("minReplicas", "maxReplicas"):
        before, after = (((obj.get("spec") or {}).get(key)) for obj in (old, new))
        if isinstance(before, int) and isinstance(after, int) and after < before:
            yield Reason(Consequence.PODS, f"{key} {before} → {after}: pods may end")
            yield Reason(Consequence.CUT, f"{key} {before} → {after}: what a pod that ends still receives")


def data(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a volume or database: every change counts."""
    if old:
        yield Reason(Consequence.DATA, listed(places(old.get("spec"), new.get("spec"), "spec")) or "its metadata")


def namespace(_: Object, new: Object) -> Iterator[Reason]:
    """Judge a namespace: with it, all that is inside goes."""
    if not new:
        yield Reason(Consequence.DATA, "all that is in the namespace goes with it, volumes too")


def chart(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a chart that is installed: its objects are not rendered, so each change may restart its pods."""
    if not old or old.get("spec") == new.get("spec"):
        return
    name, what = old["metadata"]["name"], listed(places(old["spec"], new.get("spec"), "")) if new else "it is removed"
    yield Reason(Consequence.PODS, f"{what}: pods of the chart {name} may restart")
    if name in CARRIERS:
        yield Reason(Consequence.CUT, f"{name} carries the associations")
    if name in KEEPERS:
        yield Reason(Consequence.DATA, f"{name} restarts the databases that it runs")


def mesh(old: Object, new: Object) -> Iterator[Reason]:
    """Judge the installation of Istio, whose gateways carry associations."""
    if old and old != new:
        what = listed(places(old.get("spec"), new.get("spec"), "spec"))
        yield Reason(Consequence.PODS, what)
        yield Reason(Consequence.CUT, f"{what}: the gateways carry the associations")


def support(old: Object, new: Object) -> Iterator[Reason]:
    """Judge versions: one that is outside of what korthweb supports, and was not."""
    before = _versions(old)
    for component, version in _versions(new).items():
        pin = PINS[component]
        if not pin.accepts(version) and (component not in before or pin.accepts(before[component])):
            text = f"{component} {version} is outside the supported range {pin.accepted}"
            yield Reason(Consequence.SUPPORT, text)


def _ended(obj: Object, what: str) -> Iterator[Reason]:
    yield Reason(Consequence.PODS, what)
    ports = {port.get("containerPort") for one in _containers(obj) for port in one.get("ports") or ()}
    if ports & DICOM_PORTS:
        grace = _pods(obj).get("terminationGracePeriodSeconds", 30)
        yield Reason(Consequence.CUT, f"those that last longer than its pods may take to end ({grace} s)")
    if DATABASE_PORT in ports or obj["spec"].get("volumeClaimTemplates"):
        yield Reason(Consequence.DATA, f"the database restarts: {what}")


def _versions(obj: Object) -> dict[str, str]:
    """Return the versions of components in an object: of its images, or of the chart that it installs."""
    spec = obj.get("spec") or {}
    texts = [str(one.get("image", "")) for one in _containers(obj)] if obj else []
    found: dict[str, str] = {}
    for image in [*texts, str(spec.get("imageName", ""))]:
        place, _, tag = image.partition("@")[0].rpartition(":")
        if (word := place.rpartition("/")[2]) in IMAGES and _TAG.fullmatch(tag):
            found[IMAGES[word]] = tag
    if obj.get("kind") in ("Chart", "HelmRelease"):
        pinned = CHARTS.get(obj["metadata"]["name"])
        version = str(spec.get("version") or ((spec.get("chart") or {}).get("spec") or {}).get("version", ""))
        if pinned and _TAG.fullmatch(version):
            found[pinned.component] = version
    if obj.get("kind") == "IstioOperator" and _TAG.fullmatch(str(spec.get("tag", ""))):
        found["istio"] = str(spec["tag"])
    return found


def _pods(obj: Object) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = obj.get("spec") or {}
    if obj.get("kind") == "Pod":
        return spec
    template = spec.get("template")
    return (template.get("spec") or {}) if isinstance(template, Mapping) else {}


def _containers(obj: Object) -> list[Mapping[str, Any]]:
    pods = _pods(obj)
    return [*(pods.get("containers") or ()), *(pods.get("initContainers") or ())]


def _images(obj: Object) -> set[str]:
    return {str(one.get("image", "")).rpartition(":")[0].rpartition("/")[2] for one in _containers(obj)}


def _hook(obj: Object) -> bool:
    return "helm.sh/hook" in (obj.get("metadata", {}).get("annotations") or {})


_PODS: tuple[Rule, ...] = (workload, support, doors.pods)
_NONE: tuple[Rule, ...] = ()
RULES: Mapping[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), _PODS),
    **dict.fromkeys(("Job", "CronJob", "Pod"), (job, support, doors.pods)),
    **dict.fromkeys(("PersistentVolumeClaim", "PersistentVolume", "StorageClass", "ScheduledBackup"), (data,)),
    "Cluster": (data, support),
    "Namespace": (namespace, doors.namespace),
    "HorizontalPodAutoscaler": (autoscaler,),
    **dict.fromkeys(("Chart", "HelmRelease"), (chart, support, doors.chart)),
    **dict.fromkeys(("HelmRepository", "OCIRepository"), (doors.source,)),
    "IstioOperator": (mesh, support, doors.chart),
    "Service": (doors.service,),
    "NetworkPolicy": (doors.network,),
    "AuthorizationPolicy": (doors.authorization,),
    **dict.fromkeys(("PeerAuthentication", "DestinationRule", "TLSOption", "ServersTransport"), (doors.tls,)),
    **dict.fromkeys(("Gateway", "VirtualService", "IngressRoute", "IngressRouteTCP", "Ingress"), (doors.routes,)),
    **dict.fromkeys(("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"), (doors.rights,)),
    **dict.fromkeys(("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"), (doors.admission,)),
    **dict.fromkeys(("Issuer", "ClusterIssuer"), (doors.issuer,)),
    "ServiceEntry": (doors.entry,),
    "ServiceAccount": (doors.account,),
    **dict.fromkeys(("ConfigMap", "Secret", "PodDisruptionBudget", "Certificate"), _NONE),
    **dict.fromkeys(("ResourceQuota", "LimitRange", "ServiceMonitor", "PodMonitor", "Telemetry"), _NONE),
    **dict.fromkeys(("Kustomization",), _NONE),
}
