"""Runs commands: the one place where korthweb starts a process against a cluster."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

from korthweb_tasks.core.command import TIMED_OUT, Command, Result, masked
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

#: seconds given to a child for its own clean-up after SIGINT, and after SIGTERM
GRACE = (20.0, 5.0)


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
    ``stopping`` is set by stop(): for work beside the commands that has to end with them, such as a build.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60.0
    default_timeout: float | None = None
    command_timeout: float | None = None
    echo: Callable[[str], None] | None = None
    record: Callable[[Result], None] | None = None
    notice: Callable[[str], None] | None = None
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)
    _children: set[subprocess.Popen[str]] = field(default_factory=set, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def run(self, command: Command) -> Result:
        """Run ``command`` and return its result, which is an answer: ``command.ok`` or ``command.final``.

        Raises CommandFailed for any other end, ClusterUnreachable where no server answered,
        NoSpace for a full disk, ToolMissing and Interrupted.
        """
        result = self.check(command)
        if result.answered:
            return result
        raise failure(result)

    def check(self, command: Command) -> Result:
        """Run ``command`` (again after transient failures, if it is repeatable) and return the last result."""
        if not command.repeatable or self.patience <= 0:
            return self._once(command)
        # a deadline is for all attempts together
        seconds = min(self.patience, command.timeout or self.patience)
        return retry.retried(
            lambda number: replace(self._once(command), attempts=number), seconds=seconds, waiting=self._pause
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
        """Say whether stop() was called."""
        return self.stopping.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait ``seconds``; raises Interrupted the moment stop() is called."""
        if self.stopping.wait(seconds):
            raise Interrupted("interrupted")

    def _pause(self, fault: str, attempt: int, seconds: float) -> None:
        if self.notice:
            self.notice(f"{fault}; attempt {attempt + 1} in {seconds:.1f} s")
        self.sleep(seconds)

    def _once(self, command: Command) -> Result:
        if command.timeout is None:
            command = command.with_timeout(self.default_timeout)
        command = command.with_timeout(self.command_timeout)
        began = time.monotonic()
        child = self._start(command, stderr=subprocess.PIPE)
        try:
            stdout, stderr = child.communicate(command.stdin, timeout=command.timeout)
            code = child.returncode
        except subprocess.TimeoutExpired:
            self._end(child, (2.0, 2.0))
            stdout, stderr, code = "", _said(child), TIMED_OUT
        finally:
            self._end(child, (0.0, 1.0))
        if self.stopped and code not in command.ok:
            raise Interrupted("interrupted")
        result = Result(command, code, stdout, masked(stderr, command.masks), time.monotonic() - began)
        if self.record:
            self.record(result)
        return result

    def _start(self, command: Command, *, stderr: int) -> subprocess.Popen[str]:
        if self.stopped:
            raise Interrupted("interrupted")
        if self.echo:
            self.echo(str(command))
        program = self.programs.get(command.argv[0], command.argv[0])
        try:
            child = subprocess.Popen(
                (program, *command.argv[1:]),
                stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **command.env} if command.env else None,
                cwd=command.cwd,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches the children through stop(), in order
            )
        except (FileNotFoundError, PermissionError) as error:
            raise self._missing(command, error) from error
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # made for another kind of machine
                raise self._missing(command, error) from error
            raise
        with self._lock:
            self._children.add(child)
        if self.stopping.is_set():  # stop() may have looked at the children just before this one was among them
            self._end(child, (0.0, 1.0))
            raise Interrupted("interrupted")
        return child

    def _missing(self, command: Command, error: OSError) -> ToolMissing:
        """Return the error for a program that is not there, or can't be run."""
        name = command.argv[0]
        ours = f"inv tools.install {name}" if name in tuple(self.programs) else f"install the package that has {name}"
        if isinstance(error, FileNotFoundError):
            return ToolMissing(f"{name} is not installed ({error.strerror})", hint=ours)
        return ToolMissing(f"{name} can not be run ({error.strerror})", hint="inv tools.list shows which one is used")

    def _end(self, child: subprocess.Popen[str], grace: tuple[float, float]) -> None:
        """End the child's whole group: SIGINT, SIGTERM, SIGKILL."""
        signals = (*((signal.SIGINT,) if grace[0] else ()), signal.SIGTERM, signal.SIGKILL)
        waits = (grace[0], grace[1], 5.0)[-len(signals) :]
        forced = child.poll() is None
        for number, seconds in zip(signals, waits, strict=True):
            if child.poll() is not None:
                break
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
        if forced:  # what the child started itself and left behind
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        with self._lock:
            self._children.discard(child)


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
    if retry.unanswered(stderr):
        tries = f" ({result.attempts} attempts)" if result.attempts > 1 else ""
        return ClusterUnreachable(
            f"no answer from the server of context {_context(command)}{tries}",
            hint="inv context.list shows which clusters answer",
            details=tail(stderr, 1),
        )
    how = f"had no end after {command.timeout:g} s" if result.code == TIMED_OUT else f"ended with code {result.code}"
    return CommandFailed(f"`{command}` {how}", code=result.code, stderr=stderr)


def _context(command: Command) -> str:
    """Return the context that a command names: whatever its program calls that flag."""
    flags = [value for flag, value in pairwise(command.argv) if flag in ("--context", "--kube-context")]
    return flags[0] if flags else command.argv[0]
