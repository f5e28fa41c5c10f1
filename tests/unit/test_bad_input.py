"""Bad input: one clear error with the promised exit code and advice that helps; no traceback, no hang."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.collections import assemble
from tests.bad_input import tries
from tests.bad_input.trying import Zygote, faults


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


def known_tasks() -> dict[str, frozenset[str]]:
    root: Any = assemble()
    return {name: frozenset(root[name].words.parameters) for name in root.task_names if name not in ("test",)}


ALL = tries.offline(known_tasks())


def test_there_are_enough() -> None:
    assert len({what.name for what in ALL}) >= 450


@pytest.mark.parametrize("part", [*range(2), *(pytest.param(part, marks=pytest.mark.long) for part in range(2, 16))])
def test_bad_input_is_refused_clearly(part: int, zygote: Zygote, tmp_path: Path) -> None:
    if found := faults(ALL[part::16], zygote, tmp_path):
        pytest.fail(found, pytrace=False)
