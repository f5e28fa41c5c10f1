"""What all tasks of this process share that speak to one cluster: who runs commands, the console, journal, and lock."""

from __future__ import annotations

import atexit
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from korthweb_tasks import paths
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.lock import Lock
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.programs import Programs

if TYPE_CHECKING:
    from korthweb_tasks.run.guard import Identity
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.resolve import ChosenCluster
    from korthweb_tasks.tools.kubectl import Kubectl


@dataclass
class Connection:
    """``identity`` is the cluster as it was met, ``reached`` its target through the bastion, where it has one."""

    runner: Runner
    console: Console
    journal: Journal | None = None
    lock: Lock | None = None
    identity: Identity | None = None
    reached: ChosenCluster | None = None

    @classmethod
    def of(cls, settings: Settings, config: Any, masks: tuple[str, ...]) -> Connection:
        """Return a new one for these settings and Invoke's configuration; ``masks`` are never shown."""
        console, stopping = Console(masks=masks), threading.Event()
        source, keep = settings.tools.source, settings.lab.keep_build_caches
        runner = Runner(
            programs=Programs(source, console.progress, stop=stopping, keep_caches=keep),
            default_timeout=settings.timeouts.command,
            command_timeout=config.timeouts.command,
            echo=(lambda text: console.line(f"$ {text}")) if config.run.echo else None,
            notice=console.progress,
            masks=masks,
            passes=settings.tools.environment,
            stopping=stopping,
        )
        return cls(runner, console)

    def journal_for(self, title: str, masks: tuple[str, ...]) -> Journal:
        """Return the journal of this process, which the first plan begins."""
        if self.journal is None:
            self.journal = Journal.begin(paths.work_dir() / "runs", title, masks)
            self.runner.record = self.journal.command
        return self.journal

    def take_lock(self, kubectl: Kubectl) -> None:
        """Take the lock on the cluster, for the rest of this process; raises LockHeld."""
        if self.lock is None:
            lock = Lock(self.runner, kubectl, self.console.line)
            lock.acquire()
            self.lock = lock
            AT_EXIT.callback(lock.release)


#: kubeconfig and context -> what the tasks of this process share for it; without a cluster the key is empty
CONNECTIONS: dict[str, Connection] = {}
#: what is given back when the program ends: locks before the tunnels they need
AT_EXIT = ExitStack()
atexit.register(AT_EXIT.close)
