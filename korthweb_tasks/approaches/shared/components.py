"""What marks each component in a cluster, under whatever name and in whatever namespace, and whose it is. Pure.

One table, :data:`SIGNS`. A component is there where one of its controllers is (by image or label), or a webhook of its
kind that a control plane elsewhere answers. Definitions alone are none: they outlive what they were made for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import BOOTSTRAPPED
from korthweb_tasks.tools.kubectl import ABSENT, Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.settings.components import Component

#: written on what korthweb makes, when it makes it: `korthweb/component: istio`
MARK = "korthweb/component"
#: what istioctl writes on everything that an IstioOperator brings; ours has the value OWNER (values.ownerName)
ISTIO_OWNER, OWNER = "install.operator.istio.io/owning-resource", "korthweb"
_FLUX_RELEASE = ("helm.toolkit.fluxcd.io/namespace", "helm.toolkit.fluxcd.io/name")
_FLUX_LAYER = ("kustomize.toolkit.fluxcd.io/namespace", "kustomize.toolkit.fluxcd.io/name")
_HELM = ("meta.helm.sh/release-namespace", "meta.helm.sh/release-name")
WORKLOADS = "deployments.apps,statefulsets.apps,daemonsets.apps"
WEBHOOKS = (
    "mutatingwebhookconfigurations.admissionregistration.k8s.io,"
    "validatingwebhookconfigurations.admissionregistration.k8s.io"
)
SOURCES = "gitrepositories.source.toolkit.fluxcd.io,kustomizations.kustomize.toolkit.fluxcd.io"
PROMETHEUSES = "prometheuses.monitoring.coreos.com"
_DEFINED = (
    r"jsonpath={range .items[*]}{.metadata.name}|{.metadata.annotations.meta\.helm\.sh/release-namespace}"
    r'/{.metadata.annotations.meta\.helm\.sh/release-name}{"\n"}{end}'
)
HELM_RELEASES = "helmreleases.helm.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class Signs:
    """What marks a component: ``images`` (the last part of an image's name), ``labels``, ``webhooks`` (their names).

    ``kinds`` are the definitions that must be served, ``title`` is what a person calls it.
    """

    title: str
    images: str
    labels: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]
    webhooks: str = ""


#: component -> what marks it; names of images of mirrors (mirrored-istio-pilot) end as the projects' own do
SIGNS: Mapping[Component, Signs] = {
    "istio": Signs(
        "Istio",
        r"(.*-)?(pilot|istiod)(-ubi9|-fips|-distroless)?",
        (("app", "istiod"), ("istio", "pilot"), ("app.kubernetes.io/name", "istiod")),
        (
            "gateways.networking.istio.io",
            "virtualservices.networking.istio.io",
            "destinationrules.networking.istio.io",
            "sidecars.networking.istio.io",
            "authorizationpolicies.security.istio.io",
            "peerauthentications.security.istio.io",
        ),
        r".*\.(sidecar-injector|validation)\.istio\.io|sidecar-injector\.istio\.io",
    ),
    "cert-manager": Signs(
        "cert-manager",
        r"(.*-)?cert-manager(-controller)?(-fips)?",
        (("app.kubernetes.io/name", "cert-manager"),),
        ("certificates.cert-manager.io", "issuers.cert-manager.io"),
        r"webhook\.cert-manager\.io",
    ),
    "traefik": Signs(
        "Traefik",
        r"(.*-)?traefik(ee|-hub)?",
        (("app.kubernetes.io/name", "traefik"),),
        (
            "ingressroutes.traefik.io",
            "ingressroutetcps.traefik.io",
            "tlsoptions.traefik.io",
            "serverstransports.traefik.io",
        ),
    ),
    "flux": Signs(
        "Flux",
        r"(mirrored-)?(flux-|fluxcd-)?(source|kustomize)-controller|flux-operator",
        (("app.kubernetes.io/part-of", "flux"),),
        (
            "gitrepositories.source.toolkit.fluxcd.io",
            "kustomizations.kustomize.toolkit.fluxcd.io",
            "helmreleases.helm.toolkit.fluxcd.io",
        ),
    ),
    "cloudnative-pg": Signs(
        "CloudNativePG",
        r"(.*-)?(cloudnative-pg|postgresql-operator-controller-manager)(-ubi9)?",
        (("app.kubernetes.io/name", "cloudnative-pg"),),
        ("clusters.postgresql.cnpg.io",),
        r"[mv]cluster\.cnpg\.io",
    ),
    "prometheus": Signs(
        "Prometheus operator",
        r"(.*-)?prometheus-operator(-fips)?",
        (
            ("app.kubernetes.io/name", "prometheus-operator"),
            ("app.kubernetes.io/name", "kube-prometheus-stack-prometheus-operator"),
        ),
        ("servicemonitors.monitoring.coreos.com", "podmonitors.monitoring.coreos.com"),
        r"prometheusrule(mutate|validate)?\.monitoring\.coreos\.com",
    ),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A controller of a component, or a webhook whose controller is elsewhere. ``whose``: who made it, in words."""

    component: Component
    obj: Object = field(repr=False)
    ours: bool
    whose: str

    @property
    def namespace(self) -> str:
        """Return its namespace; nothing for a webhook."""
        return str(self.obj["metadata"].get("namespace", ""))

    @property
    def version(self) -> str:
        """Return its version by the tag of its image, else by its labels; nothing where neither says it."""
        title = SIGNS[self.component].images
        tags = [tag for name, tag in map(_parts, images(self.obj)) if re.fullmatch(title, name)]
        numbers = [tag.removeprefix("v") for tag in tags if re.match(r"v?[0-9]+\.[0-9]+", tag)]
        labels = self.obj["metadata"].get("labels") or {}
        return next(iter(numbers), str(labels.get("app.kubernetes.io/version", "")).removeprefix("v"))

    def __str__(self) -> str:
        """Return what a person looks for: ``deployment/istiod in mesh-a (1.30.2), of the Helm release mesh``."""
        meta = self.obj["metadata"]
        place = f" in {self.namespace}" if self.namespace else ""
        version = f" ({self.version})" if self.version else ""
        return f"{self.obj['kind'].lower()}/{meta['name']}{place}{version}, {self.whose}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What the cluster answered: controllers and webhooks, marked namespaces, Flux's releases and sources, kinds.

    ``owners``: kind -> the Helm release that it belongs to; ``watchers`` are the objects Prometheus.
    """

    objects: Sequence[Object]
    namespaces: Sequence[Object] = ()
    releases: Sequence[Object] = ()
    sources: Sequence[Object] = ()
    kinds: frozenset[str] = frozenset()
    owners: Mapping[str, str] = field(default_factory=dict)
    watchers: Sequence[Object] = ()

    def of(self, component: Component) -> tuple[Found, ...]:
        """Return everything of ``component`` in the cluster, whoever made it."""
        signs = SIGNS[component]
        controllers = [obj for obj in self.objects if "webhooks" not in obj and _is_controller(obj, signs)]
        homes = {obj["metadata"]["namespace"] for obj in controllers}
        lone = [obj for obj in self.objects if _is_lone_webhook(obj, signs, homes)]
        return tuple(Found(component, obj, self._ours(component, obj), whose(obj)) for obj in (*controllers, *lone))

    def _ours(self, component: Component, obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        if labels.get(MARK) == component or (component == "istio" and labels.get(ISTIO_OWNER) == OWNER):
            return True
        marked = {
            one["metadata"]["name"] for one in self.namespaces if one["metadata"]["labels"].get(MARK) == component
        }
        if component == "flux":
            return obj["metadata"].get("namespace") in marked
        by = "/".join(str(labels.get(key)) for key in _FLUX_RELEASE)
        releases = {
            f"{one['metadata']['namespace']}/{one['metadata']['name']}": one["metadata"] for one in self.releases
        }
        return (releases.get(by, {}).get("labels") or {}).get(MARK) == component


def questions(kubectl: Kubectl) -> tuple[Command, ...]:
    """Return the questions whose answers :func:`survey` reads, in its order."""
    workloads = ("get", f"{WORKLOADS},{WEBHOOKS}", "--all-namespaces", "--show-managed-fields", "--output=json")
    definitions = ("get", "customresourcedefinitions", f"--output={_DEFINED}")
    return (
        kubectl.command(*workloads, repeatable=True),
        kubectl.get("namespace", selector=MARK),
        replace(kubectl.get(HELM_RELEASES, namespace="*"), final=ABSENT),
        replace(kubectl.get(SOURCES, namespace="*"), final=ABSENT),
        kubectl.command(*definitions, repeatable=True),
        replace(kubectl.get(PROMETHEUSES, namespace="*"), final=ABSENT),
    )


def survey(answers: Sequence[Result]) -> Survey:
    """Read the answers to :func:`questions`; each of them must be an answer."""
    listed = (*answers[:4], answers[5])
    objects, namespaces, releases, sources, watchers = (items(one) if one.code == 0 else [] for one in listed)
    owners = dict(line.split("|", 1) for line in answers[4].stdout.split())
    known = {kind: owner for kind, owner in owners.items() if owner != "/"}
    return Survey(objects, namespaces, releases, sources, frozenset(owners), known, watchers)


def images(obj: Object) -> list[str]:
    """Return the images of a workload's containers."""
    pod = (obj.get("spec") or {}).get("template", {}).get("spec", {})
    return [str(container.get("image", "")) for container in pod.get("containers", ())]


def arguments(obj: Object) -> list[str]:
    """Return what a workload's containers are started with."""
    pod = (obj.get("spec") or {}).get("template", {}).get("spec", {})
    containers = pod.get("containers", ())
    return [str(word) for one in containers for word in (*(one.get("command") or ()), *(one.get("args") or ()))]


def environment(obj: Object) -> dict[str, str]:
    """Return the variables of a workload's containers that have a plain value."""
    pod = (obj.get("spec") or {}).get("template", {}).get("spec", {})
    found = [entry for one in pod.get("containers", ()) for entry in one.get("env") or ()]
    return {entry["name"]: str(entry.get("value", "")) for entry in found}


def whose(obj: Object) -> str:
    """Return who made an object, by what tools leave on it: the most telling first.

    >>> whose({"metadata": {"labels": {"argocd.argoproj.io/tracking-id": "mesh"}}})
    "of Argo CD's mesh"
    """
    meta = obj["metadata"]
    marks = {**(meta.get("annotations") or {}), **(meta.get("labels") or {})}
    for keys, words in (
        (_FLUX_RELEASE, "of Flux's HelmRelease"),
        (_FLUX_LAYER, "of Flux's Kustomization"),
        (_HELM, "of the Helm release"),
    ):
        if keys[1] in marks:
            return f"{words} {marks.get(keys[0], '?')}/{marks[keys[1]]}"
    if owners := meta.get("ownerReferences"):
        return f"of {owners[0]['kind']}/{owners[0]['name']}"
    for key, words in (
        ("argocd.argoproj.io/tracking-id", "of Argo CD's"),
        ("olm.owner", "of the operator"),
        (ISTIO_OWNER, "of the IstioOperator"),
    ):
        if key in marks:
            return f"{words} {marks[key]}"
    return _hands(meta, str(marks.get("app.kubernetes.io/managed-by", "")))


def _hands(meta: Mapping[str, Any], managed_by: str) -> str:
    """Return who wrote an object's fields, where no tool has left its name."""
    written = [one for one in meta.get("managedFields") or () if not one.get("subresource")]
    names = [str(one.get("manager", "")) for one in written]
    hands = [name for name in dict.fromkeys(names) if name and "controller-manager" not in name]
    told = f"managed by {managed_by}" if managed_by else ""
    return "; ".join(filter(None, (told, f"written by {', '.join(hands)}" if hands else ""))) or "of nobody known"


def _is_controller(obj: Object, signs: Signs) -> bool:
    labels = obj["metadata"].get("labels") or {}
    named = any(re.fullmatch(signs.images, name) for name, _ in map(_parts, images(obj)))
    return named or any(labels.get(key) == value for key, value in signs.labels)


def _is_lone_webhook(obj: Object, signs: Signs, homes: Iterable[str]) -> bool:
    """Return True for a webhook of this kind that no controller in this cluster answers."""
    hooks = [
        hook for hook in obj.get("webhooks") or () if signs.webhooks and re.fullmatch(signs.webhooks, hook["name"])
    ]
    places = {(one.get("clientConfig", {}).get("service") or {}).get("namespace") for one in hooks}
    return bool(hooks) and not places <= set(homes)


def _parts(image: str) -> tuple[str, str]:
    """Return the last part of an image's name, and its tag."""
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag


def followed(found: Survey, namespace: str) -> tuple[str, str]:
    """Return URL and path of what the Flux in ``namespace`` follows by that name of its own; nothing where it doesn't.

    Where nothing has that name, the first of its Kustomizations that names a Git repository counts.
    """
    urls = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): str(one["spec"].get("url", ""))
        for one in found.sources
        if one["kind"] == "GitRepository"
    }
    layers = [one for one in found.sources if one["kind"] == "Kustomization"]
    layers.sort(key=lambda one: (one["metadata"]["namespace"] != namespace, one["metadata"]["name"] != BOOTSTRAPPED))
    for layer in layers:
        ref = layer["spec"].get("sourceRef", {})
        url = urls.get((ref.get("namespace") or layer["metadata"]["namespace"], ref.get("name", "")))
        if url:
            return url, str(layer["spec"].get("path", ""))
    return next(iter(urls.values()), ""), ""
