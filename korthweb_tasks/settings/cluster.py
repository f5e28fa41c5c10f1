"""A cluster in korthweb.yaml: its context, what guards it, and the bastion before it."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictInt, field_validator

from korthweb_tasks.settings.fields import (
    HostName,
    Model,
)


class BastionSettings(Model):
    """A host through which a cluster is reached by SSH."""

    host: HostName = Field(min_length=1, description="name or address")
    user: str | None = Field(None, description="SSH user; none: as ssh itself decides")
    port: StrictInt = Field(22, ge=1, le=65535, description="SSH port")
    identity: str | None = Field(None, description="path of the private key; none: the SSH agent or ssh's defaults")


class ClusterSettings(Model):
    """One kubeconfig context, with its guard and its optional bastion."""

    context: str = Field(min_length=1, description="context in the kubeconfig")
    kubeconfig: str | None = Field(
        None, description="path, relative to korthweb.yaml; none: KUBECONFIG, then ~/.kube/config"
    )
    production: StrictBool = Field(False, description="ask for the cluster's name to be typed before anything changes")
    server: str | None = Field(
        None,
        description="API server URL that must be found; none: the one of the first deployment",
        json_schema_extra={"pattern": "^https?://"},
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
