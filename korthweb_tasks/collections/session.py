"""What one task works with: settings, cluster, runner, console. Tasks typed in a row share all of it, and one lock."""

from __future__ import annotations

import atexit
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import invoke

from korthweb_tasks import paths
from korthweb_tasks.errors import GuardRefused, Interrupted, KorthwebError, StepFailed, UsageError

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.core.target import Target
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.run.console import Console
    from korthweb_tasks.run.guard import Identity
    from korthweb_tasks.run.journal import Journal
    from korthweb_tasks.run.lock import Lock
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.settings.contexts import ClusterRef
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.tools.kubectl import Kubectl


@dataclass
class _Shared:
    """What all tasks of this process that speak to one cluster share."""

    runner: Runner
    console: Console
    journal: Journal | None = None
    lock: Lock | None = None
    identity: Identity | None = None
    reached: Target | None = None


_SHARED: dict[str, _Shared] = {}
#: what is given back when the program ends: locks before the tunnels they need
_OPEN = ExitStack()
atexit.register(_OPEN.close)
#: seconds of trying before a cluster counts as unreachable at the first contact
FIRST_CONTACT = 5.0


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
    ) -> Session:
        """Make a session from the words typed; raises UsageError for words that mean nothing."""
        if output not in ("text", "json"):
            raise UsageError(f"--output {output} is not known", hint="--output text or --output json")
        try:
            seconds = float(timeout) if timeout is not None else None
        except ValueError:
            seconds = 0.0
        if seconds is not None and not 0 < seconds < float("inf"):
            raise UsageError(f"--timeout {timeout} is no number of seconds", hint="--timeout 300")
        _end_children_on_signals()
        dry = dry_run or bool(c.config.run.dry)
        return cls(c.config, context, tenant, dry, yes, seconds, output, cluster)

    def run(self, body: Callable[..., Any], words: Mapping[str, Any]) -> Any:
        """Call a task's body."""
        return body(self, **words)

    @cached_property
    def loaded(self) -> Loaded:
        """Return the settings with the origin of each; the profile follows the cluster."""
        from korthweb_tasks.settings.load import load

        flags = {"timeouts.step": self.timeout} if self.timeout else None
        loaded = load(context=self.context_flag, overrides=flags)
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
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
    def ref(self) -> ClusterRef:
        """Return the cluster that the words, the settings or the project's choice name."""
        from korthweb_tasks.settings.contexts import resolve

        return resolve(self.loaded, self.context_flag)

    @cached_property
    def target(self) -> Target:
        """Return the context that every command names; through the bastion, where the cluster has one."""
        bastion, shared = self.ref.settings.bastion, self._shared
        if bastion is None:
            return self.ref.target
        if shared.reached is None:
            from korthweb_tasks.run.bastion import through

            tunnel = through(bastion, self.ref.target, shared.runner.run, paths.work_dir())
            shared.reached = _OPEN.enter_context(tunnel)
        return shared.reached

    @cached_property
    def kubectl(self) -> Kubectl:
        """Return the builder of kubectl commands for the target."""
        from korthweb_tasks.tools.kubectl import Kubectl

        return Kubectl(self.target)

    def on(self, *, context: str, tenant: str | None = None) -> Session:
        """Return a session with the same flags for another cluster and tenant."""
        return replace(self, context_flag=context, tenant_flag=tenant, cluster=True)

    @cached_property
    def tenants(self) -> tuple[Tenant, ...]:
        """Return the tenants this task is about: the one named by --tenant, else all of them."""
        everybody = self.settings.tenants
        if self.tenant_flag is None:
            return everybody
        chosen = tuple(t for t in everybody if t.name.lower() == self.tenant_flag.lower())
        if not chosen:
            names = ", ".join(t.name for t in everybody)
            raise UsageError(f"there is no tenant {self.tenant_flag}", hint=f"--tenant takes one of {names}")
        return chosen

    @property
    def runner(self) -> Runner:
        """Return the runner that all tasks of this process share."""
        return self._shared.runner

    @property
    def console(self) -> Console:
        """Return the console."""
        return self._shared.console

    @cached_property
    def _shared(self) -> _Shared:
        key = f"{self.ref.target.kubeconfig}#{self.ref.target.context}" if self.cluster else ""
        if key not in _SHARED:
            from korthweb_tasks.collections.programs import Programs
            from korthweb_tasks.run.console import Console
            from korthweb_tasks.run.runner import Runner

            console, stopping = Console(), threading.Event()
            source, keep = self.settings.tools.source, self.settings.lab.keep_build_caches
            _SHARED[key] = _Shared(
                Runner(
                    programs=Programs(source, console.progress, stop=stopping, keep_caches=keep),
                    default_timeout=self.settings.timeouts.command,
                    command_timeout=self.config.timeouts.command,
                    echo=(lambda text: console.line(f"$ {text}")) if self.config.run.echo else None,
                    stopping=stopping,
                ),
                console,
            )
        return _SHARED[key]

    def contact(self) -> None:
        """Meet the cluster once: is it there, and is it the recorded one? Raises ClusterUnreachable, GuardRefused."""
        if self._shared.identity is None:
            from korthweb_tasks.run import guard
            from korthweb_tasks.run.runner import Runner

            usual, target = self.runner, self.target
            brief = Runner(
                programs=usual.programs,
                patience=FIRST_CONTACT,
                default_timeout=usual.default_timeout,
                command_timeout=usual.command_timeout,
                echo=usual.echo,
            )
            self._shared.identity = guard.check(replace(self.ref, target=target), brief.run)

    def execute(self, plan: Plan, *, destructive: bool = False) -> Report:
        """Preview or apply ``plan``; raises what its first failure was, after everything else is done."""
        self.contact()
        where = f"context {self.target.context}, {self.ref.server or 'no server'}"
        headline = f"{plan.title} on {self.ref.name} ({where})"
        if self.dry_run:
            self.console.line(headline, "bold")
            return self._preview(plan)
        self.allow(plan, destructive=destructive)
        self.lock()
        return self._apply(plan, headline)

    def confirm(self, question: str) -> None:
        """Ask a person; raises GuardRefused on a "no", and where nobody can be asked and --yes was not given."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise GuardRefused(f"{question} Nobody is there to say yes", hint="--yes says it beforehand")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise GuardRefused("nothing was changed")

    def emit(self, data: Any, text: str) -> None:
        """Print the task's result on stdout: ``data`` as JSON with --output json, else ``text``."""
        print(json.dumps(data, indent=2, default=str) if self.output == "json" else text)

    def allow(self, plan: Plan, *, destructive: bool = False) -> None:
        """Ask what has to be asked before ``plan`` is applied; raises GuardRefused."""
        from korthweb_tasks.run.guard import allow

        allow(self.ref, yes=self.yes, seen=self._shared.identity)
        if destructive and not self.yes:
            for step in plan.steps:
                self.console.line(f"  {step.title}")
            self.confirm(f"{plan.title} on {self.ref.name}: go on?")

    def lock(self) -> None:
        """Take the lock on the cluster, for the rest of this process; raises LockHeld."""
        if self._shared.lock is None:
            from korthweb_tasks.run.lock import Lock

            lock = Lock(self.runner, self.kubectl, self.console.line)
            lock.acquire()
            self._shared.lock = lock
            _OPEN.callback(lock.release)

    def _executor(self) -> Any:
        from korthweb_tasks.run.executor import Executor

        limits = self.settings.timeouts
        return Executor(self.runner, self.kubectl, self.console, self._shared.journal, limits.step, limits.run)

    def previewed(self, plan: Plan) -> tuple[StepRecord, ...]:
        """Ask every probe of ``plan`` and change nothing."""
        self.contact()
        found: tuple[StepRecord, ...] = self._executor().preview(plan)
        return found

    def _preview(self, plan: Plan) -> Report:
        records = self._executor().preview(plan)
        lines = []
        for record in records:
            word = "already so" if record.verdict == "same" else "would be done"
            lines.append(f"  {record.title}: {word}")
        self.emit([{"step": r.name, "title": r.title, "verdict": r.verdict} for r in records], "\n".join(lines))
        return self._report(plan, records)

    def _apply(self, plan: Plan, headline: str) -> Report:
        from korthweb_tasks.run.journal import Journal

        shared = self._shared
        if shared.journal is None:
            shared.journal = Journal.begin(paths.work_dir() / "runs", plan.title)
            shared.runner.record = shared.journal.command
        executor = self._executor()
        with self.console.table(headline):
            for step in plan.steps:
                self.console.row(step.name, step.title)
            records = executor.apply(plan)
        report = self._report(plan, records)
        shared.journal.write("report.json", json.dumps(report_data(report), indent=2))
        self.console.line(summary(records))
        if self.output == "json":  # of a failure too
            self.emit(report_data(report), "")
        self._raise(records, executor.faults)
        return report

    def _raise(self, records: tuple[StepRecord, ...], faults: Mapping[str, KorthwebError]) -> None:
        folder = self._shared.journal.folder if self._shared.journal else None
        if any(record.verdict == "interrupted" for record in records):
            left = ", ".join(r.title for r in records if r.verdict in ("interrupted", "skipped"))
            raise Interrupted(f"interrupted; not done: {left}", hint="the same command goes on from here")
        broken = [record for record in records if record.verdict == "failed"]
        if not broken:
            return
        first = faults[broken[0].name]
        if len(broken) == 1:
            first.message = f"{broken[0].title}: {first.message}"
            first.hint = first.hint or f"less {folder}/journal.jsonl"
            raise first
        details = "\n".join(_told(record.title, faults[record.name]) for record in broken)
        raise StepFailed(f"{len(broken)} steps failed", hint=first.hint or f"less {folder}", details=details)

    def _report(self, plan: Plan, records: tuple[StepRecord, ...]) -> Report:
        from korthweb_tasks.report.model import Report

        return Report.of(plan.title, self.target.context, records, self.ref.server)


def _told(title: str, fault: KorthwebError) -> str:
    """Return a failed step as a few lines: what failed, its own details, and what to type."""
    rest = [*fault.details.splitlines()[-6:], *([f"try: {fault.hint}"] if fault.hint else [])]
    return "\n".join([f"{title}: {fault.message}", *(f"    {line}" for line in rest)])


def report_data(report: Report) -> Any:
    """Return a report as plain data."""
    from korthweb_tasks.report.json import as_data

    return as_data(report)


def summary(records: tuple[StepRecord, ...]) -> str:
    """Return one line: how many steps ended how, and the seconds."""
    words = {"changed": "done", "same": "already so", "failed": "failed", "skipped": "left out"}
    words["interrupted"] = "interrupted"
    counts = [f"{n} {word}" for verdict, word in words.items() if (n := sum(r.verdict == verdict for r in records))]
    seconds = max((record.end for record in records), default=0.0)
    return f"{len(records)} steps: {', '.join(counts)} ({seconds:.1f} s)"


def _end_children_on_signals() -> None:
    """Let SIGTERM and a terminal that goes away end the run as Ctrl-C does; what nohup has switched off stays so."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
