"""Everything the user said, typed, checked and frozen. Pure: no file, no environment, no cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from korthweb_tasks.settings.fields import DnsName, Model, PlainName, Seconds
from korthweb_tasks.settings.fleet import GitOpsSettings
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.parts import (
    ClusterSettings,
    IstioSettings,
    ObservabilitySettings,
    OrthancSettings,
    PostgresSettings,
    Tenant,
)
from korthweb_tasks.settings.supply import CHARTS, Chart, Images, LabSettings, ToolSettings
from korthweb_tasks.settings.versions import PINS

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
        """Say whether every replica can have all its connections at once."""
        return self.needed <= self.available


class Timeouts(Model):
    """Deadlines; a number of seconds, or 90s, 10m, 1h."""

    step: Seconds = Field(600.0, gt=0, description="one step of a plan, its waits included (--timeout)")
    run: Seconds = Field(3600.0, gt=0, description="a whole run")
    command: Seconds = Field(
        120.0, gt=0, description="one question to a cluster; Invoke's --command-timeout bounds every command"
    )


class Settings(Model):
    """The effective settings of a project."""

    approach: Literal["manual", "helm", "gitops"] = Field("manual", description="how Orthanc is deployed")
    profile: str = Field("production", description="the built-in set of values below this file: production or lab")
    context: str | None = Field(
        None, description="the cluster that is used where no --context is given: a name of clusters, or a context"
    )
    clusters: dict[PlainName, ClusterSettings] = Field(
        default_factory=dict, description="clusters by the name that --context takes"
    )
    tenants: tuple[Tenant, ...] = Field(
        default_factory=lambda: tuple(Tenant(**tenant) for tenant in DEFAULT_TENANTS),
        description="healthcare facilities; each has its namespace, database, certificates and host names",
    )
    orthanc: OrthancSettings = Field(default_factory=OrthancSettings, description="Orthanc")
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
    storage_volumes: int = Field(24, ge=0, le=200, description="volumes that lab.up makes beforehand")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="deadlines, in seconds or as 90s, 10m, 1h")
    tools: ToolSettings = Field(
        default_factory=ToolSettings, description="where kubectl, helm, istioctl and flux come from"
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
                    names = " and ".join(t.name for t in tenants if getattr(t, field).lower() == value)
                    raise ValueError(f"tenants {names} have the same {field} {value!r}")
        return tenants

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
