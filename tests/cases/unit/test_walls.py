"""Walls between tenants as they are rendered; tests/cases/simulated and tests/lab attack them."""

from __future__ import annotations

from typing import Any

import pytest

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.render import parse
from korthweb_tasks.settings.model import Settings
from tests.fleet_share import REPOSITORY, fleet, objects
from tests.own_passwords import Nobody

EXPORTS = ("defaultVirtualServiceExportTo", "defaultServiceExportTo", "defaultDestinationRuleExportTo")
WALLS = {"networkpolicies", "authorizationpolicies", "peerauthentications", "sidecars", "serviceentries",
         "resourcequotas", "limitranges", "roles", "rolebindings", "secrets", "pods/exec"}  # fmt: skip


def manual() -> Manifests:
    return Manifests(Settings(), Nobody(), Artifacts.read(REPOSITORY / "manual"))


def rendered() -> dict[str, list[dict[str, Any]]]:
    tenant = Settings().tenants[0]
    return {"manual": manual().of(tenant, "ingress"), "gitops": objects(fleet().files(), "tenants/")}


@pytest.mark.parametrize("approach", ["manual", "gitops"])
def test_S1_each_host_of_a_gateway_is_for_routes_of_its_own_namespace(approach: str) -> None:
    """S1: no VirtualService of another namespace binds."""
    gateways = [obj for obj in rendered()[approach] if obj["kind"] == "Gateway"]
    hosts = [host for obj in gateways for server in obj["spec"]["servers"] for host in server["hosts"]]
    assert hosts
    assert all(host.startswith("./") for host in hosts)


def test_S1_the_mesh_tells_a_namespace_of_no_other() -> None:
    """S1: routes, rules and services are for their own namespace, in both approaches with a mesh."""
    (operator,) = parse(manual().operator)
    (istiod,) = objects(fleet().files(), "infrastructure/istio/istiod.yaml")
    for mesh in (operator["spec"]["meshConfig"], istiod["spec"]["values"]["meshConfig"]):
        assert {name: mesh[name] for name in EXPORTS} == {name: ["."] for name in EXPORTS}


def test_S2_the_account_of_a_tenant_has_no_rights_on_its_walls() -> None:
    """S2: walls are of the layer dependency, which another account applies."""
    files = fleet().files()
    (role,) = objects(files, "infrastructure/istio/tenant-role.yaml")
    assert not WALLS & {resource for rule in role["rules"] for resource in rule["resources"]}
    own = objects(files, "tenants/bhc/application/") + objects(files, "tenants/bhc/monitoring/")
    allowed = {resource for rule in role["rules"] for resource in rule["resources"] if "create" in rule["verbs"]}
    assert {f"{obj['kind'].lower()}s" for obj in own} <= allowed
