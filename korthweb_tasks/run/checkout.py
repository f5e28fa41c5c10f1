"""A private checkout of the fleet repository: made anew or healed as needed, never a working copy of a person's own."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import StepFailed
from korthweb_tasks.files import Tree, located
from korthweb_tasks.run import retry
from korthweb_tasks.run.file_lock import file_lock
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools import git_faults as faults
from korthweb_tasks.tools.git import ASKPASS, Author, Git, Remote, branches, shown, statuses, tracked

#: seconds for which another korthweb on the same checkout is waited for, and for pushes that others outrun
LOCK_SECONDS, PUSH_SECONDS = 60.0, 60.0
#: what a tree of files becomes: text by path, and the paths to remove, given the paths that are there
Render = Callable[[Iterable[str]], tuple[Mapping[str, str], Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a render changed: path → A, M or D; ``stat`` and ``diff`` are for a person, without secrets."""

    files: Mapping[str, str]
    stat: str = ""
    diff: str = ""

    def __bool__(self) -> bool:
        """Return True if there is anything to commit."""
        return bool(self.files)


@dataclass
class Checkout:
    """The newest commit of one branch of one repository, in a folder of korthweb's own.

    ``base`` is the commit that was fetched, empty in an empty repository. ``onto`` is the branch that is pushed to,
    where that is another one than the remote's: the work goes on from there if it exists.
    """

    runner: Runner
    remote: Remote
    root: Path
    onto: str = ""
    base: str = field(default="", init=False)
    _heads: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def folder(self) -> Path:
        """Return the folder: one for each repository and branch."""
        return self.root / hashlib.sha256(f"{self.remote.url}\0{self.remote.branch}".encode()).hexdigest()[:16]

    @property
    def git(self) -> Git:
        """Return the builder of git commands."""
        return Git(replace(self.remote, askpass=str(self.root / "askpass")), str(self.folder))

    @property
    def target(self) -> str:
        """Return the branch that is pushed to."""
        return self.onto or self.remote.branch

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the folder while the block runs; raises LockHeld after a minute."""
        self._made(self.root)
        path, holder = self.root / f"{self.folder.name}.lock", f"another korthweb works on {self.folder}"
        with file_lock(path, seconds=LOCK_SECONDS, holder=holder, stop=self.runner.stopping):
            yield

    def heads(self) -> dict[str, str]:
        """Ask the server for its branches; raises GitFailed where it does not answer, or lets nobody in."""
        self._helper()
        return branches(self._asked(self.git.heads()))

    def refresh(self) -> str:
        """Bring the folder to the newest commit and return that, or nothing for an empty repository.

        Whatever a killed run left there is gone; a folder that git can't use is made anew.
        Raises GitFailed, and BranchMissing where the repository has other branches only.
        """
        self._heads = self.heads()
        branch = self._branch()
        try:
            self.base = self._refreshed(branch)
        except StepFailed:  # the server answers, so it is the folder: half a repository, left by a run that was killed
            shutil.rmtree(self.folder, ignore_errors=True)
            self.base = self._refreshed(branch)
        return self.base

    def paths(self) -> list[str]:
        """Return every file of the commit."""
        return [path for path in self._done(self.git.files()).stdout.split("\0") if path]

    def read(self, path: str) -> str | None:
        """Return the text of a file of the commit, or None."""
        try:
            return self._tree.read(path)
        except (FileNotFoundError, IsADirectoryError):
            return None

    def put(self, render: Render) -> Changes:
        """Write what ``render`` makes over the commit, and return what that changes."""
        files, stale = render(self.paths())
        for path in stale:
            self._tree.remove(path)
        for path, text in files.items():
            self._tree.write(path, text)
        self._done(self.git.add())
        found = statuses(self._done(self.git.changed()))
        if not found:
            return Changes({})
        return Changes(found, self._done(self.git.diff(stat=True)).stdout, shown(self._done(self.git.diff()).stdout))

    def publish(self, render: Render, message: str, author: Author) -> str:
        """Commit what was put, push it, and return the commit; where others pushed first, do it again on top of theirs.

        Raises GitFailed, and PushRefused where the server takes no push to this branch.
        """

        def attempt(number: int) -> Result:
            if number > 1:
                self.refresh()
                if not self.put(render):  # they pushed the very same
                    return self._done(self.git.revision())
            self._done(self.git.commit(message, author))
            return self.runner.check(self.git.push(self.target))

        result = retry.retried(
            attempt, seconds=PUSH_SECONDS, waiting=lambda _fault, _n, pause: self.runner.sleep(pause)
        )
        if not result.answered:
            raise faults.explained(result, replace(self.remote, branch=self.target))
        self.base = self._done(self.git.revision()).stdout.strip()
        return self.base

    def may_push(self) -> None:
        """Ask the server whether it would take a push, without making one; raises GitFailed.

        A hook of the server is not asked: it may still say no.
        """
        if self.base:
            self._asked(self.git.push(self.target, dry_run=True))

    @property
    def _tree(self) -> Tree:
        """Return the folder to write into: a link that somebody committed does not lead out of it."""
        return Tree(self.folder, private=False)

    @staticmethod
    def _made(folder: Path) -> None:
        tree, name = located(folder)
        tree.make(name)

    def _branch(self) -> str:
        """Return the branch to begin with, or nothing for an empty repository."""
        if self.onto and self.onto in self._heads:
            return self.onto
        if self.remote.branch in self._heads or not self._heads:
            return self.remote.branch if self._heads else ""
        there = ", ".join(sorted(self._heads)[:8])
        text = f"{self.remote.url} has no branch {self.remote.branch}; it has {there}"
        raise faults.BranchMissing(text, hint="gitops.branch in korthweb.yaml, or make the branch on the server")

    def _refreshed(self, branch: str) -> str:
        git = self.git
        self._made(self.folder)
        (self.folder / ".git" / "index.lock").unlink(missing_ok=True)
        self._done(git.init())
        if not branch:
            for command in (git.unborn(), git.forget(), git.emptied(), git.clean()):
                self._done(command)
            return ""
        wanted = self._heads[branch]
        if self._done(git.revision(tracked(branch))).stdout.strip() != wanted:
            self._asked(git.fetch(branch))
        self._done(git.reset(branch))
        self._done(git.clean())
        return self._done(git.revision()).stdout.strip()

    def _helper(self) -> None:
        """Write the program that answers git's question for a login; there is nothing secret in it."""
        path = self.root / "askpass"
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == ASKPASS and os.access(path, os.X_OK):
                return
        tree, name = located(path)
        tree.write(name, ASKPASS, mode=0o700)

    def _asked(self, command: Command) -> Result:
        """Run a command that speaks to the server; raises GitFailed, which says what its complaint means."""
        result = self.runner.check(command)
        if not result.answered:
            raise faults.explained(result, self.remote)
        return result

    def _done(self, command: Command) -> Result:
        return self.runner.run(command)
