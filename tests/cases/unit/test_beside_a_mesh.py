"""The manual approach beside somebody else's Istio and cert-manager: only objects of our own namespaces are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.plan import build
from korthweb_tasks.approaches.manual.removal import build_removal
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Plan
from korthweb_tasks.settings.model import Settings

ROOT = Path(__file__).parents[3]
ARTIFACTS = Artifacts.read(ROOT / "manual")
OWN = {"bhc-orthweb", "mhr-orthweb", "observability"}


class Secrets:
    """Nobody chose a password."""

    def password(self, *_: Any) -> None: ...
    def database_password(self, *_: Any) -> None: ...


def used(**istio: str) -> Settings:
    return Settings.model_validate({"components": {"istio": "use", "cert-manager": "use"}, "istio": istio})


def commands(plan: Plan) -> Iterator[Command]:
    for step in plan.steps:
        yield from (action if isinstance(action, Command) else action() for action in step.actions if _is_plain(action))


def _is_plain(action: Any) -> bool:
    return isinstance(action, Command)


def objects(plan: Plan) -> list[dict[str, Any]]:
    found = [json.loads(command.stdin)["items"] for command in commands(plan) if command.stdin]
    return [obj for group in found for obj in group]


@pytest.mark.parametrize("istio", [{}, {"namespace": "mesh", "revision": "canary"}])
def test_F3_beside_a_mesh_only_objects_of_our_own_namespaces_are_made(istio: dict[str, str]) -> None:
    """F3: no istioctl, no chart, nothing mesh-wide; what has no namespace is called korthweb's."""
    settings = used(**istio)
    plan = build(Manifests(settings, Secrets(), ARTIFACTS), Cluster("ctx"), settings.tenants)
    assert {command.argv[0] for command in commands(plan)} == {"kubectl"}
    made = objects(plan)
    assert {"Gateway", "Deployment", "Sidecar", "PeerAuthentication", "Certificate"} <= {obj["kind"] for obj in made}
    for obj in made:
        meta = obj["metadata"]
        if "namespace" in meta:
            assert meta["namespace"] in OWN, obj
        else:
            assert meta["name"] in OWN or meta["name"].startswith("korthweb"), obj
    labels = next(obj for obj in made if obj["kind"] == "Namespace" and obj["metadata"]["name"] == "bhc-orthweb")
    wanted = {"istio.io/rev": "canary"} if istio else {"istio-injection": "enabled"}
    assert wanted.items() <= labels["metadata"]["labels"].items()
    assert ("istio-injection" in labels["metadata"]["labels"]) is not bool(istio)


def test_F3_nothing_of_theirs_is_removed() -> None:
    """F3: destroy deletes by name, in our own namespaces, what was made there."""
    settings = used()
    plan = build_removal(Manifests(settings, Secrets(), ARTIFACTS), Cluster("ctx"), settings.tenants[:1], volumes=False)
    for obj in objects(plan):
        assert obj["metadata"].get("namespace", "bhc-orthweb") in OWN
    for command in commands(plan):
        assert command.argv[0] == "kubectl"
        assert "istio-system" not in command.argv


def test_F3_each_gateway_is_bound_to_its_own_pods_alone() -> None:
    """F3: their mesh may let Gateways select pods of all namespaces; ours select by a label that is unique."""
    settings = used()
    made = Manifests(settings, Secrets(), ARTIFACTS)
    for tenant in settings.tenants:
        found = made.of(tenant, "ingress")
        gateway = next(obj for obj in found if obj["kind"] == "Gateway")
        pods = next(obj for obj in found if obj["kind"] == "Deployment")["spec"]["template"]["metadata"]
        assert gateway["spec"]["selector"] == {"korthweb/gateway": tenant.namespace}
        assert gateway["spec"]["selector"].items() <= pods["labels"].items()
        assert not {"istio", "gateway"} & set(pods["labels"]), "a Gateway of theirs could select it"
        policy = next(
            o
            for o in made.of(tenant, "config")
            if o["kind"] == "AuthorizationPolicy" and o["metadata"]["name"] == "orthanc"
        )
        assert policy["spec"]["rules"][0]["from"][0]["source"]["principals"] == [
            f"cluster.local/ns/{tenant.namespace}/sa/ingress"
        ]


def test_F3_routes_are_for_the_own_namespace_once() -> None:
    """F3: Istio's webhook refuses a namespace that is named twice (seen on the lab)."""
    settings = used()
    made = Manifests(settings, Secrets(), ARTIFACTS)
    exported = [
        obj["spec"]["exportTo"] for obj in made.of(settings.tenants[0], "ingress") if "exportTo" in obj.get("spec", {})
    ]
    assert exported == [["."]] * 3
    service = next(obj for obj in made.of(settings.tenants[0], "orthanc") if obj["kind"] == "Service")
    assert service["metadata"]["annotations"] == {"networking.istio.io/exportTo": "."}


def test_F3_traces_are_not_asked_of_somebody_elses_mesh() -> None:
    """F3: a Telemetry of the root namespace would change the whole mesh."""
    settings = used()
    found = Manifests(settings, Secrets(), ARTIFACTS).observability()
    assert "Telemetry" not in {obj["kind"] for obj in found}
    assert "jaeger" not in {obj["metadata"]["name"] for obj in found}


def test_F3_the_files_for_a_person_install_nothing_either() -> None:
    """F3: what is applied by hand is the same."""
    settings = used()
    files = rendered(Manifests(settings, Secrets(), ARTIFACTS), settings.tenants)
    assert not [name for name in files if name.startswith("tools/") or "mesh" in name]
    assert "istioctl" not in files["README.md"]
    assert "helm upgrade" not in files["README.md"]
    assert any(name.endswith("bhc-gateway.yaml") for name in files)
