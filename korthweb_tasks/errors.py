"""The errors a person can meet, and the exit code each one ends the program with.

::

    KorthwebError            1   something korthweb did not foresee; every other error below is one of these
    +-- SettingsError        2   a setting is unknown, missing or of the wrong type
    |   +-- UntrustedFile    2   a file or folder that somebody else could have put there
    +-- UsageError           2   the words typed do not fit together
    +-- ToolMissing          3   a CLI that a step needs is not there, or too old
    +-- ClusterUnreachable   4   the cluster is not reached, or does not let us in (never taken for "empty")
    +-- GuardRefused         5   another cluster than the one recorded, or a "no" to a question
    +-- LockHeld             6   another korthweb is changing this cluster
    +-- StepFailed           7   a step of a plan failed; the summary names it
    |   +-- CommandFailed    7   a command ended with an exit code it must not end with
    |   +-- NotReady         7   what a step waits for did not come, or can not come any more
    +-- VerifyFailed         8   a rung of the verification is broken
    +-- Differs              9   a diff found a difference (``*.diff``), for use in CI
    +-- LabImpossible       10   this machine can not hold a lab
    +-- BuildFailed         11   a binary or an image of the lab could not be made
    +-- NoSpace             12   the disk is full, or too full to begin
    +-- Interrupted        130   Ctrl-C or SIGTERM
    +-- OutputClosed       141   nobody reads what is printed any more (``| head``)
"""

from __future__ import annotations

import re
from typing import ClassVar

#: how a log line of k8s.io/klog begins: ``E1122 17:20:00.498215   21088 memcache.go:265]``
KLOG = re.compile(r"[EWIF][0-9]{4} [0-9][0-9]:[0-9][0-9]:[0-9][0-9]\.[0-9]+ +[0-9]+ \S+\]")


class KorthwebError(Exception):
    """One clear sentence, a hint with the next command to type, and details to read last.

    ``message`` is one line and says what failed and where. ``hint`` is what to type next.
    ``details`` holds the last lines of a command's stderr; it is masked by whoever raises.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class SettingsError(KorthwebError):
    """A setting is unknown, missing or of the wrong type."""

    exit_code = 2


class UntrustedFile(SettingsError):
    """Somebody else could have put this file or folder there, or it is a link that leads elsewhere."""


class UsageError(KorthwebError):
    """The words typed do not fit together."""

    exit_code = 2


class ToolMissing(KorthwebError):
    """A CLI that a step needs is not there, or is outside the supported range."""

    exit_code = 3


class ClusterUnreachable(KorthwebError):
    """The API server gave no answer, or does not let us in. Unknown is never absent."""

    exit_code = 4


class GuardRefused(KorthwebError):
    """This is another cluster than the recorded one, or a person said no."""

    exit_code = 5


class LockHeld(KorthwebError):
    """Another korthweb is changing this cluster."""

    exit_code = 6


class StepFailed(KorthwebError):
    """A step of a plan failed."""

    exit_code = 7


class CommandFailed(StepFailed):
    """A command ended with an exit code that its caller does not accept.

    ``code`` is the exit code (negative: the signal's number), ``stderr`` the masked standard error.
    """

    def __init__(self, message: str, *, code: int = 1, stderr: str = "", hint: str = "", details: str = "") -> None:
        super().__init__(message, hint=hint, details=details or tail(stderr))
        self.code = code
        self.stderr = stderr


class NotReady(StepFailed):
    """What a step waits for did not come before its deadline, or can not come any more."""


class VerifyFailed(KorthwebError):
    """A rung of the verification is broken."""

    exit_code = 8


class Differs(KorthwebError):
    """A diff found a difference."""

    exit_code = 9


class LabImpossible(KorthwebError):
    """This machine can not hold a lab."""

    exit_code = 10


class BuildFailed(KorthwebError):
    """A binary or an image of the lab could not be made."""

    exit_code = 11


class NoSpace(KorthwebError):
    """The disk is full, or too full to begin."""

    exit_code = 12


class Interrupted(KorthwebError):
    """Ctrl-C or SIGTERM."""

    exit_code = 130


class OutputClosed(KorthwebError):
    """Nobody reads what is printed any more: as a shell's own programs end, which get a SIGPIPE."""

    exit_code = 141


#: exit codes of one task on several clusters, the worst first: what is not known, then what is known to be wrong
WORST_FIRST = (130, 1, 2, 3, 12, 4, 5, 6, 10, 11, 7, 8, 9)


def of_code(code: int) -> type[KorthwebError]:
    """Return the kind of error that ends the program with ``code``.

    >>> of_code(8).__name__
    'VerifyFailed'
    """
    return next((kind for kind in KorthwebError.__subclasses__() if kind.exit_code == code), KorthwebError)


def last_line(stderr: str) -> str:
    """Return the last line of what a program said, or that it said nothing."""
    return (stderr.strip().splitlines() or ["no answer"])[-1]


def tail(text: str, lines: int = 12) -> str:
    """Return the last ``lines`` lines of ``text`` that say something: log lines of Kubernetes' libraries do not."""
    told = [line for line in text.splitlines() if line.strip()]
    spoken = [line for line in told if not KLOG.match(line)]
    return "\n".join((spoken or told)[-lines:])
