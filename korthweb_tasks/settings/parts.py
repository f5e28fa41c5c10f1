"""The parts that Settings is made of: clusters, tenants, Orthanc, PostgreSQL, Istio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from korthweb_tasks.settings.fields import (
    AeTitle,
    DnsLabel,
    Domain,
    HostPort,
    Model,
    Quantity,
    SqlName,
    UserName,
    dns_label,
    variable,
)

_PLUGINS = ("OrthancPostgreSQLIndex", "OrthancPostgreSQLStorage", "OrthancDicomWeb", "OrthancExplorer2")
#: requests and limits, as in a pod: {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}}
Resources = dict[Literal["requests", "limits"], dict[str, Quantity]]


class BastionSettings(Model):
    """A host through which a cluster is reached by SSH."""

    host: str = Field(min_length=1, description="name or address")
    user: str | None = Field(None, description="SSH user; none: as ssh itself decides")
    port: int = Field(22, ge=1, le=65535, description="SSH port")
    identity: str | None = Field(None, description="path of the private key; none: the SSH agent or ssh's defaults")


class ClusterSettings(Model):
    """One kubeconfig context, with its guard and its optional bastion."""

    context: str = Field(min_length=1, description="context in the kubeconfig")
    kubeconfig: str | None = Field(
        None, description="path, relative to korthweb.yaml; none: KUBECONFIG, then ~/.kube/config"
    )
    production: bool = Field(False, description="ask for the cluster's name to be typed before anything changes")
    server: str | None = Field(
        None, description="API server URL that must be found; none: the one of the first deployment"
    )
    uid: str | None = Field(
        None, description="UID of kube-system that must be found; none: the one of the first deployment"
    )
    bastion: BastionSettings | None = Field(None, description="SSH host through which the API server is reached")
    tenants: tuple[str, ...] | None = Field(
        None, description="names of the tenants that run on this cluster (GitOps); none: all of them"
    )

    @field_validator("server")
    @classmethod
    def _url(cls, server: str | None) -> str | None:
        if server is not None and not server.startswith(("https://", "http://")):
            raise ValueError(f"{server!r} is not a URL like https://10.0.0.1:6443")
        return server


class Replicas(Model):
    """What the autoscaler may do."""

    min: int = Field(3, ge=1, le=100, description="pods that always run")
    max: int = Field(10, ge=1, le=100, description="pods at the most")

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class Tenant(Model):
    """One healthcare facility. Namespace and AE title come from the name unless they are set."""

    name: str = Field(min_length=1, description="short name; --tenant takes it")
    domain: Domain = Field(description="web.<domain> and dicom.<domain> are its host names")
    namespace: DnsLabel = Field("", description="namespace; none: <name>-orthweb in lower case")
    aet: AeTitle = Field("", description="AE title that Orthanc answers to; none: the name in upper case")
    replicas: Replicas = Field(default_factory=Replicas, description="pods of Orthanc, least and most")
    storage: Quantity = Field("10Gi", description="size of the database's volume, which holds the images too")
    users: tuple[UserName, ...] = Field(
        ("admin",), min_length=1, description="who may log in; each password comes from .env or is generated"
    )
    egress: tuple[HostPort, ...] = Field(
        (), description="what Orthanc may reach outside of the cluster, host:port each (GitOps); nothing else is"
    )
    quota: dict[str, Quantity] = Field(
        default_factory=lambda: {
            "pods": "60",
            "requests.cpu": "16",
            "requests.memory": "64Gi",
            "persistentvolumeclaims": "10",
            "services.loadbalancers": "2",
        },
        description="what all pods of the namespace may ask for together (GitOps): a ResourceQuota's hard limits",
    )

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(name := data.get("name"), str):
            return data
        own = {key: value for key, value in data.items() if not (key in ("namespace", "aet") and value is None)}
        return {"namespace": f"{name.lower()}-orthweb", "aet": name.upper()} | own

    @field_validator("name")
    @classmethod
    def _label(cls, name: str) -> str:
        dns_label(name.lower())
        return name

    @field_validator("users")
    @classmethod
    def _distinct(cls, users: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for user in users:
            if (other := seen.setdefault(variable(user), user)) != user or users.count(user) > 1:
                raise ValueError(f"users {other!r} and {user!r} would share one password variable")
        return users

    @property
    def web_host(self) -> str:
        """Return the name under which browsers and DICOMweb reach it."""
        return f"web.{self.domain}"

    @property
    def dicom_host(self) -> str:
        """Return the name that modalities send as SNI."""
        return f"dicom.{self.domain}"


class OrthancSettings(Model):
    """Orthanc itself."""

    config: dict[str, Any] = Field(
        default_factory=dict, description="free JSON, merged over korthweb's own orthanc.json; yours wins"
    )
    plugins: tuple[str, ...] = Field(
        tuple(f"/usr/share/orthanc/plugins-available/lib{name}.so" for name in _PLUGINS),
        description="files or folders of plugins inside the image",
    )
    connections: int = Field(
        5, ge=1, le=100, description="database connections of each replica (IndexConnectionsCount)"
    )
    max_connections: int = Field(200, ge=10, le=5000, description="max_connections of each tenant's PostgreSQL")
    reserved_connections: int = Field(10, ge=0, description="connections kept for people, backups and metrics")
    resources: Resources = Field(
        default_factory=lambda: _resources("250m", "1Gi", "2Gi"), description="requests and limits of each pod"
    )
    cpu_target: int = Field(
        85, ge=10, le=1000, description="CPU use, in percent of the request, above which pods are added"
    )

    @property
    def connections_per_replica(self) -> int:
        """Return the worst case of one pod: those of the index, and one more while images are in PostgreSQL."""
        own = self.config.get("PostgreSQL")
        section = own if isinstance(own, Mapping) else {}
        storage = 1 if section.get("EnableStorage", True) else 0
        return int(section.get("IndexConnectionsCount", self.connections)) + storage

    @field_validator("config")
    @classmethod
    def _boolean(cls, config: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(config.get("OverwriteInstances", False), bool):
            raise ValueError(f"OverwriteInstances must be true or false, not {config['OverwriteInstances']!r}")
        section = config.get("PostgreSQL", {})
        if not isinstance(section, dict):
            raise ValueError(f"PostgreSQL must be a section of settings, not {section!r}")
        if not isinstance(number := section.get("IndexConnectionsCount", 1), int) or number < 1:
            raise ValueError(f"PostgreSQL.IndexConnectionsCount must be a positive number, not {number!r}")
        return config


class PostgresSettings(Model):
    """PostgreSQL, one per tenant."""

    instances: int = Field(3, ge=1, le=9, description="pods of each tenant's database (GitOps: CloudNativePG)")
    database: SqlName = Field("orthanc", description="name of the database")
    user: SqlName = Field("orthanc", description="owner of the database")
    resources: Resources = Field(
        default_factory=lambda: _resources("250m", "512Mi", "2Gi"), description="requests and limits of its pod"
    )


class IstioSettings(Model):
    """The mesh and its gateways."""

    pilot_env: dict[str, str] = Field(default_factory=dict, description="extra environment of istiod")
    telemetry: bool = Field(True, description="Istio's own metrics; they need Istio's build of Envoy")
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

    prometheus: bool = Field(True, description="Prometheus, scraping the mesh and Orthanc")
    kiali: bool = Field(True, description="Kiali")
    grafana: bool = Field(True, description="Grafana, with one dashboard; it shows what Prometheus has")
    jaeger: bool = Field(True, description="Jaeger, and the mesh sends it spans of every tenth request")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the parts that are wanted, in the order of their installation; each is a Deployment of its name."""
        return tuple(name for name in type(self).model_fields if getattr(self, name))


def _resources(cpu: str, memory: str, limit: str) -> Resources:
    requests: Resources = {"requests": {"cpu": cpu, "memory": memory}}
    return {**requests, "limits": {"memory": limit}} if limit else requests
