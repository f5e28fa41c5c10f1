"""The tree, its lines, and what words mean."""

from __future__ import annotations

import pytest

from korthweb_tasks.core.tree import Cause, Ref
from korthweb_tasks.flux import log as flux_log
from korthweb_tasks.flux.format import as_data, as_text, distinct, explanation, meant
from korthweb_tasks.flux.objects import Objects, inventory
from korthweb_tasks.flux.tree import build
from tests.flux_doubles.objects import (
    OLD,
    SYSTEM,
    Object,
    chart,
    deployment,
    git,
    layer,
    made,
    pod,
    release,
    told,
)

CHILD = "{0}_{1}_kustomize.toolkit.fluxcd.io_Kustomization"


def fleet() -> list[Object]:
    """Return a fleet as after a bootstrap: one layer of infrastructure, one tenant in two layers."""
    children = [CHILD.format(SYSTEM, name) for name in ("istio", "bhc-dependency", "bhc-application")]
    source_entry = f"{SYSTEM}_{SYSTEM}_source.toolkit.fluxcd.io_GitRepository"
    tenant = {"korthweb/tenant": "BHC"}
    application = layer("bhc-application", "False", "DependencyNotReady", needs=["bhc-dependency"])
    application["metadata"]["labels"] = tenant
    return [
        git(),
        layer(SYSTEM, inventory=[source_entry, *children]),
        layer(
            "istio",
            inventory=[
                f"{SYSTEM}_istiod_helm.toolkit.fluxcd.io_HelmRelease",
                f"{SYSTEM}_istiod_source.toolkit.fluxcd.io_OCIRepository",
            ],
        ),
        release("istiod"),
        chart("istiod"),
        deployment("istiod", "istio-system", owner="istiod"),
        layer("bhc-dependency", "Unknown", needs=["istio"], inventory=["app_web_apps_Deployment"], applied=OLD),
        deployment("web", ready=False),
        pod("web-1", app="web"),
        application,
    ]


def test_the_tree_goes_from_the_source_to_the_pods_in_the_order_of_the_layers() -> None:
    text = as_text(build(fleet()))
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["ready", "GitRepository", f"{SYSTEM}/{SYSTEM}"],
        ["waiting", "Kustomization", f"{SYSTEM}/{SYSTEM}"],
        ["ready", "Kustomization", f"{SYSTEM}/istio"],
        ["ready", "HelmRelease", f"{SYSTEM}/istiod"],
        ["waiting", "Kustomization", f"{SYSTEM}/bhc-dependency"],
        ["waiting", "Deployment", "app/web"],
        ["waiting", "Pod", "app/web-1"],
        ["blocked", "Kustomization", f"{SYSTEM}/bhc-application"],
    ]
    indents = [len(line[10:]) - len(line[10:].lstrip()) for line in text.splitlines()]
    assert indents == [0, 2, 4, 6, 4, 6, 8, 4]


def test_every_object_is_in_the_tree_once() -> None:
    refs = [node.ref for node in build(fleet()).walk()]
    assert len(refs) == len(set(refs)) == 8 + 2  # lines leave out what is ready: istiod's chart and Deployment


def test_the_steps_come_in_the_order_of_their_needs() -> None:
    steps = [(step.ref.name, step.state) for step in build(fleet()).steps if step.ref.kind == "Kustomization"]
    assert steps == [
        (SYSTEM, "ready"),
        ("istio", "ready"),
        ("bhc-dependency", "waiting"),
        ("bhc-application", "blocked"),
    ]


def test_the_tree_as_data_has_the_causes() -> None:
    tree = build(fleet())
    top = as_data(tree.roots[0], tree)["children"][0]
    assert top["cause"]["object"] == "Pod app/web-1"
    assert top["children"][-1]["cause"]["chain"][0] == f"Kustomization {SYSTEM}/bhc-application"


def test_kustomizations_without_a_parent_hang_below_their_source_and_nothing_is_lost() -> None:
    lone = layer("elsewhere", sourceRef={"kind": "GitRepository", "name": "gone"})
    found = [str(root.ref) for root in build([git(), layer("one"), lone, release("r")]).roots]
    assert found == [f"GitRepository {SYSTEM}/{SYSTEM}", f"Kustomization {SYSTEM}/elsewhere", f"HelmRelease {SYSTEM}/r"]


def test_an_explanation_begins_with_the_cause() -> None:
    way = tuple(Ref("Kustomization", SYSTEM, name) for name in ("a", "b"))
    text = explanation(Cause(way[-1], "failed", "no such file", "inv gitops.logs", chain=way))
    assert text.splitlines() == [
        f"Kustomization {SYSTEM}/b: no such file",
        f"  Kustomization {SYSTEM}/a",
        f"    > Kustomization {SYSTEM}/b",
        "  next: inv gitops.logs",
    ]


def test_one_cause_of_many_is_told_once_with_who_needs_a_source() -> None:
    source, user, far = Ref("OCIRepository", "n", "s"), Ref("HelmRelease", "n", "u"), Ref("HelmRelease", "n", "f")
    chains = [(source,), (user, source), (far, user, source)]
    found = distinct(Cause(source, "failed", "refused", chain=chain) for chain in chains)
    assert [one.chain for one in found] == [(user, source)]


WORDS = [
    ("istio", [f"Kustomization {SYSTEM}/istio"]),
    ("istiod", [f"HelmRelease {SYSTEM}/istiod", f"OCIRepository {SYSTEM}/istiod"]),
    ("hr/istiod", [f"HelmRelease {SYSTEM}/istiod"]),
    ("kustomizations/istio", [f"Kustomization {SYSTEM}/istio"]),
    (f"kustomization.kustomize.toolkit.fluxcd.io/{SYSTEM}/istio", [f"Kustomization {SYSTEM}/istio"]),
    ("gitrepositories/flux-system", [f"GitRepository {SYSTEM}/{SYSTEM}"]),
    ("deploy/app/web", ["Deployment app/web"]),
    ("deploy/other/web", []),
    ("pod/web-1", ["Pod app/web-1"]),
    ("bhc", [f"Kustomization {SYSTEM}/bhc-application", f"Kustomization {SYSTEM}/bhc-dependency"]),
    ("BHC", [f"Kustomization {SYSTEM}/bhc-application", f"Kustomization {SYSTEM}/bhc-dependency"]),
    ("nothing", []),
]


@pytest.mark.parametrize(("word", "wanted"), WORDS)
def test_what_a_word_means(word: str, wanted: list[str]) -> None:
    assert [str(ref) for ref in meant(Objects(fleet()), word, ["BHC", "MHR"])] == wanted


def test_names_in_an_inventory() -> None:
    entries = ["_system__auth_rbac.authorization.k8s.io_ClusterRole", "app_web_apps_Deployment", "app_c__ConfigMap"]
    assert [str(ref) for ref in inventory(layer("x", inventory=entries))] == [
        "ClusterRole system:auth",
        "Deployment app/web",
        "ConfigMap app/c",
    ]


CHECKS = "Running health checks for revision x with a timeout of 1m0s"


def checking() -> Object:
    made_ = layer("top", "Unknown", "Progressing", inventory=["app_web_apps_Deployment"], applied=OLD)
    return told(made_, "True", "Progressing", CHECKS, "Reconciling", when="12:00")


def since(when: str) -> Object:
    """Return a Deployment that has been available since a time."""
    return told(deployment("web"), "True", type_="Available", when=when)


def blocked(*needs: str) -> Object:
    return layer("top", "False", "DependencyNotReady", needs=needs, applied=OLD)


def switched(value: str) -> Object:
    obj = deployment("kustomize-controller", SYSTEM)
    args = [f"--feature-gates=CancelHealthCheckOnNewRevision={value}"]
    obj["spec"]["template"] = {"spec": {"containers": [{"name": "manager", "args": args}]}}
    return obj


LOGS = [
    (('{"level":"info","ts":"2026-11-22T19:55:01.2Z","msg":"applied","controllerKind":"Kustomization",'
      '"name":"one","namespace":"flux-system","reconcileID":"x","revision":"main@sha1:aa"}'),
     "19:55:01 info  Kustomization flux-system/one: applied (revision main@sha1:aa)"),
    ('{"level":"error","ts":"2026-11-22T19:55:01.2Z","msg":"failed","error":"no such file","controllerKind":"x"}',
     "19:55:01 error failed: no such file"),
    ("panic: out of cheese", "--:--:-- info  panic: out of cheese"),
    ("[1, 2]", "--:--:-- info  [1, 2]"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "wanted"), LOGS)
def test_lines_of_logs(line: str, wanted: str) -> None:
    assert str(flux_log.read(line)) == wanted


def test_an_object_may_be_without_anything() -> None:
    bare = {"kind": "Kustomization", "metadata": made("Kustomization", "x")["metadata"]}
    assert [step.state for step in build([bare]).steps] == ["waiting"]
