"""git's commands as data, and what its complaints mean."""

from __future__ import annotations

import shlex

import pytest

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.tools.git import PASSWORD, Author, Git, Remote, branches, shown, statuses
from korthweb_tasks.tools.git_faults import GitFailed, NoRepository, PushedMeanwhile, PushRefused, explained

SSH = Remote("ssh://git@git.hospital:2222/fleet.git", private_key="/home/me/my keys/id")
HTTPS = Remote("https://git.hospital/fleet.git", username="bot", password="topsecret", ca_file="/ca.pem", askpass="/a")


def test_a_password_is_in_the_environment_of_its_command_and_nowhere_else() -> None:
    git = Git(HTTPS, "/work/fleet")
    for command in (git.heads(), git.fetch("main"), git.push("main")):
        assert command.env[PASSWORD] == "topsecret"
        assert "topsecret" not in repr(command) + str(command)
        assert command.masks == ("topsecret",)
        assert "credential.helper=" in command.argv
        assert (command.env["GIT_TERMINAL_PROMPT"], command.env["GIT_SSL_CAINFO"]) == ("0", "/ca.pem")
    for command in (git.init(), git.add(), git.commit("x", Author("n", "e")), git.diff()):
        assert PASSWORD not in command.env
    assert "topsecret" not in repr(HTTPS)


def test_a_key_is_the_only_one_that_is_shown_to_the_server() -> None:
    words = shlex.split(Git(SSH, "/work/fleet").push("main").env["GIT_SSH_COMMAND"])
    assert words[:4] == ["ssh", "-i", "/home/me/my keys/id", "-o"]
    assert {"IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=accept-new"} <= set(words)
    without = Git(Remote("ssh://git@h/x.git"), "/f").heads().env["GIT_SSH_COMMAND"]
    assert "-i" not in shlex.split(without)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ssh://git@git.hospital:2222/fleet.git", "git.hospital"),
        ("https://git.hospital/x/y.git", "git.hospital"),
        ("https://[fd00::1]:3443/fleet.git", "fd00::1"),
        ("file:///srv/fleet.git", ""),
    ],
)
def test_host(url: str, host: str) -> None:
    assert Remote(url).host == host


@pytest.mark.parametrize(
    ("remote", "stderr", "kind", "text", "hint"),
    [
        (SSH, "git@git.hospital: Permission denied (publickey).", GitFailed, "lets nobody in", "gitops.private_key"),
        (HTTPS, "fatal: Authentication failed for 'https://git.hospital/'", GitFailed, "the user bot", "GIT_PASSWORD"),
        (HTTPS, "error: The requested URL returned error: 403", GitFailed, "the user bot", "GIT_PASSWORD"),
        (HTTPS, "fatal: repository 'https://x/' not found", NoRepository, "there is no repository", "gitops.url"),
        (HTTPS, "fatal: Could not resolve host: git.hospital", GitFailed, "name is not known", "gitops.url"),
        (SSH, "ssh: Could not resolve hostname git.hospital: Name or", GitFailed, "name is not known", "gitops.url"),
        (SSH, "ssh: connect to host x port 22: Connection refused", GitFailed, "refuses the connection", "gitops.url"),
        (HTTPS, "Failed to connect to x port 443 after 2 ms: Couldn't connect", GitFailed, "no connection", "proxy"),
        (HTTPS, "server certificate verification failed. CAfile: none", GitFailed, "by /ca.pem", "gitops.ca_file"),
        (SSH, "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", GitFailed, "host key of git.hospital", "ssh-keygen"),
        (HTTPS, " ! [rejected] HEAD -> main (fetch first)", PushedMeanwhile, "somebody else pushed", "again"),
        (HTTPS, " ! [rejected] HEAD -> main (non-fast-forward)", PushedMeanwhile, "somebody else pushed", "again"),
        (
            HTTPS,
            "remote: error: GH006: Protected branch update failed",
            PushRefused,
            "no push to the branch main",
            "--p",
        ),
        (
            HTTPS,
            "! [remote rejected] main (pre-receive hook declined)",
            PushRefused,
            "no push to the",
            "--pull-request",
        ),
        (HTTPS, "fatal: something nobody has seen", GitFailed, "`git ls-remote` of https://git.hospital", ""),
    ],
)
def test_a_complaint_becomes_a_sentence_and_what_to_set(
    remote: Remote, stderr: str, kind: type[GitFailed], text: str, hint: str
) -> None:
    error = explained(Result(Git(remote, "/f").heads(), 128, "", stderr, 0.1), remote)
    assert type(error) is kind
    assert text in error.message
    assert hint in error.hint
    assert stderr.strip() in error.details


def test_no_end_in_time_is_no_answer() -> None:
    error = explained(Result(Git(HTTPS, "/f").heads(), 124, "", "", 30.0), HTTPS)
    assert "no answer in time" in error.message


def test_readings() -> None:
    command = Command(argv=("git",))
    heads = Result(command, 0, "abc\trefs/heads/main\ndef\trefs/heads/a/b\n", "", 0.1)
    assert branches(heads) == {"main": "abc", "a/b": "def"}
    assert statuses(Result(command, 0, "A\0one two\0M\0b\0D\0c\0", "", 0.1)) == {"one two": "A", "b": "M", "c": "D"}
    assert statuses(Result(command, 0, "", "", 0.1)) == {}
    assert Author.parse("Jane Doe <jane@x.org>") == Author("Jane Doe", "jane@x.org")


def test_what_secrets_hold_is_not_shown() -> None:
    def diff(name: str, *lines: str) -> str:
        head = [f"diff --git a/{name} b/{name}", "index 1..2 100644", f"--- a/{name}", f"+++ b/{name}", "@@ -1 +1 @@"]
        return "\n".join([*head, *lines, ""])

    plain = diff("a.yaml", "-replicas: 1", "+replicas: 2")
    sealed = diff("s.yaml", "+kind: Secret", "+stringData:", "+  pass: ENC[AES256_GCM,data:Zm9v,iv:x,tag:y,type:str]")
    clear = diff("c.yaml", " kind: Secret", "-  password: old", "+  password: new")
    seen = shown(plain + sealed + clear + plain)
    assert seen.count("+replicas: 2") == 2
    assert [word for word in ("Zm9v", "old", "new") if word in seen] == []
    assert "diff --git a/s.yaml b/s.yaml" in seen
    assert "diff --git a/c.yaml b/c.yaml" in seen
    assert seen.count("its contents are not shown") == 2
