"""kubectl, helm, istioctl and flux for a task of one's own, as ours call them: ``korthweb_tasks.cluster(c)``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import invoke

from korthweb_tasks.collections.errors_out import stays_typed
from korthweb_tasks.core.words import refuse_empty
from korthweb_tasks.services.cli import Answer, ask
from korthweb_tasks.tools.clis import CLIS

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.tools.clis import Cli, Value


@dataclass(frozen=True)
class Program:
    """One of the four programs, to be called::

        cluster.kubectl("get", "pods", namespace="bhc-orthweb", output="json").json()
        cluster.kubectl("apply", filename="-", _stdin=manifest)
        cluster.kubectl("diff", filename="site.yaml", _ok=(0, 1)).return_code

    A keyword is a flag: ``output="json"`` is ``--output=json``, True the flag alone, a list the flag several times.
    Those that begin with an underscore are for the call: ``_stdin`` is its input, ``_timeout`` its bound in seconds,
    ``_ok`` are the exit codes that are not an error. Raises CommandFailed for another one, ClusterUnreachable,
    GuardRefused, ToolMissing and Interrupted.
    """

    session: Session
    cli: Cli

    def __call__(
        self,
        *words: object,
        _stdin: str | None = None,
        _timeout: float | None = None,
        _ok: Iterable[int] = (0,),
        **flags: Value,
    ) -> Answer:
        """Run the program with these words on the cluster, and return its answer."""
        with stays_typed():
            words_and_flags = {"cli": self.cli, "words": words, "flags": flags}
            answer: Answer = self.session.run(ask, {**words_and_flags, "stdin": _stdin, "timeout": _timeout, "ok": _ok})
            return answer


@dataclass(frozen=True)
class Cluster:
    """The four programs on one cluster."""

    kubectl: Program
    helm: Program
    istioctl: Program
    flux: Program


def cluster(
    c: invoke.Context,
    context: str | None = None,
    *,
    settings: str | Path | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> Cluster:
    """Return the wrapped CLIs for the cluster that ``context`` names, or that the project has chosen.

    What our own tasks have is there: the context in every command, the cluster compared with the recorded one before
    the first, the question before the first change of a production cluster (``yes=True`` says it beforehand), the
    bastion, deadlines, another try after passing faults for what only reads, masks. ``dry_run`` (or Invoke's
    ``--dry``) shows what would change something instead of running it::

        @task
        def waiting(c):
            pods = korthweb_tasks.cluster(c, context="hospital-a").kubectl("get", "pods", output="json").json()
    """
    with stays_typed():
        from korthweb_tasks.services.session import Session

        refuse_empty("context", context)
        refuse_empty("settings", settings)
        session = Session.open(c, context=context, settings=settings, yes=yes, dry_run=dry_run)
        session.run(lambda session: session.ref, {})  # a wrong word is told here
        return Cluster(**{name: Program(session, cli) for name, cli in CLIS.items()})
