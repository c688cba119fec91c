"""When the sampler reads what."""

from itertools import pairwise

import pytest

from greenopt.energy.schedule import Schedule


def times(schedule: Schedule, until_s: float, late_s: float = 0.0) -> list[float]:
    found = []
    while schedule.next_s < until_s:
        now_s = schedule.next_s + late_s
        found.append(now_s)
        schedule.advance(now_s, counter_read=False, changed=False, tick_s=0.1, has_power=True)
    return found


def quiet(start_s: float = 50.0) -> Schedule:
    """A schedule whose counter is not due."""
    schedule = Schedule(start_s, 0.1)
    schedule._counter_s = float("inf")
    return schedule


def test_lateness_does_not_add_up() -> None:
    found = times(quiet(), 150.0, late_s=0.02)
    assert len(found) == pytest.approx(1000, abs=3)


def test_samples_never_lock_to_the_sensors_own_period() -> None:
    phases = sorted(t_s % 0.1 for t_s in times(quiet(), 150.0))
    largest_hole_s = max(later - earlier for earlier, later in pairwise(phases))
    assert largest_hole_s < 0.005


def test_samples_are_never_further_apart_than_two_periods() -> None:
    found = times(quiet(), 150.0)
    assert max(later - earlier for earlier, later in pairwise(found)) < 0.2


def test_missed_samples_are_left_out() -> None:
    schedule = quiet()
    schedule.advance(57.34, counter_read=False, changed=False, tick_s=0.1, has_power=True)
    assert 57.34 < schedule.next_s < 57.6


def counter_reads(until_s: float, *, changes: bool) -> int:
    schedule, reads, seen_tick = Schedule(0.0, 0.1), 0, -1
    while (now_s := schedule.next_s) < until_s:
        due = schedule.is_counter_due(now_s)
        tick = int(now_s / 0.1) if changes else 0
        reads += due
        schedule.advance(now_s, counter_read=due, changed=due and tick != seen_tick, tick_s=0.1, has_power=True)
        seen_tick = tick if due else seen_tick
    return reads


def test_the_slow_counter_is_read_less_than_once_a_second() -> None:
    assert 20 < counter_reads(100.0, changes=True) < 90


def test_a_counter_that_stands_still_is_not_hunted_for_ever() -> None:
    assert counter_reads(100.0, changes=False) < 300
