"""The deepest cause of whatever is not ready, as a table."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from korthweb_tasks.core.tree import Cause, Ref
from korthweb_tasks.core.webhooks import GRACE
from korthweb_tasks.flux.cause import Causes
from korthweb_tasks.flux.messages import build_fault, clean
from korthweb_tasks.flux.objects import Objects
from korthweb_tasks.flux.state import RACE, STAYS
from tests.flux_doubles.objects import (
    NEW,
    OLD,
    SYSTEM,
    Object,
    chart,
    deployment,
    event,
    git,
    layer,
    made,
    pod,
    release,
    told,
    waiting,
)

RUNNING = {"needs": (), "inventory": ["app_web_apps_Deployment"], "applied": OLD}
DECODE = (
    "failed to decode Kubernetes YAML from /tmp/kustomization-18665/layers/bad/all.yaml: "
    "MalformedYAMLError: yaml: line 4: did not find expected key"
)
ACCUMULATE = (
    "kustomize build failed: accumulating resources: accumulating resources from 'sub/all.yaml': "
    "MalformedYAMLError: yaml: line 4: did not find expected key in File: sub/all.yaml"
)
ABSENT = (
    "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'nowhere.yaml': "
    "open /tmp/kustomization-27/layers/bad/nowhere.yaml: no such file or directory': must build at directory: not a "
    "valid directory: evalsymlink failure on '/tmp/kustomization-27/layers/bad/nowhere.yaml' : lstat "
    "/tmp/kustomization-27/layers/bad/nowhere.yaml: no such file or directory"
)
DENIED = 'admission webhook "validate.example" denied the request: no privileged pods here'
QUOTA = 'pods "web-1" is forbidden: exceeded quota: tenant, requested: pods=1, used: pods=3, limited: pods=3'
NO_CHART = "no 'nothing' chart with version matching '1.0.0' found: no chart version found for nothing-1.0.0"


def health(name: str = "top", **more: Any) -> Object:
    """Return a Kustomization whose health check runs."""
    made_ = layer(name, "Unknown", "Progressing", "Reconciliation in progress", **{**RUNNING, **more})
    return told(made_, "True", "Progressing", "Running health checks for revision x", "Reconciling")


def job(**status: Any) -> Object:
    obj = made("Job", "init", "app")
    obj["status"] = status
    return obj


def cluster(phase: str, **notes: str) -> Object:
    obj = told(made("Cluster", "postgres", "app"), "False", "", "Cluster Is Not Ready")
    obj["metadata"]["annotations"] = notes
    obj["status"] |= {"phase": phase, "phaseReason": "instance 1 is not up"}
    return obj


def certificate() -> Object:
    obj = told(made("Certificate", "tls", "app"), "False", "DoesNotExist", "Issuing certificate as Secret is missing")
    obj["spec"] = {"issuerRef": {"kind": "Issuer", "name": "ca"}}
    return obj


def request(message: str) -> Object:
    obj = told(made("CertificateRequest", "tls-1", "app"), "False", "Pending", message)
    obj["metadata"]["annotations"] = {"cert-manager.io/certificate-name": "tls"}
    obj["spec"] = {"issuerRef": {"kind": "Issuer", "name": "ca"}}
    return obj


def stalled(obj: Object, message: str) -> Object:
    return told(obj, "True", "RetriesExceeded", message, "Stalled")


def restarting() -> Object:
    return {**waiting("CrashLoopBackOff", "back-off 40s", restarts=5)}


def ended(code: int) -> Object:
    one = waiting("CrashLoopBackOff", "back-off 10s", restarts=1)
    return {**one, "lastState": {"terminated": {"exitCode": code, "reason": "Error"}}}


def running() -> Object:
    return {"name": "orthanc", "ready": False, "restartCount": 0, "state": {"running": {}}}


def tree_of(*objects: Object, source: Object | None = None) -> list[Object]:
    return [source or git(), *objects]


UNSCHEDULED: dict[str, Any] = {
    "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory"}]
}
BELOW = ["app_web_apps_Deployment"]
#: what it is about, objects, (kind of the deepest cause, its name, text in its message, patience)
CASES: list[tuple[str, list[Object], tuple[str, str, str, float]]] = [
    ("the source can not be fetched",
     tree_of(layer("top", "False", "ArtifactFailed", "Source artifact not found, retrying in 30s", applied=""),
             source=git("", ready="False", message="failed to list remote: authentication required")),
     ("GitRepository", SYSTEM, "authentication required", STAYS)),
    ("the server of the source is away, which may pass",
     tree_of(layer("top", "False", "ArtifactFailed", "Source artifact not found", applied=""),
             source=git("", ready="False", message="dial tcp 198.18.0.1:443: connect: connection refused")),
     ("GitRepository", SYSTEM, "connection refused", inf)),
    ("a file that is no YAML", tree_of(layer("top", "False", "BuildFailed", DECODE)),
     ("Kustomization", "top", "layers/bad/all.yaml, line 4: not YAML: did not find expected key", STAYS)),
    ("a file below, named by its whole path", tree_of(layer("top", "False", "BuildFailed", ACCUMULATE)),
     ("Kustomization", "top", "layers/top/sub/all.yaml, line 4: not YAML", STAYS)),
    ("a file that is not there", tree_of(layer("top", "False", "BuildFailed", ABSENT)),
     ("Kustomization", "top", "nowhere.yaml: there is no such file", STAYS)),
    ("a fault of a commit that is not the newest any more",
     tree_of(layer("top", "False", "BuildFailed", DECODE, attempted=OLD)), ("Kustomization", "top", "not YAML", inf)),
    ("a path that is not there",
     tree_of(layer("top", "False", "ArtifactFailed",
                   "kustomization path not found: stat /tmp/kustomization-3/layers/x: no such file or directory")),
     ("Kustomization", "top", "layers/x: there is no such file", STAYS)),
    ("a kind that nobody knows, which may be a race",
     tree_of(layer("top", "False", "ReconciliationFailed", 'Thing/a/x dry-run failed: no matches for kind "Thing"')),
     ("Kustomization", "top", 'no matches for kind "Thing"', RACE)),
    ("a webhook that says no", tree_of(layer("top", "False", "ReconciliationFailed", f"Pod/a/x: {DENIED}")),
     ("Kustomization", "top", "denied the request: no privileged pods", STAYS)),
    ("a webhook that does not serve yet",
     tree_of(layer("top", "False", "ReconciliationFailed", 'failed calling webhook "x": connection refused')),
     ("Kustomization", "top", "failed calling webhook", inf)),
    ("a webhook that the API server can't reach",
     tree_of(layer("top", "False", "ReconciliationFailed",
                   'ConfigMap/a/x dry-run: failed calling webhook "x": Post "https://a.b.svc:443": i/o timeout')),
     ("Kustomization", "top", "can't reach the webhook x (Service b/a, port 443)", GRACE)),
    ("an image that can not be pulled",
     tree_of(health(), deployment("web", ready=False),
             pod("web-1", app="web", containerStatuses=[waiting("ImagePullBackOff", "nowhere/x:1")])),
     ("Pod", "web-1", "ImagePullBackOff", STAYS)),
    ("a crash loop",
     tree_of(health(), deployment("web", ready=False), pod("web-1", app="web", containerStatuses=[restarting()])),
     ("Pod", "web-1", "CrashLoopBackOff", STAYS)),
    ("one restart, which is usual",
     tree_of(health(), deployment("web", ready=False), pod("web-1", app="web", containerStatuses=[ended(3)])),
     ("Pod", "web-1", "ended with code 3 (Error)", inf)),
    ("a probe that fails, by its last event",
     tree_of(health(), deployment("web", ready=False), pod("web-1", app="web", containerStatuses=[running()]),
             event("Pod/web-1", "Unhealthy", "Startup probe failed", "2026-01-01T00:00:01Z"),
             event("Pod/web-1", "Unhealthy", "Readiness probe failed: 503", "2026-01-01T00:00:02Z")),
     ("Pod", "web-1", "Unhealthy: Readiness probe failed: 503", inf)),
    ("a pod that no node takes",
     tree_of(health(), deployment("web", ready=False), pod("web-1", app="web", **UNSCHEDULED)),
     ("Pod", "web-1", "can not be scheduled: 0/1 nodes: Insufficient memory", inf)),
    ("a volume that can not be mounted",
     tree_of(health(), deployment("web", ready=False),
             pod("web-1", app="web", containerStatuses=[waiting("ContainerCreating")]),
             event("Pod/web-1", "FailedMount", 'secret "orthanc-tls" not found')),
     ("Pod", "web-1", 'FailedMount: secret "orthanc-tls" not found', inf)),
    ("a quota that is used up", tree_of(health(), deployment("web", ready=False, ReplicaFailure=QUOTA)),
     ("Deployment", "web", "exceeded quota", STAYS)),
    ("of two pods the one that can not start",
     tree_of(health(), deployment("web", ready=False), pod("web-1", app="web"),
             pod("web-2", app="web", containerStatuses=[waiting("InvalidImageName")])),
     ("Pod", "web-2", "InvalidImageName", STAYS)),
    ("a pod on its way out explains nothing",
     tree_of(health(), deployment("web", ready=False),
             {**pod("web-1", app="web", containerStatuses=[waiting("ImagePullBackOff")]),
              "metadata": {"name": "web-1", "namespace": "app", "labels": {"app": "web"}, "deletionTimestamp": "x"}}),
     ("Deployment", "web", "0 of 1 pods", inf)),
    ("a job that failed, with its pod",
     tree_of(health(inventory=["app_init_batch_Job"]),
             job(conditions=[{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]),
             pod("init-1", labels={"job-name": "init"}, containerStatuses=[waiting("ImagePullBackOff")])),
     ("Pod", "init-1", "ImagePullBackOff", STAYS)),
    ("a job that failed, its pods gone",
     tree_of(health(inventory=["app_init_batch_Job"]),
             job(conditions=[{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}])),
     ("Job", "init", "BackoffLimitExceeded", STAYS)),
    ("a dependency that failed, and its own reason",
     tree_of(layer("first", "False", "BuildFailed", DECODE),
             layer("second", "False", "DependencyNotReady", needs=["first"]),
             layer("top", "False", "DependencyNotReady", "dependency 'second' is not ready", needs=["second"])),
     ("Kustomization", "first", "not YAML", STAYS)),
    ("a dependency that does not exist",
     tree_of(layer("top", "False", "DependencyNotReady", "dependency 'nobody' not found", needs=["nobody"])),
     ("Kustomization", "nobody", "does not exist", inf)),
    ("a dependency with an older commit",
     tree_of(layer("first", applied=OLD), layer("top", "False", "DependencyNotReady", needs=["first"])),
     ("Kustomization", "first", "main@sha1:bbbbbbbb is not applied yet", inf)),
    ("a dependency that a person has suspended",
     tree_of(layer("first", "False", "BuildFailed", DECODE, suspend=True),
             layer("top", "False", "DependencyNotReady", needs=["first"])),
     ("Kustomization", "first", "suspended", STAYS)),
    ("two that need each other",
     tree_of(layer("other", "False", "DependencyNotReady", needs=["top"]),
             layer("top", "False", "DependencyNotReady", needs=["other"])),
     ("Kustomization", "other", "waits for Kustomization flux-system/top", inf)),
    ("a chart that is not there",
     tree_of(health(inventory=[f"{SYSTEM}_mesh_helm.toolkit.fluxcd.io_HelmRelease"]),
             release("mesh", "False", "SourceNotReady", "HelmChart is not ready", chart="HelmChart"),
             chart(f"{SYSTEM}-mesh", "False", "InvalidChartReference", NO_CHART, kind="HelmChart"),
             chart("charts", kind="HelmRepository")),
     ("HelmChart", f"{SYSTEM}-mesh", "no chart version found", RACE / 2)),
    ("an archive of a chart that is refused",
     tree_of(release("top", "False", "SourceNotReady", "not ready"),
             chart("top", "False", "OCIArtifactPullFailed", "MANIFEST_UNKNOWN: manifest unknown")),
     ("OCIRepository", "top", "MANIFEST_UNKNOWN", STAYS)),
    ("a release whose pods do not start",
     tree_of(release("top", "Unknown", "Progressing", "Running 'install' action with timeout of 5m"), chart("top"),
             deployment("web", ready=False, owner="top"),
             pod("web-1", app="web", containerStatuses=[waiting("ImagePullBackOff")])),
     ("Pod", "web-1", "ImagePullBackOff", STAYS)),
    ("a release that has stopped trying, its pods gone",
     tree_of(stalled(release("top", "False", "InstallFailed", "timeout waiting for: [Deployment/app/web status: 'x']"),
                     "Failed to install after 2 attempt(s)"), chart("top"),
             event("Pod/web-77", "Unhealthy", "Readiness probe failed: 500"),
             event("Pod/other-1", "Unhealthy", "of another release", "2027-01-01T00:00:00Z")),
     ("HelmRelease", "top", "before that, Pod web-77: Unhealthy: Readiness probe failed: 500", STAYS)),
    ("a template that fails, which another attempt will not heal",
     tree_of(release("top", "False", "InstallFailed", "execution error at (x.yaml:1:3): no such value"), chart("top")),
     ("HelmRelease", "top", "execution error at", STAYS)),
    ("a release that is tried again",
     tree_of(release("top", "False", "UpgradeFailed", "context deadline exceeded"), chart("top")),
     ("HelmRelease", "top", "context deadline exceeded", inf)),
    ("a database that is set up",
     tree_of(health(inventory=["app_postgres_postgresql.cnpg.io_Cluster"]), cluster("Setting up primary")),
     ("Cluster", "postgres", "Setting up primary: instance 1 is not up", inf)),
    ("a database whose pod does not start",
     tree_of(health(inventory=["app_postgres_postgresql.cnpg.io_Cluster"]), cluster("Setting up primary"),
             pod("postgres-1-initdb", labels={"cnpg.io/cluster": "postgres"},
                 containerStatuses=[waiting("ImagePullBackOff")])),
     ("Pod", "postgres-1-initdb", "ImagePullBackOff", STAYS)),
    ("a database that hibernates",
     tree_of(health(inventory=["app_postgres_postgresql.cnpg.io_Cluster"]),
             cluster("x", **{"cnpg.io/hibernation": "on"})),
     ("Cluster", "postgres", "hibernates", 2 * RACE)),
    ("a certificate that is not issued, by its request",
     tree_of(health(inventory=["app_tls_cert-manager.io_Certificate"]), certificate(),
             request('Referenced "Issuer" not found: issuer "ca" not found')),
     ("CertificateRequest", "tls-1", 'issuer "ca" not found', inf)),
    ("a certificate whose issuer is not ready",
     tree_of(health(inventory=["app_tls_cert-manager.io_Certificate"]), certificate(), request("waiting"),
             told(made("Issuer", "ca", "app"), "False", "ErrGetKeyPair", 'secret "orthanc-ca" not found')),
     ("Issuer", "ca", 'secret "orthanc-ca" not found', inf)),
    ("a thing that is being deleted",
     tree_of({**layer("top"), "metadata": {"name": "top", "namespace": SYSTEM, "deletionTimestamp": "x"}}),
     ("Kustomization", "top", "is being deleted", inf)),
    ("nobody has looked at it yet",
     tree_of({**layer("top"), "status": {"observedGeneration": -1}}),
     ("Kustomization", "top", "has not looked at it yet", inf)),
]  # fmt: skip


def why(objects: list[Object], name: str = "top") -> Cause | None:
    world = Objects(objects)
    ref = next(ref for ref in world.of("Kustomization", "HelmRelease") if ref.name == name)
    return Causes(world).why(ref)


@pytest.mark.parametrize(("objects", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_deepest_cause(objects: list[Object], wanted: tuple[str, str, str, float]) -> None:
    kind, name, text, patience = wanted
    found = why(objects)
    assert found
    assert (found.ref.kind, found.ref.name) == (kind, name)
    assert text in found.message
    assert found.patience == patience
    assert found.chain[-1] == found.ref
    assert found.hint


def test_a_chart_leads_to_its_repository() -> None:
    of = {"sourceRef": {"kind": "HelmRepository", "name": "charts"}}
    there = {**chart(f"{SYSTEM}-top", "False", "NoSourceArtifact", "no artifact", kind="HelmChart"), "spec": of}
    away = chart("charts", "False", "Failed", "dial tcp: connection refused", kind="HelmRepository")
    found = why([release("top", "False", "SourceNotReady", "no artifact", chart="HelmChart"), there, away])
    assert found
    assert [str(ref) for ref in found.chain] == [
        f"HelmRelease {SYSTEM}/top",
        f"HelmChart {SYSTEM}/{SYSTEM}-top",
        f"HelmRepository {SYSTEM}/charts",
    ]


READY_CASES = [
    ("all is applied and well", [git(), layer("top", inventory=BELOW), deployment("web")]),
    ("a source that fails now, and worked before", [git(NEW, ready="False", message="refused"), layer("top")]),
    ("a suspended one below",
     [git(), layer("top"), layer("below", "False", "BuildFailed", "x", of="top", suspend=True)]),
    ("an OCI repository of charts has no status",
     [{**made("HelmRepository", "charts"), "spec": {"type": "oci"}, "status": {}}, git(), layer("top")]),
    ("a release with an older failure in its events",
     [release("top"), chart("top"), deployment("web", owner="top"), event("Pod/web-0", "Unhealthy", "once")]),
]  # fmt: skip


@pytest.mark.parametrize("objects", [case[1] for case in READY_CASES], ids=[case[0] for case in READY_CASES])
def test_nothing_is_wrong(objects: list[Object]) -> None:
    assert why(objects) is None


def test_ready_is_not_enough_when_something_below_is_not() -> None:
    found = why([git(), layer("top", inventory=BELOW), deployment("web", ready=False)])
    assert found
    assert found.ref == Ref("Deployment", "app", "web")


def test_a_certificate_that_is_ready_needs_no_ready_request() -> None:
    fine = told(made("Certificate", "tls", "app"), "True")
    objects = [git(), layer("top", inventory=["app_tls_cert-manager.io_Certificate"]), fine, request("an old one")]
    assert why(objects) is None


MESSAGES = [
    ("stat /tmp/x/helmchart-flux-system-a-b-65/source/charts/nowhere: gone", "stat charts/nowhere: gone"),
    ("a\n  b", "a b"),
    ("failed on https://host/path/kustomization-name: x", "failed on https://host/path/kustomization-name: x"),
]


@pytest.mark.parametrize(("message", "wanted"), MESSAGES)
def test_messages_lose_what_only_the_controller_knows(message: str, wanted: str) -> None:
    assert clean(message) == wanted


def test_a_fault_in_the_base_of_an_overlay_is_told_with_the_bases_path() -> None:
    work = "/tmp/kustomization-3352947214/tenants/bhc/application"
    text = (
        "kustomize build failed: accumulating resources: accumulation err='accumulating resources from "
        f"'../../../../../tenants/bhc/application': read {work}: is a directory': recursed accumulation of path "
        f"'{work}': accumulating resources: accumulating resources from 'orthanc.yaml': MalformedYAMLError: yaml: "
        "line 6: mapping values are not allowed in this context in File: orthanc.yaml"
    )
    told = build_fault(text, "clusters/lab/tenants/bhc/application")
    assert told.startswith("tenants/bhc/application/orthanc.yaml, line 6: not YAML: mapping values")


def test_a_message_about_no_file_is_no_build_fault() -> None:
    assert build_fault("Deployment/a/x dry-run failed: forbidden") == ""
