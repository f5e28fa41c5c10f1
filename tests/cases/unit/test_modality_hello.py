"""What a modality says when it opens TLS: the protocol it speaks (ALPN), which DCMTK names from 3.6.8 on (RFC 9325)."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from korthweb_tasks.core.render import parse
from korthweb_tasks.verify.tls import connection as tls
from tests.verify_doubles.pki import Authority, server_context

GOLDEN = Path(__file__).parents[2] / "golden" / "helm"


def test_F10_traefik_knows_the_protocol_of_modalities_on_every_way_in() -> None:
    """F10: Traefik knows HTTP alone by itself, and ends a handshake for another protocol. Envoy goes on."""
    found = [*routes("default.yaml"), *routes("no-sni.yaml")]
    made = {(obj["kind"], obj["metadata"]["name"]): obj["spec"] for obj in found}
    ways = {name: spec["tls"]["options"]["name"] for (kind, name), spec in made.items() if kind == "IngressRouteTCP"}
    assert ways == {"orthanc-dicom": "orthanc-dicom", "orthanc-dicom-any": "orthanc-dicom-any"}
    assert all(made["TLSOption", option]["alpnProtocols"] == ["dicom"] for option in ways.values())


def routes(name: str) -> list[dict[str, Any]]:
    return [obj for obj in parse((GOLDEN / name).read_text()) if obj["apiVersion"] == "traefik.io/v1alpha1"]


def test_F10_verify_names_the_protocol_as_modalities_do() -> None:
    """F10: an ingress that refuses them does not pass."""
    authority = Authority()
    assert agreed(tls.as_modality(authority.pem), authority.leaf("dicom.bhc.test")) == "dicom"


def agreed(client: ssl.SSLContext, pem: bytes) -> str | None:
    """Return the protocol that both ends agree on, by a handshake in memory."""
    server = server_context(pem)
    server.set_alpn_protocols(["h2", "dicom"])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="dicom.bhc.test")
    theirs = server.wrap_bio(there, back, server_side=True)
    for end in (ours, theirs, ours, theirs):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return ours.selected_alpn_protocol()
