"""Several clusters share one fleet repository: each writes its own share, and takes away what it alone had."""

from __future__ import annotations

from typing import Any

import pytest

from korthweb_tasks.approaches.gitops.components import Way, ways
from korthweb_tasks.approaches.gitops.fleet import Fleet, stale
from korthweb_tasks.core.render import parse
from korthweb_tasks.settings.model import Settings
from tests.fleet_share import LAB, fleet, objects, the

BHC, MHR = Settings().tenants


def share(cluster: str, *tenants: Any, given: dict[str, Any] | None = None) -> Fleet:
    return fleet(cluster, given or {}, tenants=tenants)


def clusters_of(files: dict[str, str]) -> set[str]:
    return {name.split("/")[1] for name in files if name.startswith("clusters/")}


def test_two_clusters_with_their_own_settings_and_tenants_share_a_repository() -> None:
    north, south = share("north", BHC, MHR).files(), share("south", MHR, given=LAB).files()
    assert (clusters_of(north), clusters_of(south)) == ({"north"}, {"south"})
    together = {**north, **south}
    for name, text in {**south, **north}.items():
        assert together[name] == text, f"{name} depends on who wrote last"
    (north_lists,) = parse(together["clusters/north/kustomization.yaml"])
    (south_lists,) = parse(together["clusters/south/kustomization.yaml"])
    assert north_lists["resources"][-2:] == ["tenant-bhc.yaml", "tenant-mhr.yaml"]
    assert south_lists["resources"][-1] == "tenant-mhr.yaml"
    assert not [name for name in together if name.startswith("clusters/south/tenants/bhc")]
    instances = {
        c: the(together, "Cluster", "postgres", f"clusters/{c}/tenants/mhr/")["spec"] for c in ("north", "south")
    }
    assert (instances["north"]["instances"], instances["south"]["instances"]) == (3, 1)


def test_the_same_settings_make_the_same_files() -> None:
    assert share("north", BHC, MHR).files() == share("north", BHC, MHR).files()
    assert list(share("north", BHC).files()) == sorted(share("north", BHC).files())


def test_a_second_rendering_leaves_nothing_stale() -> None:
    files = share("north", BHC, MHR).files()
    system = [f"clusters/north/flux-system/{name}.yaml" for name in ("gotk-sync", "gotk-components", "kustomization")]
    assert stale([*files, *system], files, "north") == []


def test_a_tenant_that_is_gone_is_taken_away_with_its_base() -> None:
    before, after = share("north", BHC, MHR).files(), share("north", BHC).files()
    gone = stale(before, after, "north")
    assert set(gone) == {name for name in before if "/mhr/" in name or name.endswith("tenant-mhr.yaml")}
    assert [name for name in gone if name.startswith("tenants/mhr/")]


def test_a_base_that_another_cluster_uses_stays() -> None:
    there = {**share("north", BHC, MHR).files(), **share("south", MHR).files()}
    gone = stale(there, share("north", BHC).files(), "north")
    assert gone
    assert not [name for name in gone if name.startswith(("tenants/", "clusters/south/"))]
    # and goes with the last one
    left = [name for name in there if name not in gone]
    gone = stale(left, share("south", BHC).files(), "south")
    assert [name for name in gone if name.startswith("tenants/mhr/")]


def test_files_of_an_older_korthweb_go_and_those_of_a_person_stay() -> None:
    files = share("north", BHC).files()
    old = [
        "tenants/bhc/application/old.yaml",
        "infrastructure/istio/old.yaml",
        "clusters/north/tenants/bhc/application/old.yaml",
        "clusters/north/tenants/bhc/dependency/secrets.sops.yaml",
        "clusters/north/tenant-old.yaml",
    ]
    own = [
        "clusters/north/flux-system/gotk-sync.yaml",
        "clusters/north/notes.md",
        "clusters/north/own/tenant-x.yaml",
        "clusters/south/tenant-old.yaml",
        "apps/x.yaml",
        ".sops.yaml",
        "tenants/README.md",
    ]
    assert stale([*files, *old, *own], files, "north") == sorted(old)


def test_egress_that_is_taken_back_is_taken_back() -> None:
    given = {"tenants": [{"name": "BHC", "domain": "bhc.org", "egress": ["pacs.org:11112"]}]}
    open_, closed = fleet("north", given).files(), share("north", BHC).files()
    assert "tenants/bhc/dependency/egress.yaml" in stale(open_, closed, "north")


def test_a_tenant_may_go_out_where_its_settings_say_so_and_nowhere_else() -> None:
    tenant = {"name": "BHC", "domain": "bhc.org", "egress": ["pacs.org:11112", "192.0.2.7:104"]}
    files = fleet("north", {"tenants": [tenant]}).files()
    entries = {o["metadata"]["name"]: o["spec"] for o in objects(files, "tenants/") if o["kind"] == "ServiceEntry"}
    named, addressed = entries["to-pacs-org-11112"], entries["to-192-0-2-7-104"]
    assert (named["hosts"], named["resolution"]) == (["pacs.org"], "DNS")
    assert (addressed["addresses"], addressed["resolution"]) == (["192.0.2.7"], "STATIC")
    assert {tuple(entry["exportTo"]) for entry in entries.values()} == {(".",)}
    policy = the(files, "NetworkPolicy", "orthanc-egress")["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app": "orthanc"}}
    assert policy["egress"][1]["to"] == [{"ipBlock": {"cidr": "192.0.2.7/32"}}]
    closed = [o for o in objects(share("north", BHC).files(), "tenants/") if o["kind"] == "ServiceEntry"]
    assert [entry["metadata"]["name"] for entry in closed] == ["api-server"]  # which the operator's pods ask


def test_no_two_ways_out_share_a_name() -> None:
    assert ways(["a.org:1", "a.org:1", "a.org:2"]) == (Way("to-a-org-1", "a.org", 1), Way("to-a-org-2", "a.org", 2))


def test_the_mesh_is_closed_and_each_gateway_stays_in_its_namespace() -> None:
    files = share("north", BHC).files()
    values = the(files, "HelmRelease", "istiod", "infrastructure/")["spec"]["values"]
    assert values["meshConfig"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    assert values["env"]["PILOT_SCOPE_GATEWAY_TO_NAMESPACE"] == "true"
    deny = the(files, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert the(files, "AuthorizationPolicy", "default-deny")["spec"] == {}
    rule, metrics = the(files, "AuthorizationPolicy", "orthanc")["spec"]["rules"]
    assert rule["from"][0]["source"]["principals"] == ["cluster.local/ns/bhc-orthweb/sa/ingress"]
    assert metrics["to"][0]["operation"]["paths"] == ["/tools/metrics-prometheus"]
    (door,) = the(files, "AuthorizationPolicy", "ingress")["spec"]["rules"]
    assert door == {"to": [{"operation": {"ports": ["8443", "11112"]}}]}
    assert the(files, "Sidecar", "default")["spec"]["egress"][0]["hosts"] == ["./*"]


def test_the_database_admits_its_clients_its_peers_its_operator_and_prometheus() -> None:
    files = share("north", BHC).files()
    policy = the(files, "AuthorizationPolicy", "postgres")["spec"]
    principals = policy["rules"][0]["from"][0]["source"]["principals"]
    assert principals == [f"cluster.local/ns/bhc-orthweb/sa/{name}" for name in ("orthanc", "postgres")]
    peer = the(files, "PeerAuthentication", "postgres")["spec"]
    assert (peer["mtls"], peer["portLevelMtls"]) == ({"mode": "STRICT"}, {"8000": {"mode": "PERMISSIVE"}})
    network = the(files, "NetworkPolicy", "postgres")["spec"]
    ports = [tuple(port["port"] for port in rule["ports"]) for rule in network["ingress"]]
    assert ports == [(5432,), (5432, 8000), (8000,), (9187,)]
    assert network["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"korthweb/may-reach-database": "true"}}}]
    pods = the(files, "Deployment", "orthanc")["spec"]["template"]["metadata"]["labels"]
    assert pods["korthweb/may-reach-database"] == "true"


@pytest.mark.parametrize("domain", ["bhc.orthweb.com", f"{'a' * 60}.orthweb.com"])
def test_certificates_name_both_hosts_and_gateways_ask_for_them(domain: str) -> None:
    files = fleet("north", {"tenants": [{"name": "BHC", "domain": domain}]}).files()
    spec = the(files, "Certificate", "orthanc-tls")["spec"]
    assert spec["dnsNames"] == [f"web.{domain}", f"dicom.{domain}"]
    assert ("commonName" in spec) is (len(f"web.{domain}") <= 64)
    for server in the(files, "Gateway", "orthanc")["spec"]["servers"]:
        assert server["tls"]["credentialName"] == spec["secretName"]
        assert set(server["hosts"]) <= {f"./{name}" for name in spec["dnsNames"]}
