"""How often a counter changes, learnt from readings."""

import pytest

from greenopt.energy.tick import TickWatch


def watched(tick_s: float, claimed_s: float, step_s: float = 0.02, seconds: float = 10.0) -> TickWatch:
    """A watch that has read a counter in even steps."""
    watch, changed_s, value = TickWatch(claimed_s), 0.0, 0
    for step in range(1, round(seconds / step_s)):
        now_s = step * step_s
        if int(now_s / tick_s + 1e-9) != value:
            watch.change(now_s - step_s, now_s, now_s - step_s - changed_s)
            value, changed_s = int(now_s / tick_s + 1e-9), now_s
    return watch


@pytest.mark.parametrize("tick_s", [0.02, 0.06, 0.1, 0.5, 1.0])
def test_the_bound_holds_the_tick_and_is_close_to_it(tick_s: float) -> None:
    watch = watched(tick_s, claimed_s=0.1)
    assert watch.is_known
    assert tick_s <= watch.bound_s + 1e-9
    assert watch.bound_s <= tick_s + 0.05


def test_a_fine_counter_is_believed_to_be_fine() -> None:
    assert watched(0.001, claimed_s=0.001).bound_s == 0.001


def test_until_two_changes_were_seen_the_tick_may_be_long() -> None:
    watch = TickWatch(0.1)
    assert not watch.is_known
    assert watch.bound_s >= 1.0
    assert watch.stall_s > 2.0


def test_a_stall_is_no_tick() -> None:
    watch = watched(0.1, claimed_s=0.1)
    watch.change(20.0, 20.02, stood_s=9.9)
    assert watch.bound_s <= 0.12
