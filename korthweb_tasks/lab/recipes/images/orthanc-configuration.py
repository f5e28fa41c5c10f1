"""Writes /tmp/orthanc.json out of JSON files, files of secrets and variables: ORTHANC__SECTION__KEY is Section.Key."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

HOME = "/usr/share/orthanc"
#: sections whose presence brings a plugin in
PLUGINS = {"PostgreSQL": ("PostgreSQLIndex", "PostgreSQLStorage"), "DicomWeb": ("DicomWeb",), "Gdcm": ("Gdcm",)}


def merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    """Lay ``other`` over ``into``."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def setting(name: str, text: str) -> dict[str, Any]:
    """Return a variable as a piece of configuration: ORTHANC__DICOM_AET=X is {"DicomAet": "X"}."""
    value: Any = text
    with suppress(ValueError):
        value = json.loads(text)
    for part in reversed(name.removeprefix("ORTHANC__").split("__")):
        value = {"".join(word.capitalize() for word in part.split("_")): value}
    return dict(value)


config: dict[str, Any] = {
    "StorageDirectory": "/var/lib/orthanc/db",
    "RemoteAccessAllowed": True,
    "Plugins": [f"{HOME}/plugins"],
}
secrets = Path("/run/secrets")
for path in (*sorted(Path("/etc/orthanc").glob("*.json")), *sorted(secrets.glob("*.json"))):
    text = re.sub(r"\$\{([A-Za-z0-9_]+)\}", lambda found: os.environ.get(found[1], ""), path.read_text())
    merge(config, json.loads(text))
files = {path.name: path.read_text().rstrip("\n") for path in secrets.glob("ORTHANC__*")}
for name, text in {**os.environ, **files}.items():
    if name.startswith("ORTHANC__"):
        merge(config, setting(name, text))
for section, names in PLUGINS.items():
    for plugin in names if section in config else ():
        Path(HOME, f"plugins-available/libOrthanc{plugin}.so").rename(Path(HOME, f"plugins/libOrthanc{plugin}.so"))
Path("/tmp/orthanc.json").write_text(json.dumps(config, indent=2))
