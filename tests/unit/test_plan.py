"""Plans are graphs without cycles, and parts of them keep their order."""

from __future__ import annotations

import pytest

from korthweb_tasks.core.plan import Plan, Step


def step(name: str, *needs: str) -> Step:
    return Step(kind=name, title=name, needs=needs)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ((step("a"), step("a")), "named twice"),
        ((step("a", "b"),), "unknown"),
        ((step("a", "b"), step("b", "a")), "circle"),
        ((step("a", "a"),), "circle"),
    ],
)
def test_a_broken_graph_is_refused(steps: tuple[Step, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Plan("broken", steps)


def test_a_part_of_a_plan_keeps_the_order_through_what_was_left_out() -> None:
    plan = Plan("all", (step("a"), step("b", "a"), step("c", "b"), step("d", "c", "a")))
    part = plan.only("part", ["a", "d"])
    assert part["d"].needs == ("a",)
    assert part["a"].needs == ()
