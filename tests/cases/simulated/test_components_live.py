"""Somebody else's components in a real API server: found, said whose they are, and left as they are by a refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.errors import CommandFailed
from korthweb_tasks.run import retry
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl
from tests.contact_doubles.servers import serving, silent

ROOT = Path(__file__).parents[3]
PLACE = "platform-team"
IMAGES = {
    "istiod-canary": "docker.io/istio/pilot:1.31.1",
    "certs": "quay.io/jetstack/cert-manager-controller:v1.18.2",
    "edge": "docker.io/library/traefik:v3.6.7",
    "source-controller": "ghcr.io/fluxcd/source-controller:v1.8.0",
    "databases": "ghcr.io/cloudnative-pg/cloudnative-pg:1.28.0",
    "monitoring": "quay.io/prometheus-operator/prometheus-operator:v0.85.0",
}


class Site:
    """A project, and the team's objects in the simulated cluster."""

    def __init__(self, target: Cluster, programs: dict[str, str], project: Path) -> None:
        self.target, self.project, self.runner = target, project, Runner(programs=programs)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.runner.run(Kubectl(self.target).command(*args, stdin=stdin, repeatable=True)).stdout

    def inv(self, *words: str) -> tuple[int, str]:
        argv = (sys.executable, "-m", "korthweb_tasks.main", *words, "--context", self.target.context)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": str(self.target.kubeconfig)}
        done = subprocess.run(argv, cwd=self.project, env=env, text=True, capture_output=True, timeout=120)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    def versions(self) -> dict[str, tuple[Any, ...]]:
        """Return uid, generation, labels and who wrote what, of everything that the team has."""
        shown = ("get", "deployments,namespaces", "--all-namespaces", "--show-managed-fields", "--output=json")
        found = json.loads(self.kubectl(*shown))["items"]
        return {
            f"{obj['kind']}/{obj['metadata']['name']}": (
                obj["metadata"]["uid"],
                obj["metadata"].get("generation"),
                [one["manager"] for one in obj["metadata"].get("managedFields", ()) if not one.get("subresource")],
            )
            for obj in found
        }


def workload(name: str, image: str) -> dict[str, Any]:
    labels = {"run": name, **({"app.kubernetes.io/part-of": "flux"} if name == "source-controller" else {})}
    pod = {"metadata": {"labels": {"run": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"run": name}}, "template": pod}
    meta = {"name": name, "namespace": PLACE, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@pytest.fixture(scope="module")
def site(
    simulated: Cluster, simulated_programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    project = tmp_path_factory.mktemp("project")
    made = Site(simulated, simulated_programs, project)
    settings = {"tenants": [{"name": "BHC", "domain": "bhc.orthweb.com"}], "profile": "production"}
    (project / "korthweb.yaml").write_text(yaml.safe_dump(settings))
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}
    objects = [home, *(workload(name, image) for name, image in IMAGES.items())]
    made.kubectl(
        "apply", "--server-side", "--field-manager=argocd-controller", "--filename=-", stdin=yaml.safe_dump_all(objects)
    )
    try:
        yield made
    finally:
        made.kubectl("delete", "namespace", PLACE, "--wait=false")


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("manual.deploy", f"deployment/istiod-canary in {PLACE} (1.31.1), written by argocd-controller"),
        ("manual.install-cert-manager", "components: {istio: use} and istio: {namespace: platform-team}"),
        ("helm.deploy", f"deployment/edge in {PLACE} (3.6.7)"),
    ],
)
def test_F26_a_real_server_is_asked_and_nothing_is_changed(site: Site, task: str, told: str) -> None:
    """F26, F3: exit code 5, what was found and who wrote it, and not one object more or other than before."""
    before = site.versions()
    code, said = site.inv(task, "--yes")
    assert (code, told in said) == (5, True), said
    assert site.versions() == before


def test_U13_a_real_server_that_does_not_reach_a_webhook_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """U13: what it says is read as that, and is told once, with the webhook's name; what it does not ask goes on."""
    monkeypatch.setattr(retry, "GRACE", 1.5)
    with serving(silent) as firewall:
        hook = {
            "name": "policy.example.org",
            "clientConfig": {"url": f"https://127.0.0.1:{firewall.port}/validate"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": PLACE}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1,
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        made = {**kind, "metadata": {"name": "unreached"}, "webhooks": [hook]}
        site.kubectl("apply", "--filename=-", stdin=json.dumps(made))
        try:
            objects = [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": PLACE}}
                for name in ("one", "two")
            ]
            with pytest.raises(CommandFailed) as raised:
                Runner(programs=site.runner.programs, patience=60).run(Kubectl(site.target).apply(objects))
        finally:
            site.kubectl("delete", "validatingwebhookconfiguration", "unreached")
    assert raised.value.message == "the API server can't reach the webhook policy.example.org: timed out"
    assert len(raised.value.details.splitlines()) == 1


def test_F26_what_is_of_nobodys_concern_is_free(site: Site) -> None:
    """F26: without the team's controllers the same questions find nothing; with marks, korthweb's own."""
    from korthweb_tasks.approaches.shared.components import questions, survey

    asked = questions(Kubectl(site.target))
    found = survey([site.runner.run(command) for command in asked])
    assert [str(one.ours) for one in found.of("istio")] == ["False"]
    site.kubectl("label", "--namespace", PLACE, "deployment/istiod-canary", "korthweb/component=istio")
    found = survey([site.runner.run(command) for command in asked])
    assert [str(one.ours) for one in found.of("istio")] == ["True"]
    assert {name for name in IMAGES if name != "monitoring"} <= {
        str(one.obj["metadata"]["name"])
        for kind in ("istio", "cert-manager", "traefik", "flux", "cloudnative-pg")
        for one in found.of(kind)
    }
