"""The JSON Schema of korthweb.yaml, made from the model, by which an editor completes and checks what is typed.

It never refuses what ``config.check`` takes. What one value says of another (two tenants with one domain, more
connections than there are) only ``config.check`` sees. docs/korthweb.schema.json is its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from korthweb_tasks.settings.charts import CHARTS
from korthweb_tasks.settings.dicom import MODERN, OF_MODALITY, SUITES
from korthweb_tasks.settings.guarded import guarded_table
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc_options import Options, chart_file, option_table
from korthweb_tasks.settings.versions import NUMBER, PINS

#: the file beside a korthweb.yaml, and the line with which editors (yaml-language-server, IntelliJ) find it
FILE = "korthweb.schema.json"
Schema = dict[str, Any]
_FREE: Schema = {"type": "object", "additionalProperties": True}
_KINDS: dict[str, Schema] = {
    "boolean": {"type": "boolean"},
    "number": {"type": "integer", "minimum": 0},
    "text": {"type": "string"},
    "list": {"type": "array"},
    "section": _FREE,
}


def modeline(path: str = FILE) -> str:
    """Return the first line of a korthweb.yaml: where its schema is.

    >>> modeline()
    '# yaml-language-server: $schema=korthweb.schema.json'
    """
    return f"# yaml-language-server: $schema={path}"


def schema_text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(settings_schema(), indent=2, ensure_ascii=False) + "\n"


def settings_schema() -> Schema:
    """Return the JSON Schema (draft 7) of korthweb.yaml as data.

    >>> settings_schema()["properties"]["approach"]["enum"]
    ['manual', 'helm', 'gitops']
    """
    schema = Settings.model_json_schema()
    models = schema["$defs"] | {"Settings": schema}
    for (model, field), more in _refined(models).items():
        place = models[model]["properties"][field]
        description = place["description"]
        place.clear()
        place.update({"description": description, **more})
    del models["Chart"]["required"]  # what is not given is korthweb's own
    for model in models.values():
        _plain(model)
    about = "Settings of korthweb (korthweb.yaml); `config.check` sees what no schema can say."
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "korthweb.yaml"}
    return {**head, **schema, "description": about}


def _refined(models: Mapping[str, Schema]) -> dict[tuple[str, str], Schema]:
    """Return what the types of the model do not say: tables with known names, and what is read from the chart."""
    table, reserved = guarded_table(), chart_file("reserved.json")
    own = {"pattern": f"^(?!(?:{'|'.join(reserved['prefixes'])})).", "not": {"enum": list(reserved["names"])}}
    label = _of(models, "Tenant", "namespace")
    versions = {name: _version(pin.title, pin.accepted, pin.version) for name, pin in PINS.items()}
    images = Settings().images
    suites = [*SUITES, *SUITES.values()]
    ciphers = {"anyOf": [{"enum": [MODERN, *suites]}, {"type": "string", "pattern": _caseless(suites)}]}
    return {
        ("Tenant", "namespace"): {"anyOf": [{"allOf": [label, own]}, {"type": "null"}]},
        ("Tenant", "aet"): {"anyOf": [_of(models, "Tenant", "aet"), {"type": "null"}]},
        ("TlsSettings", "ciphers"): {"type": "array", "items": ciphers, "minItems": 1, "default": [MODERN]},
        ("Modality", "config"): {
            **_FREE,
            "properties": dict.fromkeys(OF_MODALITY, True),
            "propertyNames": {"enum": list(OF_MODALITY)},
        },
        ("OrthancSettings", "config"): _orthanc(),
        ("Settings", "accept_risks"): {"type": "array", "items": {"enum": list(table.acceptable)}, "default": []},
        ("Settings", "versions"): _named(versions),
        ("Settings", "charts"): _named({name: {"$ref": "#/$defs/Chart"} for name in CHARTS}),
        **{
            ("Images", name): {**_of(models, "Images", name), "default": image}
            for name, image in images
            if name in _TAGGED
        },
    }


_TAGGED = ("orthanc", "postgres", "prometheus", "kiali", "grafana", "jaeger", "cloudnative_pg", "cnpg_postgres")


def _of(models: Mapping[str, Schema], model: str, field: str) -> Schema:
    place: Schema = models[model]["properties"][field]
    return {key: value for key, value in place.items() if key in ("type", "pattern", "maxLength")}


def _caseless(words: list[str]) -> str:
    letters = (
        "".join(f"[{one}{one.lower()}]" if one.upper() != one.lower() else one for one in word) for word in words
    )
    return f"^(?:{'|'.join(letters)})$"


def _named(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _version(title: str, accepted: str, version: str) -> Schema:
    return {
        "description": f"{title} ({accepted})",
        "type": "string",
        "pattern": f"^{NUMBER.pattern}$",
        "default": version,
    }


def _orthanc() -> Schema:
    """Return the schema of an orthanc.json; a key that is not in the table may be that of a plugin."""
    table = option_table()
    inside = {name: {**_FREE, "properties": _options(options)} for name, options in table.inside.items()}
    plugins = dict.fromkeys(table.plugins, _FREE)
    return {**_FREE, "properties": {**_options(table.top), **plugins, **inside}}


def _options(options: Options) -> Schema:
    return {
        name: {"enum": list(options.choices[name])} if name in options.choices else _KINDS[kind]
        for name, kind in options.kinds.items()
    }


def _plain(model: Schema) -> None:
    """Say of each field of a model what the layers of settings make of it, and leave out what says nothing."""
    model.pop("title", None)
    for name, field in model["properties"].items():
        model["properties"][name] = _field(field)


def _field(field: Schema) -> Any:
    field.pop("title", None)
    if field.get("default", "") in (None, ""):
        field.pop("default", None)
    return _perhaps_nothing(_inside(field))


def _inside(schema: Any) -> Any:
    """Return a schema with known names as properties, no other names, and no empty texts."""
    if not isinstance(schema, dict) or schema.get("additionalProperties") is True:
        return schema
    schema = dict(schema)
    if names := schema.pop("propertyNames", {}).get("enum"):
        schema |= _named(dict.fromkeys(names, schema["additionalProperties"]))
    for key in ("properties", "patternProperties"):
        if key in schema:
            schema[key] = {name: _perhaps_nothing(_inside(one)) for name, one in schema[key].items()}
    if schema.get("patternProperties"):
        schema["additionalProperties"] = False
    elif isinstance(values := schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _perhaps_nothing(_inside(values))
    if "items" in schema:
        schema["items"] = _inside(schema["items"])
    if "anyOf" in schema:
        schema["anyOf"] = [_inside(one) for one in schema["anyOf"]]
    if schema.get("type") == "string" and not {"enum", "pattern"} & set(schema):
        schema["pattern"] = r"\S"
    return schema


def _perhaps_nothing(schema: Any) -> Any:
    """Return a section, table or list that may be a heading with nothing below it; a free one may not."""
    if not isinstance(schema, dict) or schema.get("additionalProperties") is True:
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**rest, "anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]}
    if schema.get("type") in ("object", "array"):
        return {**schema, "type": [schema["type"], "null"]}
    return schema
