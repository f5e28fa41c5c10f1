"""Nothing in the package is dead: vulture reads it, with the names that templates use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_dead(tmp_path: Path) -> None:
    templates = [
        path for folder in ("manual", "helm", "gitops", "korthweb_tasks") for path in (ROOT / folder).rglob("*.j2")
    ]
    words = {word for path in templates for word in re.findall(r"\.([a-z_]+)\b", path.read_text("utf-8"))}
    used = tmp_path / "used_by_templates.py"
    used.write_text("".join(f"_.{word}\n" for word in sorted(words)), "utf-8")
    command = [sys.executable, "-m", "vulture", "korthweb_tasks", "tasks.py", str(used)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr
