"""Somebody else's components: found under whatever name, told whose they are, refused or used as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import invoke
import pytest
import yaml

from korthweb_tasks.approaches.gitops.fleet import Fleet
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.approaches.shared.component_checks import Wanted, findings, injection, refuse
from korthweb_tasks.approaches.shared.components import SIGNS, Survey, questions, survey
from korthweb_tasks.approaches.shared.selectors import selects
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.settings.components import Component
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.kubectl import Kubectl

Object = dict[str, Any]
TENANT = "bhc-orthweb"
KINDS = frozenset(kind for signs in SIGNS.values() for kind in signs.kinds)
FLUX = {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.5"}


def workload(image: str, name: str = "x", place: str = "theirs", kind: str = "Deployment", **more: Any) -> Object:
    meta = {"name": name, "namespace": place, "labels": more.get("labels", {}), "annotations": more.get("marks", {})}
    if "hands" in more:
        meta["managedFields"] = [{"manager": hand} for hand in more["hands"]]
    container = {"image": image, "args": more.get("args", []), "env": more.get("env", [])}
    return {"kind": kind, "metadata": meta, "spec": {"template": {"spec": {"containers": [container]}}}}


def webhook(*names: str, place: str = "theirs", select: Object | None = None, **labels: str) -> Object:
    hooks = [
        {"name": name, "clientConfig": {"service": {"namespace": place}}, "namespaceSelector": select or {}}
        for name in names
    ]
    meta = {"name": "hook", "labels": labels}
    return {"kind": "MutatingWebhookConfiguration", "metadata": meta, "webhooks": hooks}


def layer(name: str, url: str, path: str, place: str = "flux-system") -> list[Object]:
    meta = {"name": name, "namespace": place}
    return [
        {"kind": "GitRepository", "metadata": meta, "spec": {"url": url}},
        {"kind": "Kustomization", "metadata": meta, "spec": {"path": path, "sourceRef": {"name": name}}},
    ]


INJECTS = webhook(
    "namespace.sidecar-injector.istio.io",
    place="istio-system",
    select={"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]},
)
RELEASE = {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "platform"}
#: how people install each component, under names that korthweb would not give, and who it then says made it
FOREIGN: list[tuple[Component, Object, str]] = [
    (
        "istio",
        workload("docker.io/istio/pilot:1.31.1", "istiod-canary", "mesh", marks=RELEASE),
        "Helm release platform/edge",
    ),
    (
        "istio",
        workload("mirror/rancher/mirrored-istio-pilot:1.30.2", "istiod", hands=["istioctl"]),
        "written by istioctl",
    ),
    (
        "istio",
        workload("mirror/mesh@sha256:00", labels={"app": "istiod"}, hands=["argocd-controller"]),
        "argocd-controller",
    ),
    ("istio", webhook("rev.namespace.sidecar-injector.istio.io", place="external"), "nobody known"),
    ("cert-manager", workload("quay.io/jetstack/cert-manager-controller:v1.18.2", "cm", hands=["kubectl"]), "kubectl"),
    ("cert-manager", workload("mirror/cm:1", labels={"app.kubernetes.io/name": "cert-manager"}, marks=RELEASE), "Helm"),
    ("traefik", workload("rancher/mirrored-library-traefik:3.3.6", "traefik", "kube-system", hands=["helm"]), "helm"),
    ("traefik", workload("traefik:v3.6", "edge", kind="DaemonSet", marks=RELEASE), "platform/edge"),
    (
        "flux",
        workload("ghcr.io/fluxcd/source-controller:v1.8.0", "source-controller", "flux-system", labels=FLUX),
        "nobody",
    ),
    (
        "cloudnative-pg",
        workload("ghcr.io/cloudnative-pg/cloudnative-pg:1.28.0", "cnpg", "databases", marks=RELEASE),
        "Helm",
    ),
    (
        "prometheus",
        workload(
            "quay.io/prometheus-operator/prometheus-operator:v0.85.0",
            labels={"helm.toolkit.fluxcd.io/name": "stack", "helm.toolkit.fluxcd.io/namespace": "monitoring"},
        ),
        "Flux's HelmRelease monitoring/stack",
    ),
]


def wanted(settings: Settings | None = None, **more: Any) -> Wanted:
    return Wanted(settings or Settings(), (TENANT,), **more)


def use(*names: Component, **more: Any) -> Settings:
    return Settings.model_validate({"components": dict.fromkeys(names, "use"), **more})


@pytest.mark.parametrize(("name", "obj", "whose"), FOREIGN)
def test_F26_what_somebody_else_installed_is_refused(name: Component, obj: Object, whose: str) -> None:
    """F26, F2, F3: found under any name and in any namespace, said whose it is and which line makes it used."""
    (found,) = findings(wanted(), [name], Survey([obj], kinds=KINDS))
    assert found.verdict == "broken"
    assert f"components: {{{name}: use}}" in found.text
    assert whose in found.text
    with pytest.raises(GuardRefused, match=f"{SIGNS[name].title}: it is somebody else's"):
        refuse([found])


@pytest.mark.parametrize("name", get_args(Component))
def test_F26_a_cluster_without_the_component_is_free(name: Component) -> None:
    """F26: neither other people's programs nor definitions that outlived theirs are a component."""
    others = [
        workload("nginx:1.27"),
        workload("x/event-source-controller:1"),
        workload("jetstack/cert-manager-webhook:v1.18.2"),
        workload("thomseddon/traefik-forward-auth:2"),
        webhook("validate.kyverno.svc"),
    ]
    (found,) = findings(wanted(), [name], Survey(others))
    assert (found.verdict, found.text) == ("ok", "not installed yet")
    (found,) = findings(wanted(), [name], Survey(others, kinds=KINDS))
    assert found.verdict == "note", "definitions are told apart from what runs"
    assert f"CRDs of {SIGNS[name].title} are there, no controller" in found.text


@pytest.mark.parametrize("name", get_args(Component))
def test_F26_definitions_of_another_release_are_told_before_helm_refuses_them(name: Component) -> None:
    """F26: left behind by a release of others they are refused with its name; by a release of ours, taken over."""
    for owner, verdict in (("certs/platform", "broken"), ("istio-system/istio-base", "note")):
        survey_ = Survey([], kinds=KINDS, owners={SIGNS[name].kinds[0]: owner})
        (found,) = findings(wanted(), [name], survey_)
        assert found.verdict == verdict
        assert (f"Helm release {owner}" in found.text) == (verdict == "broken")
    (found,) = findings(wanted(use(name)), [name], Survey([], kinds=KINDS))
    assert (found.verdict, "CRDs of" in found.text) == ("broken", True)


def watching(spec: Object) -> Object:
    return {"kind": "Prometheus", "metadata": {"name": "k8s", "namespace": "monitoring"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}, ""),
        ({}, "takes no ServiceMonitors"),
        ({"serviceMonitorSelector": {}}, "ServiceMonitors of its own namespace only"),
        (
            {"serviceMonitorSelector": {"matchLabels": {"release": "stack"}}, "serviceMonitorNamespaceSelector": {}},
            "takes ServiceMonitors with release=stack: label them so",
        ),
        (
            {"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {"matchLabels": {"watch": "on"}}},
            f"from namespaces with watch=on ({TENANT} may lack it)",
        ),
    ],
)
def test_F26_a_prometheus_of_others_says_by_which_labels_it_takes_monitors(spec: Object, told: str) -> None:
    """F26: which labels a monitor in a tenant's namespace needs is said by check."""
    pods: Object = {"podMonitorSelector": {}, "podMonitorNamespaceSelector": {}}
    operator = next(obj for name, obj, _ in FOREIGN if name == "prometheus")
    survey_ = Survey([operator], kinds=KINDS, watchers=[watching({**pods, **spec})])
    (found,) = findings(wanted(use("prometheus")), ["prometheus"], survey_)
    assert found.verdict == ("note" if told else "ok")
    assert told in found.text
    assert "PodMonitors" not in found.text


OURS: list[tuple[Component, Object]] = [
    ("istio", workload("istio/pilot:1.31.1", labels={"install.operator.istio.io/owning-resource": "korthweb"})),
    ("istio", workload("istio/pilot:1.31.1", labels={"korthweb/component": "istio"})),
    (
        "cert-manager",
        workload("jetstack/cert-manager-controller:v1.21.2", labels={"korthweb/component": "cert-manager"}),
    ),
    ("traefik", workload("traefik:v3.6.7", place=TENANT, labels={"korthweb/component": "traefik"})),
    ("cloudnative-pg", workload("cnpg/cloudnative-pg:1.28.0", labels={"korthweb/component": "cloudnative-pg"})),
    ("prometheus", workload("prometheus-operator:v0.85.0", labels={"korthweb/component": "prometheus"})),
]


@pytest.mark.parametrize(("name", "obj"), OURS)
def test_F26_what_korthweb_made_is_its_own(name: Component, obj: Object) -> None:
    """F26: the mark that was written at creation; a foreign one beside it is refused all the same."""
    (found,) = findings(wanted(), [name], Survey([obj], kinds=KINDS))
    assert found.verdict == "ok"
    assert "korthweb's own" in found.text
    foreign = next(one for other, one, _ in FOREIGN if other == name)
    assert findings(wanted(), [name], Survey([obj, foreign], kinds=KINDS))[0].verdict == "broken"


@pytest.mark.parametrize(
    "labels",
    [
        {"app.kubernetes.io/managed-by": "korthweb"},
        {"korthweb/component": "istio"},
        {"app.kubernetes.io/managed-by": "Helm"},
    ],
)
def test_F26_a_release_of_the_same_name_is_not_ours_for_that(labels: dict[str, str]) -> None:
    """F26: neither the name of release and namespace nor another label makes somebody's cert-manager korthweb's."""
    marks = {"meta.helm.sh/release-name": "cert-manager", "meta.helm.sh/release-namespace": "cert-manager"}
    obj = workload(
        "jetstack/cert-manager-controller:v1.21.2", "cert-manager", "cert-manager", labels=labels, marks=marks
    )
    assert findings(wanted(), ["cert-manager"], Survey([obj], kinds=KINDS))[0].verdict == "broken"


def test_F2_a_flux_that_follows_another_repository_is_refused_with_both_named() -> None:
    """F2: both repositories and folders are named; the same repository and folder is what korthweb would make."""
    flux = workload("fluxcd/kustomize-controller:v1.9.5", "kustomize-controller", "flux-system", labels=FLUX)
    sources = layer("flux-system", "ssh://git@platform/fleet.git", "./clusters/prod")
    ours = wanted(repository="https://git.hospital/imaging.git", folder="clusters/a")
    (found,) = findings(ours, ["flux"], Survey([flux], sources=sources, kinds=KINDS))
    assert found.verdict == "broken"
    assert "follows ./clusters/prod of ssh://git@platform/fleet.git" in found.text
    assert "not clusters/a of https://git.hospital/imaging.git" in found.text
    same = Survey([flux], sources=layer("flux-system", "https://git.hospital/imaging", "./clusters/a"), kinds=KINDS)
    assert findings(ours, ["flux"], same)[0].verdict == "ok"
    marked = [{"metadata": {"name": "flux-system", "labels": {"korthweb/component": "flux"}}}]
    assert findings(ours, ["flux"], Survey([flux], marked, sources=sources, kinds=KINDS))[0].verdict == "ok"


def test_F2_a_flux_that_follows_nothing_or_other_names_is_refused_too() -> None:
    """F2: a Flux whose root has another name, is in another namespace, or follows nothing yet is somebody's as well."""
    flux = workload("fluxcd/source-controller:v1.8.0", "source-controller", "gitops", labels=FLUX)
    ours = wanted(repository="https://h/x.git", folder="clusters/a")
    found = findings(
        ours, ["flux"], Survey([flux], sources=layer("platform", "https://p/y", "./z", "gitops"), kinds=KINDS)
    )
    assert "follows ./z of https://p/y" in found[0].text
    assert "follows no repository" in findings(ours, ["flux"], Survey([flux], kinds=KINDS))[0].text


PILOT = workload("docker.io/istio/pilot:1.31.1", "istiod", "istio-system")


def test_F3_a_mesh_that_takes_the_tenants_in_is_used() -> None:
    """F3: version, kinds, and who injects by which label."""
    found = findings(wanted(use("istio")), ["istio"], Survey([PILOT, INJECTS], kinds=KINDS))
    assert (found[0].verdict, "used as it is" in found[0].text) == ("ok", True)


def revision(name: str, place: str) -> Object:
    select = {"matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": [name]}]}
    return webhook("rev.namespace.sidecar-injector.istio.io", place=place, select=select, **{"istio.io/rev": name})


@pytest.mark.parametrize(
    ("settings", "survey_", "fault"),
    [
        ({}, Survey([], kinds=KINDS), "there is no Istio"),
        ({}, Survey([PILOT, INJECTS]), "does not serve gateways.networking.istio.io"),
        ({}, Survey([workload("istio/pilot:1.20.3"), INJECTS], kinds=KINDS), "version 1.20.3 is outside"),
        ({}, Survey([PILOT, revision("canary", "mesh")], kinds=KINDS), "revisions that inject: canary"),
        ({"revision": "canary"}, Survey([PILOT, revision("canary", "mesh")], kinds=KINDS), "istio: {namespace: mesh}"),
        ({"revision": "blue"}, Survey([PILOT, INJECTS], kinds=KINDS), "with istio.io/rev=blue"),
        ({}, Survey([PILOT], kinds=KINDS), "nothing injects sidecars"),
        (
            {},
            Survey([workload("mirror.x/mesh/pilot:1.31.1"), INJECTS], kinds=KINDS),
            "images: {istio_hub: mirror.x/mesh}",
        ),
        (
            {},
            Survey(
                [workload("pilot:1.31", env=[{"name": "ENABLE_NATIVE_SIDECARS", "value": "false"}]), INJECTS],
                kinds=KINDS,
            ),
            "ENABLE_NATIVE_SIDECARS",
        ),
    ],
)
def test_F3_a_mesh_that_can_not_take_the_tenants_in_is_told(settings: Object, survey_: Survey, fault: str) -> None:
    """F3: what is missing is said before anything is made."""
    (found,) = findings(wanted(use("istio", istio=settings)), ["istio"], survey_)
    assert found.verdict == "broken"
    assert fault in found.text


ENTRY = ["--entryPoints.websecure.address=:8443", "--entrypoints.dicom.address=:11112", "--providers.kubernetescrd"]


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (ENTRY, ""),
        (ENTRY[:1] + ENTRY[2:], "no entry point dicom"),
        (ENTRY[:2], "kubernetesCRD is off"),
        ([*ENTRY, "--providers.kubernetescrd.namespaces=a,b"], f"watches a, b only, not {TENANT}"),
        ([*ENTRY, f"--providers.kubernetescrd.namespaces=a,{TENANT}"], ""),
        ([*ENTRY, "--providers.kubernetescrd.ingressClass=inner"], "routes of the class inner"),
    ],
)
def test_F26_a_traefik_that_can_serve_the_routes_is_used(args: list[str], fault: str) -> None:
    """F26: entry points, provider, namespaces and class of somebody else's Traefik."""
    obj = workload("traefik:v3.6.7", args=args)
    asked = wanted(use("traefik"), entries=("websecure", "dicom"))
    (found,) = findings(asked, ["traefik"], Survey([obj], kinds=KINDS))
    assert (found.verdict == "broken") == bool(fault)
    assert fault in found.text


def test_F26_an_old_traefik_does_not_serve_the_kinds() -> None:
    """F26: Traefik 2 has routes of another group."""
    asked = wanted(use("traefik"), entries=("websecure", "dicom"))
    found = findings(asked, ["traefik"], Survey([workload("traefik:v2.11", args=ENTRY)], kinds=KINDS))
    assert "version 2.11 is outside of" in found[0].text


@pytest.mark.parametrize(
    ("name", "obj", "fault"),
    [
        ("cert-manager", workload("cert-manager-controller:v1.18.2", args=["--namespace=other"]), "watches other only"),
        ("cert-manager", workload("cert-manager-controller:v1.2.0"), "version 1.2.0 is outside"),
        (
            "cloudnative-pg",
            workload("cloudnative-pg:1.28.0", place="cnpg-system", env=[{"name": "WATCH_NAMESPACE", "value": "a"}]),
            "watches a only",
        ),
        ("cloudnative-pg", workload("cloudnative-pg:1.28.0", place="db"), "postgres: {operator_namespace: db}"),
        ("flux", workload("kustomize-controller:v1", "kustomize-controller", labels=FLUX), "no source-controller"),
    ],
)
def test_F26_an_operator_that_can_not_serve_the_tenants_is_told(name: Component, obj: Object, fault: str) -> None:
    """F26: operators that watch some namespaces only, that are too old, or that are not all there."""
    hooks = webhook("webhook.cert-manager.io")
    (found,) = findings(wanted(use(name), operator="cnpg-system"), [name], Survey([obj, hooks], kinds=KINDS))
    assert found.verdict == "broken"
    assert fault in found.text


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("--watch-all-namespaces=false", "watches its own namespace only"),
        ("--no-cross-namespace-refs=true", "no references between namespaces"),
        ("--default-service-account=default", "works as the account default"),
    ],
)
def test_F2_a_flux_that_is_locked_down_is_told(flag: str, fault: str) -> None:
    """F2: what a platform team's Flux does not let others do is said beforehand."""
    names = ("source-controller", "kustomize-controller", "helm-controller")
    controllers = [workload(f"fluxcd/{name}:v1.8.0", name, "flux-system", labels=FLUX) for name in names]
    asked = wanted(use("flux"))
    assert findings(asked, ["flux"], Survey(controllers, kinds=KINDS))[0].verdict == "ok"
    controllers[1]["spec"]["template"]["spec"]["containers"][0]["args"] = [flag]
    assert fault in findings(asked, ["flux"], Survey(controllers, kinds=KINDS))[0].text


NO_CHARTS: dict[str, Any] = {
    "components": dict.fromkeys(("flux", "istio", "cert-manager", "cloudnative-pg", "prometheus"), "use"),
    "observability": {"prometheus": False, "kiali": False},
    "gitops": {"url": "https://git.example/fleet.git"},
}


@pytest.mark.parametrize("flag", ["--no-cross-namespace-refs=true", "--no-cross-namespace-refs"])
def test_F2_a_flux_without_references_between_namespaces_can_be_used_where_it_installs_no_chart(flag: str) -> None:
    """F2: our sources and Kustomizations are in one namespace; a release would be in another, and is named."""
    names = ("source-controller", "kustomize-controller", "helm-controller")
    controllers = [workload(f"fluxcd/{name}:v1.8.0", name, "flux-system", labels=FLUX, args=[flag]) for name in names]
    found = Survey(controllers, kinds=KINDS)
    ours = Settings.model_validate(NO_CHARTS)
    assert findings(wanted(ours), ["flux"], found)[0].verdict == "ok"
    for name, chart in (("istio", "istiod"), ("cert-manager", "cert-manager"), ("cloudnative-pg", "cloudnative-pg")):
        more = Settings.model_validate(NO_CHARTS | {"components": NO_CHARTS["components"] | {name: "install"}})
        (told,) = findings(wanted(more), ["flux"], found)
        assert told.verdict == "broken"
        assert chart in told.text
    for text in rendered_without_charts(ours):
        for obj in yaml.safe_load_all(text):
            refers = json.dumps((obj or {}).get("spec", {}))
            assert (obj or {}).get("kind") != "HelmRelease"
            assert '"sourceRef": {"kind": "GitRepository", "name": "korthweb"}' in refers or "sourceRef" not in refers


def rendered_without_charts(settings: Settings) -> list[str]:
    files = Fleet(settings, "h", settings.tenants, Artifacts.read(artifacts_dir("gitops")), {}).files()
    names = [name for name in files if name.startswith("clusters/h/") and name.count("/") == 2]
    return [files[name] for name in names if name.endswith(".yaml")]


def test_F26_unknown_is_never_absent() -> None:
    """F26: a cluster that may not be asked is not taken for one without anybody's components."""
    made = questions(Kubectl(Cluster("ctx")))
    refused = Result(made[0], 1, "", "Error from server (Forbidden): deployments.apps is forbidden", 0.1)
    assert not refused.answered
    absent = Result(made[2], 1, "", "error: the server doesn't have a resource type", 0.1)
    assert absent.answered
    empty = Result(made[0], 0, '{"items": []}', "", 0.1)
    definitions = Result(made[4], 0, "certificates.cert-manager.io|certs/platform\nothers.x|/\n", "", 0.1)
    found = survey([empty, empty, absent, absent, definitions, absent])
    assert found.of("istio") == ()
    assert found.kinds == {"certificates.cert-manager.io", "others.x"}
    assert found.owners == {"certificates.cert-manager.io": "certs/platform"}


@pytest.mark.parametrize(
    ("selector", "labels", "taken"),
    [
        (None, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, {}, True),
    ],
)
def test_F3_selectors_are_read_as_kubernetes_reads_them(selector: Object, labels: dict[str, str], taken: bool) -> None:
    """F3: by which label a mesh injects is what its webhooks say."""
    assert selects(selector, labels) is taken
    assert injection("canary") == {"istio.io/rev": "canary"}


class PlatformCluster:
    """A cluster of a platform team: answers questions, and fails the test at the first change."""

    READS = ("get", "version", "auth", "config", "diff", "api-resources")

    def __init__(self, *objects: Object) -> None:
        self.objects = objects
        self.calls: list[Command] = []
        self.journal = self.record = None

    def check(self, command: Command) -> Result:
        self.calls.append(command)
        words = [word for word in command.argv[1:] if not word.startswith("-")]
        assert command.argv[0] == "kubectl", f"{command} would have been run"
        assert any(word in self.READS for word in words), f"{command} would have changed something"
        if any(word.startswith("deployments.apps,") for word in words):
            return Result(command, 0, json.dumps({"items": list(self.objects)}), "", 0.1)
        return Result(command, 0, "", "", 0.1)

    run = check


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlatformCluster]:
    """Give a cluster with these objects, and the settings ``text``."""
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.run.guard import Identity
    from korthweb_tasks.services.connection import Connection
    from korthweb_tasks.services.session import Session

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": "hospital", "context": {"cluster": "hospital", "user": "hospital"}}],
        "clusters": [{"name": "hospital", "cluster": {"server": "https://198.18.0.9:6443"}}],
        "users": [{"name": "hospital", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    Path(".env").write_text("KORTHWEB_SECRET_GIT_PASSWORD=longenough\n")
    Path(".env").chmod(0o600)

    def made(*objects: Object, text: str = "") -> PlatformCluster:
        usual = "tenants: [{name: BHC, domain: bhc.orthweb.com}]\ngitops: {url: 'https://git.hospital/x.git'}\n"
        Path("korthweb.yaml").write_text(usual + text)
        cluster = PlatformCluster(*objects)
        identity = Identity("https://198.18.0.9:6443", "1")
        shared = Connection(cluster, Console(quiet=True), identity=identity)  # type: ignore[arg-type]
        monkeypatch.setattr(Session, "connection", shared)
        return cluster

    return made


WORDS: dict[str, Any] = {"context": "hospital", "output": "text"}


@pytest.mark.parametrize("text", ["charts: {traefik: {values: {enabled: false}}}", "components: {traefik: use}"])
def test_U27_without_a_traefik_a_release_that_wants_one_is_refused_at_once(
    hospital: Callable[..., PlatformCluster], text: str
) -> None:
    """U27: nothing is tried, and nothing is tried again, for what will not heal."""
    from korthweb_tasks.collections import helm

    cluster = hospital(text=text)
    with pytest.raises(Exception, match="there is no Traefik in the cluster"):
        helm.deploy(invoke.Context(invoke.Config()), **WORDS, dry_run=False, yes=True)
    assert {command.argv[0] for command in cluster.calls} == {"kubectl"}


@pytest.mark.parametrize(
    ("values", "component", "title"),
    [
        ("certificates: {source: certManager}", "cert-manager", "cert-manager"),
        ("postgresql: {mode: cnpg}", "cloudnative-pg", "CloudNativePG"),
    ],
)
def test_U27_an_operator_that_a_release_needs_is_asked_for_beforehand(
    hospital: Callable[..., PlatformCluster], values: str, component: str, title: str
) -> None:
    """U27: what the chart only makes objects for has to be there, whoever's it is."""
    from korthweb_tasks.collections import helm

    hospital(text=f"charts: {{orthanc: {{values: {{{values}}}}}}}")
    with pytest.raises(Exception, match=f"{title}: the settings want it used, but there is no {title}"):
        helm.deploy(invoke.Context(invoke.Config()), **WORDS, dry_run=False, yes=True)
    assert component in SIGNS


TASKS = [
    ("manual.install-istio", "istio"),
    ("manual.install-cert-manager", "cert-manager"),
    ("manual.install-observability", "istio"),
    ("manual.issue-certificates", "cert-manager"),
    ("manual.configure", "istio"),
    ("manual.install-postgres", "istio"),
    ("manual.install-orthanc", "istio"),
    ("manual.deploy", "istio"),
    ("manual.deploy", "cert-manager"),
    ("helm.deploy", "traefik"),
    ("gitops.bootstrap", "flux"),
    ("gitops.bootstrap", "istio"),
    ("gitops.deploy", "cert-manager"),
    ("gitops.configure", "cloudnative-pg"),
    ("gitops.bootstrap", "prometheus"),
]


@pytest.mark.parametrize(("task", "component"), TASKS)
def test_F3_no_task_changes_anything_over_somebody_elses_component(
    task: str, component: Component, hospital: Callable[..., PlatformCluster]
) -> None:
    """F2, F3, F26: each task that would touch a foreign component is refused before its first change."""
    hospital(next(obj for name, obj, _ in FOREIGN if name == component))
    group, _, name = task.partition(".")
    made = getattr(import_module(f"korthweb_tasks.collections.{group}"), name.replace("-", "_"))
    words = {word: value for word, value in WORDS.items() if word in made.words.parameters}
    with pytest.raises(Exception, match=f"components: {{{component}: use}}"):
        made(invoke.Context(invoke.Config()), **words, dry_run=False, yes=True)


def test_F26_a_database_made_by_the_operator_has_the_image_and_size_of_the_settings() -> None:
    """F26: by Helm as by GitOps; the operator's own default is an image that a site cut off does not have."""
    from korthweb_tasks.approaches.helm.values import site_values
    from korthweb_tasks.approaches.helm.values import values as of_tenant

    images = {"registry": "mirror.hospital", "cnpg_postgres": "ghcr.io/cloudnative-pg/postgresql:17.5"}
    values = site_values(Settings.model_validate({"images": images, "postgres": {"instances": 3}}))
    told = values["postgresql"]["cnpg"]
    assert told == {"instances": 3, "image": "mirror.hospital/cloudnative-pg/postgresql:17.5"}
    for mode, secret in (("cnpg", ""), ("bundled", "orthanc-database")):
        settings = Settings.model_validate({"charts": {"orthanc": {"values": {"postgresql": {"mode": mode}}}}})
        found = of_tenant(settings, settings.tenants[0])["postgresql"]["existingSecret"]
        assert found == secret, "the password that the operator makes is the one that opens its database"
