"""What the tasks of the manual approach do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.manual.components import OF_TENANT, installed_by
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.plan import build
from korthweb_tasks.approaches.manual.prerequisites import outside, require
from korthweb_tasks.approaches.manual.removal import SHARED, build_removal
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared import checks, pod_security
from korthweb_tasks.approaches.shared import status as state
from korthweb_tasks.approaches.shared.common import Artifacts, answered
from korthweb_tasks.approaches.shared.differences import differences
from korthweb_tasks.approaches.shared.shared_use import groups_of
from korthweb_tasks.core import hints
from korthweb_tasks.errors import Differs, UsageError
from korthweb_tasks.lab import labs
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.services import beforehand, ownership, simulated
from korthweb_tasks.services.components import component_findings
from korthweb_tasks.services.shared import (
    answers,
    settings_finding,
    side_by_side,
    sound_settings,
    tell_findings,
    tell_following,
    tell_rows,
    tool,
    written,
)
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.shared.checks import Finding
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session


def check(session: Session) -> None:
    """Tell what is there of the prerequisites, and what is missing."""
    session.contact()
    tell_findings(session, findings(session))


def findings(session: Session) -> list[Finding]:
    """Return what manual.check says: tools, numbers, the cluster, the chart."""
    settings, tenants = session.settings, session.tenants
    found = [tool(session, name) for name in ("kubectl", "helm", "istioctl")]
    found.append(settings_finding(session.loaded, "manual"))
    found += checks.from_settings(settings, tenants)
    asked = [*checks.for_cluster(settings, session.target, tenants), checks.chart(manifests(session).cert_manager)]
    asked += pod_security.questions(settings, session.kubectl, tenants)
    found += answers(session, asked)
    return [*found, *beforehand.findings(session, "manual"), *component_findings(session, "manual")]


def deploy(session: Session) -> Report:
    """Deploy the session's tenants, and say what to type next."""
    report = deployed(session)
    tell_following(session, "manual")
    return report


def deployed(session: Session) -> Report:
    """Deploy the session's tenants and return the report."""
    session.contact()
    beforehand.refuse(session, "manual")
    simulated.refuse(session, "manual")
    return session.execute(plan(session))


def part(session: Session, title: str, task: str) -> Report:
    """Apply the part of the plan that a task installs."""
    components = installed_by(task)
    kinds = {one.kind for one in components}
    session.contact()
    beforehand.refuse(session, "manual", session.tenants if kinds & OF_TENANT else ())
    if not all(one.simulated for one in components):
        simulated.refuse(session, "manual")
    whole = plan(session)
    names = [step.name for step in whole.steps if step.kind in kinds]
    if not session.dry_run:
        require(session.kubectl, session.runner.check, session.tenants, outside(whole, names))
    return session.execute(whole.only(title, names))


def install_observability(session: Session) -> Report:
    """Install the parts of observability that the settings choose; raises UsageError where there is none."""
    if not manifests(session).observability():
        raise UsageError("the settings switch all of observability off", hint="observability: in korthweb.yaml")
    return part(session, "Install observability", "install-observability")


def status(session: Session) -> None:
    """Tell the state of each object; raises NotReady where one is missing or not well."""
    session.contact()
    questions = state.questions(session.kubectl, session.tenants, session.settings)
    results = [answered(result) for result in side_by_side(session.runner, session.runner.check, questions)]
    found = state.rows([obj for result in results if result.code == 0 for obj in items(result)])
    tell_rows(session, [*found, *state.missing(found, session.tenants, session.settings)], "manual")


def diff(session: Session) -> None:
    """Tell what a deployment would change; raises Differs where it is something."""
    session.contact()
    found = differences(
        plan(session), session.runner.check, session.secrets.masks, partial(side_by_side, session.runner)
    )
    text = "\n\n".join(f"# {entry.title}\n{entry.text}" for entry in found)
    session.show(text or "nothing would change", data=[entry.as_data() for entry in found])
    if found:
        counted = "1 step" if len(found) == 1 else f"{len(found)} steps"
        raise Differs(f"{counted} would change something", hint=f"`{hints.task('manual.deploy')}` does it")


def render(session: Session, out: str) -> None:
    """Write plain manifests into the folder ``out``."""
    sound_settings(session.loaded, "manual")
    written(session, out, rendered(manifests(session), session.tenants), "how")


def destroy(session: Session, *, volumes: bool) -> Report:
    """Remove the session's tenants; without --tenant also what they share."""
    session.contact()
    homes = [(tenant.name, tenant.namespace) for tenant in session.tenants]
    fates = ownership.fates(session, "manual", homes, volumes=volumes)
    everything = not session.tenant_flag
    if everything:
        groups = groups_of(session.settings.components, ("istio", "cert-manager"))
        ownership.refuse_shared_removal(session, "manual", fates, SHARED, groups)
        fates |= ownership.shared_fates(session, SHARED)
    removal = build_removal(
        manifests(session), session.target, session.tenants, volumes=volumes, fates=fates, shared=everything
    )
    return session.execute(removal, destructive=True)


def plan(session: Session) -> Plan:
    """Return the whole deployment as one plan; raises SettingsError where the settings do not fit together."""
    sound_settings(session.loaded, "manual")
    return build(manifests(session), session.target, session.tenants)


def manifests(session: Session) -> Manifests:
    """Return the artifacts with the settings filled in; a chart of the lab is made where the settings ask for it."""
    chart = session.settings.charts["cert-manager"]
    charts = None
    if chart.source == "lab":
        charts = labs.chart_folder(chart.version, keep_caches=session.settings.lab.keep_build_caches)
    return Manifests(session.settings, session.secrets, Artifacts.read(artifacts_dir("manual"), charts))
