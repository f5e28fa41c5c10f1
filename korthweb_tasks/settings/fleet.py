"""What the GitOps approach is told: where the fleet repository is, and how Flux and korthweb reach it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from korthweb_tasks.core.flux_home import BOOTSTRAPPED
from korthweb_tasks.core.git_providers import PROVIDERS, TOKENS
from korthweb_tasks.settings.fields import DnsName, Model, PlainName, written

#: the fleet repository of a lab: its own Git server, which `lab.up --with gitops` starts
LAB = "lab"
#: namespace of korthweb's own sources and Kustomizations beside somebody else's Flux, and the name of the first of each
OWN_FLUX, OWN_NAME = "korthweb-flux", "korthweb"
_URL = re.compile(r"(https?://[!-.0-?A-~]+/[!-~]+|ssh://[!-.0-~]+/[!-~]+)")  # of visible ASCII, no login for http
_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:\S+")
_INTERVAL = re.compile(r"[0-9]+(s|m|h)")
_AUTHOR = re.compile(r"[^<>\n]+ <[^<>\s]+>")
_BRANCH = re.compile(r"(?!-)[A-Za-z0-9_./-]+")

if TYPE_CHECKING:
    Provider = str
else:
    Provider = Literal[tuple(PROVIDERS)]


class GitOpsSettings(Model):
    """The fleet repository and Flux."""

    url: str | None = Field(
        None,
        description="fleet repository: ssh://git@host/path.git, https://host/path.git, or lab: a lab's own server",
        json_schema_extra={"pattern": f"^(?:{LAB}|{_URL.pattern})$"},
    )
    branch: Annotated[str, written(_BRANCH.pattern)] = Field("main", description="branch that Flux follows")
    provider: Provider = Field(
        "git", description=f"git: any server; {', '.join(TOKENS)}: flux makes repository and deploy key by their APIs"
    )
    personal: StrictBool = Field(
        False, description="the owner in the URL is a person, not an organisation (not for git)"
    )
    cluster: PlainName | None = Field(
        None, description="folder of this cluster below clusters/; none: the cluster's name"
    )
    username: str = Field("git", min_length=1, description="user for HTTPS; the password or token is in .env")
    private_key: str | None = Field(None, description="path of the key for SSH that Flux is given (a deploy key)")
    ca_file: str | None = Field(None, description="PEM file of the authority that vouches for the Git server")
    registry_ca_file: str | None = Field(
        None, description="PEM file of the authority that vouches for the registry of charts"
    )
    registry_secret: DnsName | None = Field(
        None, description="Secret beside the sources with the login for the registry of charts (dockerconfigjson)"
    )
    namespace: DnsName = Field(
        OWN_FLUX,
        description="where korthweb's sources and Kustomizations are beside another Flux (components.flux: use)",
    )
    controllers_namespace: DnsName = Field(
        BOOTSTRAPPED, description="where the controllers of a Flux that is used are (components.flux: use)"
    )
    interval: Annotated[str, written(_INTERVAL.pattern)] = Field(
        "10m", description="how often Flux looks for changes, and puts back what was changed by hand"
    )
    secrets: Literal["generated", "sops"] = Field(
        "generated",
        description="passwords: generated in the cluster; sops: in Git, encrypted with an age key that bootstrap makes",
    )
    author: Annotated[str, written(_AUTHOR.pattern)] = Field(
        "korthweb <korthweb@localhost>", description="author of korthweb's commits: Name <address>"
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None or url == LAB or _URL.fullmatch(url):
            return url
        if _SCP.fullmatch(url):
            host, path = url.split(":", 1)
            raise ValueError(f"{url!r} must be written as a URL: ssh://{host}/{path}")
        if "@" in url and url.startswith("http"):
            raise ValueError("no login may be in the URL: gitops.username, and KORTHWEB_SECRET_GIT_PASSWORD in .env")
        raise ValueError(f"{url!r} is not a URL like ssh://git@host/path.git or https://host/path.git")

    @field_validator("interval")
    @classmethod
    def _time(cls, interval: str) -> str:
        if not _INTERVAL.fullmatch(interval):
            raise ValueError(f"{interval!r} is not a time like 30s, 10m or 1h")
        return interval

    @field_validator("branch")
    @classmethod
    def _name(cls, branch: str) -> str:
        if not _BRANCH.fullmatch(branch):
            raise ValueError(f"{branch!r} is not the name of a branch")
        return branch

    @field_validator("author")
    @classmethod
    def _person(cls, author: str) -> str:
        if not _AUTHOR.fullmatch(author):
            raise ValueError(f"{author!r} is not written like Name <address>")
        return author

    @model_validator(mode="after")
    def _fits(self) -> GitOpsSettings:
        if self.provider != "git" and self.url is not None and not self.url.startswith(("https://", "ssh://")):
            raise ValueError(f"provider {self.provider} needs the repository's URL")
        return self
