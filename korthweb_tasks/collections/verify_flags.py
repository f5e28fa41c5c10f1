"""How `verify.*` speaks to a tenant: flags for AE titles, addresses and ports, the same in all its tasks."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from korthweb_tasks.errors import UsageError

if TYPE_CHECKING:
    from korthweb_tasks.verify.model import Options

R = TypeVar("R")
#: of every task that connects
PLACES = {
    "address": "connect to this address or name: NodePort, port-forward (default: the load balancer's)",
    "https_port": "port of HTTPS at that address (default: 443)",
    "dicom_port": "port of DICOM at that address (default: 11112)",
}
#: of those that speak DICOM
TITLES = {
    "calling": "the AE title that verify calls itself (default: KORTHWEB)",
    "called": "the AE title that is called (default: the tenant's)",
    "move_to": "AE title of a modality that C-MOVE sends the study to, and that keeps it (default: no C-MOVE)",
}
TIMEOUT = {"timeout": "for each answer: seconds, or 90s, 10m, 1h (default: 15, and the settings' for new pods)"}


def speaking(flags: Iterable[str]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add flags to the words of a task; the body gets them as one mapping, ``ways``."""

    def decorate(body: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(body)
        def with_ways(session: Any, *args: Any, **words: Any) -> R:
            ways = {flag: words.pop(flag, None) for flag in flags}
            return body(session, *args, ways=ways, **words)

        own = [one for one in inspect.signature(body).parameters.values() if one.name != "ways"]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        added = [inspect.Parameter(flag, kind, default=None) for flag in flags]
        with_ways.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        return with_ways

    return decorate


def options_of(ways: Mapping[str, str | None], timeout: float | None, **words: Any) -> Options:
    """Return what these flags say, and ``words``; raises UsageError for what is no port or AE title."""
    from korthweb_tasks.verify.model import Options

    said: dict[str, Any] = {
        "address": ways.get("address"),
        "https_port": _port("https-port", ways.get("https_port")),
        "dicom_port": _port("dicom-port", ways.get("dicom_port")),
        "calling_aet": _title("calling", ways.get("calling")),
        "called_aet": _title("called", ways.get("called")),
        "move_to": _title("move-to", ways.get("move_to")),
        "timeout": timeout,
    }
    return Options(**{name: value for name, value in said.items() if value is not None}, **words)


def _port(flag: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not (re.fullmatch("[0-9]{1,5}", given) and 1 <= int(given) <= 65535):
        raise UsageError(f"--{flag} {given} is not a port", hint=f"--{flag} takes a number from 1 to 65535")
    return int(given)


def _title(flag: str, given: str | None) -> str | None:
    from korthweb_tasks.settings.fields import ae_title

    if given is None:
        return None
    try:
        return ae_title(given)
    except ValueError as error:
        raise UsageError(f"--{flag} {given}: {error}", hint="an AE title has 1 to 16 letters, digits or _") from error


def refuse_several(options: Options, approach: str, tenants: int) -> None:
    """Raise UsageError where a flag of one tenant is given for several."""
    flags = {"--called": options.called_aet, "--address": options.address if approach != "manual" else ""}
    if tenants > 1 and (given := [flag for flag, value in flags.items() if value]):
        hint = "name it: --tenant NAME"
        raise UsageError(f"{given[0]} is that of one tenant, and {tenants} would be verified", hint=hint)
