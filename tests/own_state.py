"""Labs of tests, apart from the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Keep the labs that come up in this block in ``folder``; for fixtures that outlive a function's monkeypatch."""
    before = os.environ.get("KORTHWEB_STATE")
    os.environ["KORTHWEB_STATE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["KORTHWEB_STATE"]
        if before is not None:
            os.environ["KORTHWEB_STATE"] = before
