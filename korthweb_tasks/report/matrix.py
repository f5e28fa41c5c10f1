"""The isolation matrix as rows and columns: for the terminal and for the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from korthweb_tasks.report.model import CellRecord, CellStatus

MARKS: dict[CellStatus, str] = {"passed": "✓", "broken": "✗", "unknown": "?"}
#: columns that one block of text holds, as wide as a usual terminal
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of attempt and its cells, a column each; None where it was not tried for that pair."""

    title: str
    cells: tuple[CellRecord | None, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The attempts that come from one place."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The whole picture; ``pairs`` are the titles of the columns."""

    pairs: tuple[str, ...]
    groups: tuple[Group, ...]
    passed: int
    total: int


def matrix(cells: Sequence[CellRecord]) -> Matrix:
    """Arrange the cells, in the order in which they come."""
    pairs = tuple(dict.fromkeys(cell.pair for cell in cells))
    by_place = {(cell.group, cell.name, cell.pair): cell for cell in cells}
    groups = tuple(
        Group(group, tuple(_line(by_place, group, name, pairs) for name in _names(cells, group)))
        for group in dict.fromkeys(cell.group for cell in cells)
    )
    return Matrix(pairs, groups, sum(cell.status == "passed" for cell in cells), len(cells))


def _names(cells: Sequence[CellRecord], group: str) -> list[str]:
    return list(dict.fromkeys(cell.name for cell in cells if cell.group == group))


def _line(by_place: dict[tuple[str, str, str], CellRecord], group: str, name: str, pairs: tuple[str, ...]) -> Line:
    cells = tuple(by_place.get((group, name, pair)) for pair in pairs)
    return Line(next(cell.title for cell in cells if cell), cells)


def as_text(picture: Matrix, width: int = WIDTH) -> list[str]:
    """Return the matrix as lines of text; where its columns do not fit, as several blocks of them."""
    label = max((len(line.title) for group in picture.groups for line in group.lines), default=0) + 4
    column = max((len(pair) for pair in picture.pairs), default=0) + 2
    fit = max(1, (width - label) // column)
    lines: list[str] = []
    for first in range(0, len(picture.pairs), fit):
        shown = slice(first, first + fit)
        lines += [""] if lines else []
        lines.append(" " * label + "".join(f"{pair:^{column}}" for pair in picture.pairs[shown]).rstrip())
        for group in picture.groups:
            lines.append(group.title)
            lines += [_text(line, shown, label, column) for line in group.lines]
    return lines


def _text(line: Line, shown: slice, label: int, column: int) -> str:
    marks = (MARKS[cell.status] if cell else " " for cell in line.cells[shown])
    return f"  {line.title:<{label - 2}}" + "".join(f"{mark:^{column}}" for mark in marks).rstrip()
