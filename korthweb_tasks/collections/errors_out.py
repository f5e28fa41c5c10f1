"""How an error leaves the program: a few clear lines and the exit code, for ``korthweb`` and ``inv`` alike.

Both programs print the message of an :class:`invoke.Exit` on stderr and end with its code, so a task
whose body runs inside :func:`ends_clearly` is rendered the same by either.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke.exceptions import Exit, Failure, ParseError

from korthweb_tasks import errors, paths

#: a task in a hint: ``inv lab.up``
OUR_TASK = re.compile(r"(?:\./korthweb|\binv|\bkorthweb) (?=[a-z]+\.[a-z])")


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
    if isinstance(error, errors.KorthwebError):
        return Exit(render(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Exit("interrupted", errors.Interrupted.exit_code)
    if isinstance(error, BrokenPipeError):  # `korthweb ... | head`: nobody is left to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  # the interpreter flushes it at its end
        return Exit(code=errors.KorthwebError.exit_code)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exit(render(_no_space(error)), errors.NoSpace.exit_code)
    return Exit(_fault(error), errors.KorthwebError.exit_code)


def render(error: errors.KorthwebError) -> str:
    """Return the error line, its details indented, and what to type next."""
    lines = [f"error: {error.message}"]
    lines += [f"    {as_typed(line)}" for line in error.details.splitlines()]
    if error.hint:
        lines.append(f"Next: {as_typed(error.hint)}")
    return "\n".join(lines)


def as_typed(hint: str) -> str:
    """Return a hint with our tasks under the name that this program was started by: ./korthweb, korthweb or inv."""
    own = "./korthweb" if os.environ.get("KORTHWEB_LAUNCHER") else Path(sys.argv[0]).stem
    program = own if own in ("./korthweb", "inv", "invoke") else "korthweb"
    return OUR_TASK.sub(f"{program} ", hint)


def debugging() -> bool:
    """Return whether tracebacks are wanted: ``KORTHWEB_DEBUG=1``, or Invoke's ``-d``."""
    wanted = os.environ.get("KORTHWEB_DEBUG", "") not in ("", "0")
    return wanted or logging.getLogger("invoke").isEnabledFor(logging.DEBUG)


def _no_space(error: OSError) -> errors.NoSpace:
    where = f" at {error.filename}" if error.filename else ""
    return errors.NoSpace(
        f"no space left on the device{where}", hint="free some space (korthweb lab.prune empties the caches)"
    )


def _fault(error: BaseException) -> str:
    """Return the lines about a fault of the program itself, its traceback kept in a file."""
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    message = f"error: this is a fault of korthweb: {what}"
    try:
        kept = _keep(error)
    except OSError:
        return f"{message}\nNext: set KORTHWEB_DEBUG=1 and run it again to see the traceback"
    return f"{message}\n    traceback: {kept}\nNext: report it with that file, after reading it for anything private"


def _keep(error: BaseException) -> Path:
    folder = paths.work_dir() / "faults"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    return kept
