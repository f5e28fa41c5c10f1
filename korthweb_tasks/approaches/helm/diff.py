"""What an upgrade would change: two manifests of a release compared object by object, Secrets masked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from korthweb_tasks.changes.objects import Object, hidden, unified
from korthweb_tasks.core.render import as_yaml, parse


@dataclass(frozen=True, slots=True)
class Change:
    """One object that would change; ``text`` is a unified diff."""

    tenant: str
    name: str
    text: str

    def as_data(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


def changes(tenant: str, before: str, after: str) -> list[Change]:
    """Return what differs between two manifests of a release; the order of objects and of keys means nothing."""
    old, new = _by_name(parse(before)), _by_name(parse(after))
    found = []
    for name in sorted(old | new):
        left, right = old.get(name), new.get(name)
        if left != right:
            found.append(Change(tenant, name, unified(name, left, right)))
    return found


def masked_text(manifest: str) -> str:
    """Return a manifest with the contents of its Secrets out of sight."""
    return as_yaml(hidden(obj) for obj in parse(manifest))


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    return {f"{obj['kind'].lower()}/{obj['metadata']['name']}": obj for obj in objects}
