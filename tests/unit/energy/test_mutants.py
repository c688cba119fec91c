"""Each mistake that a meter is likely to make is noticed by the acceptance table.

A mutant is the meter with one line replaced; the table must then have a line that no longer holds.
"""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy import meter as meter_room
from greenopt.energy import nvml as nvml_room
from greenopt.energy import trace as trace_room
from greenopt.energy.ledger import Ledger, Mark
from greenopt.energy.tick import TickWatch
from greenopt.energy.trace import PowerIntegral
from tests.unit.energy.acceptance import CASES

Mutation = Callable[[pytest.MonkeyPatch], None]


def millijoules_for_joules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nvml_room, "_MILLI", 1.0)


def left_sum(patch: pytest.MonkeyPatch) -> None:
    extend = PowerIntegral._extend

    def left(self: PowerIntegral, t_s: float, power_w: float) -> None:
        before = self.trace
        extend(self, t_s, power_w)
        start_w = power_w if before.power_w is None else before.power_w
        figures = {name: getattr(self.trace, name) for name in self.trace.__slots__}
        self.trace = trace_room.Trace(**{**figures, "energy_j": before.energy_j + start_w * (t_s - before.t_s)})

    patch.setattr(PowerIntegral, "_extend", left)


def last_sample_dropped(patch: pytest.MonkeyPatch) -> None:
    read = EnergyMeter._read

    def without_power(self: EnergyMeter, **how: Any) -> Mark:
        if self._latest is None or not how.get("is_boundary", True):
            return read(self, **how)
        add, self._ledger.add_power = self._ledger.add_power, lambda t_s, power_w: None  # type: ignore[union-attr, method-assign]
        try:
            return read(self, **how)
        finally:
            self._ledger.add_power = add  # type: ignore[union-attr, method-assign]

    patch.setattr(EnergyMeter, "_read", without_power)


def sync_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EnergyMeter, "mark", EnergyMeter._read)


def unchanged_samples_dropped(patch: pytest.MonkeyPatch) -> None:
    add = PowerIntegral.add

    def only_changes(self: PowerIntegral, t_s: float, power_w: float) -> None:
        if power_w != self.trace.power_w:
            add(self, t_s, power_w)

    patch.setattr(PowerIntegral, "add", only_changes)


def reset_taken_at_its_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_is_possible", lambda self, last, now: True)


def stuck_counter_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TickWatch, "stall_s", 1e9)


def devices_averaged(patch: pytest.MonkeyPatch) -> None:
    total = math.fsum
    patch.setattr(math, "fsum", lambda values: total(parts := list(values)) / max(1, len(parts)))


def gaps_not_seen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(meter_room, "_MIN_GAP_S", 1e9)


def counter_not_used(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_cut", lambda self, now, lag_s: None)


MUTATIONS: dict[Mutation, tuple[int, ...]] = {
    millijoules_for_joules: (1, 17),
    left_sum: (17,),
    last_sample_dropped: (6, 9, 17),
    sync_skipped: (17,),
    unchanged_samples_dropped: (10, 17),
    reset_taken_at_its_word: (7,),
    stuck_counter_believed: (7,),
    devices_averaged: (13,),
    gaps_not_seen: (8, 9),
    counter_not_used: (4,),
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_the_mutant_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [CASES[number] for number in MUTATIONS[mutation]]
    assert all(finding.holds for finding in chain.from_iterable(case() for case in cases))
    mutation(monkeypatch)
    assert not all(finding.holds for finding in chain.from_iterable(case() for case in cases))
