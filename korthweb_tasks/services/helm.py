"""What the tasks of the Helm approach do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.helm.diff import Change, changes, masked_text
from korthweb_tasks.approaches.helm.plan import RELEASE, SELECTOR, TRAEFIK, tidied
from korthweb_tasks.approaches.helm.values import own_traefik
from korthweb_tasks.approaches.shared import addresses, pod_security
from korthweb_tasks.approaches.shared.checks import Check, Finding, kubernetes
from korthweb_tasks.approaches.shared.status import Row, rows, table
from korthweb_tasks.core import hints
from korthweb_tasks.core.render import parse
from korthweb_tasks.errors import Differs, StepFailed, UsageError
from korthweb_tasks.run.guard import allow
from korthweb_tasks.services import beforehand, chart, ownership, simulated
from korthweb_tasks.services.components import component_findings
from korthweb_tasks.services.shared import (
    answers,
    settings_finding,
    sound_settings,
    tell_findings,
    tell_following,
    tell_rows,
    tool,
)
from korthweb_tasks.settings.versions import PINS, within
from korthweb_tasks.tools.helm import Helm, push
from korthweb_tasks.tools.helm import rows as releases
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.helm.plan import Builder
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant

OF_RELEASE = "deployment,statefulset,horizontalpodautoscaler,service,pod"


def check(session: Session) -> None:
    """Tell what is there of the prerequisites, and what is missing."""
    session.contact()
    tell_findings(session, findings(session))


def dependencies(session: Session) -> None:
    """Fetch the charts that ours needs."""
    if session.dry_run:
        wanted = [
            {"name": name, "version": given.version, "source": given.source}
            for name, given in chart.wanted(session.settings)
        ]
        lines = [f"would bring {one['name']} {one['version']} from {one['source']}" for one in wanted]
        session.emit(wanted, "\n".join(lines) or "no dependency is wanted")
        return
    made = chart.stage(session, fetch=True)
    names = sorted(path.name for path in (made.folder / "charts").iterdir())
    data = {"chart": str(made.folder), "version": made.version, "dependencies": names}
    session.emit(data, f"{made.folder} ({made.version}) with {', '.join(names) or 'no dependency'}")


def lint(session: Session) -> None:
    """Check the chart with each tenant's values."""
    sound_settings(session.loaded, "helm")
    made = chart.stage(session)
    chart.lint(session, made)
    names = [tenant.name for tenant in session.tenants]
    session.emit({"version": made.version, "tenants": names}, f"orthanc-{made.version}: good for {', '.join(names)}")


def template(session: Session) -> None:
    """Show what the chart makes of the settings, Secrets masked."""
    sound_settings(session.loaded, "helm")
    folder = str(chart.stage(session).folder)
    commands = [chart.with_values(session.settings, tenant, "template", RELEASE, folder) for tenant in session.tenants]
    text = "".join(masked_text(session.runner.run(command).stdout) for command in commands)
    session.emit(parse(text) if session.output == "json" else None, text.rstrip("\n"))


def diff(session: Session) -> None:
    """Tell what an upgrade would change; raises Differs where it is something."""
    session.contact()
    builder = chart.builder(session)
    found = [change for tenant in session.tenants for change in _changes(session, builder, tenant)]
    text = "\n\n".join(f"# {change.tenant}: {change.name}\n{change.text}" for change in found)
    session.show(text or "nothing would change", data=[change.as_data() for change in found])
    if found:
        raise Differs(f"{len(found)} objects would change", hint=f"`{hints.task('helm.deploy')}` changes them")


def _changes(session: Session, builder: Builder, tenant: Tenant) -> list[Change]:
    before = session.runner.run(builder.helm.manifest(RELEASE, namespace=tenant.namespace))
    if before.code != 0:
        return [Change(tenant.name, f"release/{RELEASE}", "would be installed")]
    after = session.runner.run(builder.helm.rendered(builder.release(tenant)))
    return changes(tenant.name, before.stdout, json.loads(after.stdout)["manifest"])


def deploy(session: Session) -> Report:
    """Deploy the session's tenants, and say what to type next."""
    report = deployed(session)
    tell_following(session, "helm")
    return report


def deployed(session: Session) -> Report:
    """Deploy the session's tenants and return the report."""
    session.contact()
    beforehand.refuse(session, "helm")
    simulated.refuse(session, "helm")
    builder = chart.builder(session, fetch=not session.dry_run)
    chart.refuse_values(session, builder)
    return session.execute(builder.plan(session.tenants))


def test(session: Session) -> None:
    """Run the chart's own test in the cluster; raises StepFailed with its log."""
    if session.dry_run:
        places = {tenant.name: tenant.namespace for tenant in session.tenants}
        lines = [f"{name}: would run the test of the release {RELEASE} in {place}" for name, place in places.items()]
        session.emit(places, "\n".join(lines))
        return
    session.contact()
    allow(session.ref, yes=session.yes)
    session.lock()  # it makes pods, and a deployment at the same time would take them for its own
    told = {tenant.name: _tested(session, tenant) for tenant in session.tenants}
    session.emit(told, "\n".join(f"{name}: {line}" for name, lines in told.items() for line in lines))


def _tested(session: Session, tenant: Tenant) -> list[str]:
    command = Helm(session.target).test(RELEASE, namespace=tenant.namespace, timeout=session.timeout or 300.0)
    result = session.runner.check(command)
    log = result.stdout.partition("POD LOGS")[2].partition("\n")[2].strip()
    if result.code != 0:
        raise StepFailed(f"{tenant.name}: the release's test failed", details=f"{log}\n{result.stderr}".strip())
    session.runner.run(tidied(session.kubectl, tenant))
    return log.splitlines()


def status(session: Session) -> None:
    """Tell the state of each release; raises NotReady where one is missing or not well."""
    session.contact()
    tell_rows(session, [row for tenant in session.tenants for row in status_rows(session, tenant)], "helm")


def history(session: Session) -> None:
    """Show the revisions of each release."""
    session.contact()
    found = [{"tenant": tenant.name, **row} for tenant in session.tenants for row in revisions(session, tenant)]
    keys = ("tenant", "revision", "updated", "status", "chart", "description")
    lines = [tuple(key.upper() for key in keys), *(tuple(str(row.get(key, "")) for key in keys) for row in found)]
    session.emit(found, table(lines))


def rollback(session: Session, revision: int) -> Report:
    """Go back to a revision of one tenant's release (0: the one before)."""
    if len(session.tenants) != 1:
        names = ", ".join(tenant.name for tenant in session.tenants)
        raise UsageError("a rollback is of one tenant", hint=f"--tenant takes one of {names}")
    session.contact()
    ownership.refuse_others(session, "helm")
    refuse_revision(session, session.tenants[0], revision)
    return session.execute(chart.chartless(session).rollback(session.tenants[0], revision))


def package(session: Session, out: str, *, to: str, ca: str, plain: bool) -> None:
    """Write the archive of the chart into the folder ``out``, and push it to the registry ``to``, if any."""
    if session.dry_run:
        path = chart.archive_in(out)
        text = f"would write {path}{f' and push it to {to}' if to else ''}"
        session.emit({"archive": str(path), "pushed": None}, text)
        return
    archive = chart.packaged(session, out, plain=plain)
    if to:
        session.runner.run(push(str(archive), to, ca_file=ca))
    session.emit({"archive": str(archive), "pushed": to or None}, f"{archive}{f' is at {to}' if to else ''}")


def destroy(session: Session, *, volumes: bool) -> Report:
    """Remove the session's tenants; the admission policies go with the last tenant."""
    session.contact()
    homes = [(tenant.name, tenant.namespace) for tenant in session.tenants]
    fates = ownership.fates(session, "helm", homes, volumes=volumes)
    alone = not session.tenant_flag and not ownership.others_on_cluster(session, fates)
    plan = chart.chartless(session).removal(session.tenants, volumes=volumes, fates=fates, shared=alone)
    return session.execute(plan, destructive=True)


def findings(session: Session) -> list[Finding]:
    """Return what helm.check says: tools, numbers, the cluster, the chart with each tenant's values."""
    found = [*(tool(session, name) for name in ("kubectl", "helm")), settings_finding(session.loaded, "helm")]
    for tenant in session.tenants:
        budget = session.settings.connection_budget(tenant)
        text = f"{budget.needed} of {budget.available} connections"
        found.append(Finding(f"{tenant.name}: database", "ok" if budget.ok else "broken", text))
    asked = pod_security.questions(session.settings, session.kubectl, session.tenants)
    if own_traefik(session.settings):
        asked += addresses.questions(session.kubectl, session.tenants, TRAEFIK)
    return [
        *found,
        server_finding(session),
        *answers(session, asked),
        *component_findings(session, "helm"),
        *chart.finding(session),
        *beforehand.findings(session, "helm"),
    ]


def revisions(session: Session, tenant: Tenant) -> list[dict[str, Any]]:
    """Return the revisions of a tenant's release, the oldest first; none where there is no release."""
    result = session.runner.run(Helm(session.target).history(RELEASE, namespace=tenant.namespace))
    return releases(result) if result.code == 0 else []


def refuse_revision(session: Session, tenant: Tenant, revision: int) -> None:
    """Raise UsageError where there is no release to roll back, or not this revision of it (0: the one before)."""
    known = [int(row["revision"]) for row in revisions(session, tenant)]
    place = f"{tenant.name}: the release {RELEASE} in {tenant.namespace}"
    if not known:
        raise UsageError(f"{place} is not there", hint=hints.task("helm.deploy", tenant=tenant.name))
    if len(known) == 1 or (revision and revision not in known):
        text = f"has no revision {revision}" if revision else "has no revision before this one"
        raise UsageError(f"{place} {text}", hint=hints.task("helm.history", tenant=tenant.name))


def status_rows(session: Session, tenant: Tenant) -> list[Row]:
    """Return the release and what belongs to it; one row says so where there is none."""
    place = tenant.namespace
    found = releases(session.runner.run(Helm(session.target).list(RELEASE, namespace=place)))
    if not found:
        return [Row(place, f"release/{RELEASE}", "missing")]
    release = found[0]
    head = Row(place, f"release/{RELEASE}", release["status"], f"revision {release['revision']}, {release['chart']}")
    objects = items(session.runner.run(session.kubectl.get(OF_RELEASE, namespace=place, selector=SELECTOR)))
    claims = items(session.runner.run(session.kubectl.get("persistentvolumeclaim", namespace=place)))
    return [head, *rows([*objects, *claims])]


def server_finding(session: Session) -> Finding:
    """Return whether the chart takes this version of Kubernetes."""
    command = session.kubectl.command("version", "--output", "json", repeatable=True)
    found = Check("Kubernetes", command, kubernetes).finding(session.runner.run(command))
    lowest = PINS["kubernetes"].accepted.partition(",")[0]
    if found.verdict == "note" and not within(found.text.partition(" ")[0], lowest):
        return Finding(found.title, "broken", found.text)  # the chart itself refuses it
    return found
