"""F11: what a tenant's modalities may speak, and nobody else's, in all three approaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from korthweb_tasks.settings.check import findings
from korthweb_tasks.settings.dicom import MODERN, SUITES, TlsSettings
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.soundness import chart_schema
from tests.renders import APPROACHES, Objects, made

OLD = {"minimum": "1.1", "ciphers": [MODERN, "TLS_RSA_WITH_AES_128_CBC_SHA", "ecdhe-rsa-aes128-sha"]}
TWO: dict[str, Any] = {
    "tenants": [
        {"name": "BHC", "domain": "bhc.orthweb.com", "dicom": {"tls": OLD}},
        {"name": "MHR", "domain": "mhr.orthweb.com"},
    ]
}
#: version and suites of a way in, by OpenSSL's names
Tls = tuple[str, list[str]]


def istio(objects: Objects, namespace: str, port: int) -> Tls:
    (gateway,) = [o for o in objects if o["kind"] == "Gateway" and o["metadata"]["namespace"] == namespace]
    (tls,) = [server["tls"] for server in gateway["spec"]["servers"] if server["port"]["number"] == port]
    return tls["minProtocolVersion"].removeprefix("TLSV").replace("_", "."), tls.get("cipherSuites", list(modern()))


def traefik(objects: Objects, namespace: str, port: int) -> Tls:
    kind = {443: "IngressRoute", 11112: "IngressRouteTCP"}[port]
    (route,) = [o for o in objects if o["kind"] == kind and o["metadata"]["namespace"] == namespace]
    wanted = ("TLSOption", route["spec"]["tls"]["options"]["name"], namespace)
    found = {(o["kind"], o["metadata"]["name"], o["metadata"]["namespace"]): o for o in objects}[wanted]["spec"]
    names = {registered: name for name, registered in SUITES.items()}
    version = found["minVersion"].removeprefix("VersionTLS")
    return f"{version[0]}.{version[1]}", [names[suite] for suite in found["cipherSuites"]]


def modern() -> tuple[str, ...]:
    return TlsSettings().suites


@pytest.mark.parametrize("approach", APPROACHES)
def test_F11_old_suites_are_for_the_modalities_of_one_tenant(approach: str) -> None:
    """F11: the DICOM port of BHC takes them; its web and all of MHR keep BCP 195."""
    read = traefik if approach == "helm" else istio
    objects = made(approach, TWO)
    assert read(objects, "bhc-orthweb", 11112) == ("1.1", [*modern(), "AES128-SHA", "ECDHE-RSA-AES128-SHA"])
    for namespace, port in (("bhc-orthweb", 443), ("mhr-orthweb", 443), ("mhr-orthweb", 11112)):
        assert read(objects, namespace, port) == ("1.2", list(modern())), (namespace, port)


def test_F11_the_field_begins_with_bcp_195() -> None:
    """F11: forward secrecy and authenticated encryption, as RFC 9325 asks for."""
    assert len(modern()) == 6
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "POLY1305" in name) for name in modern())
    assert TlsSettings().outdated == ()


def test_F11_the_chart_takes_the_suites_that_the_settings_know() -> None:
    """F11: one list for the settings and the chart's schema."""
    tls = chart_schema()["properties"]["ingress"]["properties"]["dicomTls"]["properties"]
    assert tls["cipherSuites"]["items"]["enum"] == list(SUITES.values())
    versions = {TlsSettings(minimum=one).traefik_minimum for one in ("1.0", "1.1", "1.2", "1.3")}
    assert {"", *versions} == set(tls["minVersion"]["enum"])


@pytest.mark.parametrize("name", ["AES128SHA", "RC4-MD5", "DHE-RSA-AES128-SHA", "HIGH:!aNULL", ""])
def test_F11_a_suite_that_no_gateway_knows_is_refused_by_its_name(name: str) -> None:
    """F11: config.check says which one, and which there are."""
    with pytest.raises(ValidationError, match=rf"know no cipher suite '{name}'.*AES128-SHA"):
        TlsSettings(ciphers=(name,))


def test_F11_what_bcp_195_advises_against_is_told(tmp_path: Path) -> None:
    """F11: it is a person's choice, and config.check says what it costs."""
    file = tmp_path / "korthweb.yaml"
    file.write_text(
        "tenants:\n- name: BHC\n  domain: bhc.example\n  dicom:\n    tls: {ciphers: [modern, AES128-SHA]}\n"
    )
    (warning,) = (line for line in findings(load(project=tmp_path)).warnings if "BCP 195" in line)
    assert warning.startswith("korthweb.yaml:5: tenants.BHC.dicom.tls: AES128-SHA")
