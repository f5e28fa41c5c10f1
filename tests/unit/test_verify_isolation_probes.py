"""What is made of a probe, and what is asked about rights: the very objects and commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import CommandFailed, NotReady
from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.isolation.cells import prove
from korthweb_tasks.verify.isolation.inside import Place
from korthweb_tasks.verify.isolation.probes import LABEL, ROLES, RUN, KubectlProbes
from korthweb_tasks.verify.isolation.rights import ACCOUNTS, RIGHTS, Rights
from tests.fakes import Answer, ScriptedRunner

KUBECTL = Kubectl(Cluster("korthweb-test"))
#: a kubectl that keeps what it is told, and answers from a file by its verb
SCRIPT = """#!{python}
import pathlib, sys, time
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
verb = next(w for w in words if w in ("get", "delete", "create", "exec"))
said = "" if verb in ("get", "delete") else sys.stdin.read()
with (folder / "calls").open("a") as calls:
    print(*words, file=calls)
(folder / ("stdin." + verb)).write_text(said)
answer = folder / ("watch" if "--watch" in words else verb)
sys.stdout.write(answer.read_text() if answer.exists() else "")
sys.stdout.flush()
if (folder / (verb + ".fails")).exists():
    sys.exit("error: no")
if "--watch" in words:
    time.sleep(30)
"""


def pod(name: str, *, ip: str = "10.0.0.9", labels: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True"}]
    seen = {"phase": "Running", "podIP": ip, "conditions": conditions, **status}
    return {"kind": "Pod", "metadata": {"name": name, "uid": name, "labels": labels or {}}, "status": seen}


@pytest.fixture
def probes(tmp_path: Path) -> KubectlProbes:
    program = tmp_path / "kubectl"
    program.write_text(SCRIPT.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    runner = Runner(programs={"kubectl": str(program)}, patience=0)
    return KubectlProbes(runner, KUBECTL, "mirror.hospital/orthanc:1", "IfNotPresent", run="abc123")


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def ready(folder: Path) -> None:
    events = [json.dumps({"type": "ADDED", "object": pod(role)}) for role in ROLES]
    (folder / "watch").write_text("\n".join(events) + "\n")


def test_all_are_made_by_one_command_after_the_leftovers_are_gone(probes: KubectlProbes, tmp_path: Path) -> None:
    ready(tmp_path)
    probes.raise_all(["bhc", "mhr"])
    said = calls(tmp_path)
    assert sum(" create " in line for line in said) == 1
    leftovers = [
        line
        for line in said[:2]
        if f" delete pods,networkpolicies.networking.k8s.io,sidecars.networking.istio.io --selector={LABEL}=true"
        in line
    ]
    assert {line.split("--namespace ")[1].split()[0] for line in leftovers} == {"bhc", "mhr"}
    made = json.loads((tmp_path / "stdin.create").read_text())["items"]
    assert len(made) == 2 * (2 + len(ROLES))
    assert all(obj["metadata"]["labels"][LABEL] == "true" for obj in made)
    assert all(line.startswith("--context korthweb-test") for line in said)
    assert sum(f"--selector {RUN}=abc123 --watch" in line for line in said) == 2


def test_a_pod_that_can_not_start_ends_the_waiting(probes: KubectlProbes, tmp_path: Path) -> None:
    waiting = {"name": "probe", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no such image"}}}
    broken = pod("x", conditions=[], containerStatuses=[waiting])
    (tmp_path / "watch").write_text(json.dumps({"type": "ADDED", "object": broken}) + "\n")
    with pytest.raises(NotReady, match="no such image"):
        probes.raise_all(["bhc"])


def test_probes_are_removed_after_an_interrupt_too(probes: KubectlProbes, tmp_path: Path) -> None:
    ready(tmp_path)
    probes.raise_all(["bhc", "mhr"])
    (tmp_path / "calls").unlink()
    probes.runner.stop()
    probes.remove()
    assert sum(" delete " in line and f"--selector={LABEL}=true" in line for line in calls(tmp_path)) == 2


def test_a_removal_that_fails_in_one_namespace_is_tried_in_the_others(probes: KubectlProbes, tmp_path: Path) -> None:
    ready(tmp_path)
    probes.raise_all(["bhc", "mhr"])
    (tmp_path / "calls").unlink()
    (tmp_path / "delete.fails").touch()
    with pytest.raises(CommandFailed):
        probes.remove()
    assert sum(" delete " in line for line in calls(tmp_path)) == 2


def test_nothing_is_removed_before_anything_is_named(probes: KubectlProbes, tmp_path: Path) -> None:
    probes.remove()
    assert not (tmp_path / "calls").exists()


def test_a_script_travels_by_stdin(probes: KubectlProbes, tmp_path: Path) -> None:
    (tmp_path / "exec").write_text("answer")
    assert probes.ask("mhr", "gateway", "echo answer", 10.0) == "answer"
    assert (tmp_path / "stdin.exec").read_text() == "echo answer"
    (said,) = calls(tmp_path)
    assert said.endswith("--namespace mhr exec korthweb-probe-gateway-abc123 --stdin --container=probe -- bash -s")


def test_addresses_are_those_of_pods_that_run(probes: KubectlProbes, tmp_path: Path) -> None:
    database = {"cnpg.io/cluster": "postgres", "cnpg.io/instanceRole": "replica"}
    items = [
        pod("gone", ip="1", labels={"app": "orthanc"}, phase="Failed"),
        pod("orthanc", ip="2", labels={"app": "orthanc"}),
        pod("postgres-2", ip="3", labels=database),
        pod("postgres-1", ip="4", labels={**database, "cnpg.io/instanceRole": "primary"}),
        pod("korthweb-probe-plain-old", ip="5", labels={LABEL: "true"}),
        pod("korthweb-probe-plain-abc123", ip="6", labels={LABEL: "true"}),
        pod("korthweb-probe-gateway-abc123", ip="7", labels={LABEL: "true"}),
        pod("other", ip="8"),
    ]
    (tmp_path / "get").write_text(json.dumps({"items": items}))
    assert probes.addresses("mhr") == {"orthanc": "2", "database": "4", "plain": "6"}


def objects(probes: KubectlProbes, kind: str) -> list[dict[str, Any]]:
    return [obj for obj in probes.objects("mhr") if obj["kind"] == kind]


def test_probes_are_rightful_clients_and_no_endpoints(probes: KubectlProbes) -> None:
    pods = {obj["metadata"]["name"].split("-")[2]: obj for obj in objects(probes, "Pod")}
    labels = {role: obj["metadata"]["labels"] for role, obj in pods.items()}
    for role in ROLES:  # admitted below the mesh, so that the mesh itself is asked
        assert {"korthweb/may-reach-orthanc", "korthweb/may-reach-database"} <= labels[role].keys()
    assert labels["plain"]["sidecar.istio.io/inject"] == "false"
    assert not any({"app", "istio", "cnpg.io/cluster"} & set(one) for one in labels.values())
    assert {role: obj["spec"]["serviceAccountName"] for role, obj in pods.items()} == {
        "gateway": "ingress", "database": "orthanc", "plain": "ingress",
    }  # fmt: skip


def test_probes_are_small_restricted_and_end_by_themselves(probes: KubectlProbes) -> None:
    for obj in objects(probes, "Pod"):
        spec = obj["spec"]
        (container,) = spec["containers"]
        assert container["image"] == "mirror.hospital/orthanc:1"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["requests"] == {"cpu": "5m", "memory": "32Mi"}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert spec["activeDeadlineSeconds"] <= 900
        assert spec["automountServiceAccountToken"] is False


def test_what_opens_the_way_out_is_for_probes_alone(probes: KubectlProbes) -> None:
    (policy,), (sidecar,) = objects(probes, "NetworkPolicy"), objects(probes, "Sidecar")
    assert policy["spec"]["podSelector"] == {"matchLabels": {LABEL: "true"}}
    for rule in policy["spec"]["ingress"]:
        assert rule["from"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": {LABEL: "true"}}}]
    assert sidecar["spec"]["workloadSelector"] == {"labels": {LABEL: "true"}}


PLACES = {"BHC": Place("BHC", "bhc-orthweb", "BHC"), "MHR": Place("MHR", "mhr-orthweb", "MHR")}
Allowed = Callable[[str, str, str], bool]


def rightful(account: str, namespace: str, resource: str) -> bool:
    """Say what a sound cluster says."""
    home = account.split(":")[2]
    if resource == "secrets":
        return account.endswith(":ingress") and home == namespace
    if account == "system:serviceaccount:cnpg-system:cloudnative-pg":
        return resource.startswith("pods")
    tenant = account.rpartition("tenant-")[2]
    return home == "flux-system" and namespace.startswith(tenant) and not resource.startswith("pods")


def reviewed(allowed: Allowed, *, as_list: bool = False) -> Callable[[Command], Answer]:
    def answer(command: Command) -> Answer:
        asked = json.loads(command.stdin or "")["items"]
        for one in asked:
            spec = one["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (spec["resource"], spec.get("subresource"))))
            home = one["spec"]["user"].split(":")[2]
            assert f"system:serviceaccounts:{home}" in one["spec"]["groups"]
            one["status"] = {"allowed": allowed(one["spec"]["user"], spec["namespace"], resource)}
        if as_list:
            return Answer(json.dumps({"kind": "List", "items": asked}))
        return Answer("\n".join(json.dumps(one, indent=4) for one in asked))

    return answer


def rights(allowed: Allowed, operator: str = "", **more: bool) -> dict[tuple[str, str, str], CellRecord]:
    there = Answer(json.dumps({"items": [{"metadata": {"name": "pg-operator"}}]}) if operator else "")
    script: dict[tuple[str, ...], Any] = {
        ("create", "--filename=-", "--output=json"): reviewed(allowed, **more),
    }
    place = operator or "cnpg-system"
    runner = ScriptedRunner({**script, ("--namespace", place, "get", "serviceaccount"): there})
    way = Rights(PLACES, runner.run, KUBECTL, operator=place)
    result = prove((way,), {name: place.namespace for name, place in PLACES.items()})
    assert len(runner.calls) == 4
    return {(cell.name, cell.a, cell.b): cell for cell in result.cells if cell.name in RIGHTS}


@pytest.mark.parametrize("as_list", [False, True])
def test_rights_in_a_sound_cluster(as_list: bool) -> None:
    cells = rights(rightful, as_list=as_list)
    assert len(cells) == 6
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert cells["secrets", "BHC", "MHR"].control == "MHR: mhr-orthweb/ingress may get secrets"
    assert "flux-system/tenant-mhr may patch" in cells["objects", "BHC", "MHR"].control


@pytest.mark.parametrize("account", [*ACCOUNTS, "tenant"])
@pytest.mark.parametrize(("row", "resource"), [("secrets", "secrets"), ("exec", "pods/exec"), ("objects", "clusters")])
def test_any_right_of_any_account_is_red_in_its_cell_alone(row: str, resource: str, account: str) -> None:
    who = "flux-system:tenant-bhc" if account == "tenant" else f"bhc-orthweb:{account}"

    def leaky(user: str, namespace: str, what: str) -> bool:
        bound = user == f"system:serviceaccount:{who}" and namespace == "mhr-orthweb" and what == resource
        return bound or rightful(user, namespace, what)

    cells = rights(leaky)
    assert [key for key, cell in cells.items() if cell.status == "broken"] == [(row, "BHC", "MHR")]
    assert who.replace(":", "/") in cells[row, "BHC", "MHR"].seen


def test_the_operator_of_the_databases_is_known_by_either_of_its_names() -> None:
    def by_manifest(user: str, namespace: str, what: str) -> bool:
        manager = user == "system:serviceaccount:cnpg-system:cnpg-manager" and what.startswith("pods")
        return manager or ("cloudnative-pg" not in user and rightful(user, namespace, what))

    cells = rights(by_manifest)
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert "cnpg-system/cnpg-manager may create pods/exec" in cells["exec", "BHC", "MHR"].control


def test_an_operator_of_others_is_known_in_the_namespace_of_the_settings() -> None:
    def by_others(user: str, namespace: str, what: str) -> bool:
        manager = user == "system:serviceaccount:databases:pg-operator" and what.startswith("pods")
        return manager or ("cnpg-system" not in user and rightful(user, namespace, what))

    cells = rights(by_others, operator="databases")
    assert {cell.status for cell in cells.values()} == {"passed"}
    assert "databases/pg-operator may create pods/exec" in cells["exec", "BHC", "MHR"].control


def test_where_no_tenant_has_an_account_who_deploys_is_the_control() -> None:
    def answer(command: Command) -> Answer:
        asked = json.loads(command.stdin or "")["items"]
        for one in asked:
            own = one["kind"] == "SelfSubjectAccessReview"
            assert own is ("user" not in one["spec"])
            one["status"] = {"allowed": own}
        return Answer(json.dumps({"kind": "List", "items": asked}))

    runner = ScriptedRunner({("create", "--filename=-", "--output=json"): answer})
    result = prove((Rights(PLACES, runner.run, KUBECTL, None),), {"BHC": "bhc-orthweb", "MHR": "mhr-orthweb"})
    cells = [cell for cell in result.cells if cell.name in RIGHTS]
    assert {cell.status for cell in cells} == {"passed"}
    assert {cell.control for cell in cells if cell.name == "secrets"} == {
        "MHR: who deploys may get secrets",
        "BHC: who deploys may get secrets",
    }


def test_a_server_that_says_no_to_everybody_proves_nothing() -> None:
    cells = rights(lambda *_: False)
    assert {cell.status for cell in cells.values()} == {"unknown"}
    assert "may not get secrets either" in cells["secrets", "BHC", "MHR"].seen


def test_answers_that_are_too_few_prove_nothing() -> None:
    runner = ScriptedRunner({("create",): Answer("{}"), ("get", "serviceaccount"): Answer()})
    result = prove((Rights(PLACES, runner.run, KUBECTL),), {"BHC": "b", "MHR": "m"})
    assert {cell.status for cell in result.cells} == {"unknown"}
    assert any("answers to" in cell.seen for cell in result.cells)
