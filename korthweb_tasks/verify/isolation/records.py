"""The isolation of tenants as records of a report."""

from __future__ import annotations

from korthweb_tasks.report.model import CellRecord
from korthweb_tasks.verify.isolation.cells import ROWS, Isolation


def cell_records(result: Isolation) -> tuple[CellRecord, ...]:
    """Return the cells as records."""
    rows = {row.name: row for row in ROWS}
    return tuple(
        CellRecord(
            name=cell.row,
            group=rows[cell.row].group,
            title=rows[cell.row].title,
            a=cell.a,
            b=cell.b,
            status=cell.status,
            seen=cell.seen,
            control=cell.control,
            hint=cell.hint,
            ms=cell.ms,
        )
        for cell in result.cells
    )
