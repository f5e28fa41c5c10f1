"""What is on this machine: the programs, and the lab."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool

from korthweb_tasks.settings.fields import DnsLabel, Model, Network, VariablePattern
from korthweb_tasks.settings.quantities import StorageSize


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

    name: DnsLabel = Field("lab", description="name; its context is korthweb-<name>")
    images: Literal["auto", "build", "pull"] = Field(
        "auto",
        description="build: from Debian packages; pull: from images.registry, without one from upstream; auto: pull "
        "where images.registry is set and has all of them, else build",
    )
    keep_build_caches: StrictBool = Field(
        False, description="keep the Go caches (tens of GB) after the binaries are made"
    )
    subnet: Network | None = Field(None, description="IPv4 network of the lab; none: a free one of 198.18.0.0/15")
    volume_size: StorageSize = Field("20Gi", description="size that each prepared volume claims to have")
