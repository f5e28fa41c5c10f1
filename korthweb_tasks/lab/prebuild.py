"""All that labs are made of, made before one is asked for."""

from __future__ import annotations

from collections.abc import Callable

from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.images import image_archives
from korthweb_tasks.lab.packages import host_tools
from korthweb_tasks.lab.programs import REAL, SIMULATED


def components(*, simulated: bool = False) -> list[str]:
    """Return the components of a lab with every add-on."""
    recipes = ImageRecipes()
    return [*SIMULATED] if simulated else list(dict.fromkeys([*REAL, *recipes.components(recipes.names())]))


def prepare(progress: Callable[[str], None], *, simulated: bool = False) -> None:
    """Unpack the host's programs and make every image; raises LabImpossible, BuildFailed and NoSpace."""
    host_tools(progress)
    if not simulated:
        image_archives(progress)
