"""How large one instance may be, by the settings of Orthanc and by how its database keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.quantities import amount
from korthweb_tasks.verify.model import Limit

#: how often Orthanc has an instance in memory while it stores it (measured: 98 MB and 698 MB, 3.9 times)
COPIES = 4
#: what Orthanc needs besides
BASE = 256 * 2**20
#: Orthanc's PostgreSQL plugin tells the size of a large object by a signed number of 32 bits
LARGE_OBJECT = 2**31 - 1


def largest(settings: Settings, orthanc: Mapping[str, Any]) -> Limit | None:
    """Return the size that one instance may have, or None where nothing bounds it."""
    memory = amount(settings.orthanc.resources.get("limits", {}).get("memory", ""))
    limits = []
    if memory:
        why = f"its memory limit is {memory / 2**20:.0f} MiB, and it has {COPIES} copies while it stores"
        hint = f"orthanc.resources.limits.memory: {COPIES} times the largest instance, and {BASE // 2**20}Mi"
        limits.append(Limit(max(0, int(memory - BASE) // COPIES), why, hint))
    section = orthanc.get("PostgreSQL")
    if isinstance(section, Mapping) and section.get("EnableStorage", True):
        why = "in PostgreSQL an image is a large object of less than 2 GiB"
        limits.append(Limit(LARGE_OBJECT, why, "send it in parts (several instances, concatenations)"))
    return min(limits, key=lambda limit: limit.size, default=None)
