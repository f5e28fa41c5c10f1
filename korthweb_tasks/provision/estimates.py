"""How long each build took the last time on this machine, and what that says about one that runs or is to begin."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core.durations import about, duration
from korthweb_tasks.files import write_private
from korthweb_tasks.provision.locks import alone

#: component -> (seconds, packages) where this machine has built none yet: measured on two cores, in the order of the
#: recipes, two at a time
USUAL = Path(__file__).with_name("usual.json")
#: builds that run side by side share the cores
SIDE_BY_SIDE = 2
#: the share of the packages from which on the pace of a build says something
PACE = 0.1


def estimate(component: str) -> float | None:
    """Return the seconds that a whole build of ``component`` took on this machine, or usually, if it is known."""
    return _known().get(component, (None, 0))[0]


def of_all(components: Iterable[str]) -> float:
    """Return the seconds that building all of ``components`` will take, as far as they are known."""
    seconds = [estimate(name) or 60.0 for name in components]
    return max([sum(seconds) / SIDE_BY_SIDE, *seconds], default=0.0)


def compiling_line(component: str, packages: int, elapsed: float) -> str:
    """Return how far a build is: ``compiling, 412 of about 980 packages, about 3 min left``."""
    seconds, total = _known().get(component, (0.0, 0))
    if packages >= total:
        return f"compiling, {packages} packages, {duration(round(elapsed))}"
    share = packages / total
    left = max(seconds - elapsed, 0.0)
    if share >= PACE:  # this machine's own pace counts as much as what was measured before
        left = (left + elapsed * (1 - share) / share) / 2
    return f"compiling, {packages} of about {total} packages, {about(left)} left"


def remember(component: str, seconds: float, packages: int) -> None:
    """Note that building ``component`` took ``seconds`` for ``packages``; a build that only went on says little."""
    if packages < _noted().get(component, (0, 0))[1] / 2:
        return
    with alone("estimates"):
        known = {**_noted(), component: (round(seconds, 1), packages)}
        write_private(_file(), json.dumps(known, indent=1, sort_keys=True) + "\n")


def _file() -> Path:
    return paths.cache_dir() / "estimates.json"


def _known() -> dict[str, tuple[float, int]]:
    return {**_usual(), **_noted()}


@lru_cache(maxsize=1)
def _usual() -> dict[str, tuple[float, int]]:
    return _read(USUAL)


def _noted() -> dict[str, tuple[float, int]]:
    return _read(_file())


def _read(file: Path) -> dict[str, tuple[float, int]]:
    """Return component → (seconds, packages); a note of another shape is as good as none."""
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        return {name: (float(seconds), int(packages)) for name, (seconds, packages) in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
