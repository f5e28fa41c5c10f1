"""Container images, and the mirror that they may come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from korthweb_tasks.settings.fields import DnsName, ImageName, Model

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
