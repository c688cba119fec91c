"""The interval that holds the true energy between two marks.

Truth is what a perfect counter of this board would show. `uncertainty_wh` is made to hold it in 19 of 20 windows, and
in at least 93 of 100 of every kind of board: slow and fast counters, power alone, a power sensor up to 5 % off, pauses,
resets, wrong readings. Not in it: what the board's own counter is off a wall meter (about 5 %, the same in all windows
of one board), and, by power alone, a load that repeats with the sensor's own period of 100 ms.

Two ways lead to it: the counter's value at both marks, each out of date by a tick at most, and the integral of power
(without a sensor, the powers that the counter has shown of late).
The truth lies in both intervals; where these have nothing in common it may be in either, and both are covered.
"""

import math
from dataclasses import dataclass

from greenopt.energy.bounds import Bounds
from greenopt.energy.ledger import J_PER_WH, Mark
from greenopt.energy.trace import SENSOR_SHARE, Limits, LoadRange, swing_j, uncertainty_j

DISAGREEMENT = 0.05
"""Counter and integral differ by more than this share, beyond what ticks, gaps and sampling explain: flagged."""

_FEW_POWERS = 4
_ENOUGH_POWERS = 8
_SHORT_TICKS = 10
_GRID_J = 2 * J_PER_WH / 2**30


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two marks of one meter and what is known of its device.

    Attributes:
        start: opens the window.
        end: closes it.
        limits: of the device.
        tick_s: upper bound of the counter's tick, in s.
    """

    start: Mark
    end: Mark
    limits: Limits
    tick_s: float

    def half_width_j(self) -> float:
        """Half-width in J of the interval around the energy between the marks; infinite where nothing bounds it."""
        energy_j = (self.end.energy_wh - self.start.energy_wh) * J_PER_WH
        by_counter, by_power = self._by_position(), self._by_power(self._mismatch) or self._by_rates()
        if by_counter is None or by_power is None:
            bounds = by_counter or by_power
        else:
            bounds = by_counter.shared_with(by_power) or by_counter.hull_with(by_power)
        return math.inf if bounds is None else bounds.farthest(energy_j) + _GRID_J

    def disagrees(self) -> bool:
        """Return whether counter and integral cannot both be right."""
        by_counter, by_power = self._by_sight(), self._by_power(0.0)
        if by_counter is None or by_power is None or by_counter.shared_with(by_power) is not None:
            return False
        counted_j = self.end.counter_j - self.start.counter_j
        apart_j = abs(counted_j - (self.end.trace.energy_j - self.start.trace.energy_j))
        return apart_j > DISAGREEMENT * counted_j + self._seen.high_w * self.tick_s

    @property
    def _mismatch(self) -> float:
        return max(self.start.mismatch, self.end.mismatch)

    @property
    def _seen(self) -> LoadRange:
        """The powers of late; up to the limit where hardly any were seen."""
        seen = self.start.seen.joined(self.end.seen)
        if seen.count >= _FEW_POWERS:
            return seen
        return LoadRange(seen.t_s, self.limits.top_w(seen), 0.0, seen.count)

    def _by_power(self, mismatch: float) -> Bounds | None:
        start, end = self.start.trace, self.end.trace
        if end.covered_s <= start.covered_s:
            return None
        doubt = uncertainty_j(
            start,
            end,
            self.limits,
            share=max(SENSOR_SHARE, mismatch),
            seen=self._seen,
            resolved_s=self.tick_s if self.end.ticks > 0 else math.inf,
        )
        integral_j = end.energy_j - start.energy_j
        return Bounds(max(0.0, integral_j - doubt), integral_j + doubt) if math.isfinite(doubt) else None

    def _by_rates(self) -> Bounds | None:
        """By the powers that the counter has shown between its changes, where there is no sensor; for short windows.

        A power that the counter averages over a tick may swing between nothing and the limit within it.
        """
        seen, seconds = self._seen, self.end.t_s - self.start.t_s
        if seen.count < _ENOUGH_POWERS or seconds > _SHORT_TICKS * self.tick_s or self.end.breaks > self.start.breaks:
            return None
        top_w = self.limits.top_w(seen)
        low_j = seconds * seen.low_w - swing_j(seconds, seen.low_w, 0.0, top_w, self.tick_s)
        high_j = seconds * seen.high_w + swing_j(seconds, seen.high_w, 0.0, top_w, self.tick_s)
        return Bounds(max(0.0, low_j), min(seconds * top_w, high_j))

    def _by_position(self) -> Bounds | None:
        """By where the counter put the truth at both marks."""
        start, end = self._position(self.start), self._position(self.end)
        if start is None or end is None:
            return None
        broken_j = self.end.broken_uncertainty_j - self.start.broken_uncertainty_j
        bounds = end.minus(start).widened(broken_j)
        return Bounds(max(0.0, bounds.low), bounds.high) if bounds.high >= 0 else None

    def _position(self, mark: Mark) -> Bounds | None:
        fresh = None if mark.sight is None else mark.sight.bounds(self._seen.high_w, self.tick_s)
        if mark.position is None:
            return fresh if self.end.breaks == self.start.breaks else None
        return mark.position if fresh is None else (fresh.shared_with(mark.position) or mark.position)

    def _by_sight(self) -> Bounds | None:
        """By the two readings of the counter alone; None over a break and where it was not read."""
        start, end = self.start.sight, self.end.sight
        if start is None or end is None or self.end.breaks > self.start.breaks:
            return None
        high_w = self._seen.high_w
        first, last = start.bounds(high_w, self.tick_s), end.bounds(high_w, self.tick_s)
        if first is None or last is None:
            return None
        return last.minus(first).moved(-(self.end.shift_j - self.start.shift_j))
