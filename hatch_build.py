"""Ships the deployable artifacts inside the wheel; a checkout (also an editable install) reads them in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ArtifactsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds manual/, helm/, gitops/ and docs/, as far as they are there, under korthweb_tasks/artifacts/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend ``force_include`` of a standard (not an editable) wheel."""
        if version != "standard":
            return
        for approach in ("manual", "helm", "gitops", "docs"):
            if (Path(self.root) / approach).is_dir():
                build_data["force_include"][approach] = f"korthweb_tasks/artifacts/{approach}"
