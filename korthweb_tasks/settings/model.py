"""Everything the user said, typed, checked and frozen. Pure: no file, no environment, no cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, StrictInt, field_validator, model_validator

from korthweb_tasks.core.flux_home import BOOTSTRAPPED, BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.words import nearest
from korthweb_tasks.settings.approaches import APPROACHES
from korthweb_tasks.settings.charts import CHARTS, Chart
from korthweb_tasks.settings.cluster import ClusterSettings
from korthweb_tasks.settings.components import Choice, Component, all_installed
from korthweb_tasks.settings.fields import DATABASE_USER, DnsName, Model, PlainName, Seconds, variable
from korthweb_tasks.settings.fleet import OWN_FLUX, OWN_NAME, GitOpsSettings
from korthweb_tasks.settings.guarded import guarded_table
from korthweb_tasks.settings.images import Images
from korthweb_tasks.settings.machine import LabSettings, ToolSettings
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.settings.versions import PINS
from korthweb_tasks.settings.workloads import (
    IstioSettings,
    ObservabilitySettings,
    OrthancSettings,
    PostgresSettings,
    SecuritySettings,
)

if TYPE_CHECKING:
    ApproachName = str
else:
    ApproachName = Literal[APPROACHES]

PROFILES = ("production", "lab")
#: what a project without a korthweb.yaml deploys: two fictitious facilities
DEFAULT_TENANTS: tuple[dict[str, Any], ...] = (
    {"name": "BHC", "domain": "bhc.orthweb.com"},
    {"name": "MHR", "domain": "mhr.orthweb.com"},
)


@dataclass(frozen=True, slots=True)
class Budget:
    """Connections to one tenant's PostgreSQL: what its replicas may ask for, and what the server gives."""

    needed: int
    available: int

    @property
    def ok(self) -> bool:
        """Return True if every replica can have all its connections at once."""
        return self.needed <= self.available


class Timeouts(Model):
    """Deadlines; a number of seconds, or 90s, 10m, 1h."""

    step: Seconds = Field(600.0, gt=0, description="one step of a plan, its waits included (--timeout)")
    run: Seconds = Field(3600.0, gt=0, description="a whole run")
    contact: Seconds = Field(15.0, gt=0, description="the first answer of a cluster, a login program's time included")
    command: Seconds = Field(
        120.0, gt=0, description="one question to a cluster; Invoke's --command-timeout bounds every command"
    )


class Settings(Model):
    """The effective settings of a project."""

    approach: ApproachName = Field("manual", description="how Orthanc is deployed")
    profile: str = Field(
        PROFILES[0],
        description="the built-in set of values below this file: production or lab",
        json_schema_extra={"enum": list(PROFILES)},
    )
    context: str | None = Field(
        None, description="the cluster that is used where no --context is given: a name of clusters, or a context"
    )
    clusters: dict[PlainName, ClusterSettings] = Field(
        default_factory=dict, description="clusters by the name that --context takes"
    )
    tenants: tuple[Tenant, ...] = Field(
        default_factory=lambda: tuple(Tenant(**tenant) for tenant in DEFAULT_TENANTS),
        description="healthcare facilities; each has its namespace, database, certificates and host names",
        json_schema_extra={"minItems": 1},
    )
    components: dict[Component, Choice] = Field(
        default_factory=all_installed,
        description="install: korthweb brings it; use: somebody else's that is there, of which nothing is changed",
    )
    adopt_namespaces: tuple[DnsName, ...] = Field(
        (), description="namespaces of others that may hold what tenants share (observability, ...); never deleted"
    )
    orthanc: OrthancSettings = Field(default_factory=OrthancSettings, description="Orthanc")
    security: SecuritySettings = Field(default_factory=SecuritySettings, description="what the cluster decides of pods")
    postgres: PostgresSettings = Field(default_factory=PostgresSettings, description="PostgreSQL of each tenant")
    istio: IstioSettings = Field(default_factory=IstioSettings, description="Istio")
    observability: ObservabilitySettings = Field(
        default_factory=ObservabilitySettings, description="what watches the mesh and Orthanc"
    )
    gitops: GitOpsSettings = Field(
        default_factory=GitOpsSettings, description="the fleet repository that Flux follows (GitOps)"
    )
    images: Images = Field(default_factory=Images, description="container images")
    charts: dict[str, Chart] = Field(default_factory=dict, description="Helm charts: source and version of each")
    versions: dict[str, str] = Field(
        default_factory=dict, description="version of each component; charts and image tags follow unless they are set"
    )
    storage_class: DnsName | None = Field(
        None, description="StorageClass of the databases; none: the cluster's default"
    )
    storage_volumes: StrictInt = Field(24, ge=0, le=200, description="volumes that lab.up makes beforehand")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="deadlines, in seconds or as 90s, 10m, 1h")
    tools: ToolSettings = Field(
        default_factory=ToolSettings, description="where kubectl, helm, istioctl and flux come from"
    )
    accept_risks: tuple[str, ...] = Field(
        (), description="names of risks that are taken knowingly; without its name here, each is refused"
    )
    lab: LabSettings = Field(
        default_factory=LabSettings, description="the Kubernetes that lab.up makes on this machine"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """Complete the tables, so that naming one chart or version keeps the others."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        if isinstance(chosen := filled.get("components", {}), Mapping):
            filled["components"] = {**all_installed(), **chosen}
        given = filled.get("versions", {})
        if not isinstance(given, Mapping):
            return filled
        versions = {name: pin.version for name, pin in PINS.items()} | dict(given)
        filled["versions"] = versions
        if isinstance(charts := filled.get("charts", {}), Mapping):
            filled["charts"] = _with_charts(charts, versions)
        if isinstance(images := filled.get("images", {}), Mapping):
            filled["images"] = _with_tags(images, versions)
        return filled

    @field_validator("accept_risks")
    @classmethod
    def _acceptable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        table = guarded_table()
        for name in names:
            if name in (row.key for row in table.keys if not row.accept):
                raise ValueError(f"{name} can't be accepted: {table.why(name)}")
            if name not in table.acceptable:
                raise ValueError(f"there is no risk {name!r}{nearest(name, table.acceptable)}")
        return names

    @field_validator("versions")
    @classmethod
    def _accepted(cls, versions: dict[str, str]) -> dict[str, str]:
        for name, version in versions.items():
            if name not in PINS:
                raise ValueError(f"unknown component {name!r}")
            if not PINS[name].accepts(version):
                raise ValueError(f"{name} {version} is outside the supported range {PINS[name].accepted}")
        return versions

    @field_validator("charts")
    @classmethod
    def _known(cls, charts: dict[str, Chart]) -> dict[str, Chart]:
        for name in charts:
            if name not in CHARTS:
                raise ValueError(f"unknown chart {name!r}")
        return charts

    @field_validator("tenants")
    @classmethod
    def _distinct(cls, tenants: tuple[Tenant, ...]) -> tuple[Tenant, ...]:
        if not tenants:
            raise ValueError("at least one tenant is needed")
        for field in ("name", "namespace", "domain", "aet"):
            counts = Counter(getattr(tenant, field).lower() for tenant in tenants)
            for value, count in counts.items():
                if count > 1:
                    same = [tenant for tenant in tenants if getattr(tenant, field).lower() == value]
                    names, written = " and ".join(tenant.name for tenant in same), getattr(same[0], field)
                    raise ValueError(f"tenants {names} have the same {field} {written!r}")
        holders: dict[str, tuple[str, str]] = {}
        for tenant in tenants:
            for user in (*tenant.users, DATABASE_USER):
                # the variable of a password is made of both names, in which everything but letters becomes _
                word = variable(f"{tenant.name}_{user}")
                one = holders.setdefault(word, (tenant.name, user))
                if one[0] != tenant.name:
                    who = f"user {one[1]!r} of tenant {one[0]} and user {user!r} of tenant {tenant.name}"
                    raise ValueError(f"{who} would share one password variable (KORTHWEB_SECRET_{word}_PASSWORD)")
        return tenants

    @model_validator(mode="after")
    def _mesh(self) -> Settings:
        """Refuse a place of the mesh that would mean nothing: korthweb's own is always in istio-system."""
        if not self.uses("istio") and (self.istio.revision or self.istio.namespace != "istio-system"):
            raise ValueError(
                "istio.namespace and istio.revision are those of an Istio that is used: components.istio: use"
            )
        return self

    @model_validator(mode="after")
    def _flux(self) -> Settings:
        """Refuse what `flux bootstrap` alone can do, where it is not run; and places that would mean nothing."""
        given = self.gitops
        if not self.uses("flux"):
            if (given.namespace, given.controllers_namespace) != (OWN_FLUX, BOOTSTRAPPED):
                raise ValueError(
                    "gitops.namespace and controllers_namespace are for a Flux that is used: components.flux: use"
                )
            return self
        if not self.flux.beside:
            raise ValueError(f"gitops.namespace {given.namespace!r} is that of the other Flux: korthweb's is its own")
        if given.provider != "git":
            raise ValueError(
                f"gitops.provider {given.provider} lets flux make the repository, which is not done beside another"
                " Flux: gitops.provider: git, and a repository that is there"
            )
        if given.url and given.url.startswith("ssh://") and not given.private_key:
            raise ValueError("gitops.private_key is missing: a Flux that is used has no key of its own for ssh://")
        return self

    @property
    def flux(self) -> FluxHome:
        """Return where Flux is, and what korthweb's source and Kustomizations are called."""
        given = self.gitops
        return FluxHome(given.namespace, OWN_NAME, given.controllers_namespace) if self.uses("flux") else BY_BOOTSTRAP

    def uses(self, component: str) -> bool:
        """Return True if somebody else's ``component`` is used: nothing of it is installed, changed or removed."""
        return any(name == component and choice == "use" for name, choice in self.components.items())

    @model_validator(mode="after")
    def _apart(self) -> Settings:
        for tenant in self.tenants:
            taken = {self.istio.namespace: "istio.namespace", self.postgres.operator_namespace: "CloudNativePG's"}
            taken |= {self.gitops.namespace: "gitops.namespace", self.gitops.controllers_namespace: "Flux's"}
            if tenant.namespace in taken:
                raise ValueError(f"tenants.{tenant.name}.namespace {tenant.namespace!r} is {taken[tenant.namespace]}")
        return self

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """Return the names, in the order of the file."""
        return tuple(tenant.name for tenant in self.tenants)

    def tenant(self, name: str) -> Tenant:
        """Return a tenant by its name, whatever its case; raises ``KeyError`` with the names there are."""
        for tenant in self.tenants:
            if tenant.name.lower() == name.lower():
                return tenant
        raise KeyError(f"no tenant {name!r}; there are {', '.join(self.tenant_names)}")

    def connection_budget(self, tenant: Tenant) -> Budget:
        """Return the worst case of ``tenant``: every replica that the autoscaler may start, plus the reserve."""
        needed = tenant.replicas.max * self.orthanc.connections_per_replica + self.orthanc.reserved_connections
        return Budget(needed, self.orthanc.max_connections)


def _with_charts(charts: Mapping[str, Any], versions: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {
        name: {"source": pin.source, "version": pin.tag(versions), "values": pin.values} for name, pin in CHARTS.items()
    }
    return deep_merge(merged, charts)


def _with_tags(images: Mapping[str, Any], versions: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        "orthanc": f"docker.io/orthancteam/orthanc:{versions['orthanc']}",
        "postgres": f"docker.io/library/postgres:{versions['postgres']}",
        "prometheus": f"docker.io/prom/prometheus:v{versions['prometheus']}",
        "kiali": f"quay.io/kiali/kiali:v{versions['kiali']}",
        "grafana": f"docker.io/grafana/grafana:{versions['grafana']}",
        "jaeger": f"docker.io/jaegertracing/jaeger:{versions['jaeger']}",
        "cloudnative_pg": f"ghcr.io/cloudnative-pg/cloudnative-pg:{versions['cnpg']}",
        "cnpg_postgres": f"ghcr.io/cloudnative-pg/postgresql:{versions['postgres']}",
    }
    return {**defaults, **images}
