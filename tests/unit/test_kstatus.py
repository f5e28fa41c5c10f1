"""The rules of kstatus, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from korthweb_tasks.core.kstatus import pod_fault, status
from korthweb_tasks.core.plan import Ready


def deployment(spec: int = 3, **seen: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": spec},
        "status": {"observedGeneration": 2, **seen},
    }


def conditioned(kind: str, type_: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {},
        "spec": {},
        "status": {"conditions": [{"type": type_, "status": value, **more}]},
    }


def claim(phase: str) -> dict[str, Any]:
    return {"kind": "PersistentVolumeClaim", "metadata": {}, "status": {"phase": phase}}


FULL = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
CASES = [
    ("all pods available", deployment(**FULL), "current"),
    ("one is missing", deployment(**{**FULL, "availableReplicas": 2}), "progress"),
    ("an old pod is still there", deployment(**{**FULL, "replicas": 4}), "progress"),
    ("none of the new kind", deployment(replicas=3, availableReplicas=3), "progress"),
    ("zero asked for", deployment(0), "current"),
    ("not looked at yet", {**deployment(), "status": {}}, "progress"),
    ("an older generation seen", {**deployment(**FULL), "metadata": {"generation": 3}}, "progress"),
    ("being deleted", {**deployment(**FULL), "metadata": {"generation": 2, "deletionTimestamp": "x"}}, "progress"),
    (
        "deadline exceeded",
        deployment(conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]),
        "failed",
    ),
    (
        "denied by a webhook",
        deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "denied"}]),
        "failed",
    ),
    ("a job that failed", conditioned("Job", "Failed", "True"), "failed"),
    ("a job that is done", conditioned("Job", "Complete", "True"), "current"),
    ("a job that runs", {"kind": "Job", "metadata": {}, "spec": {}, "status": {"active": 1}}, "progress"),
    ("a certificate nobody looked at", {"kind": "Certificate", "metadata": {}, "spec": {}}, "progress"),
    ("a certificate that is ready", conditioned("Certificate", "Ready", "True"), "current"),
    ("a certificate that is not", conditioned("Certificate", "Ready", "False"), "progress"),
    ("something stalled", conditioned("Kustomization", "Stalled", "True"), "failed"),
    ("a CRD that is served", conditioned("CustomResourceDefinition", "Established", "True"), "current"),
    ("a CRD whose names clash", conditioned("CustomResourceDefinition", "NamesAccepted", "False"), "failed"),
    ("an address is given", {"kind": "Service", "metadata": {}, "spec": {"type": "LoadBalancer"},
                             "status": {"loadBalancer": {"ingress": [{"ip": "198.18.0.9"}]}}}, "current"),
    ("no address yet", {"kind": "Service", "metadata": {}, "spec": {"type": "LoadBalancer"}}, "progress"),
    ("a claim that waits", claim("Pending"), "progress"),
    ("a claim that has its volume", claim("Bound"), "current"),
    ("a claim whose volume is lost", claim("Lost"), "failed"),
    ("a daemon set without a node seen", {"kind": "DaemonSet", "metadata": {}, "spec": {}, "status": {}}, "progress"),
    ("a config map", {"kind": "ConfigMap", "metadata": {}}, "current"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "state"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_status(obj: dict[str, Any], state: str) -> None:
    assert status(obj).state == state


@pytest.mark.parametrize(
    ("waiting", "restarts", "fatal"),
    [
        ({"reason": "ImagePullBackOff"}, 0, True),
        ({"reason": "ErrImageNeverPull"}, 0, True),
        ({"reason": "CreateContainerConfigError"}, 0, True),
        ({"reason": "ContainerCreating"}, 0, False),
        ({"reason": "CrashLoopBackOff"}, 1, False),
        ({"reason": "CrashLoopBackOff"}, 3, True),
    ],
)
def test_a_pod_that_can_not_start_is_told_from_one_that_has_not_yet(
    waiting: dict[str, str], restarts: int, fatal: bool
) -> None:
    container = {"name": "c", "restartCount": restarts, "state": {"waiting": waiting}}
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [container]}}
    assert bool(pod_fault(pod)) is fatal


@pytest.mark.parametrize(("asked", "state"), [(1, "progress"), (2, "progress"), (3, "current"), (4, "current")])
def test_pods_that_the_autoscaler_has_not_asked_for_yet_are_waited_for(asked: int, state: str) -> None:
    obj = deployment(asked, updatedReplicas=asked, availableReplicas=asked, replicas=asked)
    assert status(obj).state == "current"
    assert Ready("deployment", "orthanc", "bhc-orthweb", pods=3).status(obj).state == state
