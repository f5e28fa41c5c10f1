"""A tenant: one healthcare facility, its names, its ways in and what it may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt, field_validator, model_validator

from korthweb_tasks.settings import volume
from korthweb_tasks.settings.dicom import DicomSettings, Modality
from korthweb_tasks.settings.fields import (
    AeTitle,
    Domain,
    HostPort,
    InnerError,
    Model,
    PlainName,
    TenantNamespace,
    UserName,
    WebOrigin,
    ae_title,
    dns_label,
    tenant_namespace,
    variable,
    written,
)
from korthweb_tasks.settings.quantities import LimitSize, Quota, StorageSize


class Replicas(Model):
    """What the autoscaler may do."""

    min: StrictInt = Field(3, ge=1, le=100, description="pods that always run")
    max: StrictInt = Field(10, ge=1, le=100, description="pods at the most")

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


#: where a gateway listens for modalities that name no server, and is asked for its health
OTHERS = (11114, 15021)


class Ports(Model):
    """Where a tenant's own way in is reached."""

    https: StrictInt = Field(443, ge=1, le=65535, description="port of the web and of DICOMweb")
    dicom: StrictInt = Field(11112, ge=1, le=65535, description="port for modalities")

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

    name: Annotated[str, written("[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")] = Field(
        min_length=1, description="short name; --tenant takes it"
    )
    domain: Domain = Field(description="web.<domain> and dicom.<domain> are its host names")
    namespace: TenantNamespace = Field("", description="namespace; none: <name>-orthweb in lower case")
    adopt_namespace: StrictBool = Field(
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
