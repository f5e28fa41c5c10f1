"""What tests against a real API server share: kubectl, and the definitions of all kinds that the fleet has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.render import as_yaml
from korthweb_tasks.provision import builder

#: component -> its CRDs
DEFINITIONS = {
    "source-controller": "share/crd/bases/*.yaml",
    "kustomize-controller": "share/crd/bases/*.yaml",
    "helm-controller": "share/crd/bases/*.yaml",
    "istio": "share/charts/base/files/crd-all.gen.yaml",
    "cert-manager": "share/crds/*.yaml",
    "cloudnative-pg": "share/release.yaml",
    "prometheus-operator": "share/crd/*.yaml",
    "traefik": "share/crds.yaml",
}


#: of a fleet with two tenants
NAMESPACES = (
    "flux-system",
    "cert-manager",
    "istio-system",
    "cnpg-system",
    "observability",
    "bhc-orthweb",
    "mhr-orthweb",
)


class Kubectl:
    """The real kubectl against the simulated lab."""

    def __init__(self, target: Cluster, program: str) -> None:
        self.target, self.program = target, program
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


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 has a meaning for a lone =, which is an operator in Prometheus' CRDs."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def definitions() -> Iterator[dict[str, Any]]:
    homes = builder.build_all(list(DEFINITIONS))
    for component, pattern in DEFINITIONS.items():
        for path in sorted(homes[component].glob(pattern)):
            for obj in yaml.load_all(path.read_text("utf-8"), Loader=_Loader):
                if obj and obj["kind"] == "CustomResourceDefinition":
                    # cert-manager's are templates of its chart, in their labels alone
                    obj["metadata"].pop("labels", None)
                    yield json.loads(json.dumps(obj, default=str))
