"""The model by itself, the pins, and the orthanc.json that follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from korthweb_tasks.settings.example import _inner
from korthweb_tasks.settings.images import Images
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc import orthanc_json, password_variables
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.settings.versions import PINS, TOOL_COMPONENTS, parse, tool_pin, within


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if inner := _inner(field):
            yield from models(inner)


def test_every_field_is_described() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model in models(Settings)
        for name, field in model.model_fields.items()
        if not field.description or field.description.endswith(".")
    ]
    assert bare == []


def test_everything_is_frozen_and_refuses_unknown_keys() -> None:
    assert all(m.model_config.get("frozen") and m.model_config.get("extra") == "forbid" for m in models(Settings))
    with pytest.raises(ValidationError):
        Settings().tenants[0].aet = "X"  # type: ignore[misc]


def test_a_tenant_is_named_after_its_facility() -> None:
    tenant = Tenant(name="Bhc-2", domain="bhc.example.org")
    assert (tenant.namespace, tenant.aet) == ("bhc-2-orthweb", "BHC-2")
    assert (tenant.web_host, tenant.dicom_host) == ("web.bhc.example.org", "dicom.bhc.example.org")
    assert (tenant.replicas.min, tenant.replicas.max, tenant.storage, tenant.users) == (3, 10, "10Gi", ("admin",))


def test_a_tenant_is_found_in_any_case() -> None:
    settings = Settings()
    assert settings.tenant("bhc") is settings.tenants[0]
    with pytest.raises(KeyError, match="no tenant 'xyz'; there are BHC, MHR"):
        settings.tenant("xyz")


@pytest.mark.parametrize(
    ("orthanc", "maximum", "needed"),
    [
        ({}, 10, 70),
        ({"connections": 8}, 10, 100),
        ({"reserved_connections": 0}, 10, 60),
        ({"connections": 50}, 10, 520),
        ({}, 3, 28),
        ({"config": {"PostgreSQL": {"EnableStorage": False}}}, 10, 60),
        ({"config": {"PostgreSQL": {"IndexConnectionsCount": 20}}}, 10, 220),
    ],
)
def test_the_connection_budget_counts_the_worst_case(orthanc: dict[str, Any], maximum: int, needed: int) -> None:
    tenant = {"name": "A", "domain": "a.b", "replicas": {"min": 1, "max": maximum}}
    settings = Settings.model_validate({"tenants": [tenant], "orthanc": orthanc})
    budget = settings.connection_budget(settings.tenants[0])
    assert (budget.needed, budget.available, budget.ok) == (needed, 200, needed <= 200)


@pytest.mark.parametrize(
    ("image", "mirrored"),
    [
        ("docker.io/library/postgres:17", "mirror.hospital/ext/library/postgres:17"),
        ("quay.io/kiali/kiali:v2", "mirror.hospital/ext/kiali/kiali:v2"),
        ("localhost:5000/a/b:1", "mirror.hospital/ext/a/b:1"),
        ("localhost/a:1", "mirror.hospital/ext/a:1"),
        ("korthweb.lab/orthanc:1.12.7", "mirror.hospital/ext/orthanc:1.12.7"),
        ("docker.io/traefik:v3", "mirror.hospital/ext/library/traefik:v3"),
        ("orthancteam/orthanc:1", "mirror.hospital/ext/orthancteam/orthanc:1"),
        ("postgres:17", "mirror.hospital/ext/library/postgres:17"),
    ],
)
def test_a_mirror_takes_the_place_of_every_registry(image: str, mirrored: str) -> None:
    assert Images(registry="mirror.hospital/ext").mirrored(image) == mirrored
    assert Images().mirrored(image) == image


def test_every_pin_is_inside_its_own_range() -> None:
    assert [name for name, pin in PINS.items() if not pin.accepts(pin.version)] == []
    assert set(TOOL_COMPONENTS.values()) <= set(PINS)
    assert tool_pin("istioctl") is PINS["istio"]


@pytest.mark.parametrize(
    ("component", "version", "accepted"),
    [
        ("helm", "3.22.0", True),
        ("helm", "v3.22.4", True),
        ("helm", "3.21.9", False),
        ("helm", "4.3.1+g12ab", True),
        ("helm", "5.0.0", False),
        ("kubernetes", "v1.35.0", True),
        ("kubernetes", "1.37.9", True),
        ("kubernetes", "1.34.6", False),
        ("kubernetes", "1.38.0", False),
        ("kubernetes", "v1.36.3-k3s1", True),
        ("cert-manager", "1.11.4", True),
        ("cert-manager", "1.11.3", False),
        ("postgres", "18.0", False),
        ("postgres", "17", True),
    ],
)
def test_ranges_are_kept(component: str, version: str, accepted: bool) -> None:
    assert PINS[component].accepts(version) is accepted


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", (1, 0, 0)), ("v1.2", (1, 2, 0)), ("1.2.3.4", (1, 2, 3)), ("1.2.3~rc1", (1, 2, 3))],
)
def test_versions_are_read(text: str, number: tuple[int, int, int]) -> None:
    assert parse(text) == number


@pytest.mark.parametrize("text", ["", "latest", "v", "1.x", "-1", "1..2"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version like"):
        parse(text)


def test_ranges_can_be_exact_or_empty() -> None:
    assert within("1.2.3", "==1.2.3")
    assert not within("1.2.3", "!=1.2.3")
    assert within("9.9.9", "")
    assert within("1.0.1", ">1.0.0, <=1.0.1")
    with pytest.raises(ValueError, match="is not a range like"):
        within("1.2.3", "~1.2")


def test_merging_changes_neither_side() -> None:
    below: dict[str, Any] = {"a": {"b": 1, "c": [1]}, "d": 1}
    above = {"a": {"c": [2], "e": {"f": 1}}, "d": {"g": 1}}
    kept = json.dumps([below, above])
    assert deep_merge(below, above) == {"a": {"b": 1, "c": [2], "e": {"f": 1}}, "d": {"g": 1}}
    assert json.dumps([below, above]) == kept


# what an orthanc.json must say, whatever else it says
SECURE = {
    "RemoteAccessAllowed": True,
    "AuthenticationEnabled": True,
    "DicomCheckCalledAet": True,
    "DicomTlsEnabled": False,
    "ExecuteLuaEnabled": False,
    "RestApiWriteToFileSystemEnabled": False,
    "HttpsVerifyPeers": True,
    "SaveJobs": False,
    "CheckRevisions": True,
    "OverwriteInstances": False,
    "DatabaseServerIdentifier": "${POD_NAME}",
    "HttpPort": 8042,
    "DicomPort": 4242,
    "DicomAlwaysAllowEcho": True,
    "DicomAlwaysAllowStore": True,
    "DicomAlwaysAllowFind": False,
    "DicomAlwaysAllowGet": False,
    "DicomAlwaysAllowMove": False,
}


def test_orthanc_is_secure_and_shared_by_replicas() -> None:
    settings = Settings()
    config = orthanc_json(settings, settings.tenants[0])
    assert {key: config[key] for key in SECURE} == SECURE
    assert config["DicomAet"] == "BHC"
    database = config["PostgreSQL"]
    assert (database["Lock"], database["EnableIndex"], database["EnableStorage"]) == (False, True, True)
    assert database["IndexConnectionsCount"] == 5
    assert config["DicomWeb"]["Root"] == "/dicom-web/"


def test_orthanc_json_holds_no_password_but_a_place_for_each() -> None:
    settings = Settings.model_validate({"tenants": [{"name": "A", "domain": "a.b", "users": ["admin", "dr.who"]}]})
    config = orthanc_json(settings, settings.tenants[0])
    assert config["RegisteredUsers"] == {"admin": "${ORTHANC_ADMIN_PASSWORD}", "dr.who": "${ORTHANC_DR_WHO_PASSWORD}"}
    assert "Password" not in config["PostgreSQL"]  # libpq takes it from PGPASSWORD
    assert password_variables(settings.tenants[0]) == {
        "admin": "ORTHANC_ADMIN_PASSWORD",
        "dr.who": "ORTHANC_DR_WHO_PASSWORD",
    }


def test_what_the_user_says_of_orthanc_wins() -> None:
    own = {"OverwriteInstances": True, "PostgreSQL": {"EnableSsl": True}, "DicomModalities": {"ct": ["CT", "h", 104]}}
    settings = Settings.model_validate({"orthanc": {"config": own, "connections": 8, "plugins": ["/p"]}})
    config = orthanc_json(settings, settings.tenants[1], database_host="db")
    assert config["OverwriteInstances"] is True
    assert config["DicomModalities"] == {"ct": ["CT", "h", 104]}
    assert config["PostgreSQL"]["EnableSsl"] is True
    assert config["PostgreSQL"]["Host"] == "db"
    assert config["PostgreSQL"]["IndexConnectionsCount"] == 8
    assert config["Plugins"][4:] == ["/p"]
    assert json.loads(json.dumps(config)) == config
