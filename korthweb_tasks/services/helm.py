"""What the tasks of the Helm approach share: where the chart comes from, and what is looked at beforehand."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from korthweb_tasks.approaches.helm.plan import RELEASE, SELECTOR, TRAEFIK, ChartAt
from korthweb_tasks.approaches.helm.values import (
    own_traefik,
    refusal,
    site_values,
    values,
)
from korthweb_tasks.approaches.shared import addresses, pod_security
from korthweb_tasks.approaches.shared.checks import Check, Finding, kubernetes
from korthweb_tasks.approaches.shared.status import Row, rows
from korthweb_tasks.core import hints
from korthweb_tasks.errors import KorthwebError, SettingsError, UsageError
from korthweb_tasks.files import output
from korthweb_tasks.lab import labs
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.provision.charts import Dependency, staged
from korthweb_tasks.services import beforehand
from korthweb_tasks.services.components import component_findings
from korthweb_tasks.services.lab import install_addon
from korthweb_tasks.services.shared import answers, settings_finding, tool
from korthweb_tasks.settings.choice import LAB_PREFIX
from korthweb_tasks.settings.versions import PINS, within
from korthweb_tasks.tools.helm import Helm, chart_command
from korthweb_tasks.tools.helm import rows as releases
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.helm.plan import Builder
    from korthweb_tasks.provision.charts import Staged
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.charts import Chart
    from korthweb_tasks.settings.tenant import Tenant

OURS = "korthweb"
LAB = "lab"
OF_RELEASE = "deployment,statefulset,horizontalpodautoscaler,service,pod"


class NotInLab(UsageError):
    """The lab has not been given a chart that its settings take from there."""


def chart_at(session: Session, *, bring: bool = False) -> ChartAt:
    """Return where helm takes the chart of Orthanc from: ours with its dependencies, or the site's registry."""
    chart = session.settings.charts["orthanc"]
    if chart.source != OURS:
        return ChartAt(chart.source, chart.version)
    made = stage(session, bring=bring)
    return ChartAt(str(made.folder), made.version)


def stage(session: Session, defaults: Mapping[str, Any] | None = None, *, bring: bool = False) -> Staged:
    """Return our chart with its dependencies; a mirror's address is asked, nothing else outside.

    ``bring`` gives a lab what it does not have yet; without it, that is NotInLab.
    """
    dependencies = tuple(_dependency(session, name, bring) for name, _ in wanted(session))
    return staged(artifacts_dir("helm") / "orthanc", dependencies, session.runner.run, defaults or {})


def wanted(session: Session) -> list[tuple[str, Chart]]:
    """Return the charts that ours needs with these settings, as the settings give them."""
    settings = session.settings
    return [("traefik", settings.charts["traefik"])] if own_traefik(settings) else []


def _dependency(session: Session, name: str, bring: bool) -> Dependency:
    """Return where a chart comes from; the source ``lab`` is the lab's own registry."""
    chart = session.settings.charts[name]
    if chart.source != LAB:
        return Dependency(name, chart.source, chart.version)
    context = session.ref.context
    if not context.startswith(LAB_PREFIX):
        raise UsageError(
            f"charts.{name}.source is lab, but {context} is no lab", hint=f"charts.{name}.source: oci://... of a mirror"
        )

    lab = context.removeprefix(LAB_PREFIX)
    if there := labs.chart_source(lab, name, chart.version):
        return Dependency(name, there[0], chart.version, str(there[1]))
    if not bring:
        text = f"the lab '{lab}' has no chart {name} {chart.version} yet"
        raise NotInLab(text, hint=hints.task("lab.up", name=lab, with_=name))

    found = install_addon(session, lab, name)
    return Dependency(name, found.source, found.version, str(found.ca_file))


def archive_in(out: str) -> Path:
    """Return the path of the archive of our chart in the folder ``out``."""
    text = (artifacts_dir("helm") / "orthanc" / "Chart.yaml").read_text(encoding="utf-8")
    return Path(out).resolve() / f"{RELEASE}-{yaml.safe_load(text)['version']}.tgz"


def packaged(session: Session, out: str, *, plain: bool) -> Path:
    """Write the archive of the chart into the folder ``out`` and return its path."""
    made = stage(session, {} if plain else site_values(session.settings))
    archive = archive_in(out)
    with tempfile.TemporaryDirectory() as folder:
        words = (str(made.folder), "--version", made.version.partition("+")[0], "--destination", folder)
        session.runner.run(chart_command("package", *words))
        output(archive.parent).write(archive.name, Path(folder, archive.name).read_bytes())
    return archive


def refuse_values(session: Session, builder: Builder) -> None:
    """Raise SettingsError with the chart's own words where it does not take the values."""
    run, hint = session.runner.run, "charts.orthanc.values in korthweb.yaml; helm/orthanc/README.md lists the values"
    for tenant in session.tenants:
        release = builder.release(tenant)
        if all(fact.read(run(fact.command)) for fact in builder.helm.deployed(release)):
            continue
        if not release.local:
            continue
        place = ("--namespace", tenant.namespace, "--kube-version", session.settings.versions["kubernetes"])
        result = session.runner.check(chart_command("template", RELEASE, release.source, *place, values=release.values))
        if result.code != 0:
            raise SettingsError(f"{tenant.name}: the chart refuses its values: {refusal(result.stderr)}", hint=hint)


def findings(session: Session) -> list[Finding]:
    """Return what helm.check says: tools, numbers, the cluster, the chart with each tenant's values."""
    found = [*(tool(session, name) for name in ("kubectl", "helm")), settings_finding(session, "helm")]
    for tenant in session.tenants:
        budget = session.settings.connection_budget(tenant)
        text = f"{budget.needed} of {budget.available} connections"
        found.append(Finding(f"{tenant.name}: database", "ok" if budget.ok else "broken", text))
    asked = pod_security.questions(session.settings, session.kubectl, session.tenants)
    if own_traefik(session.settings):
        asked += addresses.questions(session.kubectl, session.tenants, TRAEFIK)
    return [
        *found,
        _server(session),
        *answers(session, asked),
        *component_findings(session, "helm"),
        *_chart(session),
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


def _server(session: Session) -> Finding:

    command = session.kubectl.command("version", "--output", "json", repeatable=True)
    found = Check("Kubernetes", command, kubernetes).finding(session.runner.run(command))
    lowest = PINS["kubernetes"].accepted.partition(",")[0]
    if found.verdict == "note" and not within(found.text.partition(" ")[0], lowest):
        return Finding(found.title, "broken", found.text)  # the chart itself refuses it
    return found


def _chart(session: Session) -> list[Finding]:

    if session.settings.charts["orthanc"].source != OURS:
        return []
    try:
        made = stage(session)
        for tenant in session.tenants:
            place = ("--namespace", tenant.namespace, "--kube-version", session.settings.versions["kubernetes"])
            words = ("--strict", "--quiet", str(made.folder), *place)
            session.runner.run(chart_command("lint", *words, values=values(session.settings, tenant)))
    except NotInLab as error:
        return [Finding("chart", "note", f"{error.message}; helm.deploy brings it")]
    except KorthwebError as error:
        return [Finding("chart", "broken", f"{error.message} {error.details}".strip())]
    return [Finding("chart", "ok", f"orthanc-{made.version}")]
