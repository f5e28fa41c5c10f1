"""F18: every pod of a tenant knows its modalities. F16: no gateway ends a large upload."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from korthweb_tasks.approaches.helm.values import values
from korthweb_tasks.settings.dicom import Modality
from korthweb_tasks.settings.model import Settings
from tests.renders import APPROACHES, Objects, chart_values, made

WORKSTATION = {"aet": "WS1", "host": "ws1.hospital.example", "port": 11112, "config": {"AllowMove": False}}
GIVEN: dict[str, Any] = {
    "tenants": [
        {
            "name": "BHC",
            "domain": "bhc.orthweb.com",
            "modalities": {"ws": WORKSTATION, "ct": {"aet": "CT", "host": "a"}},
        },
        {"name": "MHR", "domain": "mhr.orthweb.com"},
    ],
    "orthanc": {"config": {"DicomModalities": {"pacs": ["PACS", "10.0.0.9", 104], "ct": ["OLD", "10.0.0.8", 104]}}},
}


def modalities(objects: Objects, namespace: str) -> dict[str, Any]:
    data = (
        o.get("data") or {} for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["namespace"] == namespace
    )
    (found,) = (json.loads(one["orthanc.json"]) for one in data if "orthanc.json" in one)
    return dict(found["DicomModalities"])


@pytest.mark.parametrize("approach", APPROACHES)
def test_F18_a_tenants_modalities_are_in_the_configuration_of_its_pods(approach: str) -> None:
    """F18: beside those that all tenants have, and before them; never those of another tenant."""
    objects = made(approach, GIVEN)
    assert modalities(objects, "bhc-orthweb") == {
        "pacs": ["PACS", "10.0.0.9", 104],
        "ct": {"AET": "CT", "Host": "a", "Port": 104},
        "ws": {"AET": "WS1", "Host": "ws1.hospital.example", "Port": 11112, "AllowMove": False},
    }
    assert set(modalities(objects, "mhr-orthweb")) == {"pacs", "ct"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"config": {"AllowMoves": True}}, "did you mean 'AllowMove'"),
        ({"config": {"AET": "X"}}, "AET is said by aet"),
        ({"aet": "MUCH TOO LONG A TITLE"}, "DICOM allows 16"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_F18_what_orthanc_would_ignore_is_refused(more: dict[str, Any], told: str) -> None:
    """F18: a misspelt permission would be none."""
    with pytest.raises(ValidationError, match=told):
        Modality.model_validate({**WORKSTATION, **more})


@pytest.mark.parametrize("approach", APPROACHES)
def test_F16_no_gateway_limits_the_size_or_time_of_an_upload(approach: str) -> None:
    """F16: 700 MB on a slow line pass; nothing buffers a body, and no route has a time-out."""
    objects = made(approach, GIVEN)
    if approach == "helm":
        assert not [o for o in objects if o["kind"] == "Middleware" and "buffering" in o["spec"]]
        (transport,) = (o for o in objects if o["kind"] == "ServersTransport" and "bhc" in o["metadata"]["namespace"])
        assert transport["spec"]["forwardingTimeouts"]["responseHeaderTimeout"] == "0s"
        traefik = chart_values(values(Settings(), Settings().tenants[0]))["traefik"]
        limits = traefik["ports"]["websecure"]["transport"]["respondingTimeouts"]
        assert (limits["readTimeout"], limits["writeTimeout"]) == (0, 0)
        return
    routes = [o for o in objects if o["kind"] == "VirtualService"]
    assert len(routes) == 4
    # Istio has no time-out where a route says none
    assert not [route for o in routes for route in o["spec"].get("http", ()) if "timeout" in route]
    assert not [o for o in objects if o["kind"] == "EnvoyFilter"]
