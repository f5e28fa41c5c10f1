"""Where a tenant answers, whom to trust and how to log in: read from the cluster, by the approach's table."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from korthweb_tasks.approaches.base import Key, approach_of
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import VerifyFailed
from korthweb_tasks.report.model import TenantSummary
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.kubectl import Kubectl, items
from korthweb_tasks.verify.model import Endpoint, Options, Policy

Run = Callable[[Command], Result]


def find_endpoint(run: Run, kubectl: Kubectl, tenant: Tenant, approach: str) -> Endpoint:
    """Read where ``tenant`` answers. An ingress without an address gives an empty one, which its rung tells of.

    Raises VerifyFailed where the tenant is not deployed, and what ``run`` raises.
    """
    lookup, user = approach_of(approach).lookup, tenant.users[0]
    services: list[dict[str, Any]] = []
    for place in filter(None, (lookup.own, lookup.ingress)):
        namespace, service = (text.format(ns=tenant.namespace) for text in place)
        services = services or items(run(kubectl.get("service", service, namespace=namespace)))
    cas = [key.named(tenant, user) for key in lookup.cas]
    ca = next((text for key in cas if (text := _read(run, kubectl, key))), "")
    password = _read(run, kubectl, where := lookup.password.named(tenant, user))
    if not ca or not password:
        missing = where if ca else cas[0]
        hint = hints.task(f"{approach}.deploy", tenant=tenant.name)
        raise VerifyFailed(f"{tenant.name} is not deployed: there is no {missing}", hint=hint)
    return Endpoint(
        tenant=tenant.name,
        address=address_of(services[0]) if services else "",
        web_host=tenant.web_host,
        dicom_host=tenant.dicom_host,
        aet=tenant.aet,
        ca_pem=ca,
        username=user,
        password=SecretStr(password),
        https_port=tenant.ports.https,
        dicom_port=tenant.ports.dicom,
        namespace=tenant.namespace,
        policy=Policy(tls_minimum=tenant.dicom.tls.minimum, suites=tenant.dicom.tls.suites),
    )


def let_in_without_sni(endpoint: Endpoint, tenant: Tenant, chart: Mapping[str, Any]) -> Endpoint:
    """Return the endpoint with the port for modalities that name no server, by the tenant's settings or the chart's."""
    port = tenant.dicom.without_sni
    ingress = chart.get("ingress", {}).get("withoutSni", {})
    if port is None and ingress.get("enabled"):
        entry = chart.get("traefik", {}).get("ports", {}).get(ingress.get("entryPoint", "dicom-any"), {})
        port = int(entry.get("exposedPort") or entry.get("port") or 0)
    return replace(endpoint, policy=replace(endpoint.policy, without_sni=port))


def as_told(endpoint: Endpoint, options: Options) -> Endpoint:
    """Return the endpoint with the address, the ports and the AE title that were typed."""
    return replace(
        endpoint,
        address=options.address or endpoint.address,
        https_port=options.https_port or endpoint.https_port,
        dicom_port=options.dicom_port or endpoint.dicom_port,
        aet=options.called_aet or endpoint.aet,
    )


def permitted(endpoint: Endpoint, orthanc: Mapping[str, Any], calling: str) -> Endpoint:
    """Return the endpoint with the operations that this orthanc.json allows to an AE title."""
    modalities = [_modality(entry) for entry in orthanc.get("DicomModalities", {}).values()]
    known = [modality for modality in modalities if modality.get("AET") == calling]
    operations = ("Store", "Find", "Get", "Move", "StorageCommitment")
    allowed = frozenset(
        operation
        for operation in operations
        if any(modality.get(f"Allow{operation}", True) for modality in known)
        or orthanc.get(f"DicomAlwaysAllow{operation}")
    )
    places = ((modality.get("Host"), modality.get("Port")) for modality in known)
    place = next(((str(host), int(port)) for host, port in places if host and port), None)
    return replace(endpoint, policy=replace(endpoint.policy, operations=allowed, reports_to=place))


def _modality(entry: Any) -> Mapping[str, Any]:
    """Return an entry of DicomModalities in its long form; the short one is a list that begins with these three."""
    return dict(zip(("AET", "Host", "Port"), entry, strict=False)) if isinstance(entry, list) else entry


def tenant_summary(endpoint: Endpoint, credentials: str = "") -> TenantSummary:
    """Return where the tenant answers; ``credentials`` is what to type to see them."""
    return TenantSummary(
        name=endpoint.tenant,
        address=endpoint.address,
        web_url=endpoint.url,
        web_host=endpoint.web_host,
        dicom_host=endpoint.dicom_host,
        dicom_port=endpoint.dicom_port,
        aet=endpoint.aet,
        credentials=credentials,
    )


def address_of(service: Mapping[str, Any]) -> str:
    """Return the address that a load balancer gave a Service, or nothing."""
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return str(given[0].get("ip") or given[0].get("hostname") or "")


def _read(run: Run, kubectl: Kubectl, key: Key) -> str:
    """Read one key of a Secret and no other; nothing where it is not there."""
    path = "{.data." + key.key.replace(".", "\\.") + "}"
    args = ("get", "secret", key.secret, f"--output=jsonpath={path}", "--ignore-not-found")
    text = run(kubectl.command(*args, namespace=key.namespace, repeatable=True)).stdout
    return base64.b64decode(text).decode()
