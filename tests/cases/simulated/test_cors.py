"""F19: pages of the named origins may read, and those of others may not, at both gateways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from korthweb_tasks.settings.check import findings
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.tenant import Tenant
from tests.renders import APPROACHES, Objects, made, refused_by_helm

VIEWERS = ["https://viewer.hospital.example", "https://ohif.hospital.example:8443"]
TWO: dict[str, Any] = {
    "tenants": [
        {"name": "BHC", "domain": "bhc.orthweb.com", "cors": VIEWERS},
        {"name": "MHR", "domain": "mhr.orthweb.com"},
    ]
}


def istio(objects: Objects, namespace: str) -> dict[str, Any]:
    """Return the policy in Traefik's words."""
    (web,) = (o for o in objects if o["metadata"]["name"] == "orthanc-web" and o["metadata"]["namespace"] == namespace)
    (route,) = web["spec"]["http"]
    if not (policy := route.get("corsPolicy")):
        assert "vary" not in route["headers"]["response"]["add"]
        return {}
    return {
        "accessControlAllowOriginList": [one["exact"] for one in policy["allowOrigins"]],
        "accessControlAllowMethods": policy["allowMethods"],
        "accessControlAllowHeaders": policy["allowHeaders"],
        "accessControlExposeHeaders": policy["exposeHeaders"],
        "accessControlAllowCredentials": policy["allowCredentials"],
        "accessControlMaxAge": int(policy["maxAge"].removesuffix("s")),
        "addVaryHeader": route["headers"]["response"]["add"].get("vary") == "Origin",
    }


def traefik(objects: Objects, namespace: str) -> dict[str, Any]:
    (found,) = (o for o in objects if o["kind"] == "Middleware" and o["metadata"]["namespace"] == namespace)
    headers = found["spec"]["headers"]
    return {key: value for key, value in headers.items() if key.startswith(("accessControl", "addVary"))}


@pytest.mark.parametrize("approach", APPROACHES)
def test_F19_the_named_origins_may_read_and_no_other(approach: str) -> None:
    """F19: of one tenant, with a person's login, and never by a star."""
    read = traefik if approach == "helm" else istio
    objects = made(approach, TWO)
    assert read(objects, "bhc-orthweb") == {
        "accessControlAllowOriginList": VIEWERS,
        "accessControlAllowMethods": ["GET", "HEAD", "OPTIONS"],
        "accessControlAllowHeaders": [
            "Accept",
            "Authorization",
            "Content-Type",
            "If-None-Match",
            "Range",
            "X-Requested-With",
        ],
        "accessControlExposeHeaders": ["Content-Disposition", "Content-Length", "Content-Range", "ETag"],
        "accessControlAllowCredentials": True,
        "accessControlMaxAge": 3600,
        "addVaryHeader": True,
    }
    assert read(objects, "mhr-orthweb") == {}


@pytest.mark.parametrize(
    "origin",
    ["*", "https://*.example", "viewer.example", "https://viewer.example/", "null", "ftp://a.b", "https://a.b:0", ""],
)
def test_F19_what_is_no_origin_is_refused(origin: str) -> None:
    """F19: a star with a login would open Orthanc to every page; a path is never part of an origin."""
    with pytest.raises(ValidationError, match="cors"):
        Tenant(name="BHC", domain="a.b", cors=(origin,))
    if origin != "https://a.b:0":
        assert "corsOrigins" in refused_by_helm({"ingress": {"corsOrigins": [origin]}})


def test_F19_an_origin_is_written_as_browsers_write_it() -> None:
    """F19: gateways compare texts, and browsers leave out the usual port."""
    written = ("HTTPS://Viewer.example:443", "http://localhost:3000", "http://localhost:80")
    assert Tenant(name="A", domain="a.b", cors=written).cors == (
        "https://viewer.example",
        "http://localhost:3000",
        "http://localhost",
    )


def test_F19_an_origin_without_tls_is_told(tmp_path: Path) -> None:
    """F19: its pages can be changed on the way, and read with a person's login."""
    tenant = {"name": "BHC", "domain": "a.b", "cors": ["http://viewer.example"]}
    (tmp_path / "korthweb.yaml").write_text(json.dumps({"tenants": [tenant]}))
    assert any("http://viewer.example" in line for line in findings(load(project=tmp_path)).warnings)
