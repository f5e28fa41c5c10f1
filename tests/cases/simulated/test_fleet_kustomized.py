"""What a cluster lays over the fleet of another team's Flux, put together by kustomize itself (F2)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from korthweb_tasks.provision.tools import locate
from tests.cases.unit.test_fleet_beside import fleet


def test_F2_the_account_of_a_tenant_is_where_its_kustomizations_are(tmp_path: Path) -> None:
    """F2: the base is the same for all clusters; what this one lays over it, kustomize itself puts together."""
    for name, text in fleet("flux").files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "clusters/a/tenants/bhc/dependency"
    argv = (str(locate("kubectl").path), "kustomize", str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    built = list(yaml.safe_load_all(done.stdout))
    accounts = {(o["metadata"]["name"], o["metadata"]["namespace"]) for o in built if o["kind"] == "ServiceAccount"}
    assert ("tenant-bhc", "korthweb-flux") in accounts
    (binding,) = (obj for obj in built if obj["kind"] == "RoleBinding" and obj["metadata"]["name"] == "tenant")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "tenant-bhc", "namespace": "korthweb-flux"}]
    assert binding["metadata"]["namespace"] == "bhc-orthweb"
