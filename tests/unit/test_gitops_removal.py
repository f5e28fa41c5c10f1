"""Tenants and all of GitOps taken away: the order, and what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from korthweb_tasks.approaches.gitops.abandoned import Abandoned
from korthweb_tasks.approaches.gitops.removal import Home, Remover, alive, homes, left_definitions
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record
from korthweb_tasks.approaches.shared.ownership import STAYS, Fate
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Gone, Plan, Step


def space(name: str, tenant: str = "", **more: Any) -> dict[str, Any]:
    """Return a namespace that korthweb recorded."""
    text = Record("gitops", tenant, uid=f"uid-{name}", **more).text()
    return {"kind": "Namespace", "metadata": {"name": name, "uid": f"uid-{name}", "annotations": {RECORD: text}}}


def home(tenant: str, *, volumes: bool) -> Home:
    name = f"{tenant.lower()}-orthweb"
    return Home(tenant, name, Fate(space(name, tenant), "" if volumes else STAYS))


BHC = home("BHC", volumes=False)
SHARED = {name: Fate(space(name)) for name in ("cert-manager", "istio-system", "cnpg-system", "observability")}
INFRASTRUCTURE = ("cert-manager", "istio", "cloudnative-pg")


def layer(name: str, *needs: str) -> dict[str, Any]:
    spec = {"dependsOn": [{"name": need} for need in needs]} if needs else {}
    return {"kind": "Kustomization", "metadata": {"name": name}, "spec": spec}


def release(name: str, namespace: str, by: str, *needs: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": {"kustomize.toolkit.fluxcd.io/name": by}}
    return {"kind": "HelmRelease", "metadata": meta, "spec": {"dependsOn": [{"name": need} for need in needs]}}


LAYERS = [
    layer("flux-system"),
    *(layer(name) for name in INFRASTRUCTURE),
    layer("observability", "istio"),
    *(
        one
        for name in ("bhc", "mhr")
        for one in (
            layer(f"{name}-dependency", *INFRASTRUCTURE),
            layer(f"{name}-application", f"{name}-dependency"),
            layer(f"{name}-monitoring", "observability", f"{name}-application"),
        )
    ),
]
RELEASES = [
    release("istio-base", "istio-system", "istio"),
    release("istiod", "istio-system", "istio", "istio-base"),
    release("cloudnative-pg", "cnpg-system", "cloudnative-pg"),
]


def order(plan: Plan) -> list[str]:
    return list(plan.sorter().static_order())


def typed(step: Step) -> str:
    return "\n".join(str(action) for action in step.actions)


def result(*objects: dict[str, Any], code: int = 0, stderr: str = "") -> Result:
    text = json.dumps({"kind": "List", "items": list(objects)}) if objects else ""
    return Result(Command(argv=("kubectl",)), code, text, stderr, 0.1)


def everything(volumes: bool = False) -> Plan:
    homes_there = [home(name, volumes=volumes) for name in ("BHC", "MHR")]
    return Remover(Cluster("ctx"), volumes, SHARED).everything(LAYERS, RELEASES, homes_there)


@pytest.mark.parametrize("volumes", [False, True])
def test_everything_goes_in_reverse_order_and_operators_after_what_they_look_after(volumes: bool) -> None:
    plan = everything(volumes)
    names = order(plan)
    place = {name: number for number, name in enumerate(names)}
    assert names[0] == "halt"
    assert set(names[-5:-1]) == {f"shared:{name}" for name in SHARED}
    assert names[-1] == "flux"
    for obj in LAYERS[1:]:
        mine = place[f"layer:{obj['metadata']['name']}"]
        assert all(mine < place[f"layer:{need['name']}"] for need in obj["spec"].get("dependsOn", ()))
    for name in ("bhc", "mhr"):
        assert place[f"layer:{name}-dependency"] < place[f"database:{name}"]
        assert all(place[f"database:{name}"] < place[f"layer:{one}"] for one in INFRASTRUCTURE)
    assert ("/namespaces/bhc-orthweb" in typed(plan["namespace:bhc"])) is volumes


def test_a_layer_is_gone_when_its_releases_are() -> None:
    step = everything()["layer:istio"]
    assert Gone("helmrelease.helm.toolkit.fluxcd.io", "istiod", "istio-system") in step.waits
    assert Gone("helmrelease.helm.toolkit.fluxcd.io", "istio-base", "istio-system") in step.waits
    # a Kustomization that went while its releases still do is waited for, not taken for done
    assert step.probes == ()
    assert "HELD-BY" in str(step.on_failure[0])


def test_volumes_are_kept_unless_asked_for() -> None:
    kept, gone = everything(False), everything(True)
    assert "cnpg.io/hibernation=on" in typed(kept["database:bhc"])
    assert "delete" not in typed(kept["database:bhc"]).replace("--for=delete", "")
    assert "delete cluster.postgresql.cnpg.io postgres" in typed(gone["database:bhc"])
    assert "delete --raw /api/v1/namespaces/bhc-orthweb" in typed(gone["namespace:bhc"])
    assert "--raw" not in typed(kept["namespace:bhc"])
    assert '"kept\\":true' in typed(kept["namespace:bhc"])


def test_a_cluster_without_flux_has_nothing_to_halt() -> None:
    plan = Remover(Cluster("ctx"), False).everything([], [], [])
    assert order(plan) == ["flux"]


def test_a_tenant_that_left_git_is_waited_for_and_its_database_sleeps() -> None:
    plan = Remover(Cluster("ctx"), False).tenant(BHC, "now")
    assert order(plan)[0] == "layers"
    waits = plan["layers"].waits
    names = {f"bhc-{name}" for name in ("application", "monitoring", "dependency")}
    assert {one.name for one in waits if isinstance(one, Gone)} == names
    assert "reconcile.fluxcd.io/requestedAt=now" in typed(plan["layers"])
    assert plan["database:bhc"].needs == ("layers",)
    assert "delete serviceaccount tenant-bhc" in typed(plan["account"])
    last = Remover(Cluster("ctx"), True).tenant(home("BHC", volumes=True), "now")
    assert set(last["namespace:bhc"].needs) == {"database:bhc", "account"}


@pytest.mark.parametrize(
    ("answer", "sleeps"),
    [
        (result(), True),
        (result(code=1, stderr="error: the server doesn't have a resource type"), True),
        (result({"metadata": {}, "kind": "Cluster"}), False),
        (result({"metadata": {"annotations": {"cnpg.io/hibernation": "off"}}, "kind": "Cluster"}), False),
        (result({"metadata": {"annotations": {"cnpg.io/hibernation": "on"}}, "kind": "Cluster"}), False),
        (
            result(
                {
                    "kind": "Cluster",
                    "metadata": {"annotations": {"cnpg.io/hibernation": "on"}},
                    "status": {"conditions": [{"type": "cnpg.io/hibernation", "status": "True"}]},
                }
            ),
            True,
        ),
    ],
)
def test_a_database_sleeps_when_its_operator_says_so(answer: Result, sleeps: bool) -> None:
    (probe,) = Remover(Cluster("ctx"), False).database(BHC).probes
    assert probe.read(answer) is sleeps


def test_without_controllers_helm_uninstalls_and_fluxs_finalizers_go_with_flux() -> None:
    plan = Abandoned(Cluster("ctx"), False, SHARED).abandoned(RELEASES, [BHC])
    names = order(plan)
    assert names.index("served:bhc") < names.index("database:bhc") < names.index("chart:istiod")
    assert (
        names.index("chart:istiod")
        < names.index("chart:istio-base")
        < names.index("flux")
        < names.index("shared:istio-system")
    )
    assert "helm uninstall istiod" in typed(plan["chart:istiod"])
    assert not [step for step in plan.steps if step.name.startswith("layer:")]
    assert "bhc-application" in typed(plan["served:bhc"])


def test_readings() -> None:
    def deployment(name: str, ready: int) -> dict[str, Any]:
        return {"kind": "Deployment", "metadata": {"name": name}, "status": {"readyReplicas": ready}}

    both = [deployment("kustomize-controller", 1), deployment("helm-controller", 1)]
    assert alive(result(*both))
    assert not alive(result(both[0], deployment("helm-controller", 0)))
    assert not alive(result(both[0]))
    assert not alive(result())
    copied = {**space("bhc-orthweb", "BHC"), "metadata": {**space("bhc-orthweb", "BHC")["metadata"], "uid": "2"}}
    assert homes(result(space("bhc-orthweb", "BHC"), space("istio-system"), copied)) == [Home("BHC", "bhc-orthweb")]
    listing = Result(
        Command(argv=("kubectl",)),
        0,
        "customresourcedefinition.apiextensions.k8s.io/gateways.networking.istio.io\n"
        "customresourcedefinition.apiextensions.k8s.io/mine.example.org\n",
        "",
        0.1,
    )
    assert left_definitions(listing) == ["gateways.networking.istio.io"]
