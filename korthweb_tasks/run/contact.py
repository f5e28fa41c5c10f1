"""The first question to a cluster: it is seen what is waited for, a login program can ask, and trouble has a name."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import TIMED_OUT, Command, Result
from korthweb_tasks.errors import KLOG, ClusterUnreachable, KorthwebError, tail
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.run.runner import Runner, failure
from korthweb_tasks.settings.resolve import ChosenCluster, expired
from korthweb_tasks.tools.kubectl_faults import explained

#: seconds of trying again after a passing fault
PATIENCE = 5.0
#: seconds of silence before it is said what is waited for
SILENCE = 2.0
#: seconds that a person at a terminal has for a login program's question
LOGIN = 300.0
#: how kubectl's own words begin; what a login program writes comes before them
_OWN = (
    "Unable to connect to the server",
    "error: You must be logged in",
    "error: exec plugin: ",
    "error: interactiveMode must be",
    "Error from server",
    "The connection to the",
)


@dataclass
class Contact:
    """Asks a cluster its first question: ``run`` is for :func:`guard.check` and :func:`guard.ask`."""

    runner: Runner
    ref: ChosenCluster
    console: Console
    seconds: float
    terminal: Callable[[], bool] = lambda: sys.stdin.isatty()
    patience: float = PATIENCE

    def run(self, command: Command) -> Result:
        """Run ``command`` and return its answer; raises ClusterUnreachable, CommandFailed, ToolMissing, Interrupted."""
        plugin = self.ref.plugin
        asks = bool(plugin) and self.terminal()
        limit = LOGIN if asks else self.seconds
        if not plugin:  # kubectl's own limit counts the login program's time, too, and does not end it
            command = replace(command, argv=(*command.argv, f"--request-timeout={limit:g}s"))
        runner = replace(
            self.runner,
            patience=min(self.patience, limit),
            notice=None,
            heard=_Passing(self.console) if plugin else None,
            terminal=asks,
        )
        runner.programs.get(command.argv[0])  # kubectl may have to be brought first, which is another kind of waiting
        with self._told():
            result = runner.check(command.with_timeout(limit + 1))
        if not result.answered:
            raise self._trouble(result, limit)
        return result

    @contextmanager
    def _told(self) -> Iterator[None]:
        first = f", by way of the login program {self.ref.plugin}" if self.ref.plugin else ""
        timer = threading.Timer(SILENCE, self.console.line, [f"waiting for {self.ref}{first}"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trouble(self, result: Result, limit: float) -> KorthwebError:
        if result.code == TIMED_OUT:
            return self._late(result, limit)
        way = replace(self.ref, ended=expired(self.ref))
        return explained(result.stderr, way, attempts=result.attempts, first=True) or failure(result)

    def _late(self, result: Result, limit: float) -> KorthwebError:
        way, details = self.ref, tail(result.stderr, 6)
        if not way.plugin:
            return ClusterUnreachable(
                f"{way} does not answer: timed out after {limit:g} s", hint=_more(), details=details
            )
        return ClusterUnreachable(
            f"the login program {way.plugin} of context {way.context} timed out after {limit:g} s",
            hint=f"log in first, in a terminal: `{hints.kubectl('auth', 'whoami')}`; then the same command again",
            details=details,
        )


def _more() -> str:
    return f"`{hints.task('context.list')}` shows which clusters answer; timeouts.contact gives a slow one more time"


@dataclass
class _Passing:
    """Passes on what a login program writes, as it comes: a question has no end of line. kubectl's words stay out."""

    console: Console
    over: bool = False

    def __call__(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            self.over = self.over or line.startswith(_OWN)
            if not self.over and not KLOG.match(line):
                say(self.console.clean(line), end="", to=self.console.stream)
