"""Bad kubeconfigs, looked at by the real kubectl: one clear error, the right code, advice that helps, no hang."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from korthweb_tasks.provision.tools import locate
from tests.bad_input.tries import kubeconfigs
from tests.bad_input.trying import Zygote, faults

ALL = list(kubeconfigs())


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, 4))])
def test_a_bad_kubeconfig_is_refused_clearly(part: int, zygote: Zygote, tmp_path: Path) -> None:
    if found := faults(ALL[part::4], zygote, tmp_path, locate("kubectl").path):
        pytest.fail(found, pytrace=False)
