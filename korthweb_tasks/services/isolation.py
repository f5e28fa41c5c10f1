"""How verify.isolation is run and told: its ways, its matrix on the screen, its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import UsageError, VerifyFailed
from korthweb_tasks.report.matrix import MARKS, as_text, matrix
from korthweb_tasks.report.model import CellRecord, Report, TenantSummary
from korthweb_tasks.run.console import Console
from korthweb_tasks.services import proof
from korthweb_tasks.services.session import Session
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.verify.endpoints import find_endpoint, tenant_summary
from korthweb_tasks.verify.isolation.cells import DONE, ROWS_OF, UNFINISHED, Way
from korthweb_tasks.verify.isolation.cells import prove as fill
from korthweb_tasks.verify.isolation.home import AsGuest, AtHome
from korthweb_tasks.verify.isolation.inside import Inside, Place
from korthweb_tasks.verify.isolation.manifests import Home
from korthweb_tasks.verify.isolation.outside import Outside
from korthweb_tasks.verify.isolation.probes import KubectlProbes
from korthweb_tasks.verify.isolation.rights import Rights
from korthweb_tasks.verify.model import Endpoint

TITLES = {
    "from outside": "from outside",
    "from inside": "by probe pods",
    "rights": "by rights of accounts",
    "at home": "by what a tenant makes itself",
}
WORDS = {"broken": "is not refused", "unknown": "is not proved to be refused"}


def prove(session: Session, approach: str | None, folder: str | None, output: str, *, yes: bool) -> Report | None:
    """Prove it for every ordered pair. Raises UsageError, and VerifyFailed with the first cell that is not green."""
    chosen, tenants = _approach(approach or session.settings.approach), _tenants(session)
    if not proof.begun(session, output, _attempts(tenants, chosen), changes=True, yes=yes):
        return None
    report, notes = proved(session, tenants, chosen)
    proof.publish_report(session.console, report, folder, output, lines_of(report))
    for note in notes:
        session.console.line(f"warning: {note}")
    if red := report.red_cells:
        first = red[0]
        where = f"{first.pair}: {first.group}, {first.title}"
        raise VerifyFailed(f"{where}: {WORDS[first.status]}: {first.seen}", hint=first.hint)
    if notes:
        raise VerifyFailed(f"everything is refused, but not all is tidied up: {notes[0]}", hint="run it again")
    return report


def proved(session: Session, tenants: tuple[Tenant, ...], approach: str) -> tuple[Report, tuple[str, ...]]:
    """Fill the matrix and return it as a report, with notes of what is left; a red cell is not an exception."""
    began = datetime.now(timezone.utc)
    run, names = session.runner.run, " and ".join(tenant.name for tenant in tenants)
    endpoints = {tenant.name: find_endpoint(run, session.kubectl, tenant, approach) for tenant in tenants}
    view = _View(session.console)
    with session.console.table(f"Isolation of {names}"):
        ways = _ways(session, tenants, endpoints, approach)
        view.begin(ways)
        namespaces = {tenant.name: tenant.namespace for tenant in tenants}
        result = fill(ways, namespaces, view.say, session.runner.stop, ROWS_OF[approach])
    summaries: tuple[TenantSummary, ...] = tuple(
        tenant_summary(endpoint, hints.task(f"{approach}.credentials", tenant=name, show=True))
        for name, endpoint in endpoints.items()
    )
    records = {"tenants": summaries, "cells": result.cells}
    return proof.report_of(session.about, f"Isolation of {names}", began, **records), result.notes


def _ways(
    session: Session, tenants: tuple[Tenant, ...], endpoints: dict[str, Endpoint], approach: str
) -> tuple[Way, ...]:
    images = session.settings.images
    places = {tenant.name: Place(tenant.name, tenant.namespace, tenant.aet) for tenant in tenants}
    orthanc, pull = images.mirrored(images.orthanc), (images.pull_policy, images.pull_secrets)
    probes = KubectlProbes(session.runner, session.kubectl, orthanc, *pull)
    flux = session.settings.flux if approach_of(approach).by_flux else None
    homes = {
        tenant.name: Home(tenant.name, tenant.namespace, tenant.web_host, tenant.dicom_host, flux) for tenant in tenants
    }
    run, kubectl = session.runner.run, session.kubectl
    if approach == "manual":
        return (Outside(endpoints), Rights(places, run, kubectl, None), AsGuest(homes, run, kubectl))
    rights = Rights(places, run, kubectl, flux, session.settings.postgres.operator_namespace)
    return (Outside(endpoints), Inside(places, probes), rights, AtHome(homes, run, kubectl))


def _approach(chosen: str) -> str:
    if chosen in ROWS_OF:
        return chosen
    why = "its tenants are releases without a mesh" if chosen == "helm" else "it is not known"
    text = f"verify.isolation is for the approaches {' and '.join(ROWS_OF)}, not for {chosen}: {why}"
    raise UsageError(text, hint="--approach gitops")


def _tenants(session: Session) -> tuple[Tenant, ...]:
    """Return the tenants of this cluster. Raises UsageError for less than two."""
    here = session.ref.settings.tenants
    wanted = {name.lower() for name in here} if here is not None else None
    tenants = tuple(tenant for tenant in session.tenants if wanted is None or tenant.name.lower() in wanted)
    if len(tenants) < 2:
        hint = "leave out --tenant" if session.tenant_flag else hints.task("gitops.add-tenant", "NAME", domain="DOMAIN")
        raise UsageError(f"isolation is between tenants, and there is {len(tenants) or 'none'} here", hint=hint)
    return tenants


class _View:
    """Shows the ways to try, and what each does now."""

    def __init__(self, console: Console) -> None:
        self.console, self.began = console, time.monotonic()

    def begin(self, ways: tuple[Way, ...]) -> None:
        """Announce the ways."""
        for way in ways:
            self.console.row(way.name, TITLES[way.name])
            self.console.begin(way.name, TITLES[way.name])

    def say(self, way: str, text: str) -> None:
        """Show what a way does now, or that it has ended."""
        if text not in (DONE, UNFINISHED):
            self.console.note(way, text)
            return
        seconds = time.monotonic() - self.began
        record = StepRecord(way, TITLES[way], verdict="changed" if text == DONE else "failed", end=seconds)
        self.console.end(record)


def _attempts(tenants: tuple[Tenant, ...], approach: str) -> Iterator[str]:
    yield "Nothing is contacted, made or sent. These attempts would be made for every ordered pair:"
    yield f"  {', '.join(f'{a.name} → {b.name}' for a in tenants for b in tenants if a is not b)}"
    yield from (f"  {row.group}: {row.title}" for row in ROWS_OF[approach])


def lines_of(report: Report) -> Iterator[str]:
    """Yield the matrix, what was seen in each red cell, and the count."""
    yield from as_text(matrix(report.cells))
    yield from _causes(report.red_cells)
    passed = sum(cell.status == "passed" for cell in report.cells)
    yield f"\n{passed} of {len(report.cells)} attempts are refused, each with its control ({duration(report.seconds)})"


def _causes(red: tuple[CellRecord, ...]) -> Iterator[str]:
    """Tell what was seen in each red cell; cells of one cause are told together."""
    causes: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in red:
        causes.setdefault((cell.status, cell.seen), []).append(cell)
    for (_, seen), cells in causes.items():
        yield ""
        yield from (f"{MARKS[cell.status]} {cell.pair}: {cell.group}, {cell.title}" for cell in cells)
        yield f"    seen: {seen}"
        if control := cells[0].control:
            yield f"    control: {control}"
        yield f"    next: {cells[0].hint}"
