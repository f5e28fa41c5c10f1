"""A ladder as records of a report."""

from __future__ import annotations

from korthweb_tasks.report.model import RungRecord, TenantSummary
from korthweb_tasks.verify.model import Endpoint, LadderResult


def rung_records(result: LadderResult) -> tuple[RungRecord, ...]:
    """Return the rungs as records."""
    return tuple(
        RungRecord(
            tenant=result.tenant,
            name=rung.name,
            title=rung.title,
            status=rung.status,
            ms=rung.ms,
            detail=rung.detail,
            hint=rung.hint,
            measures=rung.measures,
            notes=rung.notes,
        )
        for rung in result.rungs
    )


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
