"""How much of a run happens side by side, and what a second deployment costs: read from the reports of runs.

``python bench/deploy_ratios.py [PROJECT]``: after ``korthweb demo`` and two ``korthweb manual.deploy`` in that folder.
Wanted: the warm demo at most 0.7 of the sum of its steps, a second manual.deploy at most 0.15 of the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def overlap(report: dict[str, Any]) -> float:
    """Return the whole run as a part of the sum of its steps and rungs, all in seconds."""
    steps = sum(step["end"] - step["start"] for step in report["steps"])
    rungs = sum(rung["ms"] for rung in report["rungs"]) / 1000
    return float(report["seconds"] / (steps + rungs)) if steps + rungs else 0.0


def deployments(runs: Path) -> list[dict[str, Any]]:
    """Return the reports of runs that ended well, the oldest first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*/report.json"))]
    return [report for report in found if report["outcome"] == "passed"]


def main(project: Path) -> None:
    work = project / ".korthweb"
    demo = work / "demo" / "report.json"
    if demo.is_file():
        print(
            f"demo: {overlap(json.loads(demo.read_text(encoding='utf-8'))):.2f} of the sum of its steps (at most 0.70)"
        )
    firsts: dict[tuple[str, str], dict[str, Any]] = {}
    for report in deployments(work / "runs"):
        key = report["title"], report["server"]
        changed = sum(step["verdict"] == "changed" for step in report["steps"])
        if changed:
            firsts[key] = report
        elif first := firsts.get(key):
            print(f"{report['title']}, again: {report['seconds'] / first['seconds']:.2f} of the first (at most 0.15)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
