"""What git's complaints about a server mean, in words that a person can act on. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from korthweb_tasks.core.command import TIMED_OUT
from korthweb_tasks.errors import StepFailed, tail

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.tools.git import Remote


class GitFailed(StepFailed):
    """The fleet repository can't be read or written; message and hint say why."""


class PushedMeanwhile(GitFailed):
    """Somebody else pushed first; the same change made on top of theirs is worth another try."""


class PushRefused(GitFailed):
    """The server takes no push to this branch: it is protected, or a hook says no."""


class NoRepository(GitFailed):
    """There is no such repository, or who asks may not see it."""


class BranchMissing(GitFailed):
    """The repository has branches, but not the one that is wanted."""


def explained(result: Result, remote: Remote) -> GitFailed:
    """Return the error that a failed command with the server means: what failed, and what to set."""
    stderr = result.stderr
    for pattern, make in _FAULTS:
        if re.search(pattern, stderr, re.IGNORECASE):
            error = make(remote)
            error.details = error.details or tail(stderr, 6)
            return error
    if result.code == TIMED_OUT:
        return _unreachable(remote, "it gave no answer in time")
    return GitFailed(f"`git {_verb(result)}` of {remote.url} ended with code {result.code}", details=tail(stderr))


def _verb(result: Result) -> str:
    words = result.command.argv
    return next((word for before, word in pairwise(words) if before != "-c" and word != "-c"), "")


def _no_access(remote: Remote) -> GitFailed:
    if remote.ssh:
        key = f"with the key {remote.private_key}" if remote.private_key else "with any key of the SSH agent"
        hint = "gitops.private_key in korthweb.yaml is a deploy key that the server knows, with write access"
        return GitFailed(f"{remote.url} lets nobody in {key}", hint=hint)
    who = f"the user {remote.username} with the password given" if remote.password else "anybody without a password"
    hint = "KORTHWEB_SECRET_GIT_PASSWORD in .env (password or token), gitops.username in korthweb.yaml"
    return GitFailed(f"{remote.url} does not let {who} in", hint=hint)


def _no_repository(remote: Remote) -> GitFailed:
    text = f"there is no repository {remote.url}, or {remote.username} may not see it"
    return NoRepository(text, hint="gitops.url in korthweb.yaml; an empty repository must be made on the server first")


def _unreachable(remote: Remote, why: str) -> GitFailed:
    text = f"the Git server {remote.host or remote.url} can not be reached: {why}"
    return GitFailed(text, hint="gitops.url in korthweb.yaml; is there a proxy or a VPN on the way?")


def _untrusted(remote: Remote) -> GitFailed:
    by = f"by {remote.ca_file}" if remote.ca_file else "by this machine's authorities"
    hint = "gitops.ca_file in korthweb.yaml names the PEM file of the authority"
    return GitFailed(f"the certificate of {remote.host} is not vouched for {by}", hint=hint)


def _other_host(remote: Remote) -> GitFailed:
    text = f"the SSH host key of {remote.host} is not the one that is known"
    return GitFailed(text, hint=f"only if you know why it changed: ssh-keygen -R {remote.host}")


def _refused(remote: Remote) -> GitFailed:
    text = f"{remote.url} takes no push to the branch {remote.branch}"
    return PushRefused(text, hint="--pull-request-branch NAME pushes to a branch of its own, to be merged there")


def _meanwhile(remote: Remote) -> GitFailed:
    return PushedMeanwhile(f"somebody else pushed to {remote.branch} of {remote.url}", hint="the same command again")


#: what stderr says -> what it means; the first match counts
_FAULTS = (
    (r"\(fetch first\)|\(non-fast-forward\)|\(stale info\)|cannot lock ref|failed to update ref", _meanwhile),
    (r"hook declined|protected branch|GH006|GH013|\[remote rejected\]|not allowed to push", _refused),
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed", _other_host),
    (
        r"SSL certificate problem|certificate verif|self.signed certificate|CAfile|unable to get local issuer",
        _untrusted,
    ),
    (r"Authentication failed|could not read (Username|Password)|Permission denied|Access denied", _no_access),
    (r"returned error: 40[13]|invalid (username|credentials)|Bad credentials|Write access to repository", _no_access),
    (r"not found|does not appear to be a git repository|returned error: 404|not a git repository", _no_repository),
    (r"Could not resolve|Name or service not known", lambda remote: _unreachable(remote, "its name is not known")),
    (r"Connection refused", lambda remote: _unreachable(remote, "it refuses the connection")),
    (
        r"Failed to connect|Couldn't connect|timed out|No route to host|unreachable|Connection (reset|closed)",
        lambda remote: _unreachable(remote, "no connection"),
    ),
)
