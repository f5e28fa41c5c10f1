"""The chart of Orthanc for one site: where it comes from, what it needs, whether it takes the values, its archive."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from korthweb_tasks.approaches.helm.plan import RELEASE, Builder, ChartAt
from korthweb_tasks.approaches.helm.values import own_traefik, refusal, site_values, values
from korthweb_tasks.approaches.shared.checks import Finding
from korthweb_tasks.errors import KorthwebError, SettingsError
from korthweb_tasks.files import output
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.provision.charts import Dependency, staged
from korthweb_tasks.services.lab import NotInLab, chart_in_lab
from korthweb_tasks.services.shared import sound_settings
from korthweb_tasks.tools.helm import chart_command

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Command
    from korthweb_tasks.provision.charts import Staged
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.charts import Chart
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

OURS = "korthweb"
LAB = "lab"


def builder(session: Session, *, fetch: bool = False) -> Builder:
    """Return the builder of the plan; raises SettingsError where the settings do not fit together."""
    sound_settings(session.loaded, "helm")
    return Builder(session.settings, session.target, session.secrets, chart_at(session, fetch=fetch))


def chartless(session: Session) -> Builder:
    """Return the builder of plans that need no chart."""
    return Builder(session.settings, session.target, session.secrets, ChartAt("", ""))


def chart_at(session: Session, *, fetch: bool = False) -> ChartAt:
    """Return where helm takes the chart of Orthanc from: ours with its dependencies, or the site's registry."""
    chart = session.settings.charts["orthanc"]
    if chart.source != OURS:
        return ChartAt(chart.source, chart.version)
    made = stage(session, fetch=fetch)
    return ChartAt(str(made.folder), made.version)


def stage(session: Session, defaults: Mapping[str, Any] | None = None, *, fetch: bool = False) -> Staged:
    """Return our chart with its dependencies; a mirror's address is asked, nothing else outside.

    ``fetch`` gives a lab what it does not have yet; without it, that is NotInLab.
    """
    dependencies = tuple(_dependency(session, name, fetch) for name, _ in wanted(session.settings))
    return staged(artifacts_dir("helm") / "orthanc", dependencies, session.runner.run, defaults or {})


def wanted(settings: Settings) -> list[tuple[str, Chart]]:
    """Return the charts that ours needs with these settings, as the settings give them."""
    return [("traefik", settings.charts["traefik"])] if own_traefik(settings) else []


def _dependency(session: Session, name: str, fetch: bool) -> Dependency:
    """Return where a chart comes from; the source ``lab`` is the lab's own registry."""
    chart = session.settings.charts[name]
    if chart.source != LAB:
        return Dependency(name, chart.source, chart.version)
    source, authority = chart_in_lab(session, name, name, bring=fetch)
    return Dependency(name, source, chart.version, authority)


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


def refuse_values(session: Session, made: Builder) -> None:
    """Raise SettingsError with the chart's own words where it does not take the values."""
    run, hint = session.runner.run, "charts.orthanc.values in korthweb.yaml; helm/orthanc/README.md lists the values"
    for tenant in session.tenants:
        release = made.release(tenant)
        if not release.local or all(probe.read(run(probe.command)) for probe in made.helm.deployed(release)):
            continue
        result = session.runner.check(with_values(session.settings, tenant, "template", RELEASE, release.source))
        if result.code != 0:
            raise SettingsError(f"{tenant.name}: the chart refuses its values: {refusal(result.stderr)}", hint=hint)


def lint(session: Session, made: Staged) -> None:
    """Check the chart with each tenant's values, strictly; raises CommandFailed with what is wrong."""
    for tenant in session.tenants:
        session.runner.run(with_values(session.settings, tenant, "lint", "--strict", "--quiet", str(made.folder)))


def with_values(settings: Settings, tenant: Tenant, verb: str, *words: str) -> Command:
    """Return a helm command that needs no cluster, with the tenant's namespace and values."""
    place = ("--namespace", tenant.namespace, "--kube-version", settings.versions["kubernetes"])
    return chart_command(verb, *words, *place, values=values(settings, tenant))


def finding(session: Session) -> list[Finding]:
    """Return whether the chart is there and takes each tenant's values, as a check tells it."""
    if session.settings.charts["orthanc"].source != OURS:
        return []
    try:
        made = stage(session)
        lint(session, made)
    except NotInLab as error:
        return [Finding("chart", "note", f"{error.message}; helm.deploy brings it")]
    except KorthwebError as error:
        return [Finding("chart", "broken", f"{error.message} {error.details}".strip())]
    return [Finding("chart", "ok", f"orthanc-{made.version}")]
