"""The plan of the manual approach: what needs what, when a step counts as done, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.plan import build, job_did_not_fail
from korthweb_tasks.approaches.manual.prerequisites import outside, require
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.approaches.shared.namespaces import standing
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Plan, Ready, Serving, Step
from korthweb_tasks.errors import StepFailed
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.tools.kubectl import Kubectl

ARTIFACTS = Artifacts.read(Path(__file__).parents[2] / "manual")
DEFINITION = "customresourcedefinition.apiextensions.k8s.io"
TARGET = Cluster("hospital-a", "/k")


def plan(given: dict[str, Any] | None = None) -> Plan:
    settings = Settings(**(given or {}))
    return build(Manifests(settings, Secrets(), ARTIFACTS), TARGET, settings.tenants)


def before(whole: Plan, name: str) -> set[str]:
    """Return every step that comes before ``name``."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        needs = set(whole[waiting.pop()].needs) - found
        found |= needs
        waiting += needs
    return found


def answer(command: Command, data: Any, code: int = 0, stderr: str = "") -> Result:
    return Result(command, code, json.dumps(data) if data is not None else "", stderr, 0.1)


def ask(step: Step, data: Any) -> bool:
    _, probe = step.probes  # the first is the namespace's record
    return probe.read(answer(probe.command, data))


def commands(whole: Plan) -> list[Command]:
    found = []
    for step in whole.steps:
        found += [probe.command for probe in step.probes]
        found += [action for action in step.actions if isinstance(action, Command)]
        found += [wait.command for wait in step.waits if isinstance(wait, Serving)]
        found += step.on_failure
    return found


def test_every_command_names_its_context() -> None:
    for command in commands(plan()):
        flag = "--kube-context" if command.argv[0] == "helm" else "--context"
        assert command.argv[command.argv.index(flag) + 1] == "hospital-a"
        assert command.argv[command.argv.index("--kubeconfig") + 1] == "/k"


def test_everything_large_travels_by_stdin() -> None:
    assert all(len(" ".join(command.argv)) < 700 for command in commands(plan()))


def test_a_pod_is_started_only_when_the_mesh_can_inject_its_sidecar_and_its_policies_hold() -> None:
    whole = plan()
    for tenant in ("bhc", "mhr"):
        for kind in ("postgres", "dbinit", "orthanc"):
            assert {"istio", f"config:{tenant}", f"credentials:{tenant}"} <= before(whole, f"{kind}:{tenant}")
    assert "istio" in before(whole, "observability")


def test_what_can_start_at_once_starts_at_once() -> None:
    whole = plan()
    ready = {step.name for step in whole.steps if not step.needs}
    assert ready == {"policies", "istio", "cert-manager"}
    for kind in ("postgres", "dbinit", "orthanc"):
        assert not {"postgres:bhc", "dbinit:bhc", "orthanc:bhc", "certificates:bhc"} & before(whole, f"{kind}:bhc")


def test_tenants_and_observability_do_not_need_each_other() -> None:
    whole = plan()
    for step in whole.steps:
        assert "observability" not in before(whole, step.name)
        if step.name.endswith(":bhc"):
            assert not [name for name in before(whole, step.name) if name.endswith(":mhr")]


def test_whichever_step_makes_the_namespace_of_observability_records_it() -> None:
    """The passwords' step may be the first: unrecorded, the namespace would be taken for one of others, and stay."""
    for name in ("observability", "credentials:bhc"):
        look = plan()[name].actions[0]
        assert isinstance(look, Command)
        made = look.follow and look.follow(Result(look, 0, "", "", 0.0))
        assert made
        (claim,) = json.loads(made.stdin or "")["items"]
        assert (claim["metadata"]["name"], standing(claim)) == ("observability", "claimed")
    assert len(plan({"observability": {"prometheus": False}})["credentials:bhc"].actions) == 1


def test_observability_can_be_left_out_or_reduced() -> None:
    parts = ("prometheus", "kiali", "grafana", "jaeger")
    assert "observability" not in {step.name for step in plan({"observability": dict.fromkeys(parts, False)}).steps}
    assert [wait.name for wait in plan()["observability"].waits if isinstance(wait, Ready)] == list(parts)
    for part in parts:
        only = plan({"observability": {**dict.fromkeys(parts, False), part: True}})["observability"]
        assert only.waits == (Ready("deployment", part, "observability"),)


def test_istio_is_installed_again_when_jaeger_comes_or_goes() -> None:
    step, record, istiod, gateway = istio_answers()
    without = plan({"observability": {"jaeger": False}})["istio"]
    assert ask(step, {"items": [record, istiod, gateway]})
    assert not ask(without, {"items": [record, istiod, gateway]})


def test_part_of_a_plan_keeps_its_order() -> None:
    names = ["postgres:bhc", "dbinit:bhc", "orthanc:bhc"]
    assert [step.name for step in plan().only("part", names).steps] == ["postgres:bhc", "dbinit:bhc", "orthanc:bhc"]


def istio_answers() -> tuple[Step, dict[str, Any], dict[str, Any], dict[str, Any]]:
    settings = Settings()
    digest = Manifests(settings, Secrets(), ARTIFACTS).istio_digest
    record = {"kind": "ConfigMap", "metadata": {"name": "korthweb-istio"}, "data": {"digest": digest}}
    containers = [{"name": "discovery", "image": f"docker.io/istio/pilot:{settings.versions['istio']}"}]
    istiod = {
        "kind": "Deployment",
        "metadata": {"name": "istiod"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    gateway = {"kind": "Deployment", "metadata": {"name": "istio-ingressgateway"}}
    return plan()["istio"], record, istiod, gateway


def test_istio_is_so_when_the_same_file_was_installed_and_its_parts_are_there() -> None:
    step, record, istiod, gateway = istio_answers()
    assert ask(step, {"items": [record, istiod, gateway]})


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_istio_is_not_so_without_one_of_its_parts(missing: int) -> None:
    step, *parts = istio_answers()
    del parts[missing]
    assert not ask(step, {"items": parts})
    assert not ask(step, None)


def test_istio_is_not_so_in_another_version_or_with_another_file() -> None:
    step, record, istiod, gateway = istio_answers()
    old = json.loads(json.dumps(istiod).replace("pilot:1.", "pilot:0."))
    assert not ask(step, {"items": [record, old, gateway]})
    assert not ask(step, {"items": [{**record, "data": {"digest": "other"}}, istiod, gateway]})


def test_the_record_of_istio_is_written_last() -> None:
    action = plan()["istio"].actions[-1]
    assert isinstance(action, Command)
    assert json.loads(action.stdin or "")["items"][-1]["metadata"]["name"] == "korthweb-istio"


def test_cert_manager_is_installed_after_the_way_is_clear() -> None:
    made = [action for action in plan()["cert-manager"].actions if isinstance(action, Command)]
    assert [command.argv[0] for command in made] == ["kubectl", "kubectl", "helm"]
    assert "owner=helm,name=cert-manager,status in (pending-install" in made[1].argv[-1]


def test_webhooks_must_serve_twice_in_a_row() -> None:
    for name in ("istio", "cert-manager"):
        (gate,) = [wait for wait in plan()[name].waits if isinstance(wait, Serving)]
        assert gate.consecutive >= 2
        assert "--dry-run=server" in gate.command.argv


def test_a_failed_job_is_done_again_and_a_running_one_is_not() -> None:
    command = Command(argv=("kubectl",))
    failed = {"kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    assert not job_did_not_fail(answer(command, failed))
    assert not job_did_not_fail(answer(command, None))
    assert job_did_not_fail(answer(command, {"kind": "Job", "status": {}}))
    assert job_did_not_fail(answer(command, {"kind": "Job", "status": {"conditions": [{"type": "Complete"}]}}))


def test_the_first_pods_do_not_wait_for_the_autoscaler() -> None:
    scale = plan()["orthanc:bhc"].actions[-1]
    assert isinstance(scale, Command)
    assert scale.argv[-2:] == ("--current-replicas=1", "--replicas=3")
    assert scale.ok == {0, 1}  # another number of pods is there already: it is the autoscaler's
    tenants = [{"name": "BHC", "domain": "b.org", "replicas": {"min": 1}}]
    assert len(plan({"tenants": tenants})["orthanc:bhc"].actions) == 1


def test_the_repeated_deployment_is_the_same_plan() -> None:
    assert commands(plan()) == commands(plan())


def test_a_part_knows_what_must_come_before_it() -> None:
    whole = plan()
    assert [step.name for step in outside(whole, ["orthanc:bhc", "ingress:bhc"])] == [
        "policies", "istio", "namespace:bhc", "credentials:bhc", "config:bhc",
    ]  # fmt: skip
    assert [step.name for step in outside(whole, ["certificates:mhr"])] == ["istio", "cert-manager"]
    assert outside(whole, ["istio"]) == []


@pytest.mark.parametrize(
    ("needed", "there", "first"),
    [
        (
            ["istio", "cert-manager"],
            "customresourcedefinition.apiextensions.k8s.io/certificates.cert-manager.io",
            "istio",
        ),
        (["namespace:bhc"], "", "configure"),
        (["config:bhc", "credentials:bhc"], "secret/orthanc-users secret/orthanc-database", "configure"),
    ],
)
def test_what_is_missing_is_named_by_the_task_that_brings_it(needed: list[str], there: str, first: str) -> None:
    def check(command: Command) -> Result:
        return Result(command, 0, there.replace(" ", "\n"), "", 0.1)

    with pytest.raises(StepFailed, match=f"manual.*{first}.* must come before") as caught:
        require(Kubectl(TARGET), check, Settings().tenants, [plan()[name] for name in needed])
    assert "korthweb manual." in caught.value.hint


def test_what_is_there_is_taken_as_done() -> None:
    def check(command: Command) -> Result:
        names = [word for word in command.argv if "/" in word and not word.startswith("/")]
        return Result(command, 0, "\n".join(names), "", 0.1)

    steps = [plan()[name] for name in ("istio", "namespace:bhc", "config:bhc", "credentials:mhr")]
    require(Kubectl(TARGET), check, Settings().tenants, steps)


def test_orthanc_is_ready_when_as_many_pods_are_as_always_run() -> None:
    three = {"tenants": [{"name": "BHC", "domain": "bhc.orthweb.com", "replicas": {"min": 3, "max": 5}}]}
    assert plan(three)["orthanc:bhc"].waits == (Ready("deployment", "orthanc", "bhc-orthweb", pods=3),)
