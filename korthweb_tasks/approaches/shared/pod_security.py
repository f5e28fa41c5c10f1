"""What a cluster says to our pods beforehand: Pod Security, OpenShift's constraints, policies of others. Pure.

A namespace that korthweb makes carries the level of Pod Security that its pods need, whatever the cluster's default is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.checks import Check, Verdict
from korthweb_tasks.core.command import Result
from korthweb_tasks.core.render import parse
from korthweb_tasks.errors import last_line
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

OPENSHIFT = "security.openshift.io"
#: what the API server answers where a policy, and not a missing right or a quota, keeps a pod out
_BY_POLICY = (
    "violates PodSecurity",
    "unable to validate against any security context constraint",
    "denied the request",
)


def questions(settings: Settings, kubectl: Kubectl, tenants: Iterable[Tenant]) -> list[Check]:
    """Return the questions whether the cluster takes pods like ours."""
    groups = kubectl.command("get", "--raw", "/apis", repeatable=True)
    return [
        Check("User ids", groups, lambda result: user_ids(result, fixed=settings.security.fixed_uids)),
        *(_tried(settings, kubectl, tenant.namespace) for tenant in tenants),
    ]


def user_ids(result: Result, *, fixed: bool) -> tuple[Verdict, str]:
    """Read which groups of APIs there are: OpenShift chooses user ids itself."""
    if result.code != 0:
        return "broken", last_line(result.stderr)
    groups = {group["name"] for group in json.loads(result.stdout or "{}").get("groups", ())}
    if OPENSHIFT not in groups:
        return "ok", "fixed" if fixed else "chosen by the images, for the settings say none (security.fixed_uids)"
    if not fixed:
        return "ok", "chosen by OpenShift"
    return "broken", "OpenShift (restricted-v2) refuses fixed user ids; security: {fixed_uids: false} leaves them out"


def taken(result: Result) -> tuple[Verdict, str]:
    """Read whether the server would take the pod, which was not made."""
    if result.code == 0:
        return "ok", "taken"
    if "NotFound" in result.stderr and "namespaces" in result.stderr:
        return "ok", "the namespace is not there yet; it will carry the level of Pod Security that its pods need"
    refused = last_line(result.stderr)
    return ("broken" if any(words in result.stderr for words in _BY_POLICY) else "note"), refused


def example(settings: Settings, namespace: str) -> dict[str, Any]:
    """Return a pod that is held to what Orthanc's is held to."""
    path = artifacts_dir("helm") / "orthanc" / "files" / "security.yaml"
    ids = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000} if settings.security.fixed_uids else {}
    container = {
        "name": "orthanc",
        "image": settings.images.mirrored(settings.images.orthanc),
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        "securityContext": parse(path.read_text(encoding="utf-8"), path.name)[0],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "korthweb-check", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **ids},
            "containers": [container],
        },
    }


def _tried(settings: Settings, kubectl: Kubectl, namespace: str) -> Check:
    words = ("create", "--dry-run=server", "--output=name", "--filename=-")
    pod = json.dumps(example(settings, namespace))
    final = ("NotFound", "Forbidden", "forbidden")
    return Check(f"A pod in {namespace}", kubectl.command(*words, stdin=pod, repeatable=True, final=final), taken)
