"""A person's own clone of the fleet repository, with commits that korthweb knows nothing of."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks.lab.gitserver import GitAccess

#: Git's credential helper, with the login from the environment
HELPER = '!f() { echo "username=$LOGIN_USER"; echo "password=$LOGIN_PASSWORD"; }; f'


def environment(access: GitAccess) -> dict[str, str]:
    """Return git's environment: the password by the environment of a helper, never as an argument."""
    settings = {"credential.helper": HELPER, "user.name": "Person", "user.email": "person@localhost"}
    given = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(settings)}
    given |= {f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(settings.values())}
    own = {"GIT_CONFIG_COUNT": str(len(settings)), "LOGIN_USER": access.username, "LOGIN_PASSWORD": access.password}
    return {**os.environ, **given, **own, "GIT_SSL_CAINFO": str(access.ca_file), "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True)
class Clone:
    """A working copy in ``folder``."""

    access: GitAccess
    folder: Path

    @classmethod
    def of(cls, access: GitAccess, folder: Path) -> Clone:
        """Clone the repository."""
        made = cls(access, folder)
        made.git("clone", "--quiet", access.url, str(folder), inside=False)
        return made

    def git(self, *words: str, inside: bool = True) -> str:
        """Run git and return what it prints."""
        place = ("-C", str(self.folder)) if inside else ()
        argv, env = ("git", *place, *words), environment(self.access)
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def latest(self) -> str:
        """Take in what others have pushed, and return the revision."""
        self.git("pull", "--quiet", "--rebase")
        return self.git("rev-parse", "HEAD")

    def changes(self, path: str, old: str, new: str) -> str:
        """Replace ``old`` in a file, commit and push; return the revision."""
        self.latest()
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))
        self.git("commit", "--quiet", "--all", "--message", f"{path}: {new}")
        self.git("push", "--quiet")
        return self.git("rev-parse", "HEAD")

    def reverts(self) -> str:
        """Take the newest commit back, push, and return the revision."""
        self.git("revert", "--no-edit", "HEAD")
        self.git("push", "--quiet")
        return self.git("rev-parse", "HEAD")
