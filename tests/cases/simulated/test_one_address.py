"""F20: two tenants and one address: told by check, and shared by ports, with Helm and with GitOps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from korthweb_tasks.approaches.helm.values import values
from korthweb_tasks.approaches.shared import addresses
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.soundness import faults
from korthweb_tasks.settings.tenant import Tenant
from tests.renders import Objects, made, named

BHC, MHR = Tenant(name="BHC", domain="bhc.orthweb.com"), Tenant(name="MHR", domain="mhr.orthweb.com")
ASIDE = Tenant.model_validate({"name": "MHR", "domain": "mhr.orthweb.com", "ports": {"https": 8444, "dicom": 11113}})
TWO: dict[str, Any] = {
    "tenants": [
        {"name": "BHC", "domain": "bhc.orthweb.com"},
        {"name": "MHR", "domain": "mhr.orthweb.com", "ports": {"https": 8444, "dicom": 11113}},
    ]
}


def listens(objects: Objects, namespace: str) -> dict[int, int]:
    """Return the port that people use -> the one that the tenant's Gateway opens, as Istio finds it."""
    service = named(objects, "Service", "ingress", namespace)["spec"]["ports"]
    by_port = {one["port"]: one["targetPort"] for one in service}
    gateway = named(objects, "Gateway", "orthanc", namespace)["spec"]["servers"]
    # the port of the Service of that number leads to its target; a number that the Service has not is listened to
    opened = {by_port.get(one["port"]["number"], one["port"]["number"]) for one in gateway}
    return {port: target for port, target in by_port.items() if target in opened}


@pytest.mark.parametrize("approach", ["gitops", "manual"])
def test_F20_each_gateway_listens_behind_the_ports_of_its_tenant(approach: str) -> None:
    """F20: with a gateway for each tenant, beside somebody else's mesh by hand too."""
    given = TWO | ({"components": {"istio": "use"}} if approach == "manual" else {})
    objects = made(approach, given)
    assert listens(objects, "bhc-orthweb") == {443: 8443, 11112: 11112}
    assert listens(objects, "mhr-orthweb") == {8444: 8443, 11113: 11112}
    for namespace in ("bhc-orthweb", "mhr-orthweb"):
        notes = named(objects, "Service", "ingress", namespace)["metadata"]["annotations"]
        assert notes["metallb.io/allow-shared-ip"] == "korthweb"


def test_F20_traefik_is_reached_at_the_ports_of_its_tenant() -> None:
    """F20: the same with Helm, where each release has a Traefik; none where the cluster's is used."""
    settings = Settings.model_validate(TWO)
    found = [values(settings, tenant)["traefik"] for tenant in settings.tenants]
    exposed = [[one["ports"][name]["exposedPort"] for name in ("websecure", "dicom")] for one in found]
    assert exposed == [[443, 11112], [8444, 11113]]
    assert {one["service"]["annotations"]["metallb.io/allow-shared-ip"] for one in found} == {"korthweb"}
    used = Settings.model_validate({**TWO, "components": {"traefik": "use"}})
    assert "service" not in values(used, used.tenants[1])["traefik"]


def test_F20_one_gateway_for_all_has_no_ports_of_one(tmp_path: Any) -> None:
    """F20: the manual approach shares its gateway already, and says so."""
    (tmp_path / "korthweb.yaml").write_text(json.dumps(TWO))
    (fault,) = faults(load(project=tmp_path), "manual")
    assert fault.place == "tenants.MHR.ports"
    assert "one gateway for all tenants" in fault.text
    assert not [fault for fault in faults(load(project=tmp_path), "helm") if "ports" in fault.place]


@pytest.mark.parametrize("ports", [{"https": 11112}, {"dicom": 8443}, {"dicom": 443}, {"https": 15021}, {"https": 0}])
def test_F20_ports_that_the_gateway_uses_otherwise_are_refused(ports: dict[str, int]) -> None:
    """F20: a Service's port would lead to the wrong one."""
    with pytest.raises(ValidationError):
        Tenant.model_validate({"name": "A", "domain": "a.b", "ports": ports})


def node(version: str) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": "n"}, "status": {"nodeInfo": {"kubeletVersion": version}}}


def balancer(name: str, namespace: str, *ports: int) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "ports": [{"port": port} for port in ports]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def listed(*objects: dict[str, Any]) -> Result:
    return Result(Command(argv=("kubectl",)), 0, json.dumps({"items": objects}), "", 0.0)


K3S, OWN = node("v1.36.3+k3s1"), balancer("traefik", "kube-system", 80, 443)
OURS = balancer("ingress", "bhc-orthweb", 443, 11112)


@pytest.mark.parametrize(
    ("objects", "tenants", "told"),
    [
        ([node("v1.36.3"), OWN], (BHC, MHR), ""),
        ([K3S], (BHC,), ""),
        ([K3S, OURS], (BHC,), ""),
        ([K3S], (BHC, MHR), "port 443 is ingress in bhc-orthweb's; ports of its own: tenants.MHR.ports"),
        ([K3S], (BHC, ASIDE), ""),
        ([K3S, OWN], (BHC,), "port 443 is traefik in kube-system's; ports of its own: tenants.BHC.ports"),
        ([K3S, OWN], (ASIDE,), ""),
    ],
)
def test_F20_check_knows_that_k3s_has_one_address(
    objects: list[dict[str, Any]], tenants: tuple[Tenant, ...], told: str
) -> None:
    """F20: whose port it is, and what to write; not after ten minutes."""
    verdict, text = addresses.ports(listed(*objects), tenants, "ingress")
    assert (verdict, told in text) == ("broken" if told else "ok", True)


def pool(*addresses: str) -> dict[str, Any]:
    return {"kind": "IPAddressPool", "metadata": {"name": "p"}, "spec": {"addresses": list(addresses)}}


@pytest.mark.parametrize(
    ("pools", "tenants", "verdict"),
    [
        ([pool("10.0.0.5/32")], (BHC,), "ok"),
        ([pool("10.0.0.5/32")], (BHC, MHR), "broken"),
        ([pool("10.0.0.5-10.0.0.5")], (BHC, ASIDE), "ok"),
        ([pool("10.0.0.5-10.0.0.6")], (BHC, MHR), "ok"),
        ([pool("10.0.0.5/32"), pool("fc00::/126")], (BHC, MHR), "ok"),
    ],
)
def test_F20_check_counts_the_addresses_of_metallb(
    pools: list[dict[str, Any]], tenants: tuple[Tenant, ...], verdict: str
) -> None:
    """F20: an address each, or ports of their own."""
    assert addresses.addresses(listed(*pools), tenants)[0] == verdict


def test_F20_a_cluster_without_metallb_is_not_asked_further() -> None:
    """F20: other load balancers have what they have."""
    absent = 'error: the server doesn\'t have a resource type "ipaddresspools"'
    assert addresses.addresses(Result(Command(argv=("kubectl",)), 1, "", absent, 0.0), (BHC, MHR))[0] == "ok"


NAMELESS: dict[str, Any] = {
    "tenants": [
        {
            "name": "BHC",
            "domain": "bhc.orthweb.com",
            "dicom": {"without_sni": 11115, "tls": {"ciphers": ["AES128-SHA"]}},
        },
        {"name": "MHR", "domain": "mhr.orthweb.com"},
    ]
}


@pytest.mark.parametrize("approach", ["gitops", "manual"])
def test_F10_a_port_of_its_own_takes_modalities_without_a_server_name(approach: str) -> None:
    """F10: at a gateway that one tenant alone has, with its suites; walls and policies let it through."""
    given = NAMELESS | ({"components": {"istio": "use"}} if approach == "manual" else {})
    objects = made(approach, given)
    assert listens(objects, "bhc-orthweb") == {443: 8443, 11112: 11112, 11115: 11114}
    assert listens(objects, "mhr-orthweb") == {443: 8443, 11112: 11112}
    (*_, server) = named(objects, "Gateway", "orthanc", "bhc-orthweb")["spec"]["servers"]
    assert (server["hosts"], server["tls"]["cipherSuites"]) == (["./*"], ["AES128-SHA"])
    (way,) = named(objects, "VirtualService", "orthanc-dicom-any", "bhc-orthweb")["spec"]["tcp"]
    assert (way["match"], way["route"][0]["destination"]["port"]) == ([{"port": 11114}], {"number": 4242})
    for namespace, there in (("bhc-orthweb", True), ("mhr-orthweb", False)):
        (door,) = named(objects, "NetworkPolicy", "ingress", namespace)["spec"]["ingress"]
        assert (11114 in {one["port"] for one in door["ports"]}) is there
        (rule,) = named(objects, "AuthorizationPolicy", "ingress", namespace)["spec"]["rules"]
        assert ("11114" in rule["to"][0]["operation"]["ports"]) is there


def test_F10_helm_opens_it_at_the_tenants_own_traefik() -> None:
    """F10: the route for any name, and an entry point that its load balancer shows."""
    settings = Settings.model_validate(NAMELESS)
    found, other = (values(settings, tenant) for tenant in settings.tenants)
    assert found["ingress"]["withoutSni"] == {"enabled": True, "entryPoint": "dicom-any"}
    entry = found["traefik"]["ports"]["dicom-any"]
    assert (entry["port"], entry["exposedPort"], entry["expose"]) == (11114, 11115, {"default": True})
    assert "withoutSni" not in other["ingress"]
    assert "dicom-any" not in other["traefik"]["ports"]
    routes = [o for o in made("helm", NAMELESS) if o["kind"] == "IngressRouteTCP"]
    wanted = [o["metadata"]["namespace"] for o in routes if o["spec"]["entryPoints"] == ["dicom-any"]]
    assert wanted == ["bhc-orthweb"]


@pytest.mark.parametrize(
    ("approach", "components", "refused"),
    [
        ("manual", {}, True),
        ("manual", {"istio": "use"}, False),
        ("helm", {}, False),
        ("helm", {"traefik": "use"}, True),
        ("gitops", {}, False),
    ],
)
def test_F10_a_shared_gateway_can_not_tell_whose_they_are(
    approach: str, components: dict[str, str], refused: bool, tmp_path: Any
) -> None:
    """F10: config.check says so, before images of one tenant come to another."""
    (tmp_path / "korthweb.yaml").write_text(json.dumps({**NAMELESS, "components": components}))
    found = [fault.place for fault in faults(load(project=tmp_path), approach) if "without_sni" in fault.place]
    assert found == (["tenants.BHC.dicom.without_sni"] if refused else [])
