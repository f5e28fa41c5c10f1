"""Which pull request a pipeline runs for, from what the forge puts into its environment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Api:
    """How a forge is spoken to. ``tokens`` are variables that may hold its token, the first that is set counts.

    ``robots`` are the names of a pipeline's own token, which may not ask what it is called.
    """

    title: str
    tokens: tuple[str, ...]
    header: str
    listing: str
    one: str
    edit: str
    author: tuple[str, str]
    right: str
    robots: tuple[str, ...] = ()

    def login(self, token: str) -> dict[str, str]:
        """Return the header that carries the token."""
        name, _, word = self.header.partition(" ")
        return {name: f"{word} {token}" if word else token}


_ISSUES, _COMMENT = "repos/{project}/issues/{number}/comments", "repos/{project}/issues/comments/{id}"
_NOTES = "projects/{project}/merge_requests/{number}/notes"
APIS: Mapping[str, Api] = {
    "github": Api(
        "GitHub", ("GITHUB_TOKEN", "GH_TOKEN"), "Authorization Bearer", _ISSUES, _COMMENT, "PATCH",
        ("user", "login"), "permissions: {pull-requests: write}", ("github-actions[bot]",),
    ),
    "gitlab": Api(
        "GitLab", ("GITLAB_TOKEN",), "PRIVATE-TOKEN", _NOTES, f"{_NOTES}/{{id}}", "PUT",
        ("author", "username"), "a project access token with the scope api in GITLAB_TOKEN",
    ),
    "gitea": Api(
        "Gitea", ("GITEA_TOKEN", "GITHUB_TOKEN"), "Authorization token", _ISSUES, _COMMENT, "PATCH",
        ("user", "login"), "a token with the scope write:issue in GITEA_TOKEN", ("gitea-actions", "forgejo-actions"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One pull request of a forge; ``number`` is "" where the pipeline is of none, ``token`` "" where there is none."""

    forge: str
    url: str
    project: str
    number: str
    token: str = field(default="", repr=False)
    fork: bool = False
    ca_file: str = ""

    @property
    def api(self) -> Api:
        """Return how its forge is spoken to."""
        return APIS[self.forge]


def place_of(environ: Mapping[str, str]) -> Place | None:
    """Return the pull request that the environment names, None outside of a pipeline that is known.

    >>> place_of({"GITLAB_CI": "true", "CI_API_V4_URL": "https://git/api/v4", "CI_PROJECT_ID": "7"}).forge
    'gitlab'
    """
    if environ.get("GITLAB_CI") == "true":
        return _gitlab(environ)
    gitea = "true" in (environ.get("GITEA_ACTIONS"), environ.get("FORGEJO_ACTIONS"))
    if gitea or environ.get("GITHUB_ACTIONS") == "true":
        return _actions(environ, "gitea" if gitea else "github")
    return None


def _gitlab(environ: Mapping[str, str]) -> Place:
    target, origin = (environ.get(f"CI_MERGE_REQUEST_{one}PROJECT_ID", "") for one in ("", "SOURCE_"))
    return Place(
        "gitlab",
        environ.get("CI_API_V4_URL", ""),
        target or environ.get("CI_PROJECT_ID", ""),
        environ.get("CI_MERGE_REQUEST_IID", ""),
        _token(environ, "gitlab"),
        fork=target != origin,
        ca_file=environ.get("CI_SERVER_TLS_CA_FILE", ""),
    )


def _actions(environ: Mapping[str, str], forge: str) -> Place:
    event = _event(environ.get("GITHUB_EVENT_PATH", ""))
    request = event.get("pull_request") or {}
    by_ref = re.fullmatch(r"refs/pull/([0-9]+)/(merge|head)", environ.get("GITHUB_REF", ""))
    number = request.get("number") or (by_ref[1] if by_ref else "")
    homes = [((request.get(side) or {}).get("repo") or {}).get("full_name") for side in ("head", "base")]
    server = environ.get("GITHUB_SERVER_URL", "")
    url = environ.get("GITHUB_API_URL") or (f"{server}/api/v1" if forge == "gitea" else "")
    project, token = environ.get("GITHUB_REPOSITORY", ""), _token(environ, forge)
    return Place(forge, url, project, str(number), token, fork=homes[0] != homes[1])


def _token(environ: Mapping[str, str], forge: str) -> str:
    return next((environ[name] for name in APIS[forge].tokens if environ.get(name)), "")


def _event(path: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
