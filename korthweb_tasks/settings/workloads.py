"""What runs in the cluster: Orthanc, PostgreSQL, Istio and what watches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, StrictBool, StrictInt, field_validator

from korthweb_tasks.settings.fields import (
    DnsLabel,
    EnvironmentName,
    Model,
    SqlName,
)
from korthweb_tasks.settings.guarded import all_plugins
from korthweb_tasks.settings.quantities import Resources
from korthweb_tasks.settings.tenant import Replicas


class OrthancSettings(Model):
    """Orthanc itself."""

    config: dict[str, Any] = Field(
        default_factory=dict, description="free JSON, merged over korthweb's own orthanc.json; yours wins"
    )
    plugins: tuple[str, ...] = Field(
        default_factory=lambda: all_plugins(()),
        description="plugins to add to those for PostgreSQL, DICOMweb and Explorer 2: names (gdcm), files or folders "
        "of the image; a list that has these too is the whole list",
    )
    connections: StrictInt = Field(
        5, ge=1, le=100, description="database connections of each replica (IndexConnectionsCount)"
    )
    max_connections: StrictInt = Field(200, ge=10, le=5000, description="max_connections of each tenant's PostgreSQL")
    reserved_connections: StrictInt = Field(10, ge=0, description="connections kept for people, backups and metrics")
    resources: Resources = Field(
        default_factory=lambda: _resources("250m", "1Gi", "2Gi"), description="requests and limits of each pod"
    )
    cpu_target: StrictInt = Field(
        85, ge=10, le=1000, description="CPU use, in percent of the request, above which pods are added"
    )
    drain_seconds: StrictInt = Field(
        240,
        ge=0,
        le=3600,
        description="seconds for which a pod that ends waits for open associations and requests",
    )

    @property
    def connections_per_replica(self) -> int:
        """Return the worst case of one pod: those of the index, and one more while images are in PostgreSQL."""
        own = self.config.get("PostgreSQL")
        section = own if isinstance(own, Mapping) else {}
        storage = 1 if section.get("EnableStorage", True) else 0
        number = section.get("IndexConnectionsCount")
        return (number if isinstance(number, int) else self.connections) + storage

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, plugins: tuple[str, ...]) -> tuple[str, ...]:
        return all_plugins(plugins)


class PostgresSettings(Model):
    """PostgreSQL, one per tenant."""

    instances: StrictInt = Field(
        3, ge=1, le=9, description="pods of each tenant's database, where CloudNativePG makes it"
    )
    operator_namespace: DnsLabel = Field(
        "cnpg-system", description="where CloudNativePG's operator is (components.cloudnative-pg: use)"
    )
    database: SqlName = Field("orthanc", description="name of the database")
    user: SqlName = Field("orthanc", description="owner of the database")
    resources: Resources = Field(
        default_factory=lambda: _resources("250m", "512Mi", "2Gi"), description="requests and limits of its pod"
    )


class SecuritySettings(Model):
    """What the cluster decides of pods."""

    fixed_uids: StrictBool = Field(
        True, description="pods run under user ids of ours; false: under those that the cluster chooses (OpenShift)"
    )


class IstioSettings(Model):
    """The mesh and its gateways."""

    namespace: DnsLabel = Field("istio-system", description="where istiod is (components.istio: use)")
    revision: DnsLabel | None = Field(
        None, description="revision or tag that injects sidecars (istio.io/rev); none: by istio-injection (use)"
    )
    pilot_env: dict[EnvironmentName, str] = Field(default_factory=dict, description="extra environment of istiod")
    telemetry: StrictBool = Field(True, description="Istio's own metrics; they need Istio's build of Envoy")
    pilot_resources: Resources = Field(
        default_factory=lambda: _resources("250m", "512Mi", ""), description="requests and limits of istiod"
    )
    gateway_resources: Resources = Field(
        default_factory=lambda: _resources("100m", "128Mi", ""),
        description="requests and limits of the ingress gateway",
    )
    proxy_resources: Resources = Field(
        default_factory=lambda: _resources("50m", "96Mi", ""), description="requests and limits of each sidecar"
    )
    gateway_replicas: Replicas = Field(
        default_factory=lambda: Replicas(min=2, max=5), description="pods of the ingress gateway, least and most"
    )
    values: dict[str, Any] = Field(default_factory=dict, description="free values, merged over korthweb's; yours win")


class ObservabilitySettings(Model):
    """Which parts of the lite set are installed."""

    prometheus: StrictBool = Field(True, description="Prometheus, scraping the mesh and Orthanc")
    kiali: StrictBool = Field(True, description="Kiali")
    grafana: StrictBool = Field(True, description="Grafana, with one dashboard; it shows what Prometheus has")
    jaeger: StrictBool = Field(True, description="Jaeger, and the mesh sends it spans of every tenth request")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the parts that are wanted, in the order of their installation; each is a Deployment of its name."""
        return tuple(name for name in type(self).model_fields if getattr(self, name))


def _resources(cpu: str, memory: str, limit: str) -> Resources:
    requests: Resources = {"requests": {"cpu": cpu, "memory": memory}}
    return {**requests, "limits": {"memory": limit}} if limit else requests
