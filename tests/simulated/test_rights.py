"""The least rights against a real API server with RBAC on: tasks run under the account, whose questions it logs.

Pods are played by kwok; certificates are said to be ready by the test, and Istio and cert-manager are somebody else's.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.core.rights import Right
from korthweb_tasks.lab import store
from tests.applied import Kubectl

ROOT = Path(__file__).parents[2]
SETTINGS = """\
tenants: [{name: RAD, domain: rad.orthweb.com}]
components: {istio: use, cert-manager: use, traefik: use}
observability: {prometheus: false, kiali: false, grafana: false, jaeger: false}
images: {istio_hub: x}
"""


def webhook(name: str, group: str, kind: str, service: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return what a component has; nobody answers for it here."""
    place, _, called = service.partition("/")
    hook = {
        "name": name,
        "clientConfig": {"service": {"name": called, "namespace": place, "path": "/"}},
        "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [kind]}],
        "namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
    }
    meta = {"name": f"{called}-hook", "labels": labels}
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**api, "metadata": meta, "webhooks": [hook]}


INJECTING = {"app": "sidecar-injector", "istio.io/rev": "default"}
#: somebody else's mesh and issuer
THERE = [
    webhook("namespace.sidecar-injector.istio.io", "", "pods", "istio-system/istiod", INJECTING),
    webhook("webhook.cert-manager.io", "cert-manager.io", "orders", "cert-manager/cert-manager", {}),
]


def workload(name: str, namespace: str, image: str, label: str) -> dict[str, Any]:
    labels = {label: name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }


@dataclass
class Site:
    """A project beside the cluster, the administrator's kubectl, and the API server's log of the accounts."""

    folder: Path
    kubectl: Kubectl
    log: Path
    seen: int = 0

    def run(self, *words: str, code: int = 0, kubeconfig: str = "") -> str:
        """Run a task; return what it prints, on both of its outputs."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": kubeconfig or str(self.kubectl.target.kubeconfig)}
        argv = [sys.executable, "-m", "korthweb_tasks.main", *words]
        done = subprocess.run(argv, cwd=self.folder, env=env, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def fails(self, name: str, *words: str) -> bool:
        """Run a task under an account; return True if it does not end as it should."""
        try:
            self.as_account(name, *words)
        except AssertionError:
            return True
        return False

    def account(self, *words: str) -> str:
        """Make an account as the administrator."""
        return self.run("context.ci-account", *words, "--context", self.kubectl.target.context, "--yes")

    def as_account(self, name: str, *words: str, code: int = 0) -> str:
        """Run a task under an account."""
        file = self.folder / f"korthweb-{name}.kubeconfig"
        context = yaml.safe_load(file.read_text())["current-context"]
        return self.run(*words, "--context", context, code=code, kubeconfig=str(file))

    def asked(self) -> Iterator[tuple[Right, int]]:
        """Yield what accounts have asked since the last call, and how it was answered."""
        lines = self.log.read_text().splitlines()
        new, self.seen = lines[self.seen :], len(lines)
        for event in map(json.loads, new):
            if ref := event.get("objectRef"):
                yield right_of(event["verb"], ref), int(event["responseStatus"].get("code", 0))


def right_of(verb: str, ref: dict[str, str]) -> Right:
    kind = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
    place = "" if kind == "namespaces" else ref.get("namespace", "")
    return Right(verb, ref.get("apiGroup", ""), kind, place, ref.get("name", ""))


@pytest.fixture(scope="module")
def site(with_kinds: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "korthweb.yaml").write_text(SETTINGS)
    context = with_kinds.target.context
    lab = store.load(context.removeprefix("korthweb-"))
    assert lab
    with_kinds.apply(
        [
            workload("istiod", "istio-system", "x/pilot:1.31.1", "app"),
            *THERE,
            workload("cert-manager", "cert-manager", "x/cert-manager-controller:v1.17.0", "app.kubernetes.io/name"),
        ]
    )
    over = threading.Event()
    issuer = threading.Thread(target=issue, args=(with_kinds, over))
    issuer.start()
    try:
        yield Site(folder, with_kinds, lab.layout.logs / "audit.log")
    finally:
        over.set()
        issuer.join()


def issue(kubectl: Kubectl, over: threading.Event) -> None:
    """Be cert-manager: every certificate is ready, without being one."""
    ready = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    while not over.wait(0.5):
        for name in kubectl("get", "certificates", "--namespace=rad-orthweb", "--output=name").split():
            words = ("patch", name, "--namespace=rad-orthweb", "--subresource=status", "--type=merge")
            with suppress(AssertionError):  # it was removed since
                kubectl(*words, f"--patch={ready}")


#: what a tenant's operator types, and what it ends with
TASKS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("manual.deploy", "--yes"), 0),
    (("manual.diff",), 0),
    (("manual.status",), 0),
    (("manual.credentials",), 0),
    (("manual.destroy", "--yes"), 0),
)
#: what every login may ask by Kubernetes' own system:basic-user
FREE = "selfsubjectaccessreviews"
#: asked of a rule only where something fails, takes long or is verified from outside, of which kwok plays nothing
RARELY = {"events", "pods/log", "pods/portforward", "deployments/scale"}
OPERATOR = "korthweb-tenant-operator-rad"


def roles_of(site: Site, name: str) -> list[dict[str, Any]]:
    found = [
        obj
        for kind in ("clusterroles", "roles")
        for obj in json.loads(site.kubectl("get", kind, "--all-namespaces", "--output=json"))["items"]
        if obj["metadata"]["name"] == name
    ]
    for obj in found:
        for key in ("resourceVersion", "uid", "managedFields", "creationTimestamp"):
            obj["metadata"].pop(key, None)
    return found


def granted(site: Site, name: str) -> list[Right]:
    return [
        Right(verb, group, kind, obj["metadata"].get("namespace", ""), called)
        for obj in roles_of(site, name)
        for rule in obj["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
        for called in rule.get("resourceNames") or ("",)
    ]


def test_a_tenants_operator_does_what_tasks_do_and_asks_for_no_more(site: Site) -> None:
    site.account("--tenant", "RAD")
    file = site.folder / f"{OPERATOR}.kubeconfig"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before, token = file.read_text(), yaml.safe_load(file.read_text())["users"][0]["user"]["token"]
    again = site.account("--tenant", "RAD")
    assert "done" not in again.partition(" steps:")[0].partition("RAD")[2] or "0 done" in again
    assert file.read_text() == before, "the token is good for most of its time"
    assert token not in again
    for words, code in (TASKS[0], *TASKS):
        said = site.as_account("tenant-operator-rad", *words, "--tenant", "RAD", code=code)
    assert "removed" in said
    have, asked = granted(site, OPERATOR), set(site.asked())
    assert len(asked) > 100, "the log is the account's"
    assert {str(right) for right, code in asked if code == 403} == set()
    beyond = {right for right, _ in asked if not any(one.covers(right) for one in have) and right.resource != FREE}
    assert beyond == set()


def test_the_account_gives_itself_no_more_and_reaches_nobody_else(site: Site) -> None:
    site.account("--tenant", "RAD")
    site.kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other-orthweb"}}])
    account = f"--as=system:serviceaccount:korthweb-ci:{OPERATOR}"
    own = roles_of(site, OPERATOR)
    for obj in own:
        obj["rules"] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    assert site.kubectl.apply(own, account, fails=True).count("orbidden") >= len(own)
    ingress = {**own[1], "metadata": {"name": "ingress", "namespace": "rad-orthweb"}}  # one that it may write
    assert "attempting to grant RBAC permissions not currently held" in site.kubectl.apply(
        [ingress], account, fails=True
    )
    for words in (
        ("create", "serviceaccounts/token", "--namespace=korthweb-ci"),
        ("impersonate", "users"),
        ("create", "namespaces"),
        ("list", "secrets", "--all-namespaces"),
        ("get", "secrets", "--namespace=other-orthweb"),
        ("patch", "validatingadmissionpolicies"),
    ):
        assert site.kubectl("auth", "can-i", *words, account, fails=True) is not None


#: a right that is taken away -> the task that misses it, with the right's name
TAKEN = {
    "create leases": ("manual.deploy", "--yes"),
    "list secrets": ("manual.deploy", "--yes"),
    "list customresourcedefinitions": ("manual.deploy", "--yes"),
}


@pytest.mark.parametrize("taken", TAKEN)
def test_a_right_taken_away_is_missed_by_name(site: Site, taken: str) -> None:
    verb, kind = taken.split()
    site.account("--tenant", "RAD")
    for role in roles_of(site, OPERATOR):
        for rule in role["rules"]:
            if kind in rule["resources"]:
                rule["verbs"] = [one for one in rule["verbs"] if one != verb] or ["none"]
        site.kubectl("replace", "--field-manager=kubectl-edit", "--filename=-", text=json.dumps(role))
    said = site.as_account(
        "tenant-operator-rad", *TAKEN[taken], "--tenant", "RAD", code=7 if verb != "list" or kind == "secrets" else 5
    )
    assert f"{verb} {kind}" in said or f'cannot {verb} resource "{kind}"' in said
    list(site.asked())
    assert "Its rights" in site.account("--tenant", "RAD")  # given back


@pytest.mark.long
def test_each_rule_taken_away_turns_something_red(site: Site) -> None:
    site.account("--tenant", "RAD")
    silent = []
    for role in roles_of(site, OPERATOR):
        for rule in role["rules"]:
            cut = {**role, "rules": [one for one in role["rules"] if one is not rule]}
            site.kubectl("replace", "--field-manager=kubectl-edit", "--filename=-", text=json.dumps(cut))
            if not any(site.fails("tenant-operator-rad", *words, "--tenant", "RAD") for words, _ in TASKS):
                silent.append(rule)
            site.kubectl("replace", "--field-manager=kubectl-edit", "--filename=-", text=json.dumps(role))
    asked = [rule for rule in silent if not RARELY & set(rule["resources"])]
    print(*silent, sep="\n")
    assert [rule for rule in asked if rule["verbs"] not in (["watch"], ["list", "watch"])] == []


def test_read_only_looks_and_changes_nothing(site: Site) -> None:
    site.account("--read-only", "--tenant", "RAD")
    site.account("--tenant", "RAD")
    list(site.asked())
    site.as_account("read-only-rad", "manual.diff", "--tenant", "RAD", code=9)
    site.as_account("tenant-operator-rad", "manual.deploy", "--yes", "--tenant", "RAD")
    for words in (("manual.diff",), ("manual.status",)):
        site.as_account("read-only-rad", *words, "--tenant", "RAD")
    assert {str(right) for right, code in site.asked() if code == 403} == set()
    said = site.as_account("read-only-rad", "manual.deploy", "--yes", "--tenant", "RAD", code=7)
    assert "this login has no right to get leases.coordination.k8s.io in kube-system" in said
    assert "--role tenant-operator` prints what tasks need" in said
    account = "--as=system:serviceaccount:korthweb-ci:korthweb-read-only-rad"
    live = json.loads(site.kubectl("get", "configmap", "orthanc-app", "--namespace=rad-orthweb", "--output=json"))
    live["data"], live["metadata"] = {"more": "text"}, {"name": "orthanc-app", "namespace": "rad-orthweb"}
    site.kubectl.apply([live], account, "--dry-run=server")
    assert "may only try it, in a dry run" in site.kubectl.apply([live], account, fails=True)
    site.as_account("tenant-operator-rad", "manual.destroy", "--yes", "--tenant", "RAD")


def test_the_way_back(site: Site) -> None:
    site.account("--read-only", "--tenant", "RAD")
    site.run(
        "context.ci-account",
        "--read-only",
        "--tenant",
        "RAD",
        "--remove",
        "--context",
        site.kubectl.target.context,
        "--yes",
    )
    assert roles_of(site, "korthweb-read-only-rad") == []
    assert "korthweb-read-only-rad" not in site.kubectl("get", "serviceaccounts", "--namespace=korthweb-ci")
    assert "korthweb-read-only-rad" not in site.kubectl("get", "validatingadmissionpolicies")
