"""What the tasks of the Helm approach share: where the chart comes from, and what is looked at beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.errors import GuardRefused, KorthwebError, SettingsError, UsageError

if TYPE_CHECKING:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm import Builder, ChartAt
    from korthweb_tasks.approaches.status import Row
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.provision.charts import Dependency, Staged
    from korthweb_tasks.settings.parts import Tenant

OURS = "korthweb"
LAB = "lab"
OF_RELEASE = "deployment,statefulset,horizontalpodautoscaler,service,pod"


def chart_at(session: Session) -> ChartAt:
    """Return where helm takes the chart of Orthanc from: ours with its dependencies, or the site's registry."""
    from korthweb_tasks.approaches.helm import ChartAt

    chart = session.settings.charts["orthanc"]
    if chart.source != OURS:
        return ChartAt(chart.source, chart.version)
    made = stage(session)
    return ChartAt(str(made.folder), made.version)


def stage(session: Session, defaults: Mapping[str, Any] | None = None) -> Staged:
    """Return our chart with its dependencies; a mirror's address is asked, nothing else outside."""
    from korthweb_tasks.approaches.helm_values import own_traefik
    from korthweb_tasks.paths import artifacts_dir
    from korthweb_tasks.provision.charts import staged

    wanted = (traefik(session),) if own_traefik(session.settings) else ()
    return staged(artifacts_dir("helm") / "orthanc", wanted, session.runner.run, defaults or {})


def traefik(session: Session) -> Dependency:
    """Return where Traefik's chart comes from; the source ``lab`` is the lab's own registry, made at the first call."""
    from korthweb_tasks.provision.charts import Dependency

    chart = session.settings.charts["traefik"]
    if chart.source != LAB:
        return Dependency("traefik", chart.source, chart.version)
    context = session.ref.target.context
    if not context.startswith("korthweb-"):
        raise UsageError(
            f"charts.traefik.source is lab, but {context} is no lab",
            hint="charts.traefik.source: oci://... of a mirror",
        )
    from korthweb_tasks.lab import extras

    name = context.removeprefix("korthweb-")
    if there := extras.chart_source(name, "traefik"):  # this lab has a registry, so it was brought already
        return Dependency("traefik", there[0], chart.version, str(there[1]))
    found = extras.bring(name, "traefik", session.console, version=chart.version)
    return Dependency("traefik", found.source, found.version, str(found.ca_file))


def packaged(session: Session, out: str, *, plain: bool) -> Path:
    """Write the archive of the chart into the folder ``out`` and return its path."""
    from korthweb_tasks.approaches.helm import RELEASE
    from korthweb_tasks.approaches.helm_values import site_values
    from korthweb_tasks.tools.helm import chart_command

    made = stage(session, {} if plain else site_values(session.settings))
    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    version = made.version.partition("+")[0]
    words = (str(made.folder), "--version", version, "--destination", str(folder))
    session.runner.run(chart_command("package", *words))
    return folder / f"{RELEASE}-{version}.tgz"


def within_budget(session: Session) -> None:
    """Raise SettingsError where the replicas may ask for more database connections than there are."""
    for tenant in session.tenants:
        budget = session.settings.connection_budget(tenant)
        if not budget.ok:
            text = f"{tenant.name} may need {budget.needed} database connections, {budget.available} are allowed"
            raise SettingsError(text, hint="lower replicas.max or orthanc.connections, or raise max_connections")


def refuse_strangers(session: Session) -> None:
    """Raise GuardRefused where another approach has deployed a tenant: nothing of it is taken over."""
    from korthweb_tasks.approaches.helm import others, strangers

    for tenant in session.tenants:
        found = strangers(session.runner.run(others(session.kubectl, tenant)))
        if found:
            text = f"{tenant.namespace} holds {', '.join(found)}, which another approach made"
            raise GuardRefused(text, hint=f"inv manual.destroy --tenant {tenant.name} removes them; images stay there")


def refuse_values(session: Session, builder: Builder) -> None:
    """Raise SettingsError with the chart's own words where it does not take the values, or a Secret is missing."""
    from korthweb_tasks.approaches.helm import RELEASE
    from korthweb_tasks.approaches.helm_values import brought_secrets, refusal
    from korthweb_tasks.tools.helm import chart_command
    from korthweb_tasks.tools.kubectl import items

    run, hint = session.runner.run, "charts.orthanc.values in korthweb.yaml; helm/orthanc/README.md lists the values"
    for tenant in session.tenants:
        release = builder.release(tenant)
        if all(fact.read(run(fact.command)) for fact in builder.helm.deployed(release)):
            continue
        for value, name in brought_secrets(release.values).items():
            if not items(run(session.kubectl.get("secret", name, namespace=tenant.namespace))):
                text = f"{tenant.name}: {value} names the Secret {name}, which is not in {tenant.namespace}"
                raise SettingsError(
                    text, hint=f"kubectl --namespace {tenant.namespace} create secret generic {name} ..."
                )
        if not release.local:
            continue
        place = ("--namespace", tenant.namespace, "--kube-version", session.settings.versions["kubernetes"])
        result = session.runner.check(chart_command("template", RELEASE, release.source, *place, values=release.values))
        if result.code != 0:
            raise SettingsError(f"{tenant.name}: the chart refuses its values: {refusal(result.stderr)}", hint=hint)


def findings(session: Session) -> list[Finding]:
    """Return what helm.check says: tools, numbers, the cluster, the chart with each tenant's values."""
    from korthweb_tasks.approaches.checks import Finding

    found = [_tool(session, name) for name in ("kubectl", "helm")]
    for tenant in session.tenants:
        budget = session.settings.connection_budget(tenant)
        text = f"{budget.needed} of {budget.available} connections"
        found.append(Finding(f"{tenant.name}: database", "ok" if budget.ok else "broken", text))
    return [
        *found,
        _server(session),
        *_traefik(session),
        *_chart(session),
        *(_place(session, tenant) for tenant in session.tenants),
    ]


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


def _tool(session: Session, name: str) -> Finding:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.provision.tools import locate

    try:
        found = locate(name, source=session.settings.tools.source)
    except KorthwebError as error:
        return Finding(name, "broken", error.message)
    return Finding(name, "ok", f"{found.version} ({found.origin})")


def _server(session: Session) -> Finding:
    import json

    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.settings.versions import within

    command = session.kubectl.command("version", "--output", "json", repeatable=True)
    version = json.loads(session.runner.run(command).stdout)["serverVersion"]["gitVersion"]
    good = within(version.partition("-")[0], ">=1.34")
    return Finding("Kubernetes", "ok" if good else "broken", version if good else f"{version}; 1.34 is needed")


def _traefik(session: Session) -> list[Finding]:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm_values import own_traefik
    from korthweb_tasks.tools.kubectl import items

    if own_traefik(session.settings):
        return []
    command = session.kubectl.get("customresourcedefinition", "ingressroutetcps.traefik.io")
    there = bool(items(session.runner.run(command)))
    text = (
        "its definitions are in the cluster" if there else "charts.traefik.values.enabled is false, but there is none"
    )
    return [Finding("Traefik", "ok" if there else "broken", text)]


def _chart(session: Session) -> list[Finding]:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm_values import values
    from korthweb_tasks.tools.helm import chart_command

    if session.settings.charts["orthanc"].source != OURS:
        return []
    try:
        made = stage(session)
        for tenant in session.tenants:
            words = ("--strict", "--quiet", str(made.folder), "--kube-version", session.settings.versions["kubernetes"])
            session.runner.run(chart_command("lint", *words, values=values(session.settings, tenant)))
    except KorthwebError as error:
        return [Finding("chart", "broken", f"{error.message} {error.details}".strip())]
    return [Finding("chart", "ok", f"orthanc-{made.version}")]


def _place(session: Session, tenant: Tenant) -> Finding:
    from korthweb_tasks.approaches.checks import Finding
    from korthweb_tasks.approaches.helm import others, strangers

    title = f"{tenant.name}: namespace {tenant.namespace}"
    found = strangers(session.runner.run(others(session.kubectl, tenant)))
    return Finding(
        title, "broken" if found else "ok", f"{', '.join(found)} of another approach" if found else "free or ours"
    )
