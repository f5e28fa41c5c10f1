"""Every overlay of the fleet repository is built by kustomize and taken by a real API server with the real CRDs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.fleet import Fleet
from korthweb_tasks.core.render import as_yaml, parse
from korthweb_tasks.core.target import Target
from korthweb_tasks.provision import builder
from tests.fleet_share import SETTINGS, fleet

#: component -> its CRDs
DEFINITIONS = {
    "source-controller": "share/crd/bases/*.yaml",
    "kustomize-controller": "share/crd/bases/*.yaml",
    "helm-controller": "share/crd/bases/*.yaml",
    "istio": "share/charts/base/files/crd-all.gen.yaml",
    "cert-manager": "share/crds/*.yaml",
    "cloudnative-pg": "share/release.yaml",
    "prometheus-operator": "share/crd/*.yaml",
}
NAMESPACES = (
    "flux-system",
    "cert-manager",
    "istio-system",
    "cnpg-system",
    "observability",
    "bhc-orthweb",
    "mhr-orthweb",
)
TENANT = {"domain": "bhc.orthweb.com", "egress": ["pacs.hospital.example:11112", "192.0.2.7:104"]}
EGRESS = {"tenants": [{"name": "BHC", **TENANT}, {"name": "MHR", "domain": "mhr.orthweb.com"}]}


class Kubectl:
    """The real kubectl against the simulated lab."""

    def __init__(self, target: Target, program: str) -> None:
        self.argv = (program, *target.kubectl_args())

    def __call__(self, *args: str, text: str = "", fails: bool = False) -> str:
        """Return what it prints; ``fails``: it has to fail, and this is what it says."""
        done = subprocess.run([*self.argv, *args], input=text, capture_output=True, text=True, timeout=200, check=False)
        assert (done.returncode != 0) is fails, done.stderr
        return done.stderr if fails else done.stdout

    def apply(self, objects: list[dict[str, Any]], *more: str, fails: bool = False) -> str:
        """Apply on the server's side."""
        how = ("apply", "--server-side", "--force-conflicts", "--filename=-")
        return self(*how, *more, text=as_yaml(objects), fails=fails)


@pytest.fixture(scope="module")
def kubectl(simulated: Target, simulated_programs: dict[str, str]) -> Iterator[Kubectl]:
    """Return kubectl for a cluster that has all kinds and namespaces; they are removed at the end."""
    found = Kubectl(simulated, simulated_programs["kubectl"])
    crds = list(_definitions())
    found.apply(crds)
    names = [f"crd/{crd['metadata']['name']}" for crd in crds]
    found("wait", "--for=condition=Established", "--timeout=60s", *names)
    found.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES])
    yield found
    # whoever comes next finds none of them, nor one that is still going
    found("delete", "namespace", "--timeout=150s", *NAMESPACES)
    found("delete", "--timeout=150s", *names)


@pytest.mark.parametrize("cluster", SETTINGS)
def test_a_real_api_server_takes_every_overlay(kubectl: Kubectl, tmp_path: Path, cluster: str) -> None:
    made = fleet(cluster, SETTINGS[cluster] | EGRESS, registry_ca=True)
    files = _with_system(made)
    _written(tmp_path, files)
    layers = [parse(text) for name, text in files.items() if name.count("/") == 2 and name.startswith("clusters/")]
    paths = [obj["spec"]["path"] for objects in layers for obj in objects if "path" in obj.get("spec", {})]
    assert len(paths) == len(made.layers())
    kinds: set[str] = set()
    for path in (f"./clusters/{cluster}", *paths):
        text = kubectl("kustomize", str(tmp_path / path))
        assert text, path
        kinds |= {obj["kind"] for obj in parse(text)}
        # strict: a field that no CRD knows is an error, and so is one that is there twice
        kubectl.apply(parse(text), "--dry-run=server", "--validate=strict")
    assert {"HelmRelease", "OCIRepository", "Cluster", "Certificate", "ServiceEntry", "PodMonitor", "Sidecar"} <= kinds


def test_a_tenants_account_may_change_its_own_namespace_alone(kubectl: Kubectl, tmp_path: Path) -> None:
    """What Flux does in the name of BHC: all of its application, and nothing of MHR's."""
    made = fleet("hospital", EGRESS, tenants=fleet("hospital", EGRESS).settings.tenants)
    files = _with_system(made)
    _written(tmp_path, files)
    build = "clusters/hospital/tenants/{}/{}"
    for part in ("infrastructure/istio", "tenants/bhc/dependency"):
        objects = parse(kubectl("kustomize", str(tmp_path / "clusters/hospital" / part)))
        rights = ("ClusterRole", "RoleBinding", "Role", "ServiceAccount")
        kubectl.apply([obj for obj in objects if obj["kind"] in rights])
    account = "--as=system:serviceaccount:flux-system:tenant-bhc"
    for layer in ("application", "monitoring"):
        own = parse(kubectl("kustomize", str(tmp_path / build.format("bhc", layer))))
        kubectl.apply(own, account, "--dry-run=server")
        others = parse(kubectl("kustomize", str(tmp_path / build.format("mhr", layer))))
        refused = kubectl.apply(others, account, "--dry-run=server", fails=True)
        assert len(re.findall(r"(?i)error from server \(forbidden\)", refused)) == len(others) > 2
    for kind in ("secrets", "rolebindings", "clusters.postgresql.cnpg.io", "peerauthentications.security.istio.io"):
        said = kubectl("auth", "can-i", "create", kind, account, "--namespace=bhc-orthweb", fails=True)
        assert said == "" or "no" in said


def _with_system(made: Fleet) -> dict[str, str]:
    system = f"clusters/{made.cluster}/flux-system/kustomization.yaml"
    return {**made.files(), system: "resources: []\n"}


def _written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 has a meaning for a lone =, which is an operator in Prometheus' CRDs."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def _definitions() -> Iterator[dict[str, Any]]:
    homes = builder.build_all(list(DEFINITIONS))
    for component, pattern in DEFINITIONS.items():
        for path in sorted(homes[component].glob(pattern)):
            for obj in yaml.load_all(path.read_text("utf-8"), Loader=_Loader):
                if obj and obj["kind"] == "CustomResourceDefinition":
                    # cert-manager's are templates of its chart, in their labels alone
                    obj["metadata"].pop("labels", None)
                    yield json.loads(json.dumps(obj, default=str))
