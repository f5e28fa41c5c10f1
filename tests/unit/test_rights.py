"""The least rights: what commands need, what steps of a plan need for each role, and the roles that grant them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.shared.policies import policies_step, policy_objects
from korthweb_tasks.approaches.shared.rights import as_role, plan_rights
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Gone, Plan, Ready, Step
from korthweb_tasks.core.rights import Right, Subject, least, only_tried, roles, rules
from korthweb_tasks.main import program
from korthweb_tasks.tools.command_rights import command_rights, condition_rights, object_rights
from korthweb_tasks.tools.helm import Helm
from korthweb_tasks.tools.kubectl import Kubectl

KUBECTL = Kubectl(Cluster("any"))
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "bhc"}}
SETTINGS = """\
components: {istio: use, cert-manager: use, traefik: use}
observability: {prometheus: false, kiali: false, grafana: false, jaeger: false}
gitops: {url: "https://git.example/fleet.git"}
"""

#: what is run -> what it needs
COMMANDS: dict[str, tuple[Command, set[str]]] = {
    "one": (KUBECTL.get("secret", "ca", namespace="bhc"), {"get secrets/ca in bhc"}),
    "all": (KUBECTL.get("namespace"), {"list namespaces"}),
    "everywhere": (KUBECTL.get("clusters.postgresql.cnpg.io", namespace="*"), {"list clusters.postgresql.cnpg.io"}),
    "watch": (
        KUBECTL.watch("deployment", "orthanc", namespace="bhc"),
        {"list deployments.apps/orthanc in bhc", "watch deployments.apps/orthanc in bhc"},
    ),
    "apply": (KUBECTL.apply([MAP]), {f"{verb} configmaps/app in bhc" for verb in ("get", "patch", "create")}),
    "create": (KUBECTL.create([MAP]), {"create configmaps in bhc"}),
    "logs": (KUBECTL.command("logs", "--selector=app=x", namespace="b"), {"list pods in b", "get pods/log in b"}),
    "raw": (KUBECTL.command("get", "--raw", "/api/v1/namespaces/kube-system"), {"get namespaces/kube-system"}),
    "annotate": (
        KUBECTL.command("annotate", "secret/x", "a.b/c=d", namespace="b"),
        {"get secrets/x in b", "patch secrets/x in b"},
    ),
    "helm": (Helm(Cluster("any")).list("orthanc", namespace="bhc"), {"list secrets in bhc"}),
    "no cluster": (Command(argv=("helm", "show", "chart", "x")), set()),
    "of every login": (KUBECTL.command("version"), set()),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_needs(case: str) -> None:
    command, wanted = COMMANDS[case]
    assert {str(right) for right in command_rights(command)} == wanted


@pytest.mark.parametrize("words", [("get", "gizmo"), ("debug", "pod/x"), ("get", "--raw", "/metrics")])
def test_nobody_is_given_rights_by_a_guess(words: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        command_rights(KUBECTL.command(*words, namespace="bhc"))


def test_a_wait_for_a_workload_looks_at_its_pods() -> None:
    found = {str(right) for right in condition_rights(KUBECTL, Ready("deployment", "orthanc", "bhc"))}
    assert {"watch pods in bhc", "list pods in bhc", "watch deployments.apps/orthanc in bhc"} < found
    assert "watch secrets/x in bhc" in {str(r) for r in condition_rights(KUBECTL, Gone("secret", "x", "bhc"))}


def test_who_writes_a_role_has_what_it_grants_and_binds_nothing_else() -> None:
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "b"},
    }
    role["rules"] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    bound = {**role, "kind": "RoleBinding", "roleRef": {"kind": "Role", "name": "r"}}
    found = {str(right) for right in object_rights(("create",), [role, bound])}
    assert "get pods in b" in found
    assert not any(text.startswith("bind") for text in found)
    foreign = {**bound, "roleRef": {"kind": "ClusterRole", "name": "admin"}}
    assert "bind clusterroles.rbac.authorization.k8s.io/admin in b" in {
        str(right) for right in object_rights(("create",), [foreign])
    }


def test_what_another_right_covers_is_left_out() -> None:
    every, one = Right("get", "", "pods", "b"), Right("get", "", "pods", "b", "x")
    assert least([every, one]) == {every}
    tried = Right("patch", "", "pods", "b", "x", tried=True)
    assert least([tried, Right("patch", "", "pods", "b", "x")]) == {Right("patch", "", "pods", "b", "x")}


def test_only_a_dry_run_is_tried() -> None:
    (policy, binding) = only_tried("p", [Right("patch", "", "pods", "b", tried=True)], Subject("ci", "home"), {})
    assert policy["spec"]["matchConditions"][0]["expression"].endswith("'system:serviceaccount:home:ci'")
    assert policy["spec"]["validations"][0]["expression"] == "(has(request.dryRun) && request.dryRun)"
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert not only_tried("p", [Right("patch", "", "pods", "b")], Subject("ci", "home"), {})


def _step(tenant: str = "") -> Step:
    return Step(kind="k", title="t", tenant=tenant, probes=(KUBECTL.applied([MAP]),), actions=(KUBECTL.apply([MAP]),))


#: role, whose the step is -> the verbs in earnest, and those that are tried alone
ROLES: dict[tuple[str, str], tuple[set[str], set[str]]] = {
    ("tenant-operator", "BHC"): ({"get", "patch", "create"}, set()),
    ("tenant-operator", ""): ({"get"}, {"patch", "create"}),
    ("platform", ""): ({"get", "patch", "create"}, set()),
    ("platform", "BHC"): ({"get"}, {"patch", "create"}),
    ("read-only", "BHC"): ({"get"}, {"patch", "create"}),
}


@pytest.mark.parametrize(("role", "tenant"), ROLES)
def test_a_step_needs_for_a_role(role: str, tenant: str) -> None:
    found = as_role(plan_rights(Plan("p", (_step(tenant),)), KUBECTL, role), role)
    earnest, tried = ({right.verb for right in found if right.tried is dry} for dry in (False, True))
    assert (earnest, tried) == ROLES[role, tenant]


def _rendered(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    Path("korthweb.yaml").write_text(SETTINGS)
    program.run(["korthweb", "rbac.render", *words, "--output", "json"], exit=False)
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("approach", ["manual", "gitops"])
@pytest.mark.parametrize("role", ["tenant-operator", "read-only"])
def test_roles_out_of_the_plans(role: str, approach: str, capsys: pytest.CaptureFixture[str]) -> None:
    objects = _rendered(capsys, "--role", role, "--approach", approach, "--tenant", "BHC")
    granted = [rule for obj in objects for rule in obj.get("rules", ())]
    assert granted
    for rule in granted:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
        if "rbac.authorization.k8s.io" in rule["apiGroups"]:  # of the tenant's own gateway, and never the account's
            assert rule["resourceNames"] == ["ingress"]
            assert not {"clusterroles", "clusterrolebindings"} & set(rule["resources"])
        assert "serviceaccounts/token" not in rule["resources"]
    guarded = [obj for obj in objects if obj["kind"] == "ValidatingAdmissionPolicy"]
    assert len(guarded) == 1
    roles_ = {obj["metadata"].get("namespace") for obj in objects if obj["kind"] == "Role"}
    assert "mhr-orthweb" not in roles_  # another tenant's


def test_policies_are_compared_without_the_right_to_change_them() -> None:
    (probe,) = policies_step(KUBECTL).probes
    assert {right.verb for right in command_rights(probe.command)} == {"get"}
    there = {"items": [{**obj, "status": {}} for obj in policy_objects()]}
    assert probe.read(Result(probe.command, 0, json.dumps(there), "", 0.0))
    there["items"][0]["spec"] = {}
    assert not probe.read(Result(probe.command, 0, json.dumps(there), "", 0.0))


def test_roles_are_yaml_that_kubectl_takes() -> None:
    subject = Subject("ci", "home")
    made = roles("r", [Right("get", "", "pods", "b"), Right("list", "", "nodes")], subject, {})
    assert [obj["kind"] for obj in made] == ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    assert yaml.safe_load(yaml.safe_dump(made))[3]["subjects"] == [subject.data()]
    assert rules([]) == []
