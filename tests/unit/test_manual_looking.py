"""manual.check, manual.status and manual.diff: how answers of a cluster are read."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from korthweb_tasks.approaches.shared import checks, status
from korthweb_tasks.approaches.shared.differences import differences, readable
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Plan, Probe, Step
from korthweb_tasks.errors import ClusterUnreachable, CommandFailed
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.helm import Release
from korthweb_tasks.tools.kubectl import Kubectl

COMMAND = Command(argv=("kubectl",))
TENANTS = Settings().tenants


def result(data: Any = None, code: int = 0, stderr: str = "", text: str = "") -> Result:
    return Result(COMMAND, code, json.dumps(data) if data is not None else text, stderr, 0.1)


def listed(*objects: dict[str, Any]) -> Result:
    return result({"items": list(objects)})


def named(name: str, kind: str = "Namespace", **meta: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, **meta}}


DEFAULT_CLASS = named("fast", annotations={"storageclass.kubernetes.io/is-default-class": "true"})


@pytest.mark.parametrize(
    ("answer", "wanted", "verdict", "text"),
    [
        (listed(DEFAULT_CLASS), None, "ok", "fast"),
        (listed(named("slow")), None, "broken", "no default"),
        (listed(named("slow")), "slow", "ok", "slow"),
        (listed(named("slow")), "fast", "broken", "there are: slow"),
        (result(), "fast", "broken", "none at all"),
        (result(code=1, stderr="Forbidden: no"), None, "broken", "Forbidden"),
    ],
)
def test_storage(answer: Result, wanted: str | None, verdict: str, text: str) -> None:
    found = checks.storage(answer, wanted)
    assert found[0] == verdict
    assert text in found[1]


@pytest.mark.parametrize(
    ("version", "verdict"), [("v1.36.3", "ok"), ("v1.37.0", "ok"), ("v1.30.1", "note"), ("v1.36.3+k3s1", "ok")]
)
def test_kubernetes(version: str, verdict: str) -> None:
    assert checks.kubernetes(result({"serverVersion": {"gitVersion": version}}))[0] == verdict


def test_two_namespaces_must_not_claim_one_host() -> None:
    def gateway(namespace: str, host: str) -> dict[str, Any]:
        return named("g", "Gateway", namespace=namespace) | {"spec": {"servers": [{"hosts": [host]}]}}

    assert checks.free_hosts(listed(gateway("bhc-orthweb", "web.bhc.orthweb.com")), TENANTS)[0] == "ok"
    verdict, text = checks.free_hosts(listed(gateway("other", "./web.bhc.orthweb.com")), TENANTS)
    assert verdict == "broken"
    assert "gateway g in other" in text
    absent = 'error: the server doesn\'t have a resource type "gateways"'
    assert checks.free_hosts(result(code=1, stderr=absent), TENANTS)[0] == "ok"
    assert checks.free_hosts(result(code=1, stderr="boom"), TENANTS)[0] == "broken"


def test_permissions_are_asked_one_by_one() -> None:
    questions = checks.for_cluster(Settings(), Cluster("lab"), TENANTS)
    (secrets,) = [question for question in questions if question.title == "Make secrets in bhc-orthweb"]
    assert secrets.command.argv[-4:] == ("auth", "can-i", "create", "secrets")
    assert secrets.finding(result(text="yes\n")).verdict == "ok"
    assert secrets.finding(result(text="no\n", code=1)).verdict == "broken"


def test_too_small_a_connection_budget_is_broken() -> None:
    settings = Settings(orthanc={"connections": 50})
    found = list(checks.from_settings(settings, settings.tenants))
    assert {entry.verdict for entry in found} == {"broken"}
    assert "lower" in found[0].text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("oci://r/c", ("oci://r/c", "--version", "1")),
        ("https://r", ("x", "--repo", "https://r", "--version", "1")),
        ("/p", ("/p",)),
    ],
)
def test_a_chart_is_looked_for_at_its_source(source: str, words: tuple[str, ...]) -> None:
    check = checks.chart(Release(name="x", namespace="x", chart="x", source=source, version="1"))
    assert check.command.argv == ("helm", "show", "chart", *words)
    assert check.read(result(code=1, stderr="Error: no such host"))[0] == "broken"


def test_pods_are_shown_only_when_they_are_not_well() -> None:
    well = named("a", "Pod", namespace="n") | {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    done = named("b", "Pod", namespace="n") | {"status": {"phase": "Succeeded"}}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    ill = named("c", "Pod", namespace="n") | {"status": {"containerStatuses": [{"name": "x", "state": waiting}]}}
    (row,) = status.rows([well, done, ill])
    assert (row.resource, row.state) == ("pod/c", "failed")
    assert "no such image" in row.message


def test_what_is_not_there_is_said() -> None:
    rows = status.missing([], TENANTS[:1])
    assert ("bhc-orthweb", "deployment/orthanc") in {(row.namespace, row.resource) for row in rows}
    assert {row.state for row in rows} == {"missing"}


def test_the_gateways_address_is_told() -> None:
    service = named("istio-ingressgateway", "Service", namespace="istio-system") | {
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"ip": "198.18.1.1"}]}},
    }
    assert status.addresses([service]) == ["198.18.1.1"]
    (row,) = status.rows([service])
    assert (row.state, row.message) == ("ready", "198.18.1.1")


def test_one_question_for_each_namespace() -> None:
    questions = status.questions(Kubectl(Cluster("lab")), TENANTS)
    assert len(questions) == 4 + len(TENANTS)


def test_columns_are_aligned() -> None:
    assert status.table([("a", "b"), ("long", "")]) == "a     b\nlong"


DIFF = """diff -u -N /tmp/LIVE-1/v1.ConfigMap.n.x /tmp/MERGED-2/v1.ConfigMap.n.x
--- /tmp/LIVE-1/v1.ConfigMap.n.x\t2026-11-22
+++ /tmp/MERGED-2/v1.ConfigMap.n.x\t2026-11-22
@@ -1 +1 @@
-a: hidden-one
+a: b
"""


def test_a_diff_names_objects_and_not_temporary_files() -> None:
    text = readable(DIFF)
    assert "/tmp" not in text
    assert "--- v1.ConfigMap.n.x (in the cluster)" in text


def test_differences_are_those_steps_whose_probes_say_no() -> None:
    def step(name: str, *argv: str) -> Step:
        return Step(
            kind=name,
            title=name,
            probes=(Probe(Command(argv=argv), lambda result: result.code == 0, diff="diff" in argv),),
        )

    def check(command: Command) -> Result:
        return Result(replace(command, ok=frozenset({0, 1})), 0 if "same" in command.argv else 1, DIFF, "", 0.1)

    whole = Plan("x", (step("a", "same"), step("b", "kubectl", "diff"), step("c", "helm", "list")))
    found = differences(whole, check, masks=("hidden-one",))
    assert [entry.step for entry in found] == ["b", "c"]
    assert "hidden-one" not in found[0].text
    assert "+a: b" in found[0].text
    assert found[1].text == "would be done"


def test_an_answer_that_means_nothing_is_no_difference() -> None:
    probe = Probe(COMMAND, lambda result: False)
    broken = Plan("x", (Step(kind="a", title="a", probes=(probe,)),))
    with pytest.raises(CommandFailed, match="kubectl failed"):
        differences(broken, lambda command: Result(command, 1, "", "Forbidden", 0.1))


def test_an_unreachable_cluster_is_no_difference() -> None:
    def refuse(command: Command) -> Result:
        raise ClusterUnreachable("no answer")

    probe = Probe(COMMAND, lambda result: True)
    with pytest.raises(ClusterUnreachable):
        differences(Plan("x", (Step(kind="a", title="a", probes=(probe,)),)), refuse)


def test_ctrl_c_ends_what_a_diff_still_asks() -> None:
    def interrupted(command: Command) -> Result:
        raise KeyboardInterrupt

    runner, probe = Runner(), Probe(COMMAND, lambda result: True)
    plan = Plan("x", (Step(kind="a", title="a", probes=(probe,)), Step(kind="b", title="b", probes=(probe,))))
    with pytest.raises(KeyboardInterrupt):
        differences(plan, interrupted, (), partial(side_by_side, runner))
    assert runner.stopped
