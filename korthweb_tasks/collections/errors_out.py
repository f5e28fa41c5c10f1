"""How an error leaves a task and the program: typed, a few clear lines and the exit code, for ``korthweb`` and ``inv``.

Invoke's programs print an :class:`invoke.UnexpectedExit` on stderr and end with the exit code of its result, and do
the like for :class:`invoke.Exit`. Our errors become such ones when they leave a task (:func:`stays_typed`), and
remain what they are: a task that called ours catches ``StepFailed``, and where nobody does, any program of Invoke's
tells it as ours does.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from invoke import Result
from invoke.exceptions import Exit, Failure, ParseError, UnexpectedExit

from korthweb_tasks import errors, paths
from korthweb_tasks.collections.file_errors import of_file
from korthweb_tasks.core.plaintext import printable
from korthweb_tasks.files import write_private
from korthweb_tasks.run.console import STDOUT, say

#: kind of error -> the same as an end of Invoke's
_ENDING: dict[type[errors.KorthwebError], type[errors.KorthwebError]] = {}


class Ends(UnexpectedExit):
    """What an error of ours is besides, once it has left a task: one that Invoke prints, and ends with its code."""

    reason = None

    @property
    def result(self) -> Result:
        """Return the end as Invoke knows it: exit code and stderr."""
        return Result(stderr=str(self), exited=self.exit_code, hide=("stdout", "stderr"))  # type: ignore[attr-defined]

    def __str__(self) -> str:
        text = render(self)  # type: ignore[arg-type]
        return f"{text}\n" if text else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"  # type: ignore[attr-defined]


class Stopped(Exit, KeyboardInterrupt):
    """Ctrl-C, with a word and an exit code for Invoke's programs."""


@contextmanager
def stays_typed(tell: Callable[[errors.KorthwebError], None] = lambda _: None) -> Iterator[None]:
    """Let what the body raises be what it is, and besides what Invoke's programs tell clearly; ``tell`` hears of it."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, (Exit, Failure, ParseError)) and not isinstance(error, errors.KorthwebError):
            raise
        known = described(error)
        tell(known)
        if debugging() or isinstance(error, Ends):
            raise
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(known.message, known.exit_code) from error
        if known is error:
            ending(known)
            raise
        raise ending(known) from error


def ending(error: errors.KorthwebError) -> errors.KorthwebError:
    """Make ``error`` one that ends a program of Invoke's clearly, too, and return it."""
    if not isinstance(error, Ends):
        kind = type(error)
        names = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        error.__class__ = _ENDING.setdefault(kind, type(kind.__name__, (kind, Ends), names))
    return error


@contextmanager
def ends_clearly() -> Iterator[None]:
    """Turn what the body raises into an ``invoke.Exit`` with message and code.

    Invoke's own exceptions pass, and everything passes when debugging is asked for.
    """
    try:
        yield
    except (Exit, Failure, ParseError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debugging():
            raise
        raise exit_for(error) from error


def exit_for(error: BaseException) -> Exit:
    """Return the exit that says ``error`` to a person."""
    known = described(error)
    if isinstance(error, KeyboardInterrupt):
        return Stopped(known.message, known.exit_code)
    return Exit(render(known), known.exit_code)


def described(error: BaseException) -> errors.KorthwebError:
    """Return what a person is told of ``error``: itself where it is one of ours, else the one it amounts to."""
    if isinstance(error, errors.KorthwebError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return errors.Interrupted("interrupted")
    if isinstance(error, OSError) and (isinstance(error, BrokenPipeError) or error.filename == STDOUT):
        _let_go()
    if isinstance(error, BrokenPipeError):
        return errors.OutputClosed("nobody reads the output any more")
    if isinstance(error, OSError) and (found := of_file(error)):
        return found
    return _fault(error)


def not_printed(error: OSError) -> int:
    """Tell why standard output took no more, where somebody can still read it, and return the exit code."""
    error.filename = error.filename or STDOUT
    known = described(error)
    if text := render(known):
        say(text, to=sys.stderr)
    return known.exit_code


def render(error: errors.KorthwebError) -> str:
    """Return the error line, its details indented, and what to type next; nothing where nobody reads."""
    if isinstance(error, errors.OutputClosed):
        return ""
    lines = [f"error: {error.message}"]
    lines += [f"    {line}" for line in error.details.splitlines()]
    if error.hint:
        lines.append(f"Next: {error.hint}")
    return printable("\n".join(lines))  # what servers and pods said is in it


def debugging() -> bool:
    """Return whether tracebacks are wanted: ``KORTHWEB_DEBUG=1``, or Invoke's ``-d``."""
    wanted = os.environ.get("KORTHWEB_DEBUG", "") not in ("", "0")
    return wanted or logging.getLogger("invoke").isEnabledFor(logging.DEBUG)


def _let_go() -> None:
    """Let what is buffered for a closed pipe or a full disk go nowhere: the interpreter writes it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _is_closed(stream):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_closed(stream: IO[str]) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _fault(error: BaseException) -> errors.KorthwebError:
    """Return what is said about a fault of the program itself, its traceback kept in a file."""
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    message = f"this is a fault of korthweb: {what}"
    try:
        kept = _keep(error)
    except (OSError, errors.UntrustedFile):
        return errors.KorthwebError(message, hint="set KORTHWEB_DEBUG=1 and run it again to see the traceback")
    return errors.KorthwebError(
        message, details=f"traceback: {kept}", hint="report it with that file, after reading it for anything private"
    )


def _keep(error: BaseException) -> Path:
    kept = paths.work_dir() / "faults" / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    write_private(kept, "".join(traceback.format_exception(error)))
    return kept
