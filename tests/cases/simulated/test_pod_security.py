"""F22: pods that a strict cluster takes, in namespaces that say what they need; told beforehand where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
from korthweb_tasks.approaches.helm.values import site_values
from korthweb_tasks.approaches.shared import pod_security
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.tools.kubectl import Kubectl
from tests.renders import APPROACHES, made, pods

TENANTS: list[dict[str, Any]] = [{"name": "BHC", "domain": "bhc.orthweb.com"}]
ENFORCE = "pod-security.kubernetes.io/enforce"
LEVELS = {"strict": "restricted", "basic": "baseline"}
IDS = ("runAsUser", "runAsGroup", "fsGroup")


@pytest.fixture(scope="module")
def runner(simulated_programs: dict[str, str]) -> Runner:
    return Runner(programs=simulated_programs)


@pytest.fixture(scope="module")
def namespaces(simulated: Cluster, runner: Runner) -> Iterator[Kubectl]:
    """Give namespaces that are held to a level, as a cluster's default would."""
    kubectl = Kubectl(simulated)
    runner.run(kubectl.apply([_namespace(name, level) for name, level in LEVELS.items()]))
    yield kubectl
    runner.run(kubectl.delete("namespace", *LEVELS))


def _namespace(name: str, level: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {ENFORCE: level}}}


@pytest.mark.parametrize("fixed", [True, False], ids=["own ids", "the cluster's ids"])
@pytest.mark.parametrize("approach", APPROACHES)
def test_F22_every_pod_of_a_tenant_is_taken_by_restricted(
    approach: str, fixed: bool, namespaces: Kubectl, runner: Runner
) -> None:
    """F22: the API server itself says so, of each pod as its workload would make it."""
    given = {"tenants": TENANTS, "security": {"fixed_uids": fixed}}
    home = [obj for obj in made(approach, given) if obj["metadata"].get("namespace") == "bhc-orthweb"]
    specs = dict(pods(home))
    assert specs
    for number, spec in enumerate(specs.values()):
        spec = {**spec, "serviceAccountName": "default"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "namespace": "strict"},
            "spec": spec,
        }
        for one in (*spec.get("initContainers", ()), *spec["containers"]):
            # what a claim or Istio would fill in
            one["volumeMounts"] = [] if one["name"] == "postgres" else one.get("volumeMounts", [])
        words = ("create", "--dry-run=server", "--filename=-")
        runner.run(namespaces.command(*words, stdin=json.dumps(pod), namespace="strict"))


@pytest.mark.parametrize("approach", APPROACHES)
def test_F22_one_setting_leaves_every_id_to_the_cluster(approach: str) -> None:
    """F22: OpenShift's restricted-v2 refuses those that it has not chosen."""
    for fixed in (True, False):
        objects = made(approach, {"tenants": TENANTS, "security": {"fixed_uids": fixed}})
        found = {
            f"{name}: {key}"
            for name, pod in pods(objects)
            for part in (pod, *pod.get("initContainers", ()), *pod["containers"])
            for key in IDS
            if key in (part.get("securityContext") or {})
        }
        assert bool(found) is fixed, found


def test_F22_traefiks_ids_go_too() -> None:
    """F22: its chart leaves out what is null."""
    settings = Settings.model_validate({"security": {"fixed_uids": False}})
    assert site_values(settings)["traefik"]["podSecurityContext"] == {"runAsUser": None, "runAsGroup": None}
    assert "podSecurityContext" not in site_values(Settings())["traefik"]


def level_of(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["labels"].get(ENFORCE, ""))


def test_F22_namespaces_of_ours_say_what_their_pods_need() -> None:
    """F22: more than `restricted` where Istio adds its container, and not more than `baseline` elsewhere."""
    for approach in ("manual", "gitops"):
        found = {obj["metadata"]["name"]: level_of(obj) for obj in made(approach, {}) if obj["kind"] == "Namespace"}
        meshed = {name for name in found if name.endswith("-orthweb")} | {"observability"}
        assert {found.pop(name) for name in meshed} == {"privileged"}
        assert set(found.values()) <= {"baseline"}, found
    settings = Settings()
    builder = Builder(settings, Cluster("lab"), Secrets(), ChartAt("x", "1"))
    words = [command.stdin or "" for command in _commands(builder, settings)]
    assert any(f'"{ENFORCE}": "restricted"' in text for text in words), words


def test_F22_a_namespace_of_others_keeps_its_level() -> None:
    """F22: what is adopted is not made weaker, or stronger."""
    adopted = {"tenants": [{**TENANTS[0], "adopt_namespace": True}]}
    for approach in ("manual", "gitops"):
        (found,) = (o for o in made(approach, adopted) if o["metadata"]["name"] == "bhc-orthweb")
        assert level_of(found) == ""
    settings = Settings.model_validate(adopted)
    builder = Builder(settings, Cluster("lab"), Secrets(), ChartAt("x", "1"))
    assert not any(ENFORCE in (command.stdin or "") for command in _commands(builder, settings))


def _commands(builder: Builder, settings: Settings) -> list[Command]:
    return [action for action in builder.namespace(settings.tenants[0]).actions if isinstance(action, Command)]


@pytest.mark.parametrize("namespace", ["strict", "basic", "absent"])
def test_F22_check_tries_a_pod_that_is_not_made(namespace: str, namespaces: Kubectl, runner: Runner) -> None:
    """F22: a real API server takes it, also where the namespace is still to be made."""
    settings = Settings.model_validate({"tenants": [{**TENANTS[0], "namespace": namespace}]})
    found = [q.finding(runner.check(q.command)) for q in pod_security.questions(settings, namespaces, settings.tenants)]
    assert [finding.verdict for finding in found] == ["ok", "ok"], found
    assert runner.run(namespaces.get("pods", namespace=namespace)).stdout.count("korthweb-check") == 0


def result(stderr: str = "", stdout: str = "", code: int = 1) -> Result:
    return Result(Command(argv=("kubectl",)), code, stdout, stderr, 0.0)


@pytest.mark.parametrize(
    ("stderr", "verdict"),
    [
        ('Error from server (Forbidden): pods "x" is forbidden: violates PodSecurity "restricted:latest"', "broken"),
        ('pods "x" is forbidden: unable to validate against any security context constraint: [...]', "broken"),
        ('admission webhook "validate.kyverno.svc-fail" denied the request: no', "broken"),
        ('pods is forbidden: User "u" cannot create resource "pods" in API group ""', "note"),
        ('pods "x" is forbidden: exceeded quota: tenant', "note"),
    ],
)
def test_F22_check_tells_what_the_cluster_refuses(stderr: str, verdict: str) -> None:
    """F22: a policy ends every deployment; a missing right to make pods, or a full quota, need not."""
    assert pod_security.taken(result(stderr)) == (verdict, stderr)


def test_F22_check_knows_openshift() -> None:
    """F22: told before anything is deployed, with the line that helps."""
    groups = json.dumps({"groups": [{"name": "apps"}, {"name": "security.openshift.io"}]})
    verdict, text = pod_security.user_ids(result(stdout=groups, code=0), fixed=True)
    assert (verdict, "fixed_uids: false" in text) == ("broken", True)
    assert pod_security.user_ids(result(stdout=groups, code=0), fixed=False)[0] == "ok"
    assert pod_security.user_ids(result(stdout='{"groups": []}', code=0), fixed=True)[0] == "ok"
