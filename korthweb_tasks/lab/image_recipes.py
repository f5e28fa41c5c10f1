"""The recipes of the lab's images (recipes/images/*.yaml): which there are, and what each says beside its layers.

A new image is one file there. ``imported: false``: no pod of a lab runs it; ``addon: traefik``: only that add-on does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab.packages import RECIPES

_PROGRAM = re.compile(r"\bprogram: *([a-z0-9-]+)/")


@dataclass(frozen=True, slots=True)
class ImageRecipes:
    """The recipes in one folder.

    >>> ImageRecipes().components(["traefik"])
    ['traefik']
    """

    folder: Path = RECIPES / "images"

    def names(self) -> list[str]:
        """Return the short names of all images."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def read(self, name: str) -> dict[str, Any]:
        """Return the recipe of one image. Raise BuildFailed for a name that has none."""
        path = self.folder / f"{name}.yaml"
        if not path.is_file():
            raise BuildFailed(f"there is no image '{name}'", hint=f"known: {', '.join(self.names())}")
        data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return data

    def full_name(self, name: str) -> str:
        """Return an image's name with registry and tag: ``korthweb.lab/orthanc:1.12.7``."""
        return str(self.read(name)["name"])

    def imported(self) -> list[str]:
        """Return the images that every lab has."""
        recipes = {name: self.read(name) for name in self.names()}
        return [name for name, recipe in recipes.items() if recipe.get("imported", True) and "addon" not in recipe]

    def of_addon(self, addon: str) -> list[str]:
        """Return the images that an add-on brings."""
        return [name for name in self.names() if self.read(name).get("addon") == addon]

    def components(self, names: Iterable[str]) -> list[str]:
        """Return the components whose binaries the recipes of these images put into them."""
        texts = [(self.folder / f"{name}.yaml").read_text(encoding="utf-8") for name in names]
        return list(dict.fromkeys(match[1] for text in texts for match in _PROGRAM.finditer(text)))
