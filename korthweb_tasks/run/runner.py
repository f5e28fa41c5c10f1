"""Runs commands: the one place where korthweb starts a process against a cluster."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from korthweb_tasks.core import hints
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import TIMED_OUT, Command, Result, masked
from korthweb_tasks.core.durations import duration, limit
from korthweb_tasks.core.environment import for_program
from korthweb_tasks.core.webhooks import Unreached, unreached
from korthweb_tasks.errors import (
    ClusterUnreachable,
    CommandFailed,
    Interrupted,
    KorthwebError,
    NoSpace,
    ToolMissing,
    tail,
)
from korthweb_tasks.run import retry
from korthweb_tasks.run.listener import Listener, descendants
from korthweb_tasks.tools.kubectl_faults import denied, explained

#: seconds given to a child for its own clean-up after SIGINT, and after SIGTERM
GRACE = (20.0, 5.0)
#: exit code of a shell for a program that was ended by signal N: this + N
SIGNALLED = 128


@dataclass(eq=False)
class Stream:
    """The stdout of a running command. ``ended`` is set when there is no more of it."""

    descriptor: int
    ended: bool = False

    def fileno(self) -> int:
        """Return the descriptor, for select()."""
        return self.descriptor

    def read(self) -> bytes:
        """Return what has come, waiting for at least one byte or the end."""
        data = os.read(self.descriptor, 1 << 16)
        self.ended = not data
        return data


@dataclass
class Runner:
    """Runs commands with deadlines, masks and retries; safe to use from several threads.

    ``programs`` gives the path of a program by its name; a name that is not in it is looked up on the PATH.
    ``patience`` is how many seconds a transient failure of a repeatable command is tried again.
    ``default_timeout`` (seconds) bounds a command that has no bound of its own, ``command_timeout`` every one.
    ``echo`` is shown each command, masked; ``record`` is given each result, for the journal.
    ``notice`` is told of each further attempt after a transient failure.
    ``masks`` are secrets that no stderr and no echo may show, whatever command they come from.
    ``passes`` are names of environment variables that every program gets, beside those it is known to need.
    ``stopping`` is set by stop(): for work beside the commands that has to end with them, such as a build.
    ``heard`` is given what a program writes to stderr as it comes; ``terminal``: a program may ask the person at ours.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60.0
    default_timeout: float | None = None
    command_timeout: float | None = None
    echo: Callable[[str], None] | None = None
    record: Callable[[Result], None] | None = None
    notice: Callable[[str], None] | None = None
    masks: tuple[str, ...] = field(default=(), repr=False)
    passes: tuple[str, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)
    heard: Callable[[str], None] | None = None
    terminal: bool = False
    _children: set[subprocess.Popen[str]] = field(default_factory=set, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def run(self, command: Command) -> Result:
        """Run ``command``, and what follows from it, and return the last result, which is an answer.

        Raises CommandFailed for any other end, ClusterUnreachable where no server answered,
        NoSpace for a full disk, ToolMissing and Interrupted.
        """
        result = self.check(command)
        if not result.answered:
            raise failure(result)
        following = command.follow(result) if command.follow else None
        return self.run(following.with_timeout(command.timeout)) if following else result

    def check(self, command: Command) -> Result:
        """Run ``command`` (again after transient failures, if it is repeatable) and return the last result."""
        if not command.repeatable or self.patience <= 0:
            return self._once(command)
        # a deadline is for all attempts together
        seconds = min(self.patience, command.timeout or self.patience)
        return retry.retried(
            lambda number: replace(self._once(command), attempts=number),
            seconds=seconds,
            waiting=partial(self._pause, command),
        )

    @contextmanager
    def stream(self, command: Command) -> Iterator[Stream]:
        """Start ``command`` and give its stdout as it comes; the child is ended at the end of the block."""
        child = self._start(command, stderr=subprocess.DEVNULL)
        try:
            assert child.stdout is not None
            yield Stream(child.stdout.fileno())
        finally:
            self._end(child, (0.0, 2.0))
            if child.stdout:
                child.stdout.close()

    def attach(self, command: Command) -> int:
        """Run ``command`` with our own stdin, stdout, stderr and terminal, as a shell does; return its exit code.

        Ctrl-C reaches it by the terminal and is its own affair; SIGTERM and SIGHUP are handed on to it.
        """
        sys.stdout.flush()
        with _handing_on() as hand_on:
            code = hand_on(self._popen(command, None, None, None)).wait()
        return code if code >= 0 else SIGNALLED - code

    def stop(self) -> None:
        """End every child: SIGINT first, and time to clean up; later commands raise Interrupted."""
        self.stopping.set()
        with self._lock:
            children = list(self._children)
        enders = [threading.Thread(target=self._end, args=(child, GRACE)) for child in children]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()

    @property
    def stopped(self) -> bool:
        """Return True if stop() was called."""
        return self.stopping.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait ``seconds``; raises Interrupted the moment stop() is called."""
        if self.stopping.wait(seconds):
            raise Interrupted("interrupted")

    def _pause(self, command: Command, fault: str, attempt: int, seconds: float) -> None:
        if self.notice:
            self.notice(f"{command.argv[0]}: {fault}; attempt {attempt + 1} in {duration(seconds)}")
        self.sleep(seconds)

    def _once(self, command: Command) -> Result:
        if command.timeout is None:
            command = command.with_timeout(self.default_timeout)
        command = command.with_timeout(self.command_timeout)
        began = time.monotonic()
        child = self._start(command, stderr=subprocess.PIPE)
        listener = Listener.on(child, self.heard) if self.heard else None
        try:
            stdout, stderr = child.communicate(command.stdin, timeout=command.timeout)
            code = child.returncode
        except subprocess.TimeoutExpired:
            self._end(child, (2.0, 2.0))
            stdout, stderr, code = "", _said(child), TIMED_OUT
        finally:
            self._end(child, (0.0, 1.0))
        if listener:
            stderr = listener.text()
        if self.stopped and code not in command.ok:
            raise Interrupted("interrupted")
        result = Result(command, code, stdout, masked(stderr, (*command.masks, *self.masks)), time.monotonic() - began)
        if self.record:
            self.record(result)
        return result

    def _start(self, command: Command, *, stderr: int) -> subprocess.Popen[str]:
        stdin = subprocess.PIPE if command.stdin is not None else None if self.terminal else subprocess.DEVNULL
        child = self._popen(command, stdin, subprocess.PIPE, stderr, alone=not self.terminal)
        with self._lock:
            self._children.add(child)
        if self.stopping.is_set():  # stop() may have looked at the children just before this one was among them
            self._end(child, (0.0, 1.0))
            raise Interrupted("interrupted")
        return child

    def _popen(
        self, command: Command, stdin: int | None, stdout: int | None, stderr: int | None, *, alone: bool = False
    ) -> subprocess.Popen[str]:
        """Start a process; ``alone``: in a session of its own, so that Ctrl-C reaches it through stop(), in order."""
        if self.stopped:
            raise Interrupted("interrupted")
        if self.echo:
            self.echo(masked(str(command), self.masks))
        program = self.programs.get(command.argv[0], command.argv[0])
        try:
            return subprocess.Popen(
                (program, *command.argv[1:]),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**for_program(command.argv[0], os.environ, self.passes), **command.env},
                cwd=command.cwd,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=alone,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise self._missing(command, error) from error
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # made for another kind of machine
                raise self._missing(command, error) from error
            raise

    def _missing(self, command: Command, error: OSError) -> ToolMissing:
        """Return the error for a program that is not there, or can't be run."""
        name = command.argv[0]
        ours = f"install the package that has {name}"
        if name in tuple(self.programs):
            ours = hints.task("tools.install", name)
        if isinstance(error, FileNotFoundError):
            return ToolMissing(f"{name} is not installed ({error.strerror})", hint=ours)
        return ToolMissing(
            f"{name} can not be run ({error.strerror})", hint=f"`{hints.task('tools.list')}` shows which one is used"
        )

    def _end(self, child: subprocess.Popen[str], grace: tuple[float, float]) -> None:
        """End the child's whole group: SIGINT, SIGTERM, SIGKILL."""
        signals = (*((signal.SIGINT,) if grace[0] else ()), signal.SIGTERM, signal.SIGKILL)
        waits = (grace[0], grace[1], 5.0)[-len(signals) :]
        forced = child.poll() is None
        for number, seconds in zip(signals, waits, strict=True):
            if child.poll() is not None:
                break
            self._signal(child, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
        if forced and not self.terminal:  # what the child started itself and left behind
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        with self._lock:
            self._children.discard(child)

    def _signal(self, child: subprocess.Popen[str], number: int) -> None:
        """Send a signal to the child's group; at our terminal it is in ours, so to it and to what it started."""
        with suppress(ProcessLookupError):
            if not self.terminal:
                os.killpg(child.pid, number)
                return
            for pid in (*descendants(child.pid), child.pid):
                os.kill(pid, number)


@contextmanager
def _handing_on() -> Iterator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """Leave Ctrl-C inside the block to the child that is given to what this gives; hand on to it what else ends us."""
    children: list[subprocess.Popen[str]] = []
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        if number != signal.SIGINT:
            heard.append(number)
            for child in children:
                child.send_signal(number)

    def hand_on(child: subprocess.Popen[str]) -> subprocess.Popen[str]:
        children.append(child)
        for number in heard:
            child.send_signal(number)
        return child

    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if main else ()
    before = {n: signal.signal(n, hear) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield hand_on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _said(child: subprocess.Popen[str]) -> str:
    """Return what a child that was ended had written to stderr, unless somebody still holds its pipes."""
    try:
        return child.communicate(timeout=1.0)[1] or ""
    except (subprocess.TimeoutExpired, ValueError):
        return ""


def failure(result: Result) -> KorthwebError:
    """Return the error that tells of a failed command."""
    command, stderr = result.command, result.stderr
    if "no space left on device" in stderr.lower():
        return NoSpace(f"no space left on the disk while running `{command}`", hint="df -h")
    if hook := unreached(stderr):
        return _no_webhook(hook, result)
    context = command.target.context if command.target else ""
    if verb := denied(stderr):
        needed = hints.task("rbac.render", role="tenant-operator")
        hint = f"`{needed}` prints what tasks need; an administrator grants it"
        return CommandFailed(f"this login has no right to {verb}", code=result.code, stderr=stderr, hint=hint)
    if context and (found := explained(stderr, Cluster(context), attempts=result.attempts)):
        return found
    if context and retry.unanswered(stderr):
        tries = f" ({result.attempts} attempts)" if result.attempts > 1 else ""
        return ClusterUnreachable(
            f"no answer from the server of context {context}{tries}",
            hint=f"`{hints.task('context.list')}` shows which clusters answer",
            details=tail(stderr, 1),
        )
    how = (
        f"timed out after {limit(command.timeout or 0)}"
        if result.code == TIMED_OUT
        else f"ended with code {result.code}"
    )
    far = "is the registry reached from here? charts.*.source and images.registry in korthweb.yaml name a mirror"
    hint = far if retry.ELSEWHERE.search(stderr) else ""
    return CommandFailed(f"`{command}` {how}", code=result.code, stderr=stderr, hint=hint)


def _no_webhook(hook: Unreached, result: Result) -> CommandFailed:
    """Return the error for a webhook that the API server can't reach; it is the same for every object."""
    behind = hints.kubectl("get", "endpointslices", "--output=wide", namespace=hook.namespace or None)
    hint = (
        f"mostly a firewall between the control plane and the nodes: let it through to the address and port that "
        f"`{behind}` shows, or remove the webhook's configuration if nothing needs it"
    )
    return CommandFailed(str(hook), code=result.code, stderr=result.stderr, hint=hint, details=tail(result.stderr, 1))
