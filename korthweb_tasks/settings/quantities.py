"""Amounts as Kubernetes writes them: cores, bytes, sizes, pieces. A bad one is told with the nearest right one.

Kubernetes takes a number without a unit as bytes, so that ``storage: 10`` asks for a volume of ten bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from korthweb_tasks.core.words import nearest
from korthweb_tasks.settings.fields import InnerError, written

_DECIMAL = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {f"{unit.upper()}i": 1024.0 ** (power + 1) for power, unit in enumerate(_DECIMAL)}
BYTES = {"": 1.0, **_DECIMAL, **_BINARY}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)
#: the least of a volume for a database with images, and of the memory with which a container starts at all
LEAST_STORAGE, LEAST_MEMORY = 2.0**30, 4 * 2.0**20
#: Orthanc counts in MB, and one instance may have some of them
LEAST_LIMIT = 16 * 2.0**20
#: no node has so many cores; who writes 500 means 500m
MOST_CORES = 256.0


def amount(quantity: str) -> float:
    """Return a Kubernetes quantity as a number: cores, bytes or pieces; 0 for what is none.

    >>> amount("500m"), amount("1Ki")
    (0.5, 1024.0)
    """
    match = _NUMBER.fullmatch(quantity)
    units = {**BYTES, "m": 0.001}
    return float(match[1]) * units[match[2]] if match and match[2] in units else 0.0


def size(value: str, usual: str, least: float, word: str) -> str:
    """Return ``value`` if it is a number of bytes with a unit and at least ``least`` of them.

    ``usual`` is the unit that somebody means who wrote none; ``word`` names what it is the size of.
    """
    match = _NUMBER.fullmatch(value.strip())
    if match is None:
        raise InnerError(f"{value!r} is not a size like 10{usual}")
    number, unit = match[1], match[2]
    if unit not in BYTES or unit == "" or value != value.strip() or " " in value:
        why = "has no unit, so Kubernetes takes it as bytes" if unit == "" else "is not a size"
        raise InnerError(f"{value!r} {why}; did you mean {meant_size(number, unit, usual, least)}?")
    if amount(value) < least:
        raise InnerError(f"{value!r} is too small for {word}: at least {shown(least)}")
    return value


def meant_size(number: str, unit: str, usual: str, least: float) -> str:
    """Return the sizes that ``number`` and a bad ``unit`` were most likely meant to be, the likeliest first."""
    letter = unit[:1].upper() if unit[:1].upper() in ("K", "M", "G", "T", "P", "E") else ""
    found = [f"{number}{letter}i"] if letter else [f"{number}{usual}"]
    if letter and unit.lower().endswith("b") and "i" not in unit.lower():
        decimal = "k" if letter == "K" else letter
        found = [f"{number}{decimal}", *found]
    fitting = [one for one in found if amount(one) >= least] or [shown(least)]
    return " or ".join(fitting)


def shown(number: float) -> str:
    """Return a number of bytes as a person writes it."""
    unit = next((unit for unit in reversed(_BINARY) if number >= _BINARY[unit]), "")
    return f"{number / BYTES[unit]:g}{unit}"


def storage_size(value: str) -> str:
    """Return ``value`` if it is the size of a volume: ``10Gi``."""
    return size(value, "Gi", LEAST_STORAGE, "a volume")


def limit_size(value: str) -> str:
    """Return ``value`` if it is a part of a volume: ``6Gi``."""
    return size(value, "Gi", LEAST_LIMIT, "a limit")


def memory_size(value: str) -> str:
    """Return ``value`` if it is an amount of memory: ``512Mi``."""
    number = _NUMBER.fullmatch(value.strip())
    few = number is not None and float(number[1]) < 16
    return size(value, "Gi" if few else "Mi", LEAST_MEMORY, "a container")


def cores(value: str) -> str:
    """Return ``value`` if it is an amount of CPU: ``500m`` or ``2``."""
    match = _NUMBER.fullmatch(value)
    if match is None or match[2] not in ("", "m"):
        likely = f"; did you mean {match[1]}m?" if match else ""
        raise InnerError(f"{value!r} is not an amount of CPU like 500m or 2{likely}")
    if amount(value) == 0 or (match[2] == "m" and "." in match[1]):
        raise InnerError(f"{value!r} is not an amount of CPU like 500m or 2")
    if amount(value) > MOST_CORES:
        raise InnerError(f"{value!r} is {amount(value):g} cores; did you mean {match[1]}m?")
    return value


def total_cores(value: str) -> str:
    """Return ``value`` if it is the CPU of many pods together."""
    match = _NUMBER.fullmatch(value)
    if match is None or match[2] not in ("", "m", "k") or amount(value) == 0:
        raise InnerError(f"{value!r} is not an amount of CPU like 500m or 16")
    return value


def total_memory(value: str) -> str:
    """Return ``value`` if it is the memory of many pods together."""
    return size(value, "Gi", LEAST_MEMORY, "a namespace")


def pieces(value: str) -> str:
    """Return ``value`` if it is a number of things."""
    if not re.fullmatch(r"[0-9]+k?", value, re.ASCII):
        raise InnerError(f"{value!r} is not a number of pieces like 60")
    return value


def container_amounts(found: Mapping[str, str]) -> dict[str, str]:
    """Return the requests or limits of a container, each checked as what it is; the first bad one is told."""
    return _each(found, _CONTAINER, "a resource of a container")


def quota_amounts(found: Mapping[str, str]) -> dict[str, str]:
    """Return the limits of a ResourceQuota, each checked as what it is."""
    return _each(found, _QUOTA, "a limit of a ResourceQuota")


def ordered(resources: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return requests and limits if no request is above its limit, which Kubernetes refuses."""
    limits = resources.get("limits", {})
    for name, asked in resources.get("requests", {}).items():
        if name in limits and amount(asked) > amount(limits[name]):
            text = f"the request {name} {asked} is more than its limit {limits[name]}"
            raise InnerError(text, ("requests", name))
    return dict(resources)


def as_text(value: Any) -> Any:
    """Return a number as it was written: ``pods: 60`` needs no quotes."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_CONTAINER: dict[str, Callable[[str], str]] = {
    "cpu": cores,
    "memory": memory_size,
    "ephemeral-storage": memory_size,
}
_QUOTA: dict[str, Callable[[str], str]] = {
    **{f"{which}cpu": total_cores for which in ("", "requests.", "limits.")},
    **{f"{which}memory": total_memory for which in ("", "requests.", "limits.")},
    "requests.storage": storage_size,
    "requests.ephemeral-storage": memory_size,
    "limits.ephemeral-storage": memory_size,
    **dict.fromkeys(
        (
            "pods",
            "persistentvolumeclaims",
            "services",
            "services.loadbalancers",
            "services.nodeports",
            "secrets",
            "configmaps",
            "replicationcontrollers",
            "resourcequotas",
        ),
        pieces,
    ),
}


def _each(found: Mapping[str, str], kinds: Mapping[str, Callable[[str], str]], word: str) -> dict[str, str]:
    for name, value in found.items():
        check = kinds.get(name) or _of_extension(name)
        if check is None:
            raise InnerError(f"{name!r} is not {word}{nearest(name, kinds)}", (name,))
        try:
            check(value)
        except InnerError as error:
            raise InnerError(str(error), (name,)) from error
    return dict(found)


def _of_extension(name: str) -> Callable[[str], str] | None:
    """Return how the amount of a resource is checked that the cluster's own hardware or classes bring."""
    if name.endswith(("requests.storage", "ephemeral-storage")):
        return storage_size
    if "hugepages-" in name:
        return memory_size
    return pieces if "/" in name else None


_SIZE = rf"[0-9]+(?:\.[0-9]+)?(?:{'|'.join(unit for unit in BYTES if unit)})"
_WRITTEN: dict[Callable[[str], str], str] = {
    cores: r"[0-9]+(?:\.[0-9]+)?\s*m?",
    total_cores: r"[0-9]+(?:\.[0-9]+)?\s*[mk]?",
    pieces: "[0-9]+k?",
}


def _told(kinds: Mapping[str, Callable[[str], str]]) -> WithJsonSchema:
    """Return what an editor is told of a table of amounts: the names there are, and how each amount is written."""
    patterns = {name: _WRITTEN.get(check, _SIZE) for name, check in kinds.items()}
    named: dict[str, Any] = {name: {"type": "string", "pattern": f"^(?:{one})$"} for name, one in patterns.items()}
    for name, pattern in patterns.items():
        if pattern != _SIZE:  # which needs its unit
            named[name] |= {"type": ["string", "number"], "minimum": 0}
    others = {r"(?:requests\.storage|ephemeral-storage)$|hugepages-|/": {"type": ["string", "number"]}}
    table = {"type": "object", "properties": named, "patternProperties": others, "additionalProperties": False}
    return WithJsonSchema(table)


_BYTES = written(_SIZE)
Text = Annotated[str, BeforeValidator(as_text)]
StorageSize = Annotated[Text, AfterValidator(storage_size), _BYTES]
LimitSize = Annotated[Text, AfterValidator(limit_size), _BYTES]
#: requests and limits, as in a pod: {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}}
Amounts = Annotated[dict[str, Text], AfterValidator(container_amounts), _told(_CONTAINER)]
Resources = Annotated[dict[Literal["requests", "limits"], Amounts], AfterValidator(ordered)]
Quota = Annotated[dict[str, Text], AfterValidator(quota_amounts), _told(_QUOTA)]
