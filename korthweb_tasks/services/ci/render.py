"""What an approach deploys for some settings, without a cluster. Charts of others stay what they are: charts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.components import ChartAt, shared_parts
from korthweb_tasks.approaches.gitops.fleet import Fleet
from korthweb_tasks.approaches.helm.plan import RELEASE
from korthweb_tasks.approaches.helm.values import own_traefik, values
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import CERT_MANAGER, Artifacts
from korthweb_tasks.changes.objects import GENERATED, stable
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.render import parse
from korthweb_tasks.files import output
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.provision.charts import staged
from korthweb_tasks.services.chart import OURS, with_values
from korthweb_tasks.services.gitops.repository import folder_of, tenants_of
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.settings.resolve import unreached

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.model import Settings

Objects = list[dict[str, Any]]
#: stands for a lab's own registry, which nobody asks here
LAB_CHARTS = "oci://lab"
#: an annotation of the chart's certificates: the time of the render, and some days
RENEW = "korthweb/renew-after"


def objects(session: Session, loaded: Loaded, approach: str) -> Objects:
    """Return the objects that ``approach`` deploys for the settings ``loaded``.

    Neither a cluster nor a registry is asked: a chart that is not ours is one object of the kind Chart, or a
    HelmRelease, with its source, version and values. What is generated at random is the word "(generated)".
    """
    ways = {"manual": _manual, "helm": _helm, "gitops": _gitops}
    return ways[approach](session, loaded)


def _manual(_: Session, loaded: Loaded) -> Objects:
    settings = loaded.settings
    manifests = Manifests(settings, loaded.secrets, Artifacts.read(artifacts_dir("manual"), Path(LAB_CHARTS)))
    files = rendered(manifests, settings.tenants)
    texts = [text for name, text in files.items() if name.endswith(".yaml") and not name.endswith("-values.yaml")]
    charts = [] if settings.uses("cert-manager") else [_chart(settings, "cert-manager", CERT_MANAGER)]
    return [*charts, *(obj for text in texts for obj in parse(text))]


def _helm(session: Session, loaded: Loaded) -> Objects:
    settings = loaded.settings
    if settings.charts["orthanc"].source != OURS:
        return [_chart(settings, "orthanc", one.namespace, values(settings, one)) for one in settings.tenants]
    chart = str(staged(artifacts_dir("helm") / "orthanc", (), session.runner.run, {}).folder)
    commands = [with_values(settings, one, "template", RELEASE, chart) for one in settings.tenants for _ in range(2)]
    results = side_by_side(session.runner, session.runner.run, commands)
    found: Objects = []
    for tenant, one, two in zip(settings.tenants, results[::2], results[1::2], strict=True):
        made = stable(parse(one.stdout), parse(two.stdout))  # certificates are others each time
        found += [obj | {"metadata": _dated(obj["metadata"], tenant.namespace)} for obj in made]
        if own_traefik(settings):
            found.append(_chart(settings, "traefik", tenant.namespace, values(settings, tenant)["traefik"]))
    return found


def _dated(metadata: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return metadata with its namespace, and without the second in which it was rendered."""
    notes = {key: GENERATED if key == RENEW else text for key, text in (metadata.get("annotations") or {}).items()}
    return {"namespace": namespace, **metadata, **({"annotations": notes} if notes else {})}


def _gitops(session: Session, loaded: Loaded) -> Objects:
    settings, ref = loaded.settings, unreached(loaded, session.context_flag)
    names = [release.name for part in shared_parts(settings) for release in part.releases]
    charts = {name: ChartAt(_source(settings, name), settings.charts[name].version) for name in names}
    fleet = Fleet(
        settings,
        folder_of(ref, settings),
        tenants_of(ref, settings),
        Artifacts.read(artifacts_dir("gitops")),
        charts,
        registry_ca=bool(settings.gitops.registry_ca_file),
    )
    with tempfile.TemporaryDirectory() as folder:
        tree = output(Path(folder, "fleet"))
        for name, text in fleet.files().items():
            tree.write(name, text)
        home = Path(folder, "fleet", "clusters", fleet.cluster)
        found = sorted(path.parent for path in home.rglob("kustomization.yaml"))
        # the cluster's own folder needs what only `flux bootstrap` writes
        return _kustomized(session, (path for path in found if path != home))


def _kustomized(session: Session, folders: Iterable[Path]) -> Objects:
    commands = [Command(argv=("kubectl", "kustomize", str(folder))) for folder in folders]
    return [
        obj for result in side_by_side(session.runner, session.runner.run, commands) for obj in parse(result.stdout)
    ]


def _source(settings: Settings, name: str) -> str:
    source = settings.charts[name].source
    return f"{LAB_CHARTS}/{name}" if source == "lab" else source


def _chart(settings: Settings, name: str, namespace: str, given: Any = None) -> dict[str, Any]:
    chart = settings.charts[name]
    spec = {"source": chart.source, "version": chart.version, "values": chart.values if given is None else given}
    return {"kind": "Chart", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
