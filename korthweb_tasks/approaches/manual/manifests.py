"""The artifacts of the manual approach with the settings filled in. Pure: no cluster, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.common import (
    CERT_MANAGER,
    ISTIO,
    ISTIO_RECORD,
    MANAGED_BY,
    OURS,
    Artifacts,
    Names,
    Secrets,
    cors_policy,
    gateway_of,
    names_of,
)
from korthweb_tasks.approaches.shared.policies import policy_objects
from korthweb_tasks.core.render import as_yaml, digest, parse
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.settings.versions import within
from korthweb_tasks.tools.helm import Release

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

Objects = list[dict[str, Any]]
#: where start.sh gathers the plugins that the settings name
GATHERED_PLUGINS = "/run/orthanc/plugins"
STORAGE = "/var/lib/orthanc/db"


@dataclass(frozen=True)
class Manifests:
    """What is applied, for one project's settings."""

    settings: Settings
    secrets: Secrets
    artifacts: Artifacts
    _named: dict[str, Names] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def operator(self) -> str:
        """Return the IstioOperator, as text for istioctl."""
        text = self._text("istio/istio-operator.yaml")
        if not self.settings.istio.values:
            return text
        (operator,) = parse(text)
        operator["spec"]["values"] = deep_merge(operator["spec"]["values"], self.settings.istio.values)
        return as_yaml([operator])

    @cached_property
    def istio_digest(self) -> str:
        """Return a digest of all that the step ``istio`` brings about."""
        return digest([self.operator, self.artifacts.templates.text("istio/mesh.yaml", {})])

    def mesh(self) -> Objects:
        """Return the mesh-wide policy, and last the record that says all of it was done."""
        record = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": ISTIO_RECORD, "namespace": ISTIO, "labels": {MANAGED_BY: OURS}},
            "data": {"digest": self.istio_digest, "version": self.settings.versions["istio"]},
        }
        return [*self._objects("istio/mesh.yaml"), record]

    @cached_property
    def cert_manager(self) -> Release:
        """Return the release of cert-manager."""
        chart = self.settings.charts["cert-manager"]
        (values,) = parse(self.cert_manager_values)
        return Release(
            name="cert-manager",
            namespace=CERT_MANAGER,
            chart="cert-manager",
            source=self._source("cert-manager", chart.source, chart.version),
            version=chart.version,
            values=deep_merge(values, chart.values),
        )

    @cached_property
    def cert_manager_values(self) -> str:
        """Return korthweb's own values of the chart, as text."""
        chosen = cert_manager_choices(self.settings, self.settings.charts["cert-manager"].version)
        return self._text("cert-manager/values.yaml", None, **chosen)

    def policies(self) -> Objects:
        """Return what tenants may make in their namespaces."""
        return policy_objects()

    def of(self, tenant: Tenant, kind: str) -> Objects:
        """Return the objects of one of the tenant's components; the way in has a gateway beside a foreign mesh."""
        own = self._objects("tenant/gateway.yaml", tenant) if kind == "ingress" and self.settings.uses("istio") else []
        return [*own, *self._objects(f"tenant/{kind}.yaml", tenant)]

    def observability(self) -> Objects:
        """Return the chosen parts of the lite observability; they know all tenants, whichever is deployed now."""
        chosen = self.watching
        files = ["namespace", *chosen] if chosen else []
        return [obj for name in files for obj in self._objects(f"observability/{name}.yaml")]

    @property
    def watching(self) -> tuple[str, ...]:
        """Return the parts of observability that are made. Traces are asked of the whole mesh: only of one's own."""
        chosen = self.settings.observability.chosen
        return tuple(name for name in chosen if not (name == "jaeger" and self.settings.uses("istio")))

    def watcher(self) -> dict[str, Any] | None:
        """Return the namespace of Prometheus, or None where there is none."""
        if not self.settings.observability.prometheus:
            return None
        return self._objects("observability/namespace.yaml")[0]

    def text(self, name: str, tenant: Tenant | None = None) -> str:
        """Return an artifact as a person would write it, with its comments."""
        return self._text(name, tenant)

    def names(self, tenant: Tenant) -> Names:
        """Return the tenant's names and digests."""
        if tenant.name not in self._named:
            image = self.settings.images.mirrored(self.settings.images.postgres)
            config = self.artifacts.digest(self.orthanc_json(tenant))
            made = names_of(tenant, self.secrets, config=config, dbinit=self.artifacts.dbinit, image=image)
            self._named[tenant.name] = made
        return self._named[tenant.name]

    def orthanc_json(self, tenant: Tenant) -> str:
        """Return the configuration of Orthanc as text."""
        return orthanc_text(self.settings, tenant)

    def _objects(self, name: str, tenant: Tenant | None = None) -> Objects:
        return parse(self._text(name, tenant), name)

    def _text(self, name: str, tenant: Tenant | None = None, **more: Any) -> str:
        shared = {"image": self.settings.images.mirrored, "gateway": gateway_of(self.settings, tenant)}
        values: Mapping[str, Any] = {"settings": self.settings, **shared, **more}
        if tenant is not None:
            texts = {"orthanc_json": self.orthanc_json(tenant), "dbinit_sh": self.artifacts.dbinit}
            shared = {"scripts": self.artifacts.scripts, "tenant": tenant, "names": self.names(tenant)}
            values = {**values, **texts, **shared, "cors": cors_policy(tenant)}
        return self.artifacts.templates.text(name, values)

    def _source(self, chart: str, source: str, version: str) -> str:
        if source != "lab":
            return source
        if self.artifacts.charts is None:
            raise ValueError(f"chart {chart} comes from the lab, but no folder of charts was given")
        return str(self.artifacts.charts / f"{chart}-{version}")


def orthanc_text(settings: Settings, tenant: Tenant, *, database_host: str = "postgres") -> str:
    """Return orthanc.json as the pods mount it: with the plugins that they gather, and room for what is stored."""
    config = orthanc_json(settings, tenant, database_host=database_host)
    if "Plugins" not in settings.orthanc.config:
        config["Plugins"] = [GATHERED_PLUGINS]
    # beside a read-only configuration there is no room for Orthanc's default folder
    config.setdefault("StorageDirectory", STORAGE)
    return json.dumps(config, indent=2, ensure_ascii=False)


def cert_manager_choices(settings: Settings, version: str) -> dict[str, bool]:
    """Return what the values of cert-manager's chart depend on; ``version`` is the chart's."""
    images = settings.images
    usual = type(images).model_fields["cert_manager_hub"].default
    return {
        "own_images": images.registry is not None or images.cert_manager_hub != usual,
        "old_crds_key": within(version, "<1.15"),
    }
