"""Git servers as flux knows them. A new one is a row here, and a row of the table in docs/gitops.md. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """``variable`` is where flux looks for the password or token; ``host`` is the public server of an API."""

    variable: str
    host: str = ""


#: the word for ``flux bootstrap`` -> the provider; all but git make repository and deploy key by their APIs
PROVIDERS = {
    "git": Provider("GIT_PASSWORD"),
    "github": Provider("GITHUB_TOKEN", "github.com"),
    "gitlab": Provider("GITLAB_TOKEN", "gitlab.com"),
    "gitea": Provider("GITEA_TOKEN", "gitea.com"),
}
#: those with an API -> the variable of their tokens, which CI has, too
TOKENS = {name: provider.variable for name, provider in PROVIDERS.items() if provider.host}
