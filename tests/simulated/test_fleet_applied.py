"""Every overlay of the fleet repository is built by kustomize and taken by a real API server with the real CRDs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from korthweb_tasks.approaches.gitops.fleet import Fleet
from korthweb_tasks.core.render import parse
from tests.applied import Kubectl
from tests.fleet_share import SETTINGS, fleet

TENANT = {"domain": "bhc.orthweb.com", "egress": ["pacs.hospital.example:11112", "192.0.2.7:104"]}
EGRESS = {"tenants": [{"name": "BHC", **TENANT}, {"name": "MHR", "domain": "mhr.orthweb.com"}]}


@pytest.mark.parametrize("cluster", SETTINGS)
def test_a_real_api_server_takes_every_overlay(with_kinds: Kubectl, tmp_path: Path, cluster: str) -> None:
    made = fleet(cluster, SETTINGS[cluster] | EGRESS, registry_ca=True)
    files = _with_system(made)
    _written(tmp_path, files)
    layers = [parse(text) for name, text in files.items() if name.count("/") == 2 and name.startswith("clusters/")]
    paths = [obj["spec"]["path"] for objects in layers for obj in objects if "path" in obj.get("spec", {})]
    assert len(paths) == len(made.layers())
    kinds: set[str] = set()
    for path in (f"./clusters/{cluster}", *paths):
        text = with_kinds("kustomize", str(tmp_path / path))
        assert text, path
        kinds |= {obj["kind"] for obj in parse(text)}
        # strict: a field that no CRD knows is an error, and so is one that is there twice
        with_kinds.apply(parse(text), "--dry-run=server", "--validate=strict")
    assert {"HelmRelease", "OCIRepository", "Cluster", "Certificate", "ServiceEntry", "PodMonitor", "Sidecar"} <= kinds


def test_a_tenants_account_may_change_its_own_namespace_alone(with_kinds: Kubectl, tmp_path: Path) -> None:
    """What Flux does in the name of BHC: all of its application, and nothing of MHR's."""
    made = fleet("hospital", EGRESS, tenants=fleet("hospital", EGRESS).settings.tenants)
    files = _with_system(made)
    _written(tmp_path, files)
    build = "clusters/hospital/tenants/{}/{}"
    for part in ("infrastructure/istio", "tenants/bhc/dependency"):
        objects = parse(with_kinds("kustomize", str(tmp_path / "clusters/hospital" / part)))
        rights = ("ClusterRole", "RoleBinding", "Role", "ServiceAccount")
        with_kinds.apply([obj for obj in objects if obj["kind"] in rights])
    account = "--as=system:serviceaccount:flux-system:tenant-bhc"
    for layer in ("application", "monitoring"):
        own = parse(with_kinds("kustomize", str(tmp_path / build.format("bhc", layer))))
        with_kinds.apply(own, account, "--dry-run=server")
        others = parse(with_kinds("kustomize", str(tmp_path / build.format("mhr", layer))))
        refused = with_kinds.apply(others, account, "--dry-run=server", fails=True)
        assert len(re.findall(r"(?i)error from server \(forbidden\)", refused)) == len(others) > 2
    for kind in ("secrets", "rolebindings", "clusters.postgresql.cnpg.io", "peerauthentications.security.istio.io"):
        said = with_kinds("auth", "can-i", "create", kind, account, "--namespace=bhc-orthweb", fails=True)
        assert said == "" or "no" in said


def _with_system(made: Fleet) -> dict[str, str]:
    system = f"clusters/{made.cluster}/flux-system/kustomization.yaml"
    return {**made.files(), system: "resources: []\n"}


def _written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
