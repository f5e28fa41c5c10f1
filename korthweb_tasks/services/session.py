"""What one task works with: settings, cluster, runner, console. Tasks typed in a row share all of it, and one lock."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import invoke

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.words import known_output, unknown
from korthweb_tasks.errors import GuardRefused, UsageError
from korthweb_tasks.report.json import as_data
from korthweb_tasks.report.model import Report
from korthweb_tasks.run import guard
from korthweb_tasks.run.answer import as_json, current
from korthweb_tasks.run.bastion import through
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.run.contact import Contact
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.connection import AT_EXIT, CONNECTIONS, Connection
from korthweb_tasks.services.execution import Execution
from korthweb_tasks.settings.fields import seconds
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import require_settings, resolve, unreached
from korthweb_tasks.settings.snapshot import reading, snapshot_of
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.report.model import About
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.resolve import ChosenCluster
    from korthweb_tasks.settings.tenant import Tenant
    from korthweb_tasks.tools.clis import Effect


@dataclass
class Session:
    """One task's view of the world; everything is made when it is first asked for."""

    config: Any
    context_flag: str | None = None
    tenant_flag: str | None = None
    dry_run: bool = False
    yes: bool = False
    timeout: float | None = None
    output: str = "text"
    cluster: bool = True
    settings_flag: Path | None = None
    #: whether the cluster was named to the person already
    said: bool = False
    #: what emit() was given last: what a task returns that has no Report
    told: Any = None
    #: a person has said yes to changes by words of their own
    allowed: bool = False

    @classmethod
    def open(
        cls,
        c: invoke.Context,
        *,
        cluster: bool = True,
        context: str | None = None,
        tenant: str | None = None,
        dry_run: bool = False,
        yes: bool = False,
        timeout: str | float | None = None,
        output: str = "text",
        settings: str | Path | None = None,
    ) -> Session:
        """Make a session from the words typed; raises UsageError for words that mean nothing."""
        known_output(output, ("text", "json"))
        seconds = _seconds(timeout)
        _end_children_on_signals()
        dry = dry_run or bool(c.config.run.dry)
        file = Path(settings) if settings else None
        return cls(c.config, context, tenant, dry, yes, seconds, output, cluster, file)

    def run(
        self,
        body: Callable[..., Any],
        words: Mapping[str, Any],
        flags_of: Callable[[str], Collection[str]] = lambda _: (),
    ) -> Any:
        """Call a task's body, with the settings file that is meant; return its Report, else the data that it told.

        ``flags_of`` returns the flags of a task by its name: those that a suggested command takes.
        """
        if self.settings_flag and not self.settings_flag.expanduser().is_file():
            raise UsageError(f"there is no settings file {self.settings_flag}", hint="--settings takes the path of one")

        given = {"context": self.context_flag, "tenant": self.tenant_flag, "approach": words.get("approach")}
        given["settings"] = str(self.settings_flag) if self.settings_flag else None
        with (
            paths.settings_from(self.settings_flag),
            hints.invocation(given, flags_of),
            reading(snapshot_of(self.config)),
        ):
            if self.tenant_flag is not None:  # a wrong word is told before a cluster is asked
                _ = self.tenants
            result = body(self, **words)
        return self.told if result is None else result

    @cached_property
    def loaded(self) -> Loaded:
        """Return the settings with the origin of each; the profile follows the cluster."""
        flags = {"timeouts.step": self.timeout} if self.timeout else None
        loaded = load(context=self.context_flag, overrides=flags)
        for warning in loaded.warnings:
            say(f"warning: {warning}", to=sys.stderr)
        return loaded

    @property
    def settings(self) -> Settings:
        """Return the effective settings."""
        return self.loaded.settings

    @property
    def secrets(self) -> Any:
        """Return what ``.env`` and the environment say of passwords."""
        return self.loaded.secrets

    @cached_property
    def ref(self) -> ChosenCluster:
        """Return the cluster that the words, the settings or the project's choice name."""
        if not self.cluster:
            return unreached(self.loaded, self.context_flag)
        found = resolve(self.loaded, self.context_flag)
        hints.on(found, behind=found.settings.bastion is not None)
        require_settings(self.loaded, found)
        return found

    @cached_property
    def target(self) -> ChosenCluster:
        """Return the context that every command names; through the bastion, where the cluster has one."""
        bastion, shared = self.ref.settings.bastion, self.connection
        if bastion is None:
            return self.ref
        if shared.reached is None:
            tunnel = through(bastion, self.ref, shared.runner.run, paths.work_dir())
            shared.reached = AT_EXIT.enter_context(tunnel)
        return shared.reached

    @cached_property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands for the target."""
        return Kubectl(self.target)

    def on(self, *, context: str, tenant: str | None = None) -> Session:
        """Return a session with the same flags for another cluster and tenant."""
        hints.carry(context=context, tenant=tenant)
        return replace(self, context_flag=context, tenant_flag=tenant, cluster=True, allowed=False, said=False)

    @cached_property
    def tenants(self) -> tuple[Tenant, ...]:
        """Return the tenants this task is about: the one named by --tenant, else all of them."""
        everybody = self.settings.tenants
        if self.tenant_flag is None:
            return everybody
        chosen = tuple(t for t in everybody if t.name.lower() == self.tenant_flag.lower())
        if not chosen:
            raise unknown("tenant", self.tenant_flag, [t.name for t in everybody], "--tenant takes")
        return chosen

    @property
    def runner(self) -> Runner:
        """Return the runner that all tasks of this process share."""
        return self.connection.runner

    @property
    def console(self) -> Console:
        """Return the console."""
        return self.connection.console

    @cached_property
    def connection(self) -> Connection:
        """Return what the tasks of this process share that speak to the same cluster."""
        key = f"{self.ref.kubeconfig}#{self.ref.context}" if self.cluster else ""
        if key not in CONNECTIONS:
            CONNECTIONS[key] = Connection.of(self.settings, self.config, self.secrets.masks)
        return CONNECTIONS[key]

    def contact(self) -> None:
        """Meet the cluster once: is it there, and is it the recorded one? Raises ClusterUnreachable, GuardRefused.

        What a task is going to look at is said before that: cluster, context, server and settings file.
        """
        if answer := current():
            answer.about = self.about  # a failure tells it, too
        if not self.said:
            self.console.line(f"{self.ref.name}: {self.where}")
            self.said = True
        if self.connection.identity is None:
            self.connection.identity = guard.check(self.target, self.asking(self.ref).run)

    def asking(self, ref: ChosenCluster) -> Contact:
        """Return who asks a cluster its first question."""
        hints.on(ref, behind=ref.settings.bastion is not None)
        return Contact(self.runner, ref, self.console, self.settings.timeouts.contact)

    def meet(self, effect: Effect) -> None:
        """Meet the cluster before words of a person's own; before the first that changes something ask as a plan does.

        Reading needs no question. Raises ClusterUnreachable, GuardRefused.
        """
        if effect == "nothing":
            return
        self.said = True  # the program's own words are what was asked for
        self.contact()
        if effect == "changes" and not self.allowed:
            guard.allow(self.ref, yes=self.yes, seen=self.connection.identity)
            self.allowed = True

    def execute(self, plan: Plan, *, destructive: bool = False) -> Report:
        """Preview or apply ``plan``; raises what its first failure was, after everything else is done."""
        self.contact()
        headline = f"{plan.title} on {self.ref.name}"
        if self.dry_run:
            self.console.line(headline, "bold")
            report, data, text = self._execution(plan).preview()
            self.emit(data, text)
            return report
        self.allow(plan, destructive=destructive)
        self.lock()
        journal = self.connection.journal_for(plan.title, self.secrets.masks)
        execution = self._execution(plan)
        report = execution.apply(headline, journal)
        if self.output == "json":  # of a failure too
            self.emit(as_data(report), "")
        execution.refuse_failed(report.steps, journal)
        return report

    @property
    def where(self) -> str:
        """Return for a headline what was chosen: context, server and settings file."""
        return f"context {self.ref.context}, {self.ref.server}, settings {self.loaded.file or 'none, the defaults'}"

    @property
    def about(self) -> About:
        """Return the same for a report."""
        file = str(self.loaded.file or "")
        return {"context": self.ref.context, "server": self.ref.server, "settings": file}

    def confirm(self, question: str) -> None:
        """Ask a person; raises GuardRefused on a "no", and where nobody can be asked and --yes was not given."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise GuardRefused(f"{question} Nobody is there to say yes", hint="--yes says it beforehand")

        say(f"{question} [y/N] ", end="", to=sys.stderr)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise GuardRefused("nothing was changed")
        if self.cluster:
            guard.refuse_moved(self.ref)

    def emit(self, data: Any, text: str) -> None:
        """Print the task's result on stdout: ``data`` as JSON with --output json, else ``text``."""
        self.told = data
        if self.output != "json":
            say(text)
        elif answer := current():
            answer.data = data  # printed at the end, with what the end was
        else:
            say(as_json(data))

    def show(self, text: str, **data: Any) -> None:
        """Print what was seen in the cluster, with the context, server and settings file that a report has."""
        self.emit({**self.about, **data}, text)

    def allow(self, plan: Plan, *, destructive: bool = False) -> None:
        """Ask what has to be asked before ``plan`` is applied; raises GuardRefused."""
        guard.allow(self.ref, yes=self.yes, seen=self.connection.identity)
        if destructive and not self.yes:
            for step in plan.steps:
                self.console.line(f"  {step.title}")
            self.confirm(f"{plan.title} on {self.ref.name} ({self.where}): go on?")

    def previewed(self, plan: Plan) -> tuple[StepRecord, ...]:
        """Ask every probe of ``plan`` and change nothing."""
        self.contact()
        return self._execution(plan).previewed()

    def _execution(self, plan: Plan) -> Execution:
        limits, shared = self.settings.timeouts, self.connection
        executor = Executor(self.runner, self.kubectl, self.console, shared.journal, limits.step, limits.run)
        return Execution(plan, executor, self.console, self.about)

    def lock(self) -> None:
        """Take the lock on the cluster, for the rest of this process; raises LockHeld."""
        self.connection.take_lock(self.kubectl)


def _seconds(given: str | float | None) -> float | None:
    """Return what --timeout says, in the forms that ``timeouts`` in korthweb.yaml has; raises UsageError."""
    if given is None:
        return None

    try:
        found = float(seconds(given))
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise UsageError(
            f"--timeout {given} is not a time", hint="--timeout 300, --timeout 90s, --timeout 10m or --timeout 1h"
        )
    return found


def _end_children_on_signals() -> None:
    """Let SIGTERM and a terminal that goes away end the run as Ctrl-C does; what nohup has switched off stays so."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
