"""ci.diff: what a pull request changes, judged; with a real git, and settings that are rendered without a cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import invoke
import pytest

from korthweb_tasks import ci
from korthweb_tasks.changes import html, markdown
from korthweb_tasks.changes.compare import compared
from korthweb_tasks.changes.model import Change, Comparison, Consequence, Reason
from korthweb_tasks.changes.objects import GENERATED, stable, unified
from korthweb_tasks.changes.rules import judged
from korthweb_tasks.errors import Differs, UsageError
from tests.own_site import Site, entered

DATA, DOOR, CUT, PODS = Consequence.DATA, Consequence.DOOR, Consequence.CUT, Consequence.PODS
SUPPORT, UNKNOWN, NOTHING = Consequence.SUPPORT, Consequence.UNKNOWN, Consequence.NOTHING
SETTINGS = "context: hospital-a\nclusters: {hospital-a: {context: admin}}\n"


def made(kind: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "orthanc", "namespace": "bhc"}, "spec": spec}


def pods(image: str = "orthanc:26.8.1", port: int = 4242, **pod: Any) -> dict[str, Any]:
    container = {"name": "c", "image": f"reg/{image}", "ports": [{"containerPort": port}]}
    return {"spec": {"containers": [container], "terminationGracePeriodSeconds": 300, **pod}}


def gateway(host: str = "a.example", port: int = 443, **tls: Any) -> dict[str, Any]:
    server = {"hosts": [host], "port": {"number": port, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE", **tls}}
    return made("Gateway", servers=[server])


ALLOW: dict[str, Any] = {"from": [{"podSelector": {}}]}
ALL: dict[str, Any] = {}
ENFORCE = "pod-security.kubernetes.io/enforce"
ROLE = {"kind": "Role", "metadata": {"name": "r", "namespace": "bhc"}}
LOOK, WRITE = {"verbs": ["get"], "resources": ["pods"]}, {"verbs": ["*"], "resources": ["secrets"]}
#: what changes, and what comes of it: each row is red where its rule is taken away
CASES: list[tuple[str, Any, Any, set[Consequence]]] = [
    ("config", made("ConfigMap"), made("ConfigMap", a=1), {NOTHING}),
    ("strange", made("Strange"), made("Strange", a=1), {UNKNOWN}),
    ("image", made("Deployment", template=pods()), made("Deployment", template=pods("orthanc:26.9.0")), {PODS, CUT}),
    ("web only", made("Deployment", template=pods(port=80)), made("Deployment", template=pods("x:2", 80)), {PODS}),
    ("fewer", made("Deployment", replicas=3), made("Deployment", replicas=2), {PODS}),
    ("more", made("Deployment", replicas=2), made("Deployment", replicas=3), {NOTHING}),
    ("gone", made("Deployment", template=pods()), None, {PODS, CUT}),
    ("autoscaler", made("HorizontalPodAutoscaler", maxReplicas=4), made("HorizontalPodAutoscaler", maxReplicas=2),
     {PODS, CUT}),
    ("database", made("StatefulSet", template=pods("postgres:17.1", 5432)),
     made("StatefulSet", template=pods("postgres:17.2", 5432)), {PODS, DATA}),
    ("claim", made("StatefulSet", volumeClaimTemplates=[1]), made("StatefulSet", volumeClaimTemplates=[2]), {DATA}),
    ("cnpg", made("Cluster", instances=3), made("Cluster", instances=1), {DATA}),
    ("volume", made("PersistentVolumeClaim", a=1), None, {DATA}),
    ("namespace", made("Namespace"), None, {DATA}),
    ("old version", made("Deployment", template=pods(port=1)),
     made("Deployment", template=pods("orthanc:1.11.0", 1)), {PODS, SUPPORT}),
    ("chart", {**made("Chart", version="41.3.0"), "metadata": {"name": "traefik"}},
     {**made("Chart", version="40.0.0"), "metadata": {"name": "traefik"}}, {PODS, CUT, SUPPORT}),
    ("privileged", made("Deployment", template=pods(port=1)),
     made("Deployment", template=pods(port=1, hostNetwork=True)), {PODS, DOOR}),
    ("policy opened", made("NetworkPolicy", ingress=[ALLOW]), made("NetworkPolicy", ingress=[ALLOW, ALL]), {DOOR}),
    ("policy closed", made("NetworkPolicy", ingress=[ALLOW, ALL]), made("NetworkPolicy", ingress=[ALLOW]), {CUT}),
    ("peer more", made("NetworkPolicy", ingress=[{"from": [1]}]), made("NetworkPolicy", ingress=[{"from": [1, 2]}]),
     {DOOR}),
    ("all of one port", made("NetworkPolicy", egress=[{"to": [1], "ports": [5]}, {"to": [2], "ports": [5]}]),
     made("NetworkPolicy", egress=[{"ports": [5]}]), {DOOR}),
    ("in another order", made("NetworkPolicy", ingress=[{"from": [1, 2]}]),
     made("NetworkPolicy", ingress=[{"from": [2, 1]}]), {NOTHING}),
    ("policy gone", made("NetworkPolicy"), None, {DOOR}),
    ("mesh", made("AuthorizationPolicy", rules=[ALLOW]), made("AuthorizationPolicy", rules=[ALLOW, ALL]), {DOOR}),
    ("deny less", made("AuthorizationPolicy", action="DENY", rules=[ALL]),
     made("AuthorizationPolicy", action="DENY", rules=[]), {DOOR}),
    ("mtls", made("PeerAuthentication", mtls={"mode": "STRICT"}),
     made("PeerAuthentication", mtls={"mode": "PERMISSIVE"}), {DOOR}),
    ("mtls on", made("PeerAuthentication", mtls={"mode": "PERMISSIVE"}),
     made("PeerAuthentication", mtls={"mode": "STRICT"}), {NOTHING}),
    ("service", made("Service", type="ClusterIP"), made("Service", type="LoadBalancer"), {DOOR, CUT}),
    ("port", made("Service", ports=[{"port": 1}]), made("Service", ports=[{"port": 1}, {"port": 2}]), {DOOR}),
    ("port gone", made("Service", ports=[{"port": 1}]), made("Service", ports=[]), {CUT}),
    ("ranges", made("Service", loadBalancerSourceRanges=["10.0.0.0/8"]), made("Service"), {DOOR}),
    ("host", gateway(), gateway("b.example"), {DOOR, CUT}),
    ("tls version", gateway(minProtocolVersion="TLSV1_3"), gateway(minProtocolVersion="TLSV1_2"), {DOOR}),
    ("tls default", gateway(minProtocolVersion="TLSV1_3"), gateway(), {DOOR}),
    ("tls stronger", gateway(minProtocolVersion="TLSV1_2"), gateway(minProtocolVersion="TLSV1_3"), {NOTHING}),
    ("client", gateway(mode="MUTUAL"), gateway(), {DOOR}),
    ("traefik", made("TLSOption", minVersion="VersionTLS13"), made("TLSOption", minVersion="VersionTLS12"), {DOOR}),
    ("no check", made("ServersTransport"), made("ServersTransport", insecureSkipVerify=True), {DOOR}),
    ("way out", made("ServiceEntry", hosts=["a"]), made("ServiceEntry", hosts=["a", "b"]), {DOOR}),
    ("another mesh", made("IstioOperator", tag="1.31.1"), made("IstioOperator", tag="1.32.0"), {PODS, CUT}),
    ("chart's port", made("Chart", values={"ports": {}}), made("Chart", values={"ports": {"x": {"port": 1}}}),
     {PODS, DOOR}),
    ("pods of a namespace", {**made("Namespace"), "metadata": {"name": "n", "labels": {ENFORCE: "restricted"}}},
     {**made("Namespace"), "metadata": {"name": "n", "labels": {ENFORCE: "baseline"}}}, {DOOR}),
    ("job", None, made("Job", template=pods("postgres:17.1", 1)), {DATA}),
    ("role", {**ROLE, "rules": [LOOK]}, {**ROLE, "rules": [LOOK, WRITE]}, {DOOR}),
    ("role less", {**ROLE, "rules": [LOOK, WRITE]}, {**ROLE, "rules": [LOOK]}, {NOTHING}),
    ("admission", made("ValidatingAdmissionPolicy", failurePolicy="Fail"), None, {DOOR}),
    ("authority", made("Issuer", ca="a"), made("Issuer", ca="b"), {CUT}),
    ("token", {**made("ServiceAccount"), "automountServiceAccountToken": False}, made("ServiceAccount"), {DOOR}),
    ("charts from", made("HelmRepository", url="https://a"), made("HelmRepository", url="https://b"), {DOOR}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "wanted"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_each_change_has_its_consequences(old: Any, new: Any, wanted: set[Consequence]) -> None:
    assert {reason.consequence for reason in judged(old, new)} == wanted


def test_what_is_new_in_a_new_namespace_opens_nothing_but_its_way_in() -> None:
    other = {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "mhr"}}
    new = [other, made("NetworkPolicy", ingress=[ALL]), made("Service", type="LoadBalancer")]
    found = {change.name: change.consequences for change in compared("manual", [other], new)}
    assert found == {"networkpolicy/orthanc": (NOTHING,), "service/orthanc": (DOOR,)}


def test_passwords_are_masked_wherever_they_stand() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "b2xk"}}
    config = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"o.json": '{"RegisteredUsers": {"a": "hush"}}'}}
    variable = made(
        "Deployment", template={"spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "value": "hush"}]}]}}
    )
    values = made("HelmRelease", values={"grafana": {"adminPassword": "hush"}})
    shown = [unified("x", None, one) for one in (config, variable, values)]
    shown.append(unified("x", secret, {**secret, "data": {"p": "bmV1"}}))
    assert not [text for text in shown if any(word in text for word in ("hush", "b2xk", "bmV1"))]
    assert "(another)" in shown[-1]


def test_what_is_random_is_no_change() -> None:
    assert stable({"a": ["x", 1], "b": 2}, {"a": ["y", 1], "b": 2}) == {"a": [GENERATED, 1], "b": 2}


def many(number: int = 400, text: str = "-a\n+b\n" * 100) -> Comparison:
    reasons = (Reason(PODS, "spec"),)
    changes = tuple(Change("manual", "bhc", f"deployment/{n}", "changed", reasons, text) for n in range(number))
    return Comparison("0123456789ab", ("manual",), changes)


def test_a_comment_has_its_size_and_says_what_it_leaves_out() -> None:
    text = markdown.render(many(4000), markdown.ROOM)
    assert len(text) <= markdown.ROOM
    assert "more are left out here" in text
    assert text.count("deployment/") < 4000
    assert markdown.render(many(4000)).count("**changed**") == 4000


def test_markup_of_an_author_stays_text() -> None:
    hostile = "```\n</details><script>alert(1)</script> @everyone"
    found = many(1, hostile)
    shown = markdown.render(found)
    assert f"\n````diff\n{hostile}\n````\n" in shown
    assert "<script>" not in html.render(found)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = entered(tmp_path, monkeypatch)
    site.settings(SETTINGS)
    git("init", "--quiet", "--initial-branch=main", ".")
    commit("first")
    return site


def git(*words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(("git", *who, *words), check=True, capture_output=True, timeout=30)


def commit(message: str) -> None:
    git("add", "korthweb.yaml")
    git("commit", "--quiet", "--message", message)


def seen(capsys: pytest.CaptureFixture[str], **words: Any) -> dict[str, Any]:
    with pytest.raises(Differs) as raised:
        ci.diff(invoke.Context(), output="json", **words)
    assert raised.value.exit_code == 9
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def test_nothing_differs_from_itself(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    ci.diff(invoke.Context(), base="main")
    assert "No differences" in capsys.readouterr().out


def test_a_drain_that_is_shorter_restarts_orthanc(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.settings(SETTINGS + "orthanc: {drain_seconds: 100}\n")
    data = seen(capsys, base="main", approach="manual", out="out")
    assert data["settings"] == [{"key": "orthanc.drain_seconds", "before": "240", "after": "100"}]
    orthanc = next(one for one in data["changes"] if one["object"] == "deployment/orthanc")
    assert orthanc["consequences"] == ["associations are cut", "pods restart"]
    assert {path.name for path in Path("out").iterdir()} == {"changes.md", "changes.html", "changes.json"}
    assert site.calls() == []  # no cluster, no registry


def test_what_came_to_the_base_meanwhile_is_not_ours(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    git("checkout", "--quiet", "-b", "mine")
    git("checkout", "--quiet", "main")
    site.settings(SETTINGS + "orthanc: {drain_seconds: 100}\n")
    commit("of somebody else")
    git("checkout", "--quiet", "mine")
    ci.diff(invoke.Context(), base="main", approach="manual")
    assert "No differences" in capsys.readouterr().out


def test_the_base_comes_from_the_forge(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="what to compare with"):
        ci.diff(invoke.Context())
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    ci.diff(invoke.Context())


@pytest.mark.parametrize("base", ["nowhere", "--output=x", "0" * 40])
def test_a_base_that_is_not_here_is_said(site: Site, base: str) -> None:
    with pytest.raises(UsageError, match="no commit") as raised:
        ci.diff(invoke.Context(), base=base)
    assert "git fetch" in raised.value.hint
    assert not Path("x").exists()


def test_settings_of_the_base_that_are_wrong_do_not_stop_the_repair(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.settings(SETTINGS + "nonsense: 1\n")
    commit("broken")
    site.settings(SETTINGS)
    data = seen(capsys, base="main", approach="manual")
    assert "settings of the base are wrong" in data["notes"][0]
    assert {one["change"] for one in data["changes"]} == {"added"}
