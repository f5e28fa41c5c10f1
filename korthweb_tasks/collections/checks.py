"""``korthweb test``: every check there is, side by side, and an honest count at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


@task(
    example="korthweb test --only static,unit",
    cluster=False,
    changes=False,
    help={
        "only": "some of static, unit, simulated, lab, with commas (default: all)",
        "long": "the long forms too, which take an hour",
    },
)
def test(session: Session, only: str = "", long: bool = False) -> None:  # noqa: PT028 - a task, not a test
    """Run ruff, mypy, the unit tests, the simulated tests and the real lab end to end, in a checkout."""
    from korthweb_tasks.services import checks

    checks.run(session, only, long=long)
