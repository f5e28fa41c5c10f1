"""What the tasks of the Helm approach share: where the chart comes from, and what is looked at beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections import beforehand
from korthweb_tasks.core import hints
from korthweb_tasks.errors import KorthwebError, SettingsError, UsageError
from korthweb_tasks.settings.choice import LAB_PREFIX

if TYPE_CHECKING:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm import Builder, ChartAt
    from korthweb_tasks.approaches.status import Row
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.provision.charts import Dependency, Staged
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.settings.supply import Chart

OURS = "korthweb"
LAB = "lab"
OF_RELEASE = "deployment,statefulset,horizontalpodautoscaler,service,pod"


class NotInLab(UsageError):
    """The lab has not been given a chart that its settings take from there."""


def chart_at(session: Session, *, bring: bool = False) -> ChartAt:
    """Return where helm takes the chart of Orthanc from: ours with its dependencies, or the site's registry."""
    from korthweb_tasks.approaches.helm import ChartAt

    chart = session.settings.charts["orthanc"]
    if chart.source != OURS:
        return ChartAt(chart.source, chart.version)
    made = stage(session, bring=bring)
    return ChartAt(str(made.folder), made.version)


def stage(session: Session, defaults: Mapping[str, Any] | None = None, *, bring: bool = False) -> Staged:
    """Return our chart with its dependencies; a mirror's address is asked, nothing else outside.

    ``bring`` gives a lab what it does not have yet; without it, that is NotInLab.
    """
    from korthweb_tasks.paths import artifacts_dir
    from korthweb_tasks.provision.charts import staged

    dependencies = tuple(_dependency(session, name, bring) for name, _ in wanted(session))
    return staged(artifacts_dir("helm") / "orthanc", dependencies, session.runner.run, defaults or {})


def wanted(session: Session) -> list[tuple[str, Chart]]:
    """Return the charts that ours needs with these settings, as the settings give them."""
    from korthweb_tasks.approaches.helm_values import own_traefik

    settings = session.settings
    return [("traefik", settings.charts["traefik"])] if own_traefik(settings) else []


def _dependency(session: Session, name: str, bring: bool) -> Dependency:
    """Return where a chart comes from; the source ``lab`` is the lab's own registry."""
    from korthweb_tasks.provision.charts import Dependency

    chart = session.settings.charts[name]
    if chart.source != LAB:
        return Dependency(name, chart.source, chart.version)
    context = session.ref.target.context
    if not context.startswith(LAB_PREFIX):
        raise UsageError(
            f"charts.{name}.source is lab, but {context} is no lab", hint=f"charts.{name}.source: oci://... of a mirror"
        )
    from korthweb_tasks.lab import extras

    lab = context.removeprefix(LAB_PREFIX)
    if there := extras.chart_source(lab, name, chart.version):
        return Dependency(name, there[0], chart.version, str(there[1]))
    if not bring:
        text = f"the lab '{lab}' has no chart {name} {chart.version} yet"
        raise NotInLab(text, hint=hints.task("lab.up", name=lab, with_=name))
    from korthweb_tasks.collections.lab import brought

    found = brought(session, lab, name)
    return Dependency(name, found.source, found.version, str(found.ca_file))


def archive_in(out: str) -> Path:
    """Return the path of the archive of our chart in the folder ``out``."""
    import yaml

    from korthweb_tasks.approaches.helm import RELEASE
    from korthweb_tasks.paths import artifacts_dir

    text = (artifacts_dir("helm") / "orthanc" / "Chart.yaml").read_text(encoding="utf-8")
    return Path(out).resolve() / f"{RELEASE}-{yaml.safe_load(text)['version']}.tgz"


def packaged(session: Session, out: str, *, plain: bool) -> Path:
    """Write the archive of the chart into the folder ``out`` and return its path."""
    import tempfile

    from korthweb_tasks.approaches.helm_values import site_values
    from korthweb_tasks.files import output
    from korthweb_tasks.tools.helm import chart_command

    made = stage(session, {} if plain else site_values(session.settings))
    archive = archive_in(out)
    with tempfile.TemporaryDirectory() as folder:
        words = (str(made.folder), "--version", made.version.partition("+")[0], "--destination", folder)
        session.runner.run(chart_command("package", *words))
        output(archive.parent).write(archive.name, Path(folder, archive.name).read_bytes())
    return archive


def refuse_values(session: Session, builder: Builder) -> None:
    """Raise SettingsError with the chart's own words where it does not take the values."""
    from korthweb_tasks.approaches.helm import RELEASE
    from korthweb_tasks.approaches.helm_values import refusal
    from korthweb_tasks.tools.helm import chart_command

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


def refuse_brought(session: Session, tenant: Tenant, values: Mapping[str, Any]) -> None:
    """Raise SettingsError where a Secret that the values name is missing, lacks a key, or holds no good password."""
    from korthweb_tasks.approaches.credentials import refuse_weak, table
    from korthweb_tasks.approaches.helm_values import brought_secrets, password_keys
    from korthweb_tasks.tools.kubectl import items

    place = tenant.namespace
    for value, name in brought_secrets(values).items():
        there = items(session.runner.run(session.kubectl.get("secret", name, namespace=place)))
        if not there:
            raise _missing_secret(session, tenant, value, name)
        keys = password_keys(values, value)
        if lacking := [key for key in keys if key not in (there[0].get("data") or {})]:
            text = f"{tenant.name}: {value} names the Secret {name} in {place}, which has no key {', '.join(lacking)}"
            raise SettingsError(text, hint=hints.kubectl("edit", "secret", name, namespace=place))
        if keys:
            refuse_weak(place, table(there), {name: keys})


def _missing_secret(session: Session, tenant: Tenant, value: str, name: str) -> SettingsError:
    place = tenant.namespace
    text = f"{tenant.name}: {value} names the Secret {name}, which is not in {place}"
    if session.runner.run(session.kubectl.get("namespace", place)).stdout.strip():
        make = hints.kubectl("create", "secret", "generic", name, "--from-file=DIR", namespace=place)
        return SettingsError(text, hint=make)
    hint = f"`{hints.kubectl('create', 'namespace', place)}`, adopt_namespace: true for {tenant.name}, then the Secret"
    return SettingsError(f"{text}: that namespace is not there yet", hint=hint)


def findings(session: Session) -> list[Finding]:
    """Return what helm.check says: tools, numbers, the cluster, the chart with each tenant's values."""
    from korthweb_tasks.approaches import addresses, pod_security
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm import TRAEFIK
    from korthweb_tasks.approaches.helm_values import own_traefik
    from korthweb_tasks.collections.component_parts import component_findings
    from korthweb_tasks.collections.shared import answers, settings_finding, tool

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
    from korthweb_tasks.approaches.helm import RELEASE
    from korthweb_tasks.tools.helm import Helm, rows

    result = session.runner.run(Helm(session.target).history(RELEASE, namespace=tenant.namespace))
    return rows(result) if result.code == 0 else []


def refuse_revision(session: Session, tenant: Tenant, revision: int) -> None:
    """Raise UsageError where there is no release to roll back, or not this revision of it (0: the one before)."""
    from korthweb_tasks.approaches.helm import RELEASE

    known = [int(row["revision"]) for row in revisions(session, tenant)]
    place = f"{tenant.name}: the release {RELEASE} in {tenant.namespace}"
    if not known:
        raise UsageError(f"{place} is not there", hint=hints.task("helm.deploy", tenant=tenant.name))
    if len(known) == 1 or (revision and revision not in known):
        text = f"has no revision {revision}" if revision else "has no revision before this one"
        raise UsageError(f"{place} {text}", hint=hints.task("helm.history", tenant=tenant.name))


def status_rows(session: Session, tenant: Tenant) -> list[Row]:
    """Return the release and what belongs to it; one row says so where there is none."""
    from korthweb_tasks.approaches.helm import RELEASE, SELECTOR
    from korthweb_tasks.approaches.status import Row, rows
    from korthweb_tasks.tools.helm import Helm
    from korthweb_tasks.tools.helm import rows as releases
    from korthweb_tasks.tools.kubectl import items

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
    from korthweb_tasks.approaches.checks import Check, Finding, kubernetes
    from korthweb_tasks.settings.versions import PINS, within

    command = session.kubectl.command("version", "--output", "json", repeatable=True)
    found = Check("Kubernetes", command, kubernetes).finding(session.runner.run(command))
    lowest = PINS["kubernetes"].accepted.partition(",")[0]
    if found.verdict == "note" and not within(found.text.partition(" ")[0], lowest):
        return Finding(found.title, "broken", found.text)  # the chart itself refuses it
    return found


def _chart(session: Session) -> list[Finding]:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm_values import values
    from korthweb_tasks.tools.helm import chart_command

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
