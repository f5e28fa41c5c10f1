"""Labs, as the rest of korthweb uses them: these names and no other module of this folder, loaded at their first use.

>>> from korthweb_tasks.lab import labs
>>> labs.status("lab").state
'absent'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from korthweb_tasks.lab.addons import InstalledAddon as InstalledAddon
    from korthweb_tasks.lab.addons import addon as addon
    from korthweb_tasks.lab.addons import chart_source as chart_source
    from korthweb_tasks.lab.addons import git_access as git_access
    from korthweb_tasks.lab.addons import install as install
    from korthweb_tasks.lab.charts import chart_folder as chart_folder
    from korthweb_tasks.lab.cluster import LabInfo as LabInfo
    from korthweb_tasks.lab.cluster import LabStatus as LabStatus
    from korthweb_tasks.lab.cluster import down as down
    from korthweb_tasks.lab.cluster import preview as preview
    from korthweb_tasks.lab.cluster import status as status
    from korthweb_tasks.lab.cluster import up as up
    from korthweb_tasks.lab.layout import DEFAULT_SUBNET as DEFAULT_SUBNET
    from korthweb_tasks.lab.logs import follow_log as follow_log
    from korthweb_tasks.lab.logs import last_lines as last_lines
    from korthweb_tasks.lab.logs import log_file as log_file
    from korthweb_tasks.lab.prebuild import components as components
    from korthweb_tasks.lab.prebuild import prepare as prepare
    from korthweb_tasks.lab.preflight import impossible as impossible
    from korthweb_tasks.lab.raising import Options as Options
    from korthweb_tasks.lab.raising import needed as needed
    from korthweb_tasks.lab.registry import missing_images as missing_images
    from korthweb_tasks.lab.store import is_simulated as is_simulated
    from korthweb_tasks.lab.store import names as names

#: module -> what it has of these
_NAMES = {
    "addons": ("InstalledAddon", "addon", "chart_source", "git_access", "install"),
    "charts": ("chart_folder",),
    "cluster": ("LabInfo", "LabStatus", "down", "preview", "status", "up"),
    "layout": ("DEFAULT_SUBNET",),
    "logs": ("follow_log", "last_lines", "log_file"),
    "prebuild": ("components", "prepare"),
    "preflight": ("impossible",),
    "raising": ("Options", "needed"),
    "registry": ("missing_images",),
    "store": ("is_simulated", "names"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"korthweb_tasks.lab.{_MODULES[name]}"), name)
