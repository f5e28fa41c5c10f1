"""The settings: what they are, where each comes from, and whether they fit together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints
from korthweb_tasks.settings.words import known_output

if TYPE_CHECKING:
    from pathlib import Path

    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded
    from korthweb_tasks.settings.show import Row

_FORMATS = ("table", "json", "yaml")
_CONTEXT = {"context": "the cluster whose settings are meant; a lab's brings the profile lab (default: the one chosen)"}


@task(
    example="inv config.show --key tenants.BHC",
    cluster=False,
    changes=False,
    help={
        "key": "only this setting, or all inside this section: tenants.BHC, images (default: all)",
        "output": "table, json or yaml",
        "changed": "only what is not a default",
        **_CONTEXT,
    },
)
def show(
    session: Session,
    key: str = "",
    output: str = "table",
    changed: bool = False,
    context: str | None = None,
) -> None:
    """Print the effective settings, each with its origin; secrets are masked."""
    from korthweb_tasks.errors import UsageError
    from korthweb_tasks.settings.show import rows, under

    known_output(output, (*_FORMATS, "text"))
    session.context_flag = context
    loaded = session.loaded
    found = rows(loaded)
    if key and not (found := under(found, key)):
        raise UsageError(f"there is no setting {key!r}{_nearest(key, loaded)}", hint=hints.task("config.show"))
    found = [row for row in found if row.origin != "default"] if changed else found
    session.output, flat = output, bool(key or changed)
    session.emit(_as_data(found, loaded, flat), _as_yaml(found, loaded, flat) if output == "yaml" else _as_table(found))


@task(
    example="inv config.keys --key tenants",
    cluster=False,
    changes=False,
    help={"key": "only those with this word in them (default: all)"},
)
def keys(session: Session, key: str = "") -> None:
    """Print every key of korthweb.yaml with its default and what it means; no settings are read."""
    from korthweb_tasks.settings.example import keys as every
    from korthweb_tasks.settings.show import columns
    from korthweb_tasks.settings.words import unknown

    listed = every()
    found = [row for row in listed if key.lower() in row[0].lower()]
    if not found:
        raise unknown("key with", key, sorted({row[0].partition(".")[0] for row in listed}))
    data = [{"key": name, "default": default, "meaning": text} for name, default, text in found]
    rows = [("KEY", "MEANING", "DEFAULT"), *((name, text, default) for name, default, text in found)]
    session.emit(data, columns(rows))


@task(example="inv config.check", cluster=False, changes=False, help=_CONTEXT)
def check(session: Session, context: str | None = None) -> None:
    """Validate the settings without a cluster, the database connections included; exit code 2 if they are wrong."""
    from korthweb_tasks.settings.check import findings
    from korthweb_tasks.settings.load import load, refusal

    loaded = load(context=context)
    found = findings(loaded)
    if found.faults:
        raise refusal(found.faults)
    data = {"ok": True, "warnings": found.warnings, "notes": found.notes}
    session.emit(
        data, "\n".join([*found.notes, *(f"warning: {warning}" for warning in found.warnings), "settings: fine"])
    )


@task(example="inv config.init", cluster=False, without=("yes",))
def init(session: Session) -> None:
    """Write a korthweb.yaml and a .env.example here, with every key and what it means; nothing is overwritten."""
    from pathlib import Path

    from korthweb_tasks.errors import UsageError
    from korthweb_tasks.files import Tree
    from korthweb_tasks.settings.example import env_example, yaml_example

    folder = Path.cwd()
    target = folder / "korthweb.yaml"
    if target.exists():
        raise UsageError(f"{target} is there already", hint=hints.task("config.check"))
    texts = {target: yaml_example()}
    if not (env := folder / ".env.example").exists():
        texts[env] = env_example()
    ignored = _ignored(folder)
    for path, text in texts.items():
        if not session.dry_run:
            with path.open("x", encoding="utf-8") as file:  # never over a file that came meanwhile
                file.write(text)
    if ignored and not session.dry_run:
        Tree(folder, private=False).write(".gitignore", ignored)
    if ignored:
        texts[folder / ".gitignore"] = ignored
    word = "would be written" if session.dry_run else "written"
    session.emit({word: [str(path) for path in texts]}, "\n".join(f"{word}: {path}" for path in texts))


def _ignored(folder: Path) -> str:
    """Return the text of .gitignore with what must not be committed, or nothing where it says so already."""
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    said = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in ("/.env", "/.korthweb/") if line.strip("/") not in said]
    if not missing:
        return ""
    return "\n".join([*text.splitlines(), "# passwords, and what korthweb keeps for itself", *missing, ""])


def _nearest(key: str, loaded: Loaded) -> str:
    from korthweb_tasks.settings.words import nearest

    places = {place[:end] for place in loaded.origins for end in _ends(place)}
    return nearest(key, sorted(places))


def _ends(place: str) -> list[int]:
    return [index for index, letter in enumerate(place) if letter == "."] + [len(place)]


def _as_table(found: list[Row]) -> str:
    from korthweb_tasks.settings.show import columns

    lines = [("SETTING", "VALUE", "FROM")]
    lines += [(row.key, _text(row.value), row.origin) for row in found]
    return columns(lines)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _as_data(found: list[Row], loaded: Loaded, flat: bool) -> Any:
    from korthweb_tasks.settings.show import masked_tree

    if flat:
        return {row.key: {"value": row.value, "from": row.origin} for row in found}
    tree = masked_tree(loaded.settings.model_dump(mode="json"))
    return {"settings": tree, "origins": {row.key: row.origin for row in found}}


def _as_yaml(found: list[Row], loaded: Loaded, flat: bool) -> str:
    import yaml

    from korthweb_tasks.settings.show import masked_tree

    tree = {row.key: row.value for row in found} if flat else masked_tree(loaded.settings.model_dump(mode="json"))
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)).rstrip("\n")
