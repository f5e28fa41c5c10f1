"""What can't become good, said of settings that are valid by themselves: without a cluster, all of it at once.

``config.check`` reports all of it. The tasks that change something ask for the same list beforehand, so that there is
nothing that they refuse and ``config.check`` calls fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from korthweb_tasks.core.words import nearest
from korthweb_tasks.settings import quota, volume
from korthweb_tasks.settings.charts import Chart
from korthweb_tasks.settings.fleet import LAB
from korthweb_tasks.settings.guarded import accepting, all_plugins, guarded_table, undermined, value_at
from korthweb_tasks.settings.layers import DEFAULT
from korthweb_tasks.settings.load import Loaded
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.model import Budget, Settings
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.settings.orthanc_options import chart_file
from korthweb_tasks.settings.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Fault:
    """Where it is (``orthanc.config.SaveJobs``) and what is wrong with it, and what to type next."""

    place: str
    text: str
    hint: str = ""

    def line(self, loaded: Loaded) -> str:
        """Return the fault with the file and line of whoever set it."""
        inside = (who for key, who in loaded.origins.items() if key.startswith(f"{self.place}.") and who != DEFAULT)
        origin = loaded.origin(self.place)
        origin = next(inside, DEFAULT) if origin == DEFAULT else origin
        return f"{self.place}: {self.text}" if origin == DEFAULT else f"{origin}: {self.place}: {self.text}"


Check = Callable[[Loaded], Iterator[Fault]]


def faults(loaded: Loaded, approach: str | None = None) -> list[Fault]:
    """Return everything that is wrong for ``approach`` (none: the settings'; empty: what is wrong for all)."""
    chosen = loaded.settings.approach if approach is None else approach
    checks = (*EVERYWHERE, *OF_APPROACH.get(chosen, ()))
    return list(dict.fromkeys(fault for check in checks for fault in check(loaded)))


def connections(loaded: Loaded) -> Iterator[Fault]:
    """Tell which tenants may need more database connections than there are."""
    for tenant in loaded.settings.tenants:
        budget = loaded.settings.connection_budget(tenant)
        if not budget.ok:
            yield Fault(f"tenants.{tenant.name}.replicas.max", over_budget(loaded.settings, tenant, budget))


def over_budget(settings: Settings, tenant: Tenant, budget: Budget) -> str:
    """Return which numbers do not fit, and what would."""
    orthanc = settings.orthanc
    each, reserve = orthanc.connections_per_replica, orthanc.reserved_connections
    fitting = (budget.available - reserve) // each
    most = tenant.replicas.max
    way = f"replicas.max {fitting} would fit" if fitting >= tenant.replicas.min else "lower orthanc.connections"
    return (
        f"tenant {tenant.name} may need {budget.needed} database connections "
        f"({most} replicas × {each} + {reserve} reserved), but orthanc.max_connections is {budget.available}: {way}"
    )


def guarded_keys(loaded: Loaded) -> Iterator[Fault]:
    """Tell which keys of orthanc.json take away what the deployment rests on, after merging."""
    settings = loaded.settings
    plain = settings.model_copy(update={"orthanc": settings.orthanc.model_copy(update={"config": {}})})
    for tenant in settings.tenants:
        own = orthanc_json(plain, tenant)
        for place, over in _orthanc_jsons(settings):
            for wrong in undermined(deep_merge(own, over), own, settings.accept_risks):
                yield Fault(f"{place}.{'.'.join(wrong.path)}", wrong.text)


def volumes(loaded: Loaded) -> Iterator[Fault]:
    """Tell which limits of images are more than their volumes hold."""
    for tenant in loaded.settings.tenants:
        limits = {f"tenants.{tenant.name}.storage_limit": tenant.image_megabytes}
        for place, over in _orthanc_jsons(loaded.settings):
            limits[f"{place}.MaximumStorageSize"] = over.get("MaximumStorageSize", 0)
        most = volume.most(tenant.storage)
        held = f"of tenants.{tenant.name}.storage {tenant.storage} images can have {most} MB"
        for place, limit in limits.items():
            if isinstance(limit, int) and limit > most:
                text = f"{limit} MB do not fit: {held}, the rest is for PostgreSQL's log"
                yield Fault(place, f"{text}; raise storage, or lower this")


def shared_gateway(loaded: Loaded) -> Iterator[Fault]:
    """Tell which tenants want ports of their own where all of them have one gateway."""
    if loaded.settings.uses("istio"):
        return
    yield from _nameless(loaded)
    for tenant in loaded.settings.tenants:
        if not tenant.ports.usual:
            text = "the manual approach has one gateway for all tenants, on one address: 443 and 11112 serve all"
            yield Fault(f"tenants.{tenant.name}.ports", text)


def shared_traefik(loaded: Loaded) -> Iterator[Fault]:
    """Tell which tenants want what a Traefik that is used can't do for one of them."""
    if loaded.settings.uses("traefik"):
        yield from _nameless(loaded)


def _nameless(loaded: Loaded) -> Iterator[Fault]:
    for tenant in loaded.settings.tenants:
        if tenant.dicom.without_sni:
            text = "without a server name (SNI) a gateway that tenants share can't tell whose images they are"
            yield Fault(f"tenants.{tenant.name}.dicom.without_sni", text)


def chart_values(loaded: Loaded) -> Iterator[Fault]:
    """Tell what the chart's own values take away, and which of them the chart does not know."""
    values = loaded.settings.charts["orthanc"].values
    place = "charts.orthanc.values"
    yield from _unknown_values(values, chart_schema(), place)
    try:
        listed = values.get("plugins", ())
        all_plugins(listed if isinstance(listed, list | tuple) else ())
    except ValueError as error:
        yield Fault(f"{place}.plugins", str(error))
    for path, refused, risk in _RISKY_VALUES:
        if value_at(values, path) == refused and risk not in loaded.settings.accept_risks:
            yield Fault(f"{place}.{path}", _risk(refused, risk))


def image_tags(loaded: Loaded) -> Iterator[Fault]:
    """Tell which images have no tag, or one that moves."""
    settings = loaded.settings
    images = settings.images.model_dump()
    named = {f"images.{name}": image for name, image in images.items() if _names_an_image(name)}
    over = settings.charts["orthanc"].values
    for path in ("images.orthanc", "images.postgres", "postgresql.cnpg.image"):
        if isinstance(image := value_at(over, path), str) and image:
            named[f"charts.orthanc.values.{path}"] = image
    for place, image in named.items():
        if moves(image) and "moving-image-tags" not in settings.accept_risks:
            yield Fault(place, _risk(image, "moving-image-tags"))


def moves(image: str) -> bool:
    """Return True if an image of this name may be another one tomorrow."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return not digest and (not tag or tag in guarded_table().moving_tags)


def plain_http(loaded: Loaded) -> Iterator[Fault]:
    """Tell what would be fetched, or asked, over http."""
    settings = loaded.settings
    addresses = {f"charts.{name}.source": chart.source for name, chart in settings.charts.items()}
    addresses |= {f"clusters.{name}.server": one.server or "" for name, one in settings.clusters.items()}
    for place, address in addresses.items():
        if address.startswith("http://") and "plain-http" not in settings.accept_risks:
            yield Fault(place, _risk(address, "plain-http"))
    yield from _in_clear(loaded)


def clusters(loaded: Loaded) -> Iterator[Fault]:
    """Tell which clusters name tenants or files that are not there."""
    settings = loaded.settings
    known = {name.lower() for name in settings.tenant_names}
    for name, cluster in settings.clusters.items():
        place = f"clusters.{name}"
        for tenant in cluster.tenants or ():
            if tenant.lower() not in known:
                there = f"there are: {', '.join(settings.tenant_names)}"
                text = f"there is no tenant {tenant!r}{nearest(tenant, settings.tenant_names)}; {there}"
                yield Fault(f"{place}.tenants", text)
        yield from _file(loaded, f"{place}.kubeconfig", cluster.kubeconfig)
        if cluster.bastion:
            yield from _file(loaded, f"{place}.bastion.identity", cluster.bastion.identity)


def files(loaded: Loaded) -> Iterator[Fault]:
    """Tell which files are named and not there."""
    given = loaded.settings.gitops
    for name in ("private_key", "ca_file", "registry_ca_file"):
        yield from _file(loaded, f"gitops.{name}", getattr(given, name))
    for name, chart in loaded.settings.charts.items():
        yield from _chart_path(loaded, name, chart)


def quotas(loaded: Loaded) -> Iterator[Fault]:
    """Tell which quotas are too small for what the autoscalers may start."""
    for tenant in loaded.settings.tenants:
        if missing := quota.short(loaded.settings, tenant):
            yield Fault(
                f"tenants.{tenant.name}.quota",
                f"too small for replicas.max and instances ({missing}); raise tenants.*.quota",
            )


def reachable(loaded: Loaded) -> Iterator[Fault]:
    """Tell what korthweb needs to reach the fleet repository, and is not said."""
    given = loaded.settings.gitops
    if not given.url:
        yield Fault("gitops.url", f"it is not said where the fleet repository is: {URL_HINT}")
    elif given.url.startswith("https://") and not loaded.secrets.git_password(given.provider):
        yield Fault("gitops.url", f"no password or token for {given.url} was given: {PASSWORD_HINT}")
    yield from _in_clear(loaded)


def _in_clear(loaded: Loaded) -> Iterator[Fault]:
    if (loaded.settings.gitops.url or "").startswith("http://"):
        yield Fault("gitops.url", "http:// would send the password in clear: https://... or ssh://...")


def repository(loaded: Loaded) -> Iterator[Fault]:
    """Tell what Flux and korthweb need to reach the fleet repository, and is not said."""
    given, url = loaded.settings.gitops, loaded.settings.gitops.url or ""
    yield from (fault for fault in reachable(loaded) if not url.startswith("http://"))
    if given.provider == "git" and url.startswith("ssh://") and not given.private_key:
        text = "Flux needs an SSH key of its own to read the repository: the path of a deploy key without a passphrase"
        yield Fault("gitops.private_key", text)


def flux_charts(loaded: Loaded) -> Iterator[Fault]:
    """Tell which charts are where Flux can't read them."""
    settings = loaded.settings
    for name, chart in settings.charts.items():
        if name in FLUX_CHARTS and chart.source != LAB and "://" not in chart.source:
            text = f"Flux reads charts from oci:// or https://, not from {chart.source}"
            yield Fault(f"charts.{name}.source", text)


URL_HINT = "ssh://git@host/path.git or https://host/path.git"
PASSWORD_HINT = "KORTHWEB_SECRET_GIT_PASSWORD=... in .env (chmod 600)"
FLUX_CHARTS = ("cert-manager", "istio-base", "istiod", "cloudnative-pg", "kube-prometheus-stack", "kiali")
EVERYWHERE: tuple[Check, ...] = (
    connections,
    guarded_keys,
    volumes,
    image_tags,
    plain_http,
    clusters,
    files,
    chart_values,
)
OF_APPROACH: dict[str, tuple[Check, ...]] = {
    "manual": (shared_gateway,),
    "helm": (shared_traefik,),
    "gitops": (repository, flux_charts, quotas),
}
#: values of the chart, the one that is refused, and the risk that it is
_RISKY_VALUES: tuple[tuple[str, Any, str], ...] = (
    ("networkPolicy.enabled", False, "open-network"),
    ("postgresql.external.sslMode", "disable", "unencrypted-database"),
    ("postgresql.external.sslMode", "require", "unverified-database"),
)


def chart_schema() -> Mapping[str, Any]:
    """Return the schema of the chart's values."""
    found: Mapping[str, Any] = chart_file("../values.schema.json")
    return found


def _orthanc_jsons(settings: Settings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "orthanc.config", settings.orthanc.config
    if isinstance(over := settings.charts["orthanc"].values.get("config"), Mapping):
        yield "charts.orthanc.values.config", over


def _unknown_values(values: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[Fault]:
    known = schema.get("properties", {})
    for key, value in values.items():
        if key in known:
            if isinstance(value, Mapping):
                yield from _unknown_values(value, known[key], f"{place}.{key}")
        elif schema.get("additionalProperties") is False:
            yield Fault(f"{place}.{key}", f"the chart has no such value{nearest(key, known)}")


def _risk(value: object, name: str) -> str:
    said = value if isinstance(value, str) else str(value).lower()
    return f"can't be {said}: {guarded_table().why(name)}; {accepting(name)}"


def _names_an_image(field: str) -> bool:
    return field not in ("registry", "pull_policy", "pull_secrets") and not field.endswith("_hub")


def _file(loaded: Loaded, place: str, given: str | None) -> Iterator[Fault]:
    if given and not (path := (loaded.project / Path(given).expanduser()).resolve()).is_file():
        yield Fault(place, f"there is no file {path}")


def _chart_path(loaded: Loaded, name: str, chart: Chart) -> Iterator[Fault]:
    if "://" in chart.source or chart.source in (LAB, "korthweb"):
        return
    path = Path(chart.source).expanduser()
    if not path.exists() and not (loaded.project / path).exists():
        yield Fault(f"charts.{name}.source", f"there is no chart at {chart.source}")
