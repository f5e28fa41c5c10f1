"""Each test of a case says which case it is about, so that a case is found by its id."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CASES = Path(__file__).parents[1]
NAMED = re.compile(r"test_(?P<id>[FSU][0-9]+)_")


def _tests() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(CASES.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and NAMED.match(node.name):
                yield path.name, node


def test_a_test_names_its_case_in_its_docstring() -> None:
    silent = [
        f"{path}::{test.name}"
        for path, test in _tests()
        if (found := NAMED.match(test.name)) and not re.search(rf"\b{found['id']}\b", ast.get_docstring(test) or "")
    ]
    assert not silent
