"""Where the true energy lies on the counter's own scale: bounds that every counter reading renews.

A counter that shows C at an instant, and last changed at most `lag` earlier, says that the true energy lies in
[C, C + P x lag], P being the highest power that the load has shown of late. Between two readings the bounds move on
with the integral of power and widen by its doubt (set-membership estimation, after Schweppe 1968). Nothing that was
wrong is kept for long: where the two contradict each other the bounds start again from the counter, and what it may
have missed is put aside, for windows across that instant only.

Invariant: bounds of two instants, and what was put aside between them, bound the energy between these instants.
"""

import math
from dataclasses import dataclass

from greenopt.energy.bounds import Bounds
from greenopt.energy.trace import SENSOR_SHARE, Limits, LoadRange, Trace, uncertainty_j

_COMPARED_S = 1.0
_LEAST_J = 1.0
_MISMATCH_MARGIN = 1.2


@dataclass(frozen=True, slots=True)
class Sight:
    """A counter value at an instant, and since when it may have been out of date.

    Attributes:
        value_j: the counter in J, moved so that it goes on across breaks.
        age_s: time since another value was read; infinite for the first reading.
        stood_s: time since this value was first read.
        read_s: how long the reading took.
    """

    value_j: float
    age_s: float
    stood_s: float
    read_s: float

    def bounds(self, high_w: float, tick_s: float) -> Bounds | None:
        """Return the true energy in J; None where the value has stood for an unknown time.

        Args:
            high_w: the highest power that is to be expected.
            tick_s: upper bound of the counter's tick; a value that has stood for longer may be as old as it can be.
        """
        is_overdue = self.stood_s > 1.5 * tick_s
        lag_s = self.age_s if is_overdue else min(self.age_s, tick_s + self.read_s)
        return Bounds(self.value_j, self.value_j + high_w * lag_s) if math.isfinite(high_w * lag_s) else None


@dataclass(frozen=True, slots=True)
class _Known:
    t_s: float
    trace: Trace
    bounds: Bounds


class Position:
    """The bounds of the true energy on the counter's scale. Pure."""

    def __init__(self, limits: Limits) -> None:
        """Nothing is known before the first reading."""
        self.limits = limits
        self._known: _Known | None = None
        self._before: _Known | None = None
        self._compared: tuple[_Known, Sight, float] | None = None
        self.shift_j = 0.0
        self.broken_j = 0.0
        self.mismatch = 0.0

    def at(self, t_s: float, trace: Trace, seen: LoadRange) -> Bounds | None:
        """Return the bounds at an instant without a reading of the counter; None before there are any."""
        known = self._known
        if known is None:
            return None
        if trace.power_w is None:
            most_w = seen.high_w if seen.count else self.limits.top_w(seen)
            return Bounds(known.bounds.low, known.bounds.high + (most_w * (t_s - known.t_s) if t_s > known.t_s else 0))
        doubt = uncertainty_j(known.trace, trace, self.limits, share=max(SENSOR_SHARE, self.mismatch), seen=seen)
        moved = known.bounds.moved(trace.energy_j - known.trace.energy_j).widened(doubt)
        return Bounds(max(moved.low, known.bounds.low), moved.high)

    def see(self, t_s: float, trace: Trace, seen: LoadRange, sight: Sight, tick_s: float) -> None:
        """Take a sound reading of the counter, whose value was moved by `shift_j` already."""
        fresh, moved = sight.bounds(seen.high_w, tick_s), self.at(t_s, trace, seen)
        if fresh is None:
            return
        self._compare(_Known(t_s, trace, fresh), sight, seen.high_w * tick_s)
        if moved is None:
            self._known = _Known(t_s, trace, fresh)
            return
        both = fresh.shared_with(moved)
        if both is None:
            apart_j = moved.low - fresh.high if moved.low > fresh.high else moved.high - fresh.low
            apart_j += math.copysign(moved.width / 2, apart_j)
            self._break(apart_j / 2, abs(apart_j) / 2)
            both = fresh.moved(apart_j / 2)
        self._known = _Known(t_s, trace, both)

    def changed(self) -> None:
        """Note that the next reading shows another value than the one before."""
        self._before = self._known

    def recall(self) -> None:
        """Note that the latest value was not right when it came: go on from the one before."""
        self._known, self._compared = self._before or self._known, None

    def restart(self, t_s: float, trace: Trace, seen: LoadRange, value_j: float, tick_s: float) -> None:
        """Go on from a counter that broke off, by what is known without it."""
        moved, high_j = self.at(t_s, trace, seen), seen.high_w * tick_s
        self._compared = None
        if moved is not None:
            shift_j = moved.middle - value_j - high_j / 2
            self._break(shift_j - self.shift_j, (moved.width + high_j) / 2)
        fresh = Bounds(value_j + self.shift_j, value_j + self.shift_j + high_j)
        self._known = _Known(t_s, trace, fresh)

    def _break(self, shift_j: float, half_j: float) -> None:
        self.shift_j += shift_j
        self.broken_j += half_j
        self._compared = None

    def _compare(self, now: _Known, sight: Sight, slack_j: float) -> None:
        """Learn by how much the integral differs from the counter, as a share, beyond what ticks explain."""
        if self._compared is None:
            self._compared = (now, sight, slack_j)
            return
        then, earlier, earlier_slack_j = self._compared
        if now.t_s - then.t_s < _COMPARED_S:
            return
        integral_j = now.trace.energy_j - then.trace.energy_j
        apart_j = abs(sight.value_j - earlier.value_j - integral_j) - max(slack_j, earlier_slack_j)
        self.mismatch = _MISMATCH_MARGIN * max(0.0, apart_j) / max(integral_j, _LEAST_J)
        self._compared = (now, sight, slack_j)
