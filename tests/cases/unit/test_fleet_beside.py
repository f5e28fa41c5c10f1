"""The fleet repository beside somebody else's Istio, cert-manager, CloudNativePG, Prometheus and Flux."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet
from korthweb_tasks.approaches.gitops.plan import Bootstrap, repository
from korthweb_tasks.approaches.gitops.removal import Remover, releases_of
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.approaches.shared.layers import Layers
from korthweb_tasks.approaches.shared.ownership import Fate
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.flux.objects import ours
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets

ROOT = Path(__file__).parents[3]
ALL = ("istio", "cert-manager", "cloudnative-pg", "prometheus")
PLACES = {"istio": {"namespace": "mesh", "revision": "canary"}, "postgres": {"operator_namespace": "db"}}


def fleet(*used: str, **more: Any) -> Fleet:
    settings = Settings.model_validate({"components": dict.fromkeys(used, "use"), **more})
    charts = {} if "istio" in used else {name: ChartAt(f"oci://x/{name}", "1") for name in settings.charts}
    charts |= {"kiali": ChartAt("oci://x/kiali", "1")}
    return Fleet(settings, "a", settings.tenants[:1], Artifacts.read(ROOT / "gitops"), charts)


def test_F26_what_is_used_is_in_no_layer() -> None:
    """F26, F3: no release, source or layer of what is somebody else's; no layer waits for one that is not there."""
    made = fleet(*ALL, **PLACES)
    files = {name: text for name, text in made.files().items() if name.startswith("clusters/")}
    layers = {layer.name: layer.needs for layer in made.layers()}
    assert set(layers) == {"istio", "observability", "bhc-dependency", "bhc-application"}
    assert layers["bhc-dependency"] == ("istio",)
    releases = [name for name, text in files.items() if "kind: HelmRelease\n" in text and "/infrastructure/" in name]
    assert releases == ["clusters/a/infrastructure/istio/kustomization.yaml"], "which takes them out of the base"
    overlay = yaml.safe_load(files[releases[0]])
    assert overlay["resources"] == ["../../../../infrastructure/istio"]
    gone = {yaml.safe_load(one["patch"])["kind"] for one in overlay["patches"] if "$patch: delete" in one["patch"]}
    assert gone == {"HelmRelease", "Namespace"}
    graph = list(yaml.safe_load_all(files["clusters/a/tenant-bhc.yaml"]))
    assert [one["metadata"]["name"] for one in graph] == ["bhc-dependency", "bhc-application"]
    assert graph[0]["spec"]["dependsOn"] == [{"name": "istio"}]


def test_F3_a_tenant_asks_their_mesh_by_its_revision_and_reaches_it_where_it_is() -> None:
    """F3: the label of the revision instead of the default's, and policies that name their namespaces."""
    files = fleet(*ALL, **PLACES).files()
    home = "clusters/a/tenants/bhc/dependency"
    labels = yaml.safe_load(files[f"{home}/namespace.yaml"])["metadata"]["labels"]
    assert labels == {"istio-injection": None, "istio.io/rev": "canary"}
    patches = yaml.safe_load(files[f"{home}/kustomization.yaml"])["patches"]
    told = {(one["target"]["name"], op["path"]): op["value"] for one in patches if "target" in one for op in ops(one)}
    base = {}
    for obj in yaml.safe_load_all(files["tenants/bhc/dependency/networkpolicies.yaml"]):
        base[obj["metadata"]["name"]] = obj
    for (name, path), value in told.items():
        assert (at(base[name], path), value) in (("istio-system", "mesh"), ("cnpg-system", "db"))
    assert len(told) == 2


def ops(patch: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(patch["patch"])
    return found


def at(obj: Any, path: str) -> str:
    for part in path.strip("/").split("/"):
        key = part.replace("~1", "/")
        obj = obj[int(key)] if isinstance(obj, list) else obj[key]
    return str(obj)


def test_F3_each_gateway_of_the_fleet_is_bound_to_its_own_pods_alone() -> None:
    """F3: whether the mesh is ours or not, Gateway and pods share a label that nobody else has."""
    files = fleet().files()
    gateway = next(
        one for one in yaml.safe_load_all(files["tenants/bhc/application/mesh.yaml"]) if one["kind"] == "Gateway"
    )
    pods = next(
        o for o in yaml.safe_load_all(files["tenants/bhc/dependency/gateway.yaml"]) if o["kind"] == "Deployment"
    )
    labels = pods["spec"]["template"]["metadata"]["labels"]
    assert gateway["spec"]["selector"] == {"korthweb/gateway": "bhc-orthweb"}
    assert labels["korthweb/gateway"] == "bhc-orthweb"
    assert "istio" not in labels


def beside(**more: Any) -> Settings:
    return Settings.model_validate({"components": {"flux": "use"}, **more})


def test_F2_beside_another_flux_nothing_of_ours_has_a_name_of_theirs() -> None:
    """F2: every object of Flux that Git holds is in korthweb's own namespace and comes from its own source."""
    files = fleet("flux").files()
    top = yaml.safe_load(files["clusters/a/kustomization.yaml"])
    assert "flux-system" not in top["resources"], "what flux bootstrap would write"
    made = [
        obj
        for name, text in files.items()
        if name.startswith("clusters/") and name.endswith(".yaml")
        for obj in yaml.safe_load_all(text)
        if "toolkit.fluxcd.io" in str((obj or {}).get("apiVersion")) and obj["metadata"]["name"] != "any"
    ]
    layers = [obj for obj in made if obj["kind"] == "Kustomization"]
    sources = [obj for obj in made if obj["kind"] == "OCIRepository"]
    assert {obj["metadata"]["namespace"] for obj in (*layers, *sources)} == {"korthweb-flux"}
    assert {obj["spec"]["sourceRef"]["name"] for obj in layers} == {"korthweb"}
    releases = [obj["spec"]["chartRef"]["namespace"] for obj in made if obj["kind"] == "HelmRelease"]
    assert set(releases) == {"korthweb-flux"}
    assert not [name for name, text in files.items() if name.startswith("clusters/") and "flux-system" in text]


@pytest.mark.parametrize(
    ("gitops", "use", "told"),
    [
        ({"namespace": "x"}, "install", "are for a Flux that is used"),
        ({"namespace": "flux-system"}, "use", "korthweb's is its own"),
        ({"provider": "github", "url": "https://github.com/a/b"}, "use", "gitops.provider: git"),
        ({"url": "ssh://git@h/x.git"}, "use", "gitops.private_key is missing"),
    ],
)
def test_F2_settings_that_mean_nothing_beside_another_flux_are_refused(
    gitops: dict[str, Any], use: str, told: str
) -> None:
    """F2: what flux bootstrap alone can do is said before anything is asked of a cluster."""
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({"components": {"flux": use}, "gitops": gitops})


def bootstrap(settings: Settings, **more: Any) -> Bootstrap:
    url = settings.gitops.url or "https://git.hospital/x.git"
    where = repository(settings.gitops, "a", url=url, login={"username": "bot", "password": "topsecret"}, ca_file="")
    words: dict[str, Any] = {"login": {"username": "bot", "password": "topsecret"}, **more}
    return Bootstrap(
        target=Cluster("ctx"), secrets=Secrets(), namespaces={}, hub="", version="2.9.5", in_git=True,
        repository=replace(where, private_key=more.get("key", "")), home=settings.flux,
        **{key: value for key, value in words.items() if key != "key"},
    )  # fmt: skip


def test_F2_beside_another_flux_nothing_is_installed_and_the_password_travels_by_stdin() -> None:
    """F2: one apply of a Secret, a source and a Kustomization; no program but kubectl."""
    steps = bootstrap(beside()).plan(())
    commands = [command for step in steps.steps for command in step.actions if isinstance(command, Command)]
    assert {command.argv[0] for command in commands} == {"kubectl"}
    (apply,) = (command for command in commands if "apply" in command.argv)
    made = [(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in objects(apply)]
    assert made == [(kind, "korthweb-flux", "korthweb") for kind in ("Secret", "GitRepository", "Kustomization")]
    assert "topsecret" not in " ".join(apply.argv) + repr(apply)
    assert apply.masks == ("bot", "topsecret")
    assert steps["flux"].waits == ()
    (made_first,) = steps["system"].actions
    assert isinstance(made_first, Command)
    assert made_first.follow is not None, "its namespace is recorded as korthweb's"


def objects(command: Command) -> list[dict[str, Any]]:
    found = [obj for obj in yaml.safe_load_all(command.stdin or "") if obj]
    return list(found[0]["items"]) if found and found[0]["kind"] == "List" else found


def test_F2_a_key_for_ssh_is_given_to_flux_with_the_host_key_of_its_server() -> None:
    """F2: flux asks the server for its host key, which a Secret for ssh:// needs."""
    settings = beside(gitops={"url": "ssh://git@h/x.git", "private_key": "k"})
    login, apply = bootstrap(settings, login={"identity": "PEM"}, key="/k").flux().actions
    assert isinstance(login, Command)
    assert login.argv[:5] == ("flux", "create", "secret", "git", "korthweb")
    assert isinstance(apply, Command)
    assert "PEM" not in (apply.stdin or "")


def flux_object(kind: str, name: str, namespace: str, **labels: str) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {}}


def test_F2_their_sources_layers_and_releases_are_neither_shown_nor_removed() -> None:
    """F2: what another Kustomization applied is another's, wherever it is; ours stays ours in any namespace."""
    home = beside().flux
    applied = {"kustomize.toolkit.fluxcd.io/namespace": home.namespace, "kustomize.toolkit.fluxcd.io/name": "istio"}
    theirs = {"kustomize.toolkit.fluxcd.io/namespace": "flux-system", "kustomize.toolkit.fluxcd.io/name": "istio"}
    world = [
        flux_object("Kustomization", "istio", "flux-system"),
        flux_object("GitRepository", "flux-system", "flux-system"),
        flux_object("HelmRelease", "istiod", "mesh", **theirs),
        flux_object("HelmRelease", "cert-manager", "cert-manager", **applied),
        flux_object("Kustomization", "istio", home.namespace, **applied),
        {"kind": "Pod", "metadata": {"name": "p", "namespace": "x"}},
    ]
    kept = [(obj["kind"], obj["metadata"]["namespace"]) for obj in ours(world, home)]
    assert kept == [("HelmRelease", "cert-manager"), ("Kustomization", home.namespace), ("Pod", "x")]
    assert list(ours(world, Settings().flux)) == world
    listed = Result(Command(argv=("k",)), 0, json.dumps({"items": world}), "", 0.1)
    assert [one["metadata"]["name"] for one in releases_of(listed, Layers(home))] == ["cert-manager", "istio"]


def test_F2_the_end_of_gitops_leaves_the_other_flux() -> None:
    """F2: our first Kustomization is halted, ours go, then our namespace; no flux uninstall."""
    home = beside().flux
    space = {"kind": "Namespace", "metadata": {"name": home.namespace, "uid": "1", "annotations": {}}}
    layers = [flux_object("Kustomization", name, home.namespace) for name in ("korthweb", "istio")]
    plan = Remover(Cluster("ctx"), volumes=True, fates={home.namespace: Fate(space)}, home=home).everything(
        layers, [], []
    )
    assert [step.name for step in plan.steps] == ["halt", "layer:istio", "flux", f"shared:{home.namespace}"]
    told = [" ".join(command.argv) for step in plan.steps for command in step.actions if isinstance(command, Command)]
    assert all(text.startswith("kubectl ") for text in told)
    assert not [text for text in told if "flux-system" in text]
    assert plan[f"shared:{home.namespace}"].needs == ("flux",)
