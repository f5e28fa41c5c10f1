"""korthweb.example.yaml, .env.example and the table of docs/settings.md, made from the model so that no key is missing.

``python -m korthweb_tasks.settings.example`` in a checkout writes them, and docs/korthweb.schema.json; a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from korthweb_tasks.core.git_providers import TOKENS
from korthweb_tasks.settings import json_schema
from korthweb_tasks.settings.charts import Chart
from korthweb_tasks.settings.cluster import BastionSettings, ClusterSettings
from korthweb_tasks.settings.fields import Model
from korthweb_tasks.settings.guarded import guarded_table
from korthweb_tasks.settings.model import DEFAULT_TENANTS, Settings
from korthweb_tasks.settings.secrets import GIT_PASSWORD, secret_names
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.settings.versions import PINS

_HEAD = """\
# korthweb.yaml: everything that can be set. All of it is optional; `korthweb config.show` prints what holds and why.
#
# What is commented out shows the default: remove the # of a line, and of the headings above it, to change it.
# A profile (production, lab) lies below this file; above it lie the environment (KORTHWEB__ORTHANC__CONNECTIONS=8,
# KORTHWEB__TENANTS__BHC__STORAGE=50Gi) and flags. Passwords belong into .env, not here.
"""
_KEYS = "<!-- keys: begin -->", "<!-- keys: end -->"
_GUARDED = "<!-- guarded: begin -->", "<!-- guarded: end -->"
#: what can't be guessed from a default
_EXAMPLES: dict[type[Model], dict[str, Any]] = {
    ClusterSettings: {"context": "admin@hospital-a"},
    BastionSettings: {"host": "bastion.hospital-a.example"},
}


def yaml_example(schema: str = f"docs/{json_schema.FILE}") -> str:
    """Return korthweb.example.yaml, whose JSON Schema an editor finds at the path ``schema``."""
    lines = [json_schema.modeline(schema), _HEAD]
    settings = Settings()
    for name, info in Settings.model_fields.items():
        lines += [*_top(name, info, getattr(settings, name)), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def env_example() -> str:
    """Return .env.example."""
    names = secret_names(Settings().tenants)
    lines = [
        "# .env: passwords, and nothing else that anybody could read. Copy it to .env and `chmod 600 .env`.",
        "# One per user of each tenant, and one per database (POSTGRES). What is not set is generated, and kept in the",
        "# cluster's Secrets: `korthweb manual.credentials` shows it. At least 8 characters, without \" \\ and ${.",
        "# Quote a value that holds # or a space: NAME='...'. The environment comes before this file.",
        *(f"#{name}=" for name in names),
        "",
        f"# GitOps: password or token for the fleet repository. {', '.join(TOKENS.values())} are taken too.",
        f"#{GIT_PASSWORD}=",
        "",
        "# Any setting of korthweb.yaml can be given here or in the environment too, its path joined by __:",
        "#KORTHWEB__CONTEXT=hospital-a",
        "#KORTHWEB__TENANTS__BHC__REPLICAS__MAX=6",
        "#KORTHWEB__ORTHANC__CONFIG__LimitFindResults=1000",
        "",
        "# Only in the environment, not in this file: where things are kept, and tracebacks.",
        "# KORTHWEB_CACHE  binaries, images, packages of the lab (default: ~/.cache/korthweb)",
        "# KORTHWEB_STATE  the labs that run (default: ~/.local/state/korthweb)",
        "# KORTHWEB_DEBUG  1: tracebacks instead of one clear line",
    ]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Return the table of all keys for docs/settings.md."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    for key, default, text in _keys(Settings, "", Settings()):
        lines.append(f"| `{key}` | {default} | {text} |")
    return "\n".join(lines)


def with_reference(page: str) -> str:
    """Return a page of documentation with its tables renewed, each between its two marks."""
    for (begin, end), table in ((_KEYS, reference()), (_GUARDED, guarded_reference())):
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def guarded_reference() -> str:
    """Return the table of what the deployment relies on, for docs/settings.md."""
    table = guarded_table()
    lines = ["| name | why | may be accepted |", "|---|---|---|"]
    lines += [f"| `{risk.name}` | {risk.why} | yes |" for risk in table.risks]
    for row in table.keys:
        instead = f"; instead: {row.instead}" if row.instead else ""
        lines.append(f"| `{row.key}` | {row.why}{instead} | {'yes' if row.accept else 'no'} |")
    return "\n".join(lines)


def _top(name: str, info: FieldInfo, value: Any) -> Iterator[str]:
    if name == "tenants":
        yield from _tenants(info)
    elif name == "clusters":
        yield f"#clusters:  # {info.description}"
        yield "#  hospital-a:"
        yield from _section(ClusterSettings, 2)
    elif name == "charts":
        yield f"#charts:  # {info.description}"
        for number, (chart, body) in enumerate(value.items()):
            yield f"#  {chart}:"
            yield from _section(Chart, 2, body) if number == 0 else _bare(body, 2)
    elif name == "components":
        yield f"#components:  # {info.description}"
        for component, choice in value.items():
            yield f"#  {component}: {choice}"
    elif name == "versions":
        yield f"#versions:  # {info.description}"
        for component, version in value.items():
            pin = PINS[component]
            yield f"#  {component}: {_scalar(version)}  # {pin.accepted}: {pin.title}"
    elif isinstance(value, Model):
        yield f"#{name}:  # {info.description}"
        yield from _section(type(value), 1, value)
    else:
        yield f"#{name}: {_scalar(value)}  # {info.description}"


def _tenants(info: FieldInfo) -> Iterator[str]:
    yield f"tenants:  # {info.description}"
    for index, given in enumerate(DEFAULT_TENANTS):
        tenant = Tenant(**given)
        for key, field in Tenant.model_fields.items():
            value, mark = getattr(tenant, key), "- " if key == "name" else "  "
            note = f"  # {field.description}" if index == 0 else ""
            live = "" if key in given else "#"
            if isinstance(value, Model):
                yield f"{live}  {key}:{note}"
                yield from _section(type(value), 2, value) if index == 0 else _bare(value, 2)
            else:
                yield f"{live}{mark}{key}: {_scalar(value)}{note}"


def _bare(value: Model, depth: int) -> Iterator[str]:
    for key, inner in value:
        if isinstance(inner, Model):
            yield f"#{'  ' * depth}{key}:"
            yield from _bare(inner, depth + 1)
        else:
            yield f"#{'  ' * depth}{key}: {_scalar(inner)}"


def _section(model: type[Model], depth: int, value: Model | None = None) -> Iterator[str]:
    """Give the lines of every field; without ``value`` an example is shown for what has no default."""
    indent = "  " * depth
    for key, field in model.model_fields.items():
        inner = getattr(value, key) if value is not None else _sample(model, key, field)
        if isinstance(inner, Model):
            yield f"#{indent}{key}:  # {field.description}"
            yield from _section(type(inner), depth + 1, inner)
        elif model is ClusterSettings and key == "bastion":
            yield f"#{indent}{key}:  # {field.description}"
            yield from _section(BastionSettings, depth + 1)
        else:
            yield f"#{indent}{key}: {_scalar(inner)}  # {field.description}"


def _sample(model: type[Model], key: str, field: FieldInfo) -> Any:
    given = _EXAMPLES.get(model, {})
    return given[key] if key in given else field.get_default(call_default_factory=True)


def _scalar(value: Any) -> str:
    """Return a value on one line, as YAML."""
    if isinstance(value, float) and value == int(value):
        value = int(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_scalar(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_scalar(inner) for inner in value) + "]"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return str(text).removesuffix("\n").removesuffix("...").rstrip("\n")


def keys() -> list[tuple[str, str, str]]:
    """Return every key with its default and what it means, without any file."""
    return [(key, default.strip("`"), text) for key, default, text in _keys(Settings, "", Settings())]


def _keys(model: type[Model], prefix: str, value: Model | None) -> Iterator[tuple[str, str, str]]:
    """Give (dotted key, default, description) of everything in ``model``, whose defaults are those of ``value``."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        text = str(field.description)
        inner = _inner(field)
        held = getattr(value, name) if value is not None else field.get_default(call_default_factory=True)
        default = "" if inner or field.is_required() else _default(name, held)
        yield key, default, text
        if inner:
            middle = {"clusters": "<name>.", "charts": "<chart>.", "tenants": "<tenant>."}.get(key, "")
            yield from _keys(inner, f"{key}.{middle}", held if isinstance(held, Model) else None)


def _inner(field: FieldInfo) -> type[Model] | None:
    """Return the model that a field holds: itself, in a table, in a list, or perhaps."""
    waiting: list[Any] = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, Model):
            return kind
        waiting += get_args(kind)
    return None


def _default(name: str, value: Any) -> str:
    if name == "versions":
        return "the pins"
    if value is None or value == "":
        return "none"
    return f"`{json.dumps(value) if isinstance(value, Mapping) else _scalar(value)}`"


def main() -> None:
    """Write the four files of a checkout."""
    root = Path(__file__).parents[2]
    (root / "korthweb.example.yaml").write_text(yaml_example(), "utf-8")
    (root / ".env.example").write_text(env_example(), "utf-8")
    (root / "docs" / json_schema.FILE).write_text(json_schema.schema_text(), "utf-8")
    page = root / "docs" / "settings.md"
    page.write_text(with_reference(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
