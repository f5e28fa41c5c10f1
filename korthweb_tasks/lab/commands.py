"""The commands that images of vendors surely have, as data: recipes/commands.yaml.

The lab's images that stand in for a vendor's may have no other, or the lab would hide what fails at a user's site.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from korthweb_tasks.lab.oci import Stored
from korthweb_tasks.lab.packages import RECIPES

FILE = "recipes/commands.yaml"
#: what is on the PATH of the images, as they name the folders of a merged /usr
FOLDERS = ("usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/lib/postgresql/17/bin")


@cache
def vendors(recipes: Path = RECIPES) -> Mapping[str, frozenset[str]]:
    """Return image → its commands; an image's ``like`` names sets of commands that it has too."""
    data: dict[str, Any] = yaml.safe_load((recipes / "commands.yaml").read_text(encoding="utf-8"))
    sets = {name: frozenset(str(words).split()) for name, words in data["sets"].items()}
    return {name: frozenset().union(*(sets[word] for word in image["has"])) for name, image in data["images"].items()}


def allowed(name: str, images: Path = RECIPES / "images") -> frozenset[str] | None:
    """Return the commands that the lab's image ``name`` may have; None: it stands in for no vendor's that is listed."""
    file = images.parent / "commands.yaml"
    return vendors(images.parent).get(name) if file.is_file() else None


def in_layer(stored: Stored) -> set[str]:
    """Return the names of the commands in a layer of an image."""
    with stored.path.open("rb") as stream:
        stream.seek(stored.offset)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            return {PurePosixPath(member.name).name for member in tar if _is_command(member)}


def _is_command(member: tarfile.TarInfo) -> bool:
    return not member.isdir() and str(PurePosixPath(member.name).parent) in FOLDERS
