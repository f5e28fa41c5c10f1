"""git: commands as data, what they print, and what their complaints mean. No password is ever in a command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from korthweb_tasks.core.command import MASK, Command, Result, around_proxy

#: what the helper program that answers git's question for a login reads
USERNAME, PASSWORD = "KORTHWEB_GIT_USERNAME", "KORTHWEB_GIT_PASSWORD"
#: the text of that program; it holds nothing secret itself
ASKPASS = f"""#!/bin/sh
# answers git's questions for a user and a password; korthweb gives both to git's own environment only
case $1 in
Username*) printf '%s\\n' "${USERNAME}" ;;
*) printf '%s\\n' "${PASSWORD}" ;;
esac
"""
#: seconds in which a server has to answer the first question
FIRST_ANSWER = 30.0
#: a person's own configuration that would change what is committed, or who is asked
_OWN_WAY = (
    "core.hooksPath=/dev/null",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=false",
    "core.quotePath=false",
    "core.fsmonitor=false",
    "commit.gpgSign=false",
    "commit.template=",
    "push.gpgSign=false",
    "push.followTags=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
)
_ENCRYPTED = re.compile(r"ENC\[[A-Z0-9_]+,[^\]]*\]")
_FILE = re.compile(r"diff --git a/(?P<name>.*) b/(?P=name)")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a repository is, and how it is reached.

    ``askpass`` is the path of a program with the text ASKPASS; without ``password`` git asks whom it asks usually (an
    SSH agent, its credential helpers), but never a person.
    """

    url: str
    branch: str = "main"
    username: str = "git"
    password: str | None = field(default=None, repr=False)
    ca_file: str = ""
    private_key: str = ""
    askpass: str = ""

    @property
    def host(self) -> str:
        """Return the server's name, without user and port; empty for a path."""
        place = self.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return place.partition("]")[0].lstrip("[") if place.startswith("[") else place.partition(":")[0]

    @property
    def ssh(self) -> bool:
        """Return True if it is reached by SSH."""
        return self.url.startswith("ssh://")

    @property
    def masks(self) -> tuple[str, ...]:
        """Return what no output may show."""
        return (self.password,) if self.password else ()


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes commits."""

    name: str
    email: str

    @classmethod
    def parse(cls, text: str) -> Author:
        """Read ``Name <address>``."""
        name, _, rest = text.partition(" <")
        return cls(name, rest.rstrip(">"))


@dataclass(frozen=True, slots=True)
class Git:
    """Builds git commands for one private checkout of one repository."""

    remote: Remote
    folder: str

    def init(self) -> Command:
        """Build the command that makes an empty repository; it is fine if there is one."""
        return self._local("init", "--quiet", f"--initial-branch={self.remote.branch}")

    def heads(self) -> Command:
        """Build the command that lists all branches of the server; it needs no checkout."""
        return self._remote("ls-remote", "--heads", self.remote.url, repeatable=True, timeout=FIRST_ANSWER, at=None)

    def fetch(self, branch: str) -> Command:
        """Build the command that downloads the newest commit of ``branch``."""
        what = f"+refs/heads/{branch}:{tracked(branch)}"
        return self._remote("fetch", "--quiet", "--no-tags", "--depth=1", self.remote.url, what, repeatable=True)

    def revision(self, name: str = "HEAD") -> Command:
        """Build the command that names a commit; code 1 where there is none of this name."""
        return self._local("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}", ok=(0, 1))

    def reset(self, branch: str) -> Command:
        """Build the command that checks out the fetched ``branch``, whatever was in the folder."""
        return self._local("checkout", "--quiet", "--force", "--no-track", "-B", self.remote.branch, tracked(branch))

    def unborn(self) -> Command:
        """Build the command that begins a branch without a commit, for a repository that is empty."""
        return self._local("symbolic-ref", "HEAD", f"refs/heads/{self.remote.branch}")

    def forget(self) -> Command:
        """Build the command that removes the branch's own commit: what was never pushed to an empty repository."""
        return self._local("update-ref", "-d", f"refs/heads/{self.remote.branch}")

    def emptied(self) -> Command:
        """Build the command that removes everything from the index."""
        return self._local("read-tree", "--empty")

    def clean(self) -> Command:
        """Build the command that removes every file that is not in the branch."""
        return self._local("clean", "--quiet", "--force", "--force", "-d", "-x")

    def files(self) -> Command:
        """Build the command that lists all files of the branch, divided by NUL."""
        return self._local("ls-files", "-z")

    def add(self) -> Command:
        """Build the command that adds every change of the folder, ignored files too."""
        return self._local("add", "--all", "--force", "--", ".")

    def diff(self, *, stat: bool = False) -> Command:
        """Build the command that shows what was added to the branch, as text that no user setting changes."""
        form = ("--stat=100", "--stat-count=60") if stat else ("--unified=3", "--src-prefix=a/", "--dst-prefix=b/")
        args = ("diff", "--cached", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", *form)
        return self._local(*args)

    def changed(self) -> Command:
        """Build the command that lists what was added, changed (M) and deleted, divided by NUL."""
        return self._local("diff", "--cached", "--name-status", "--no-renames", "--no-ext-diff", "-z")

    def show(self, path: str, name: str = "HEAD") -> Command:
        """Build the command that prints a file's text at a commit; code 128 where there is none."""
        return self._local("show", "--no-textconv", f"{name}:{path}", ok=(0, 128))

    def commit(self, message: str, author: Author) -> Command:
        """Build the command that commits what was added; the message travels by stdin."""
        person = {"NAME": author.name, "EMAIL": author.email}
        env = {f"GIT_{role}_{key}": text for role in ("AUTHOR", "COMMITTER") for key, text in person.items()}
        return self._local("commit", "--quiet", "--no-verify", "--file=-", stdin=message, env=env)

    def push(self, branch: str, *, dry_run: bool = False) -> Command:
        """Build the command that uploads the commit to ``branch``; it never overwrites what somebody else pushed.

        Not repeatable as it is: what was pushed meanwhile has to be fetched first.
        """
        tried = ("--dry-run",) if dry_run else ()
        args = ("push", "--no-verify", *tried, self.remote.url, f"HEAD:refs/heads/{branch}")
        return self._remote(*args, repeatable=dry_run)

    def _local(
        self, *args: str, stdin: str | None = None, env: Mapping[str, str] | None = None, ok: Iterable[int] = (0,)
    ) -> Command:
        return Command(
            argv=self._argv(*args), stdin=stdin, env={**self._env(), **(env or {})}, cwd=self.folder, ok=frozenset(ok)
        )

    def _remote(self, *args: str, repeatable: bool, timeout: float | None = None, at: str | None = "") -> Command:
        return Command(
            argv=self._argv(*args, login=True),
            env={**(self._env() if at is not None else {"LC_ALL": "C"}), **self._login()},
            cwd=self.folder if at is not None else None,
            masks=self.remote.masks,
            repeatable=repeatable,
            timeout=timeout,
        )

    def _argv(self, *args: str, login: bool = False) -> tuple[str, ...]:
        # a helper of the user's must neither answer for us nor store what we say
        own = (*_OWN_WAY, "credential.helper=") if login and self.remote.password else _OWN_WAY
        return ("git", *(word for pair in own for word in ("-c", pair)), *args)

    def _env(self) -> dict[str, str]:
        """Return what binds git to the folder: it may have been started by a hook of another repository."""
        inside = f"{self.folder}/.git"
        return {"LC_ALL": "C", "GIT_DIR": inside, "GIT_WORK_TREE": self.folder, "GIT_INDEX_FILE": f"{inside}/index"}

    def _login(self) -> dict[str, str]:
        remote, env = self.remote, {"GIT_TERMINAL_PROMPT": "0"}
        if remote.ssh:
            key = ("-i", remote.private_key, "-o", "IdentitiesOnly=yes") if remote.private_key else ()
            words = ("ssh", *key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new")
            return {**env, "GIT_SSH_COMMAND": shlex.join((*words, "-o", "ConnectTimeout=15"))}
        if remote.password:
            env |= {"GIT_ASKPASS": remote.askpass, USERNAME: remote.username, PASSWORD: remote.password}
        if remote.ca_file:  # a server of one's own is asked directly, not through a proxy
            env |= {"GIT_SSL_CAINFO": remote.ca_file, **around_proxy(remote.host)}
        return env


def tracked(branch: str) -> str:
    """Return the name under which a fetched branch is kept."""
    return f"refs/remotes/origin/{branch}"


def branches(result: Result) -> dict[str, str]:
    """Read ``ls-remote --heads``: branch → commit; nothing for an empty repository."""
    pairs = (line.split("\t", 1) for line in result.stdout.splitlines() if "\t" in line)
    return {name.removeprefix("refs/heads/"): commit for commit, name in pairs}


def statuses(result: Result) -> dict[str, str]:
    """Read ``diff --name-status -z``: path → A, M or D."""
    words = result.stdout.split("\0")
    return {path: mark[:1] for mark, path in zip(words[::2], words[1::2], strict=False) if path}


def shown(diff: str) -> str:
    """Return a diff as a person may see it: what is encrypted is shortened, what Secrets hold is left out."""
    parts = re.split(r"(?m)^(?=diff --git )", diff)
    return "".join(_of_one_file(part) for part in parts)


def _of_one_file(text: str) -> str:
    if not re.search(r"(?m)^[ +-]kind: Secret$", text) and not _ENCRYPTED.search(text):
        return text
    lines = text.splitlines()
    head = [
        line for line in lines[:6] if _FILE.fullmatch(line) or line.startswith(("new file", "deleted", "--- ", "+++ "))
    ]
    return "\n".join([*head, f"  (a Secret: its contents are not shown, {MASK})", ""])
