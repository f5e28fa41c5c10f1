"""The flags of `verify.*` as Options, and what they must not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from korthweb_tasks.errors import UsageError
from korthweb_tasks.settings.fields import ae_title
from korthweb_tasks.verify.model import Options


def options_of(flags: Mapping[str, str | None], timeout: float | None, **more: Any) -> Options:
    """Return what these flags say, and ``more``; raises UsageError for what is not a port or an AE title."""
    given: dict[str, Any] = {
        "address": flags.get("address"),
        "https_port": _port("https-port", flags.get("https_port")),
        "dicom_port": _port("dicom-port", flags.get("dicom_port")),
        "calling_aet": _title("calling", flags.get("calling")),
        "called_aet": _title("called", flags.get("called")),
        "move_to": _title("move-to", flags.get("move_to")),
        "timeout": timeout,
    }
    return Options(**{name: value for name, value in given.items() if value is not None}, **more)


def folder_of(study: str | None) -> Path | None:
    """Return the folder that --study names, if it names one; raises UsageError for what is not a folder."""
    if not study:
        return None
    folder = Path(study).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{study} is not a folder", hint="--study takes a folder of DICOM files")
    return folder


def refuse_several(options: Options, approach: str, tenants: int) -> None:
    """Raise UsageError where a flag of one tenant is given for several."""
    flags = {"--called": options.called_aet, "--address": options.address if approach != "manual" else ""}
    if tenants > 1 and (given := [flag for flag, value in flags.items() if value]):
        hint = "name it: --tenant NAME"
        raise UsageError(f"{given[0]} is that of one tenant, and {tenants} would be verified", hint=hint)


def _port(flag: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not (re.fullmatch("[0-9]{1,5}", given) and 1 <= int(given) <= 65535):
        raise UsageError(f"--{flag} {given} is not a port", hint=f"--{flag} takes a number from 1 to 65535")
    return int(given)


def _title(flag: str, given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return ae_title(given)
    except ValueError as error:
        raise UsageError(f"--{flag} {given}: {error}", hint="an AE title has 1 to 16 letters, digits or _") from error
