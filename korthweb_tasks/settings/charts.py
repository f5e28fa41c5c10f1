"""Helm charts: where each comes from, and the component whose version it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, field_validator

from korthweb_tasks.settings.fields import Model


class Chart(Model):
    """A Helm chart."""

    source: str = Field(
        min_length=1,
        description="oci://…, https://… of a repository, a path, lab: made by lab.up, or korthweb: our own",
        json_schema_extra={"pattern": r"^(?=.*\S)(?:(?:oci|https?|file)://|(?!.*://))"},
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
