"""The parts that Settings is made of: clusters, tenants, Orthanc, PostgreSQL, Istio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from korthweb_tasks.settings import volume
from korthweb_tasks.settings.dicom import DicomSettings, Modality
from korthweb_tasks.settings.fields import (
    AeTitle,
    DnsLabel,
    Domain,
    EnvironmentName,
    HostName,
    HostPort,
    InnerError,
    Model,
    PlainName,
    SqlName,
    TenantNamespace,
    UserName,
    WebOrigin,
    ae_title,
    dns_label,
    tenant_namespace,
    variable,
)
from korthweb_tasks.settings.guarded import all_plugins
from korthweb_tasks.settings.quantities import LimitSize, Quota, Resources, StorageSize


class BastionSettings(Model):
    """A host through which a cluster is reached by SSH."""

    host: HostName = Field(min_length=1, description="name or address")
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


#: where a gateway listens for modalities that name no server, and is asked for its health
OTHERS = (11114, 15021)


class Ports(Model):
    """Where a tenant's own way in is reached."""

    https: int = Field(443, ge=1, le=65535, description="port of the web and of DICOMweb")
    dicom: int = Field(11112, ge=1, le=65535, description="port for modalities")

    @model_validator(mode="after")
    def _apart(self) -> Ports:
        if self.https == self.dicom:
            raise ValueError(f"https and dicom are both {self.https}")
        # where the gateway listens behind these, and where it is asked for its health
        for name, port, others in (
            ("https", self.https, (11112, *OTHERS)),
            ("dicom", self.dicom, (443, 8443, *OTHERS)),
        ):
            if port in others:
                raise ValueError(f"{name}: {port} is used by the gateway for something else")
        return self

    @property
    def usual(self) -> bool:
        """Return True for the ports that nobody has to be told."""
        return (self.https, self.dicom) == (443, 11112)


#: what comes from a tenant's name unless it is set
DERIVED = ("namespace", "aet")


def _derived(name: str) -> dict[str, str]:
    return {"namespace": f"{name.lower()}-orthweb", "aet": name.upper()}


def _fault(key: str, value: str) -> str:
    """Return why a derived value can't be, or nothing."""
    try:
        tenant_namespace(value) if key == "namespace" else ae_title(value)
    except ValueError as error:
        return str(error)
    return ""


class Tenant(Model):
    """One healthcare facility. Namespace and AE title come from the name unless they are set."""

    name: str = Field(min_length=1, description="short name; --tenant takes it")
    domain: Domain = Field(description="web.<domain> and dicom.<domain> are its host names")
    namespace: TenantNamespace = Field("", description="namespace; none: <name>-orthweb in lower case")
    adopt_namespace: bool = Field(
        False, description="use the namespace though korthweb did not make it; it is never deleted then"
    )
    aet: AeTitle = Field("", description="AE title that Orthanc answers to; none: the name in upper case")
    replicas: Replicas = Field(default_factory=Replicas, description="pods of Orthanc, least and most")
    storage: StorageSize = Field("10Gi", description="size of the database's volume, which holds the images too")
    storage_limit: LimitSize | None = Field(
        None, description="what images may take of it, then Orthanc refuses more; none: what log and index leave"
    )
    ports: Ports = Field(
        default_factory=Ports, description="of its own way in (Helm, GitOps), so that tenants can share one address"
    )
    dicom: DicomSettings = Field(default_factory=DicomSettings, description="its way in for modalities")
    modalities: dict[PlainName, Modality] = Field(
        default_factory=dict, description="modalities that every pod of Orthanc knows, by their name in its REST API"
    )
    cors: tuple[WebOrigin, ...] = Field(
        (),
        description="origins (https://viewer.hospital.example) whose pages may read by a person's login; none else may",
    )
    users: tuple[UserName, ...] = Field(
        ("admin",), min_length=1, description="who may log in; each password comes from .env or is generated"
    )
    egress: tuple[HostPort, ...] = Field(
        (), description="what Orthanc may reach outside of the cluster, host:port each (GitOps); nothing else is"
    )
    quota: Quota = Field(
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
        own = {key: value for key, value in data.items() if not (key in DERIVED and value is None)}
        # one that can't be is a fault of the name, which was written: told by _derivable
        return {key: value for key, value in _derived(name).items() if not _fault(key, value)} | own

    @field_validator("name")
    @classmethod
    def _label(cls, name: str) -> str:
        dns_label(name.lower(), written=name)
        return name

    @model_validator(mode="after")
    def _derivable(self) -> Tenant:
        for key, value in _derived(self.name).items():
            if not getattr(self, key) and (why := _fault(key, value)):
                raise InnerError(f"{why} (it is made of the name: take another one, or set {key} as well)", ("name",))
        return self

    @model_validator(mode="after")
    def _nameless(self) -> Tenant:
        if self.dicom.without_sni in (443, 8443, 11112, 15021, self.ports.https, self.ports.dicom):
            raise ValueError(f"dicom.without_sni: {self.dicom.without_sni} is used by the gateway for something else")
        return self

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
    def dicom_modalities(self) -> dict[str, Any]:
        """Return Orthanc's DicomModalities."""
        return {name: modality.entry for name, modality in self.modalities.items()}

    @property
    def web_url(self) -> str:
        """Return what a person types into a browser."""
        return f"https://{self.web_host}" + (f":{self.ports.https}" if self.ports.https != 443 else "")

    @property
    def image_megabytes(self) -> int:
        """Return how much images may take, in MB."""
        return volume.megabytes(self.storage_limit) if self.storage_limit else volume.images(self.storage)

    @property
    def log_megabytes(self) -> int:
        """Return how much PostgreSQL's write-ahead log may take, in MB."""
        return volume.log_size(self.storage)

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
        default_factory=lambda: all_plugins(()),
        description="plugins to add to those for PostgreSQL, DICOMweb and Explorer 2: names (gdcm), files or folders "
        "of the image; a list that has these too is the whole list",
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
    drain_seconds: int = Field(
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

    instances: int = Field(3, ge=1, le=9, description="pods of each tenant's database, where CloudNativePG makes it")
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

    fixed_uids: bool = Field(
        True, description="pods run under user ids of ours; false: under those that the cluster chooses (OpenShift)"
    )


class IstioSettings(Model):
    """The mesh and its gateways."""

    namespace: DnsLabel = Field("istio-system", description="where istiod is (components.istio: use)")
    revision: DnsLabel | None = Field(
        None, description="revision or tag that injects sidecars (istio.io/rev); none: by istio-injection (use)"
    )
    pilot_env: dict[EnvironmentName, str] = Field(default_factory=dict, description="extra environment of istiod")
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
