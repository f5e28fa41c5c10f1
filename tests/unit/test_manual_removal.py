"""The way back: in reverse order, custom resources before operators, volumes kept unless asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.removal import build_removal, custom
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record
from korthweb_tasks.approaches.shared.ownership import STAYS, Fate
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Plan, Step
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets

ARTIFACTS = Artifacts.read(Path(__file__).parents[2] / "manual")
ALL = Settings().tenants


def recorded(name: str, **more: Any) -> dict[str, Any]:
    text = Record("manual", **more, uid=f"uid-{name}").text()
    return {"metadata": {"name": name, "uid": f"uid-{name}", "annotations": {RECORD: text}}}


FATES = {
    name: Fate(recorded(name))
    for name in ("bhc-orthweb", "mhr-orthweb", "cert-manager", "observability", "istio-system")
}


def removal(tenants: Any = ALL, *, volumes: bool = False, shared: bool = True, **fates: Fate) -> Plan:
    known = FATES | {name.replace("_", "-"): one for name, one in fates.items()}
    if not volumes:
        known |= {name: replace(known[name], kept=STAYS) for name in ("bhc-orthweb", "mhr-orthweb")}
    return build_removal(
        Manifests(Settings(), Secrets(), ARTIFACTS),
        Cluster("lab"),
        tenants,
        volumes=volumes,
        fates=known,
        shared=shared,
    )


def deleted(step: Step) -> list[tuple[str, str]]:
    """Return the (kind, name) pairs that a step deletes by their manifests."""
    found = []
    for action in step.actions:
        assert isinstance(action, Command)
        if action.stdin:
            found += [(obj["kind"], obj["metadata"]["name"]) for obj in json.loads(action.stdin).get("items", [])]
    return found


def words(step: Step) -> str:
    return "\n".join(str(action) for action in step.actions)


def test_the_order_is_that_of_the_deployment_turned_round() -> None:
    whole = removal(ALL[:1])
    names = list(whole.sorter().static_order())
    order = [names.index(f"{kind}:bhc") for kind in ("ingress", "orthanc", "postgres", "policies", "namespace")]
    assert order == sorted(order)


def test_what_tenants_share_goes_where_that_is_asked_for() -> None:
    assert {step.name for step in removal(ALL, shared=False).steps if ":" not in step.name} == set()
    whole = removal()
    assert [step.name for step in whole.steps if ":" not in step.name] == [
        "observability", "cert-manager", "istio", "policies",
    ]  # fmt: skip
    names = list(whole.sorter().static_order())
    last = max(names.index(f"namespace:{name}") for name in ("bhc", "mhr"))
    assert last < names.index("cert-manager") < names.index("istio")


def test_custom_resources_go_before_their_operators() -> None:
    whole = removal()
    names = list(whole.sorter().static_order())
    for step in whole.steps:
        kinds = {obj["kind"] for a in step.actions if isinstance(a, Command) and a.stdin for obj in _objects(a)}
        if kinds & {"Certificate", "Issuer"}:
            assert names.index(step.name) < names.index("cert-manager")
        if kinds & {"Gateway", "AuthorizationPolicy", "PeerAuthentication"}:
            assert names.index(step.name) < names.index("istio")


def test_volumes_and_their_passwords_stay_unless_asked() -> None:
    whole = removal(ALL[:1], shared=False)
    gone = [pair for step in whole.steps for pair in deleted(step)]
    assert not [kind for kind, _ in gone if kind in ("Namespace", "PersistentVolumeClaim", "Secret")]
    everything = "\n".join(words(step) for step in whole.steps)
    assert "/namespaces/bhc-orthweb" not in everything
    assert "orthanc-users" not in everything
    assert "postgres-admin" not in everything


def test_with_volumes_the_namespace_goes() -> None:
    step = removal(ALL[:1], volumes=True)["namespace:bhc"]
    assert "delete --raw /api/v1/namespaces/bhc-orthweb" in words(step)
    assert any("uid-bhc-orthweb" in (action.stdin or "") for action in step.actions if isinstance(action, Command))
    assert step.on_failure  # and what blocks it is named


def test_a_namespace_of_somebody_else_is_left_alone() -> None:
    theirs = Fate({"metadata": {"name": "cert-manager", "uid": "1"}}, "korthweb did not make it")
    assert "cert-manager" not in {step.name for step in removal(volumes=True, cert_manager=theirs).steps}
    adopted = Fate(recorded("bhc-orthweb", tenant="BHC", adopted=True), "korthweb did not make it")
    step = removal(ALL[:1], volumes=True, bhc_orthweb=adopted)["namespace:bhc"]
    assert "the namespace bhc-orthweb stays: korthweb did not make it" in step.title
    assert "--raw" not in words(step)
    assert "persistentvolumeclaim/data-postgres-0" in words(step)
    assert '"kept\\":true' in words(step)
    assert not [wait for wait in step.waits if getattr(wait, "kind", "") == "namespace"]


def test_what_observability_has_outside_of_its_namespace_goes_before_istio() -> None:
    whole = removal()
    assert ("Telemetry", "traces") in deleted(whole["observability"])
    assert "Namespace" not in {kind for kind, _ in deleted(whole["observability"])}  # only if korthweb made it
    assert "observability" in whole["istio"].needs


def test_an_istio_of_somebody_else_is_left_alone() -> None:
    probe = removal()["istio"].probes[0]
    assert "korthweb-istio" in probe.command.argv
    assert probe.read(Result(probe.command, 0, "", "", 0.1)) is True


def test_kinds_that_the_server_does_not_know_are_gone_and_an_unreachable_server_is_not_empty() -> None:
    (probe,) = removal()["ingress:bhc"].probes
    unknown = 'error: resource mapping not found: no matches for kind "Gateway" in version "networking.istio.io/v1"'
    assert probe.read(Result(probe.command, 1, "", unknown, 0.1)) is True
    assert probe.read(Result(probe.command, 0, "gateway/orthanc\n", "", 0.1)) is False
    assert Result(probe.command, 1, "", unknown, 0.1).answered
    assert not Result(probe.command, 1, "", "connection refused", 0.1).answered  # the executor raises


def test_custom_kinds_are_told_by_their_group() -> None:
    assert custom({"apiVersion": "networking.istio.io/v1"})
    assert custom({"apiVersion": "cert-manager.io/v1"})
    assert not custom({"apiVersion": "networking.k8s.io/v1"})


def _objects(command: Command) -> list[dict[str, Any]]:
    return list(json.loads(command.stdin or "").get("items", ()))
