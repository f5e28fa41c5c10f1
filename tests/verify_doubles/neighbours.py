"""Two tenants side by side on the loopback, each with its own Orthanc, authority and gateway, or sharing one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.verify.isolation.cells import Isolation, prove
from korthweb_tasks.verify.isolation.outside import Outside
from korthweb_tasks.verify.model import Endpoint, Options
from tests.verify_doubles.gateway import Faults, Gateway, Listener
from tests.verify_doubles.orthanc import USER, Orthanc
from tests.verify_doubles.pki import Authority

NAMES = ("BHC", "MHR")
QUICK = Options(settle=0.2, timeout=5.0)


@dataclass
class Tenant:
    """One of the two. ``endpoint`` changes what the verification is told of it."""

    name: str
    orthanc: Orthanc
    password: str
    authority: Authority = field(default_factory=Authority)
    web_faults: Faults = field(default_factory=Faults)
    dicom_faults: Faults = field(default_factory=Faults)
    web_names: tuple[str, ...] = ()
    endpoint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def web(self) -> str:
        """Return its host for the web."""
        return f"web.{self.name.lower()}.test"

    @property
    def dicom(self) -> str:
        """Return its host for DICOM."""
        return f"dicom.{self.name.lower()}.test"


@contextmanager
def opened(*tenants: Tenant) -> Iterator[dict[str, Endpoint]]:
    """Give their endpoints while the gateways run."""
    with ExitStack() as stack:
        found = {}
        for tenant in tenants:
            pem = tenant.authority.leaf(*(tenant.web_names or (tenant.web, tenant.dicom)))
            web = Listener(tenant.orthanc.http, tenant.web, pem, http=True, faults=tenant.web_faults)
            dicom = Listener(tenant.orthanc.dicom, tenant.dicom, pem, http=False, faults=tenant.dicom_faults)
            stack.enter_context(Gateway((web, dicom)))
            endpoint = Endpoint(
                tenant=tenant.name,
                address="127.0.0.1",
                web_host=tenant.web,
                dicom_host=tenant.dicom,
                aet=tenant.name,
                ca_pem=tenant.authority.pem,
                username=USER,
                password=SecretStr(tenant.password),
                https_port=web.port,
                dicom_port=dicom.port,
            )
            found[tenant.name] = replace(endpoint, **tenant.endpoint)
        yield found


def proved(*tenants: Tenant) -> Isolation:
    """Try each at the other's gateway."""
    with opened(*tenants) as endpoints:
        return prove((Outside(endpoints, QUICK),), {tenant.name: tenant.name.lower() for tenant in tenants})


def cells(result: Isolation) -> dict[tuple[str, str, str], CellRecord]:
    """Return the cells of the attempts from outside."""
    rows = Outside({}).rows
    return {(cell.name, cell.a, cell.b): cell for cell in result.cells if cell.name in rows}
