"""A person's own clone of the fleet repository, with commits that korthweb knows nothing of."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks.lab.extras import GitAccess

#: Git's credential helper, with the login from the environment
HELPER = '!f() { echo "username=$LOGIN_USER"; echo "password=$LOGIN_PASSWORD"; }; f'


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
        login = {"LOGIN_USER": self.access.username, "LOGIN_PASSWORD": self.access.password}
        env = {**os.environ, **login, "GIT_SSL_CAINFO": str(self.access.ca_file), "GIT_TERMINAL_PROMPT": "0"}
        who = ("-c", "user.name=Person", "-c", "user.email=person@localhost", "-c", f"credential.helper={HELPER}")
        place = ("-C", str(self.folder)) if inside else ()
        argv = ("git", *place, *who, *words)
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
