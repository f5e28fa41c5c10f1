"""docs/architecture.md says what is so: its rooms, what they import, and the files of the ten changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_imports import MAY

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "korthweb_tasks"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: where a path in the page may begin
PLACES = (ROOT, PACKAGE)
#: a file's name that stands for each of its kind
ANY = re.compile(r"NAME|APPROACH")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_room_has_its_row_with_what_it_may_import() -> None:
    told = {row[0].strip("`"): set(row[2].replace(",", " ").split()) for row in rows("Rooms")}
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert told == {room: MAY[room] for room in folders}


def paths() -> list[str]:
    return sorted({word for word in re.findall(r"`([\w./*-]+)`", PAGE) if "/" in word})


@pytest.mark.parametrize("path", paths())
def test_each_path_is_there(path: str) -> None:
    pattern = ANY.sub("*", path)
    assert any(list(place.glob(pattern.rstrip("/"))) for place in PLACES), f"there is no {path}"


def test_the_ten_changes_are_ten_and_name_their_files() -> None:
    changes = rows("Ten changes")
    assert len(changes) == 10
    for change, files, count in changes:
        assert len(re.findall(r"`[^`]+`", files)) == int(count), change
