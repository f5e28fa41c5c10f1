"""The settings for a person: shown with their origins, listed, checked, and a first file of them."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import known_output, nearest, unknown
from korthweb_tasks.errors import UsageError
from korthweb_tasks.files import Tree
from korthweb_tasks.settings import example, json_schema
from korthweb_tasks.settings.check import findings
from korthweb_tasks.settings.load import Loaded, load, refusal
from korthweb_tasks.settings.show import Row, columns, masked_tree, rows, under


def shown(loaded: Loaded, key: str, output: str, *, changed: bool) -> tuple[Any, str]:
    """Return the settings that ``key`` names (all: none), or those that are not defaults, as data and as text."""
    known_output(output, ("table", "json", "yaml", "text"))
    found = rows(loaded)
    if key and not (found := under(found, key)):
        raise UsageError(f"there is no setting {key!r}{_nearest(key, loaded)}", hint=hints.task("config.show"))
    found = [row for row in found if row.origin != "default"] if changed else found
    flat = bool(key or changed)
    return _as_data(found, loaded, flat), _as_yaml(found, loaded, flat) if output == "yaml" else _as_table(found)


def keys(word: str) -> tuple[list[dict[str, str]], str]:
    """Return every key of korthweb.yaml with ``word`` in it, its default and meaning, as data and as a table."""
    listed = example.keys()
    found = [row for row in listed if word.lower() in row[0].lower()]
    if not found:
        raise unknown("key with", word, sorted({row[0].partition(".")[0] for row in listed}))
    data = [{"key": name, "default": default, "meaning": text} for name, default, text in found]
    return data, columns([("KEY", "MEANING", "DEFAULT"), *((name, text, default) for name, default, text in found)])


def checked(context: str | None) -> tuple[dict[str, Any], str]:
    """Return warnings and notes about the settings for ``context``; raises SettingsError where they are wrong."""
    loaded = load(context=context)
    found = findings(loaded)
    if found.faults:
        raise refusal(found.faults)
    found.warnings.extend(_old_schema(loaded.project))
    lines = [*found.notes, *(f"warning: {warning}" for warning in found.warnings), "settings: fine"]
    return {"ok": True, "warnings": found.warnings, "notes": found.notes}, "\n".join(lines)


def begun(*, dry_run: bool) -> tuple[dict[str, list[str]], str]:
    """Write a first korthweb.yaml with its schema, and .env.example, here; return what was (or would be)."""
    folder = Path.cwd()
    target = folder / "korthweb.yaml"
    if target.exists():
        raise UsageError(f"{target} is there already", hint=hints.task("config.check"))
    texts = {target: example.yaml_example(json_schema.FILE)}
    beside = {json_schema.FILE: json_schema.schema_text(), ".env.example": example.env_example()}
    texts |= {folder / name: text for name, text in beside.items() if not (folder / name).exists()}
    ignored = _ignored(folder)
    if not dry_run:
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:  # never over a file that came meanwhile
                file.write(text)
        if ignored:
            Tree(folder, private=False).write(".gitignore", ignored)
    written = [str(path) for path in (*texts, *([folder / ".gitignore"] if ignored else ()))]
    word = "would be written" if dry_run else "written"
    return {word: written}, "\n".join(f"{word}: {path}" for path in written)


def schema() -> tuple[dict[str, Any], str]:
    """Return the JSON Schema of korthweb.yaml, as data and as the text of its file."""
    return json_schema.settings_schema(), json_schema.schema_text().rstrip("\n")


def _old_schema(folder: Path) -> list[str]:
    """Return a warning if the schema beside korthweb.yaml, by which an editor goes, is another korthweb's."""
    path = folder / json_schema.FILE
    if not path.is_file() or path.read_text("utf-8", errors="replace") == json_schema.schema_text():
        return []
    renewal = " > ".join((hints.task("config.schema"), path.name))
    return [f"{path.name} is another version's: `{renewal}` renews it"]


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
    places = {part for place in loaded.origins for part in accumulate(place.split("."), "{}.{}".format)}
    return nearest(key, sorted(places))


def _as_table(found: list[Row]) -> str:
    lines = [("SETTING", "VALUE", "FROM")]
    lines += [(row.key, _text(row.value), row.origin) for row in found]
    return columns(lines)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _as_data(found: list[Row], loaded: Loaded, flat: bool) -> Any:
    if flat:
        return {row.key: {"value": row.value, "from": row.origin} for row in found}
    tree = masked_tree(loaded.settings.model_dump(mode="json"))
    return {"settings": tree, "origins": {row.key: row.origin for row in found}}


def _as_yaml(found: list[Row], loaded: Loaded, flat: bool) -> str:
    tree = {row.key: row.value for row in found} if flat else masked_tree(loaded.settings.model_dump(mode="json"))
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)).rstrip("\n")
