"""Whether each component may be installed, or can be used as it is: the survey of a cluster, read with the settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks import paths
from korthweb_tasks.approaches.gitops.components import shared_parts
from korthweb_tasks.approaches.shared.checks import Finding, Verdict
from korthweb_tasks.approaches.shared.common import CERT_MANAGER, ISTIO, OBSERVABILITY
from korthweb_tasks.approaches.shared.components import SIGNS, Found, Survey, arguments, environment, followed, images
from korthweb_tasks.approaches.shared.prometheus import monitors_taken
from korthweb_tasks.approaches.shared.selectors import selects
from korthweb_tasks.core import hints
from korthweb_tasks.core.flux_home import BOOTSTRAPPED
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.settings.versions import PINS, within
from korthweb_tasks.tools.flux import COMPONENTS

if TYPE_CHECKING:
    from korthweb_tasks.settings.components import Component
    from korthweb_tasks.settings.model import Settings

#: component -> the row of the table of pins that says which versions are good; Traefik's is that of its chart
PIN: Mapping[Component, str] = {
    "istio": "istio",
    "cert-manager": "cert-manager",
    "flux": "flux",
    "cloudnative-pg": "cnpg",
}
#: namespaces of korthweb's own releases: definitions that these left behind may be taken over
HOMES = (CERT_MANAGER, ISTIO, OBSERVABILITY, "cnpg-system")
#: Traefik 3 serves the kinds traefik.io/v1alpha1 that the routes are written in
TRAEFIK = ">=3,<4"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the cluster: the settings, the namespaces that need the components, what Flux is to follow.

    ``repository`` is the URL, ``folder`` the path in it, ``operator`` the namespace that the databases' policies name
    (GitOps); ``entries`` are Traefik's entry points (Helm). ``used`` are those that the approach itself never installs.
    """

    settings: Settings
    namespaces: tuple[str, ...]
    repository: str = ""
    folder: str = ""
    operator: str = ""
    entries: tuple[str, ...] = ()
    used: tuple[Component, ...] = ()

    def uses(self, name: Component) -> bool:
        """Return True if somebody else's is to be used."""
        return name in self.used or self.settings.uses(name)


@dataclass(frozen=True, slots=True)
class Case:
    """A component of somebody else's that is to be used: what is asked, what is there, and all else in the cluster."""

    wanted: Wanted
    there: tuple[Found, ...]
    found: Survey


def findings(wanted: Wanted, names: Iterable[Component], found: Survey) -> list[Finding]:
    """Return one finding for each of the components ``names``."""
    return [_used(wanted, name, found) if wanted.uses(name) else _free(wanted, name, found) for name in names]


def refuse(results: Iterable[Finding]) -> None:
    """Raise GuardRefused for the first component that is not as the settings say, before anything is changed."""
    for one in results:
        if one.verdict == "broken":
            raise GuardRefused(
                f"{one.title}: {one.text}", hint=f"components: in korthweb.yaml; {paths.docs('settings.md')} tells more"
            )


def _free(wanted: Wanted, name: Component, found: Survey) -> Finding:
    """Judge a component that korthweb is to install: nobody else's may be there."""
    there = found.of(name)
    foreign = [one for one in there if not one.ours]
    if name == "flux" and foreign and _same(wanted, found, foreign[0].namespace):
        foreign = []
    if foreign:
        return Finding(SIGNS[name].title, "broken", f"it is somebody else's: {_told(wanted, name, found, foreign)}")
    if not there and (left := _left_over(name, found)):
        return Finding(SIGNS[name].title, *left)
    return Finding(SIGNS[name].title, "ok", _own(name, found, there) if there else "not installed yet")


def _left_over(name: Component, found: Survey) -> tuple[Verdict, str] | None:
    """Return what is to be said of definitions that nobody works on; None where there are none."""
    title, kinds = SIGNS[name].title, [kind for kind in SIGNS[name].kinds if kind in found.kinds]
    if not kinds:
        return None
    text = f"CRDs of {title} are there, no controller: left by a removal, or worked on from outside of the cluster"
    others = {found.owners[kind] for kind in kinds if kind in found.owners}
    if others := {owner for owner in others if owner.partition("/")[0] not in HOMES}:
        more = (
            "they belong to the Helm release " + " and ".join(sorted(others)) + ", and no other release may have them"
        )
        return (
            "broken",
            f"{text}; {more}. Uninstall it, or `{hints.kubectl('delete', 'customresourcedefinition', *kinds)}`",
        )
    return "note", f"{text}; they are taken over as they are"


def _own(name: Component, found: Survey, there: tuple[Found, ...]) -> str:
    url, path = followed(found, there[0].namespace) if name == "flux" else ("", "")
    return f"korthweb's own, {there[0].version}{f', follows {path} of {url}' if url else ''}"


def _told(wanted: Wanted, name: Component, found: Survey, foreign: list[Found]) -> str:
    """Return what was found, whose it is, and the line of korthweb.yaml that makes it used as it is."""
    more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
    what = f"{foreign[0]}{more}"
    if name == "flux":
        url, path = followed(found, foreign[0].namespace)
        what += f"; it follows {path or 'no folder'} of {url}" if url else "; it follows no repository"
        what += f", not {wanted.folder} of {wanted.repository}" if wanted.repository else ""
    return f"{what}. To use it as it is: components: {{{name}: use}}{_place(foreign[0])} in korthweb.yaml"


def _place(one: Found) -> str:
    """Return the further settings that a mesh or a Flux under another name or in another namespace needs."""
    if one.component == "flux" and one.namespace != BOOTSTRAPPED:
        return f" and gitops: {{controllers_namespace: {one.namespace}}}"
    if one.component != "istio":
        return ""
    revision = str((one.obj["metadata"].get("labels") or {}).get("istio.io/rev", "default"))
    lines = [f"namespace: {one.namespace}"] if one.namespace not in ("", "istio-system") else []
    lines += [f"revision: {revision}"] if revision != "default" else []
    return f" and istio: {{{', '.join(lines)}}}" if lines else ""


def _same(wanted: Wanted, found: Survey, namespace: str) -> bool:
    """Return True if Flux follows what korthweb would make it follow: somebody bootstrapped it so by hand."""
    url, path = followed(found, namespace)
    return bool(url) and (_plain(url), _plain(path)) == (_plain(wanted.repository), _plain(wanted.folder))


def _plain(text: str) -> str:
    return text.removeprefix("./").rstrip("/").removesuffix(".git")


def _used(wanted: Wanted, name: Component, found: Survey) -> Finding:
    """Judge a component of somebody else's that the settings want used."""
    title, there = SIGNS[name].title, found.of(name)
    if not there:
        left = any(kind in found.kinds for kind in SIGNS[name].kinds)
        why = f": CRDs of {title} are there, no controller" if left else ""
        text = f"the settings want it used, but there is no {title} in the cluster{why}"
        more = "" if name in wanted.used else f"; components: {{{name}: install}} lets korthweb bring it"
        return Finding(SIGNS[name].title, "broken", text + more)
    faults = [*_kinds(name, found), *_version(name, there), *CAPABLE[name](Case(wanted, there, found))]
    if faults:
        return Finding(SIGNS[name].title, "broken", f"{there[0]}: {'; '.join(faults)}")
    if name == "prometheus" and (told := monitors_taken(found.watchers, wanted.namespaces)):
        return Finding(SIGNS[name].title, "note", f"used as it is: {there[0]}; {told}")
    return Finding(SIGNS[name].title, "ok", f"used as it is: {there[0]}")


def _kinds(name: Component, found: Survey) -> list[str]:
    missing = [kind for kind in SIGNS[name].kinds if kind not in found.kinds]
    return [f"the cluster does not serve {', '.join(missing)}"] if missing else []


def _version(name: Component, there: tuple[Found, ...]) -> list[str]:
    accepted = TRAEFIK if name == "traefik" else PINS[PIN[name]].accepted if name in PIN else ""
    if name == "flux":  # each controller counts for itself; the label has the version of Flux
        numbers = [str((one.obj["metadata"].get("labels") or {}).get("app.kubernetes.io/version", "")) for one in there]
    else:
        numbers = [one.version for one in there]
    known = [number for number in numbers if re.match(r"v?[0-9]+(\.[0-9]+)*", number)]
    return [
        f"version {number} is outside of {accepted}" for number in dict.fromkeys(known) if not within(number, accepted)
    ]


def _mesh(case: Case) -> list[str]:
    """Return what keeps a mesh from taking the tenants' pods in: who injects, by which label, where istiod is."""
    settings = case.wanted.settings.istio
    labels = injection(settings.revision)
    hooks = [(obj, hook) for obj in case.found.objects for hook in obj.get("webhooks") or () if _injects(hook)]
    matching = [hook for _, hook in hooks if selects(hook.get("namespaceSelector"), labels)]
    if not matching:
        known = {str((obj["metadata"].get("labels") or {}).get("istio.io/rev", "default")) for obj, _ in hooks}
        told = f"revisions that inject: {', '.join(sorted(known))}" if known else "nothing injects sidecars"
        label = ", ".join(f"{key}={value}" for key, value in labels.items())
        return [
            f"no webhook injects sidecars into namespaces with {label} ({told}); istio: {{revision: ...}} names one"
        ]
    places = {(hook.get("clientConfig", {}).get("service") or {}).get("namespace") for hook in matching}
    faults = []
    if settings.namespace not in places:
        name = next(iter(places)) or "(outside of the cluster)"
        faults.append(f"its istiod is in {name}; istio: {{namespace: {name}}} says so")
    faults += _proxies(case)
    if any(environment(one.obj).get("ENABLE_NATIVE_SIDECARS", "").lower() == "false" for one in case.there):
        faults.append("ENABLE_NATIVE_SIDECARS is false: jobs with a sidecar would never end")
    return faults


def _proxies(case: Case) -> list[str]:
    """Return the complaint that sidecars come from elsewhere than the settings say: the tenants' policies name them."""
    given = case.wanted.settings.images
    hubs = {image.rpartition("/")[0] for one in case.there for image in images(one.obj) if "/" in image}
    if not hubs or given.hub(given.istio_hub) in hubs:
        return []
    return [f"its images are in {min(hubs)}; images: {{istio_hub: {min(hubs)}}} says so"]


def injection(revision: str | None) -> dict[str, str]:
    """Return the label by which a namespace asks the mesh for sidecars.

    >>> injection(None)
    {'istio-injection': 'enabled'}
    """
    return {"istio.io/rev": revision} if revision else {"istio-injection": "enabled"}


def _injects(hook: Mapping[str, Any]) -> bool:
    """Return True for a webhook that changes pods because of their namespace."""
    return bool(re.fullmatch(r"(rev\.)?(namespace\.)?sidecar-injector\.istio\.io", hook["name"]))


def _certificates(case: Case) -> list[str]:
    hooks = [hook["name"] for obj in case.found.objects for hook in obj.get("webhooks") or ()]
    faults = [] if "webhook.cert-manager.io" in hooks else ["it has no webhook"]
    return [*faults, *_watching(case.wanted, case.there, "namespace")]


def _watching(wanted: Wanted, there: tuple[Found, ...], *flags: str) -> list[str]:
    """Return the complaint that a controller was told to watch some namespaces only, and ours are not among them."""
    for one in there:
        values = [value for flag in flags for value in options(one.obj).get(flag, ()) if value]
        watched = {name for value in values for name in value.split(",")}
        left = [name for name in wanted.namespaces if watched and name not in watched]
        if left:
            return [f"it watches {', '.join(sorted(watched))} only, not {', '.join(left)}"]
    return []


def options(obj: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the flags of a program as ``--name=value`` has them, in lower case; several of a name are kept."""
    found: dict[str, list[str]] = {}
    for word in arguments(obj):
        name, _, value = word.lstrip("-").partition("=")
        if word.startswith("--"):
            found.setdefault(name.lower(), []).append(value)
    return found


def _traefik(case: Case) -> list[str]:
    """Return what keeps every Traefik of the cluster from serving the routes; one that can is enough."""
    faults = [_routes(case.wanted, one) for one in case.there]
    return [] if [] in faults else faults[0]


def _routes(wanted: Wanted, one: Found) -> list[str]:
    given = options(one.obj)
    if not any(name.startswith(("entrypoints.", "providers.")) for name in given):
        return []  # told by a file, which is not ours to read
    faults = []
    if not any(name.startswith("providers.kubernetescrd") for name in given):
        faults.append("its provider kubernetesCRD is off")
    names = {name.split(".")[1] for name in given if name.startswith("entrypoints.")}
    if missing := [name for name in wanted.entries if name.lower() not in names]:
        there = f"it has {', '.join(sorted(names))}; DICOM's is a port 11112"
        faults.append(f"it has no entry point {' and no '.join(missing)} ({there})")
    if chosen := [value for value in given.get("providers.kubernetescrd.ingressclass", ()) if value]:
        faults.append(f"it takes routes of the class {chosen[0]} only, and korthweb's have none")
    return [*faults, *_watching(wanted, (one,), "providers.kubernetescrd.namespaces")]


def _flux(case: Case) -> list[str]:
    names = {str(one.obj["metadata"]["name"]) for one in case.there}
    missing = [name for name in COMPONENTS if name not in names]
    faults = [f"it has no {', no '.join(missing)}"] if missing else []
    places = {one.namespace for one in case.there}
    if case.wanted.settings.flux.controllers not in places:
        faults.append(f"it is in {min(places)}; gitops: {{controllers_namespace: {min(places)}}} says so")
    releases = [release.name for part in shared_parts(case.wanted.settings) for release in part.releases]
    for one in case.there:
        given = options(one.obj)
        if "false" in given.get("watch-all-namespaces", ()):
            faults.append(f"{one.obj['metadata']['name']} watches its own namespace only")
        if releases and {"true", ""} & set(given.get("no-cross-namespace-refs", ())):
            faults.append(
                f"{one.obj['metadata']['name']} allows no references between namespaces, which the charts of"
                f" {', '.join(releases)} need: their sources are beside ours, each release is where it is installed;"
                " without these (components: use, observability: false) nothing refers to another namespace"
            )
        if account := [value for value in given.get("default-service-account", ()) if value]:
            faults.append(f"{one.obj['metadata']['name']} works as the account {account[0]} of each namespace")
    return list(dict.fromkeys(faults))


def _databases(case: Case) -> list[str]:
    faults, place = [], case.there[0].namespace
    if case.wanted.operator and case.wanted.operator not in {one.namespace for one in case.there}:
        faults.append(f"it is in {place}; postgres: {{operator_namespace: {place}}} says so")
    for one in case.there:
        watched = {name for name in environment(one.obj).get("WATCH_NAMESPACE", "").split(",") if name}
        if left := [name for name in case.wanted.namespaces if watched and name not in watched]:
            faults.append(f"it watches {', '.join(sorted(watched))} only, not {', '.join(left)}")
    return faults


CAPABLE: Mapping[Component, Callable[[Case], list[str]]] = {
    "istio": _mesh,
    "cert-manager": _certificates,
    "traefik": _traefik,
    "flux": _flux,
    "cloudnative-pg": _databases,
    "prometheus": lambda _: [],
}
