"""What one task works with: settings, cluster, runner, console. Tasks typed in a row share all of it, and one lock."""

from __future__ import annotations

import atexit
import json
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import invoke

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.errors import GuardRefused, Interrupted, KorthwebError, UsageError
from korthweb_tasks.report.json import as_data
from korthweb_tasks.report.model import Report
from korthweb_tasks.run import guard
from korthweb_tasks.run.answer import as_json, current
from korthweb_tasks.run.bastion import through
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.run.contact import Contact
from korthweb_tasks.run.executor import Executor
from korthweb_tasks.run.guard import allow, refuse_moved
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.lock import Lock
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services.causes import failure_of
from korthweb_tasks.services.programs import Programs
from korthweb_tasks.settings.fields import seconds
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import require_settings, resolve, unreached
from korthweb_tasks.settings.snapshot import reading, snapshot_of
from korthweb_tasks.settings.words import known_output, unknown
from korthweb_tasks.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from korthweb_tasks.core.plan import Plan
    from korthweb_tasks.core.record import StepRecord
    from korthweb_tasks.report.model import About
    from korthweb_tasks.run.guard import Identity
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.resolve import ChosenCluster
    from korthweb_tasks.settings.tenant import Tenant
    from korthweb_tasks.tools.clis import Effect


@dataclass
class _Shared:
    """What all tasks of this process that speak to one cluster share."""

    runner: Runner
    console: Console
    journal: Journal | None = None
    lock: Lock | None = None
    identity: Identity | None = None
    reached: ChosenCluster | None = None


_SHARED: dict[str, _Shared] = {}
#: what is given back when the program ends: locks before the tunnels they need
_OPEN = ExitStack()
atexit.register(_OPEN.close)
_LEFT = {"interrupted": "not finished:", "skipped": "not begun:"}


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
        bastion, shared = self.ref.settings.bastion, self._shared
        if bastion is None:
            return self.ref
        if shared.reached is None:
            tunnel = through(bastion, self.ref, shared.runner.run, paths.work_dir())
            shared.reached = _OPEN.enter_context(tunnel)
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
        return self._shared.runner

    @property
    def console(self) -> Console:
        """Return the console."""
        return self._shared.console

    @cached_property
    def _shared(self) -> _Shared:
        key = f"{self.ref.kubeconfig}#{self.ref.context}" if self.cluster else ""
        if key not in _SHARED:
            console, stopping = Console(masks=self.secrets.masks), threading.Event()
            source, keep = self.settings.tools.source, self.settings.lab.keep_build_caches
            _SHARED[key] = _Shared(
                Runner(
                    programs=Programs(source, console.progress, stop=stopping, keep_caches=keep),
                    default_timeout=self.settings.timeouts.command,
                    command_timeout=self.config.timeouts.command,
                    echo=(lambda text: console.line(f"$ {text}")) if self.config.run.echo else None,
                    masks=self.secrets.masks,
                    passes=self.settings.tools.environment,
                    stopping=stopping,
                ),
                console,
            )
        return _SHARED[key]

    def contact(self) -> None:
        """Meet the cluster once: is it there, and is it the recorded one? Raises ClusterUnreachable, GuardRefused.

        What a task is going to look at is said before that: cluster, context, server and settings file.
        """
        if answer := current():
            answer.about = self.about  # a failure tells it, too
        if not self.said:
            self.console.line(f"{self.ref.name}: {self.where}")
            self.said = True
        if self._shared.identity is None:
            self._shared.identity = guard.check(self.target, self.asking(self.ref).run)

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
            allow(self.ref, yes=self.yes, seen=self._shared.identity)
            self.allowed = True

    def execute(self, plan: Plan, *, destructive: bool = False) -> Report:
        """Preview or apply ``plan``; raises what its first failure was, after everything else is done."""
        self.contact()
        headline = f"{plan.title} on {self.ref.name}"
        if self.dry_run:
            self.console.line(headline, "bold")
            return self._preview(plan)
        self.allow(plan, destructive=destructive)
        self.lock()
        return self._apply(plan, headline)

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
            refuse_moved(self.ref)

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
        allow(self.ref, yes=self.yes, seen=self._shared.identity)
        if destructive and not self.yes:
            for step in plan.steps:
                self.console.line(f"  {step.title}")
            self.confirm(f"{plan.title} on {self.ref.name} ({self.where}): go on?")

    def lock(self) -> None:
        """Take the lock on the cluster, for the rest of this process; raises LockHeld."""
        if self._shared.lock is None:
            lock = Lock(self.runner, self.kubectl, self.console.line)
            lock.acquire()
            self._shared.lock = lock
            _OPEN.callback(lock.release)

    def _executor(self) -> Any:

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
            word = "unchanged" if record.verdict == "same" else "would be done"
            lines.append(f"  {record.title}: {word}")
        self.emit([{"step": r.name, "title": r.title, "verdict": r.verdict} for r in records], "\n".join(lines))
        return self._report(plan, records)

    def _apply(self, plan: Plan, headline: str) -> Report:

        shared = self._shared
        if shared.journal is None:
            shared.journal = Journal.begin(paths.work_dir() / "runs", plan.title, self.secrets.masks)
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
        left = {word: [r.title for r in records if r.verdict == word] for word in ("interrupted", "skipped")}
        if left["interrupted"] or (left["skipped"] and not faults):
            told = [f"{text} {', '.join(left[word])}" for word, text in _LEFT.items() if left[word]]
            raise Interrupted("; ".join(["interrupted", *told]), hint="the same command goes on from here")
        broken = [record for record in records if record.verdict == "failed"]
        if not broken:
            return

        raise failure_of(broken, faults, hints.shell("less", f"{folder}/journal.jsonl"))

    def _report(self, plan: Plan, records: tuple[StepRecord, ...]) -> Report:

        return Report.of(plan.title, records, **self.about)


def report_data(report: Report) -> Any:
    """Return a report as plain data."""
    return as_data(report)


def summary(records: tuple[StepRecord, ...]) -> str:
    """Return one line: how many steps ended how, and the seconds."""
    words = {"changed": "done", "same": "unchanged", "failed": "failed", "skipped": "not begun"}
    words["interrupted"] = "interrupted"
    counts = [f"{n} {word}" for verdict, word in words.items() if (n := sum(r.verdict == verdict for r in records))]
    seconds = max((record.end for record in records), default=0.0)
    return f"{len(records)} steps: {', '.join(counts)} ({duration(seconds)})"


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
