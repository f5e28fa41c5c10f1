"""The table of values in helm/orthanc/README.md, made from the comments of values.yaml.

``python bench/chart_readme.py --write`` in a checkout writes it; a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "helm" / "orthanc"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_]+):")
_TOLD = re.compile(r"^ *# -- (?P<text>.+)$")


def described(text: str) -> Iterator[tuple[str, str]]:
    """Go through (path of a value, what is said of it), in the order of the file."""
    path: list[str] = []
    said = ""
    for line in text.splitlines():
        if told := _TOLD.match(line):
            said = told["text"]
        elif key := _KEY.match(line):
            path = [*path[: len(key["indent"]) // 2], key["key"]]
            if said:
                yield ".".join(path), said
            said = ""


def at(values: Any, path: str) -> Any:
    """Return the value at a dotted path."""
    for key in path.split("."):
        values = values[key]
    return values


def table(text: str) -> str:
    """Return the table for a values.yaml."""
    values = yaml.safe_load(text)
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, said in described(text):
        default = json.dumps(at(values, path), ensure_ascii=False)
        lines.append(f"| `{path}` | `{default}` | {said.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def updated(readme: str, text: str) -> str:
    """Return a README with its table made anew."""
    head, _, rest = readme.partition(BEGIN)
    _, _, foot = rest.partition(END)
    return f"{head}{BEGIN}\n{table(text)}\n{END}{foot}"


def main() -> int:
    """Write the README, or say whether it is as it should be."""
    readme = CHART / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = updated(before, (CHART / "values.yaml").read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        readme.write_text(after, encoding="utf-8")
    elif before != after:
        print("helm/orthanc/README.md is not what values.yaml says: python bench/chart_readme.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
