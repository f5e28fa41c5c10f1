"""Ships the deployable artifacts inside the wheel; a checkout (also an editable install) reads them in place."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ArtifactsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the approaches' folders and docs/, as far as they are there, under korthweb_tasks/artifacts/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend ``force_include`` of a standard (not an editable) wheel."""
        if version != "standard":
            return
        names = run_path(str(Path(self.root) / "korthweb_tasks" / "settings" / "approaches.py"))["APPROACHES"]
        for folder in (*names, "docs"):
            if (Path(self.root) / folder).is_dir():
                build_data["force_include"][folder] = f"korthweb_tasks/artifacts/{folder}"
