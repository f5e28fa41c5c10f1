"""Settings for a person's eyes: every value with its origin, and nothing secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from korthweb_tasks.core.command import MASK
from korthweb_tasks.settings.layers import DEFAULT
from korthweb_tasks.settings.load import Loaded, leaves
from korthweb_tasks.settings.schema import Path, dotted

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|private_?key|credential|authorization", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-)?\}")
_URL_PASSWORD = re.compile(r"([A-Za-z0-9_]+://[^/:@\s]*):[^@/\s]+@")
#: of an Orthanc peer written as a list (address, user, password), the place of the password
_PEER_PASSWORD = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its dotted name, its value, and who set it."""

    key: str
    value: Any
    origin: str


def rows(loaded: Loaded) -> list[Row]:
    """Return every effective setting in the order of the model, then the passwords that were given, all masked."""
    names: dict[Path, str] = {("tenants", index): tenant.name for index, tenant in enumerate(loaded.settings.tenants)}
    tree = masked_tree(loaded.settings.model_dump(mode="json"))
    found: list[Row] = []
    for path, value in leaves(tree):
        key = dotted(path, names)
        found.append(Row(key, value, loaded.origins.get(key, DEFAULT)))
    secrets = loaded.secrets
    return found + [Row(name, MASK, secrets.origins[name]) for name in sorted(secrets.values)]


def under(found: Iterable[Row], prefix: str) -> list[Row]:
    """Return the rows whose key is ``prefix`` or inside of it."""
    wanted = prefix.lower()
    return [row for row in found if row.key.lower() == wanted or row.key.lower().startswith(f"{wanted}.")]


def masked_tree(tree: Any, path: tuple[str | int, ...] = ()) -> Any:
    """Return ``tree`` with everything that looks like a secret put out of sight; ``${NAME}`` is none."""
    if isinstance(tree, Mapping):
        return {key: masked_tree(value, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [masked_tree(value, (*path, index)) for index, value in enumerate(tree)]
    if not isinstance(tree, str) or not tree or _PLACEHOLDER.fullmatch(tree):
        return tree
    return MASK if _is_secret(path) else _URL_PASSWORD.sub(rf"\1:{MASK}@", tree)


def columns(table: Sequence[Sequence[str]]) -> str:
    """Return rows of words as aligned columns."""
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))] if table else []
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def clear_passwords(config: Mapping[str, Any]) -> list[str]:
    """Return the places in an orthanc.json of the user's where a password is written in clear."""
    found = [path for path, value in leaves(masked_tree(config)) if value == MASK]
    return [".".join(map(str, path)) for path in found]


def _is_secret(path: tuple[str | int, ...]) -> bool:
    words = [str(part) for part in path]
    if path and isinstance(path[-1], str) and _SECRET_KEY.search(path[-1]):
        return True
    if "RegisteredUsers" in words[:-1]:
        return True
    return "OrthancPeers" in words and path[-1] == _PEER_PASSWORD
