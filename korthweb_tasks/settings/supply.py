"""Where things come from: images, charts, CLIs, and the lab that makes them itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator

from korthweb_tasks.settings.fields import DnsName, ImageName, Model, Network, PlainName, VariablePattern, dns_label
from korthweb_tasks.settings.quantities import StorageSize

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Images(Model):
    """Container images. ``registry`` puts a private mirror in the place of each image's own registry."""

    registry: ImageName | None = Field(
        None, description="private mirror: replaces the registry's name in every image, for example mirror.hospital/ext"
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="when nodes pull")
    pull_secrets: tuple[DnsName, ...] = Field(
        (), description="names of Secrets with which nodes log in to the registry; each namespace with pods needs them"
    )
    orthanc: ImageName = Field(
        "docker.io/orthancteam/orthanc", description="Orthanc, with PostgreSQL and DICOMweb plugins"
    )
    postgres: ImageName = Field("docker.io/library/postgres", description="PostgreSQL")
    prometheus: ImageName = Field("docker.io/prom/prometheus", description="Prometheus of the lite observability")
    kiali: ImageName = Field("quay.io/kiali/kiali", description="Kiali")
    grafana: ImageName = Field("docker.io/grafana/grafana", description="Grafana of the lite observability")
    jaeger: ImageName = Field("docker.io/jaegertracing/jaeger", description="Jaeger 2, all in one")
    cloudnative_pg: ImageName = Field("ghcr.io/cloudnative-pg/cloudnative-pg", description="operator of the databases")
    cnpg_postgres: ImageName = Field(
        "ghcr.io/cloudnative-pg/postgresql", description="PostgreSQL as CloudNativePG wants it"
    )
    flux_hub: ImageName = Field("ghcr.io/fluxcd", description="where Flux's controllers are")
    istio_hub: ImageName = Field("docker.io/istio", description="where pilot and proxyv2 are")
    cert_manager_hub: ImageName = Field(
        "quay.io/jetstack", description="where cert-manager-controller and the others are"
    )

    def mirrored(self, image: str) -> str:
        """Return ``image`` as nodes pull it: through the mirror, if there is one.

        Official images of Docker Hub are in its folder ``library``, also where their names do not say so.

        >>> Images(registry="mirror.hospital/ext").mirrored("docker.io/traefik:v3")
        'mirror.hospital/ext/library/traefik:v3'
        """
        if self.registry is None:
            return image
        first, _, rest = image.partition("/")
        has_host = bool(rest) and ("." in first or ":" in first or first == "localhost")
        path = rest if has_host else image
        official = "/" not in path and (not has_host or first in _DOCKER_HUB)
        return f"{self.registry}/{'library/' * official}{path}"

    def hub(self, folder: str) -> str:
        """Return a folder of images as nodes know it: through the mirror, if there is one."""
        return self.mirrored(f"{folder}/image").removesuffix("/image")

    @property
    def pull_references(self) -> list[dict[str, str]]:
        """Return the pull secrets as a pod names them."""
        return [{"name": name} for name in self.pull_secrets]


class Chart(Model):
    """A Helm chart."""

    source: str = Field(
        min_length=1,
        description="oci://…, https://… of a repository, a path, lab: made by lab.up, or korthweb: our own",
    )
    version: str = Field("", description="version; none: the component's, of versions")
    values: dict[str, Any] = Field(default_factory=dict, description="free values, merged over korthweb's; yours win")

    @field_validator("source")
    @classmethod
    def _scheme(cls, source: str) -> str:
        scheme, separator, _ = source.partition("://")
        if separator and scheme not in ("oci", "https", "http", "file"):
            raise ValueError(f"{source!r} must begin with oci:// or https://, or be a path")
        return source


class ToolSettings(Model):
    """Where the CLIs come from."""

    source: Literal["auto", "path", "download", "build"] = Field(
        "auto", description="auto: PATH, then a release download, then a build from Go modules; or only one of them"
    )
    environment: tuple[VariablePattern, ...] = Field(
        (),
        description="variables that kubectl and the others get beside those they are known to need (MY_PLUGIN_*)",
    )


class LabSettings(Model):
    """The one-node Kubernetes on this machine."""

    name: PlainName = Field("lab", description="name; its context is korthweb-<name>")
    images: Literal["auto", "build", "pull"] = Field(
        "auto",
        description="build: from Debian packages; pull: from images.registry, without one from upstream; auto: pull "
        "where images.registry is set and has all of them, else build",
    )
    keep_build_caches: bool = Field(False, description="keep the Go caches (tens of GB) after the binaries are made")
    subnet: Network | None = Field(None, description="IPv4 network of the lab; none: a free one of 198.18.0.0/15")
    volume_size: StorageSize = Field("20Gi", description="size that each prepared volume claims to have")

    @field_validator("name")
    @classmethod
    def _label(cls, name: str) -> str:
        return dns_label(name)


@dataclass(frozen=True, slots=True)
class ChartPin:
    """Where a chart is by default, and the component whose version it follows."""

    component: str
    source: str
    prefix: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def tag(self, versions: Mapping[str, Any]) -> str:
        """Return the chart's version, written as its publisher does."""
        return f"{self.prefix}{versions[self.component]}"


_ISTIO = "https://blob.istio.io/istio-release/charts"
CHARTS: dict[str, ChartPin] = {
    "cert-manager": ChartPin(
        "cert-manager", "oci://quay.io/jetstack/charts/cert-manager", "v", {"crds": {"enabled": True}}
    ),
    "istio-base": ChartPin("istio", _ISTIO),
    "istiod": ChartPin("istio", _ISTIO),
    "orthanc": ChartPin("orthanc-chart", "korthweb"),
    "traefik": ChartPin("traefik", "oci://ghcr.io/traefik/helm/traefik"),
    "cloudnative-pg": ChartPin("cnpg-chart", "https://cloudnative-pg.github.io/charts"),
    "kube-prometheus-stack": ChartPin(
        "kube-prometheus-stack", "oci://ghcr.io/prometheus-community/charts/kube-prometheus-stack"
    ),
    "kiali": ChartPin("kiali", "https://kiali.org/helm-charts"),
}
