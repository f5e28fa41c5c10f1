"""Prove it from outside the cluster: TLS, login, DICOM, images in and back, and what must be refused."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from korthweb_tasks.collections.flags import task
from korthweb_tasks.report.formats import FILES, OUTPUTS

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

R = TypeVar("R")
Flags = Mapping[str, "str | None"]
#: of every task that connects
_PLACES = {
    "address": "connect to this address or name: NodePort, port-forward (default: the load balancer's)",
    "https_port": "port of HTTPS at that address (default: 443)",
    "dicom_port": "port of DICOM at that address (default: 11112)",
}
#: of those that speak DICOM
_TITLES = {
    "calling": "the AE title that verify calls itself (default: KORTHWEB)",
    "called": "the AE title that is called (default: the tenant's)",
    "move_to": "AE title of a modality that C-MOVE sends the study to, and that keeps it (default: no C-MOVE)",
}
_REPORT = {
    "report": f"a folder for {FILES} (default: none)",
    "output": f"{', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}",
}
_HELP = {
    "approach": "manual, helm or gitops (default: the approach of the settings)",
    **_REPORT,
    "timeout": "for each answer: seconds, or 90s, 10m, 1h (default: 15, and the settings' for new pods)",
    **_PLACES,
}
_STUDY = {"study": "a folder of DICOM files to send (default: built-in images)"}
_YES = {"yes": "do not ask, on a cluster marked as production"}


def _with_flags(names: Iterable[str]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add flags to the words of a task; the body gets them as one mapping, ``flags``."""

    def decorate(body: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(body)
        def with_flags(session: Session, *args: Any, **words: Any) -> R:
            flags = {name: words.pop(name, None) for name in names}
            return body(session, flags, *args, **words)

        own = [parameter for parameter in inspect.signature(body).parameters.values() if parameter.name != "flags"]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        added = [inspect.Parameter(name, kind, default=None) for name in names]
        with_flags.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        return with_flags

    return decorate


@task(
    example="korthweb verify.all --tenant BHC --report out/",
    changes=False,
    many=True,
    help={
        **_HELP,
        **_STUDY,
        **_TITLES,
        "restart": "delete every Orthanc pod and read the images back (--no-restart: leave it out)",
        **_YES,
    },
    name="all",
)
@_with_flags((*_PLACES, *_TITLES))
def everything(
    session: Session,
    flags: Flags,
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
    restart: bool = True,
    yes: bool = False,
) -> Report | None:
    """Check the whole ladder, from the address to real images that outlive every pod; exit code 8 if a rung breaks."""
    from korthweb_tasks.services.verify import whole_ladder

    return whole_ladder(session, flags, approach, study, report, output, restart=restart, yes=yes)


@task(example="korthweb verify.https", changes=False, many=True, help=_HELP)
@_with_flags(_PLACES)
def https(
    session: Session,
    flags: Flags,
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check HTTPS only: certificate, login, and what must be refused. Nothing is stored."""
    from korthweb_tasks.services.verify import part

    return part(session, "https", flags, approach, report, output)


@task(example="korthweb verify.dicom --study ~/ct", changes=False, many=True, help={**_HELP, **_STUDY, **_TITLES})
@_with_flags((*_PLACES, *_TITLES))
def dicom(
    session: Session,
    flags: Flags,
    approach: str | None = None,
    study: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check DICOM over TLS: C-ECHO, C-STORE, found and read back, deleted again, and what must be refused."""
    from korthweb_tasks.services.verify import part

    return part(session, "dicom", flags, approach, report, output, study)


@task(example="korthweb verify.certificates", changes=False, many=True, help=_HELP)
@_with_flags(_PLACES)
def certificates(
    session: Session,
    flags: Flags,
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
) -> Report | None:
    """Check the certificates as served on 443 and 11112: chain, names, days left, TLS versions. No login."""
    from korthweb_tasks.services.verify import part

    return part(session, "certificates", flags, approach, report, output)


@task(
    example="korthweb verify.isolation --report out/",
    changes=False,
    many=True,
    help={**_REPORT, **_YES, "approach": "gitops or manual (default: the approach of the settings)"},
)
def isolation(
    session: Session,
    approach: str | None = None,
    report: str | None = None,
    output: str = "text",
    yes: bool = False,
) -> Report | None:
    """Prove for every ordered pair of tenants that one can't touch the other; by short-lived pods, too."""
    from korthweb_tasks.services.isolation import prove

    return prove(session, approach, report, output, yes=yes)
