"""One Orthanc in three approaches: what its pods get is compared container by container, as each render has it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from korthweb_tasks.approaches.shared.pod_security import example
from korthweb_tasks.settings.model import Settings
from tests.renders import APPROACHES, made, named

GIVEN = {
    "tenants": [{"name": "BHC", "domain": "bhc.orthweb.com", "users": ["admin", "dr.who"], "replicas": {"min": 2}}],
    "orthanc": {"drain_seconds": 77, "plugins": ["gdcm"], "config": {"StableAge": 9}},
}
#: each approach has its own database, and reaches it in its own way
OF_DATABASE = {"PGHOST", "PGPORT", "PGSSLMODE", "PGSSLROOTCERT", "PGPASSWORD"}
CONNECTION = {"Host", "Port", "Database", "Username", "ConnectionUri", "EnableSsl"}
#: the user of CloudNativePG's image, and that of the official one
OF_IMAGE = {"runAsUser", "runAsGroup"}


def deployment(approach: str, given: dict[str, Any] = GIVEN) -> dict[str, Any]:
    """Return the pod, which a test may change."""
    pod: dict[str, Any] = named(made(approach, given), "Deployment", "orthanc")["spec"]["template"]["spec"]
    return deepcopy(pod)


def container(approach: str, name: str, given: dict[str, Any] = GIVEN) -> dict[str, Any]:
    """Return what the approach says of a container, without what is its database's."""
    pod = deployment(approach, given)
    (found,) = (one for one in (*pod["initContainers"], *pod["containers"]) if one["name"] == name)
    env = sorted((one for one in found.pop("env") if one["name"] not in OF_DATABASE), key=lambda one: one["name"])
    mounts = [one for one in found.pop("volumeMounts") if one["name"] != "database"]
    return {**found, "env": env, "volumeMounts": mounts}


@pytest.mark.parametrize("approach", APPROACHES[1:])
def test_orthanc_s_container_is_the_same(approach: str) -> None:
    """Image, command, plugins, environment, ports, probes, drain, resources, security context and mounts."""
    assert container(approach, "orthanc") == container("manual", "orthanc")


def test_the_container_has_what_is_compared() -> None:
    found = container("manual", "orthanc")
    probes = {"startupProbe", "livenessProbe", "readinessProbe", "lifecycle"}
    assert probes | {"env", "envFrom", "ports", "securityContext", "volumeMounts", "args"} <= set(found)
    assert found["lifecycle"]["preStop"]["exec"]["command"][-1] == "77"
    assert {one["name"] for one in found["env"]} == {"POD_NAME", "TCP_NODELAY", "PROBE_USER", "PROBE_VARIABLE"}


@pytest.mark.parametrize("approach", APPROACHES[1:])
def test_what_waits_for_the_database_is_the_same(approach: str) -> None:
    """But for the image, which is that of the approach's own database, and its user."""
    found, wanted = container(approach, "wait-for-database"), container("manual", "wait-for-database")
    for one in (found, wanted):
        one.pop("image")
        one["securityContext"] = {key: text for key, text in one["securityContext"].items() if key not in OF_IMAGE}
    assert found == wanted


@pytest.mark.parametrize("approach", APPROACHES[1:])
@pytest.mark.parametrize("fixed", [True, False])
def test_the_pod_is_the_same(approach: str, fixed: bool) -> None:
    """Security context, seconds to end, account, volumes, and how pods are spread."""
    given = {**GIVEN, "security": {"fixed_uids": fixed}}
    found, wanted = deployment(approach, given), deployment("manual", given)
    for key in ("automountServiceAccountToken", "serviceAccountName", "terminationGracePeriodSeconds"):
        assert found[key] == wanted[key]
    assert found["securityContext"] | {"fsGroupChangePolicy": None} == wanted["securityContext"] | {
        "fsGroupChangePolicy": None
    }
    assert [one for one in found["volumes"] if one["name"] != "database"] == wanted["volumes"]
    spread = [(one["topologyKey"], one["whenUnsatisfiable"]) for one in found["topologySpreadConstraints"]]
    assert spread == [(one["topologyKey"], one["whenUnsatisfiable"]) for one in wanted["topologySpreadConstraints"]]


def config(approach: str) -> dict[str, Any]:
    """Return orthanc.json, without how the database is reached."""
    text = named(made(approach, GIVEN), "ConfigMap", "orthanc-app")["data"]["orthanc.json"]
    found: dict[str, Any] = json.loads(text)
    found["PostgreSQL"] = {key: value for key, value in found["PostgreSQL"].items() if key not in CONNECTION}
    return found


@pytest.mark.parametrize("approach", APPROACHES[1:])
def test_orthanc_json_is_the_same(approach: str) -> None:
    assert config(approach) == config("manual")
    assert config(approach)["StableAge"] == 9


@pytest.mark.parametrize("approach", APPROACHES[1:])
def test_scripts_are_the_same(approach: str) -> None:
    found, wanted = (named(made(one, GIVEN), "ConfigMap", "orthanc-app")["data"] for one in (approach, "manual"))
    assert {name: text for name, text in found.items() if name != "orthanc.json"} == {
        name: text for name, text in wanted.items() if name != "orthanc.json"
    }


def test_the_pod_that_a_check_tries_is_held_to_the_same() -> None:
    tried = example(Settings(), "bhc-orthweb")["spec"]
    assert tried["securityContext"] == deployment("manual")["securityContext"]
    assert tried["containers"][0]["securityContext"] == container("manual", "orthanc")["securityContext"]
