"""One energy curve from two kinds of readings: a counter, exact but in steps, and power, smooth but drifting.

A board's energy counter changes every 100 ms and says nothing in between; the integral of power is fine-grained and
drifts by a percent. The ledger keeps two intervals (set-membership estimation, after Schweppe 1968):

* `drift`: true energy less the integral. It starts as a point and widens by what the integral may be wrong.
* `base`: what the counter would have shown at the start, had it not stepped. It is unknown by one tick at first.

A counter value C read at an instant, which changed at most `lag` earlier, says that base + drift lies in
[C - I, C - I + P x lag], I being the integral and P the power. Each such reading cuts both intervals. The energy is
the integral plus the point of `drift` in use, which stays while it is possible and else becomes the middle. So a
window shorter than a tick is measured by the integral, a long one by the counter, and none waits for a tick.

Invariants: the curve never falls, never rises faster than 1.1 x the power limit, and has one value at each mark; what
lies between two marks is the difference of these values, which are multiples of 2^-30 Wh. Parts therefore add up to
the whole exactly, in floating point too. Where the counter breaks (reset, stuck) the integral carries the curve on.
"""

import math
from dataclasses import dataclass

from greenopt.energy.bounds import Bounds
from greenopt.energy.trace import OVERSHOOT, Limits, PowerIntegral, Trace, doubt_j

J_PER_WH = 3600.0
_GRID_PER_WH = 2.0**30
_STUCK_TICKS = 10

# A correction downwards is spread over later windows rather than leave one of them empty: the curve keeps rising by
# this share of the integral. Idle boards draw about a tenth of their limit, so the counter always wins in the end.
_LEAST_SHARE = 0.1


def on_grid(energy_j: float) -> float:
    """Energy in Wh as the nearest multiple of 2^-30 Wh (3.4 microjoules); sums and differences of these are exact."""
    return round(energy_j / J_PER_WH * _GRID_PER_WH) / _GRID_PER_WH


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of metering at one instant; two marks bound a window.

    Attributes:
        t_s: the instant, in s of the meter's monotonic clock.
        energy_wh: energy since metering began, in Wh, on the grid of `on_grid`.
        integral_wh: the same by power alone.
        counter_wh: the counter's own value in Wh; None where it was not read or not believed.
        counted_s: time since metering began that lies between sound counter readings.
        ticks: changes of the counter seen so far.
        resets: counter resets and impossible jumps so far.
        sticks: readings at which the counter did not move though it should have.
        correction_j: energy less integral, in J.
        doubt_j: half-width in J of the interval that holds the true energy since the counter's latest break.
        broken_doubt_j: the sum of those half-widths at all breaks so far.
        trace: the power trace.
        flags: words that hold for every window that ends here or later.
    """

    t_s: float
    energy_wh: float
    integral_wh: float
    counter_wh: float | None
    counted_s: float
    ticks: int
    resets: int
    sticks: int
    correction_j: float
    doubt_j: float
    broken_doubt_j: float
    trace: Trace
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _CounterRead:
    began_s: float
    t_s: float
    value_j: float
    first_seen_s: float
    is_sound: bool = True


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What the latest counter reading that brought news has left known.

    `base` and `drift` as in the module's text, in J; `correction_j` is the point of `drift` in use; `t_s` and `trace`
    are those of that reading.
    """

    t_s: float
    trace: Trace
    drift: Bounds
    correction_j: float
    base: Bounds | None = None


class Ledger:
    """Takes readings in the order of time and gives marks. Pure: no clock, no device, no thread."""

    def __init__(self, limits: Limits, tick_s: float, start_s: float, *, may_rest: bool = False) -> None:
        """Begin at an instant with energy 0.

        Args:
            limits: what is known of the device.
            tick_s: time in s between two changes of the counter; a longer one that is seen replaces it.
            start_s: the instant.
            may_rest: the counter may stand still without being broken (CPU time of a process that waits).
        """
        self.limits, self.tick_s = limits, tick_s
        self._may_rest = may_rest
        self._integral = PowerIntegral(limits, start_s)
        self._estimate = self._previous = _Estimate(start_s, self._integral.trace, Bounds(0.0, 0.0), correction_j=0.0)
        self._last: _CounterRead | None = None
        self._rate_w = self._counted_s = self._broken_doubt_j = 0.0
        self._ticks = self._resets = self._sticks = 0
        self._energy_j, self._energy_s, self._boundary_integral_j = 0.0, start_s, 0.0

    @property
    def changes(self) -> int:
        """How often the counter was seen to change, resets included."""
        return self._ticks + self._resets

    def add_power(self, t_s: float, power_w: float | None) -> None:
        """Add a power reading in W; None says that there was none at this instant."""
        if power_w is None:
            self._integral.hold(t_s)
        else:
            self._integral.add(t_s, power_w)

    def add_counter(self, began_s: float, t_s: float, value_j: float) -> None:
        """Add a counter reading; the power reading of the same instant comes first.

        Args:
            began_s: when the reading began.
            t_s: when it ended.
            value_j: the counter in J.
        """
        last = self._last
        now = _CounterRead(began_s, t_s, value_j, first_seen_s=t_s)
        if last is not None and value_j == last.value_j:
            self._stand_still(last, now)
            return
        if last is None or not last.is_sound:
            self._restart(now)
        elif not self._is_possible(last, now):
            self._resets += 1
            self._restart(now)
        else:
            self._ticks += 1
            self._counted_s += t_s - last.t_s
            self._learn_tick(last.t_s - last.first_seen_s)
            self._rate_w = (value_j - last.value_j) / max(t_s - last.first_seen_s, self.tick_s)
            self._cut(now, min(self._longest_lag_s(now), t_s - last.began_s))
        self._last = now

    def mark(self, t_s: float, flags: tuple[str, ...] = (), *, is_boundary: bool = True) -> Mark:
        """The state at an instant, after its readings were added.

        Args:
            t_s: the instant.
            flags: words that hold from here on.
            is_boundary: whether windows can begin or end here. The curve's value at a boundary is never revised; what
                is learnt later moves the curve after it only.
        """
        drift, integral_j = self._drift_at(t_s), self._integral.trace.energy_j
        energy_j = self._within_limit(t_s, integral_j + self._estimate.correction_j)
        correction_j = energy_j - integral_j
        if is_boundary:
            self._energy_j, self._energy_s, self._boundary_integral_j = energy_j, t_s, integral_j
        last = self._last
        is_read = last is not None and last.is_sound and last.t_s == t_s
        return Mark(
            t_s=t_s,
            energy_wh=on_grid(energy_j),
            integral_wh=on_grid(integral_j),
            counter_wh=on_grid(last.value_j) if last is not None and is_read else None,
            counted_s=self._counted_s,
            ticks=self._ticks,
            resets=self._resets,
            sticks=self._sticks,
            correction_j=correction_j,
            doubt_j=drift.farthest(correction_j),
            broken_doubt_j=self._broken_doubt_j,
            trace=self._integral.trace,
            flags=flags,
        )

    def _restart(self, now: _CounterRead) -> None:
        """Take the curve's value here as given and count from it; what it may be wrong by so far is put aside."""
        correction_j = self._estimate.correction_j
        self._broken_doubt_j += self._drift_at(now.t_s).farthest(correction_j)
        drift = Bounds(correction_j, correction_j)
        base = self._seen(now, self._longest_lag_s(now)).minus(drift)
        self._estimate = self._previous = _Estimate(now.t_s, self._integral.trace, drift, correction_j, base)

    def _cut(self, now: _CounterRead, lag_s: float) -> None:
        """Cut both intervals with a counter value that is right to within the last `lag_s`."""
        before, seen, drift = self._estimate, self._seen(now, lag_s), self._drift_at(now.t_s)
        assert before.base is not None
        # Where nothing agrees the integral has drifted by more than it should, and the counter is right.
        base = before.base.shared_with(seen.minus(drift)) or before.base
        drift = drift.shared_with(seen.minus(base)) or seen.minus(base)
        correction_j = before.correction_j if drift.has(before.correction_j) else drift.middle
        self._previous = before
        self._estimate = _Estimate(now.t_s, self._integral.trace, drift, correction_j, base)

    def _longest_lag_s(self, now: _CounterRead) -> float:
        return self.tick_s + now.t_s - now.began_s

    def _seen(self, now: _CounterRead, lag_s: float) -> Bounds:
        trace = self._integral.trace
        least_j = now.value_j - trace.energy_j
        return Bounds(least_j, least_j + max(trace.peak_w, self._rate_w) * lag_s)

    def _stand_still(self, last: _CounterRead, now: _CounterRead) -> None:
        """Take a value that has not changed; one that stands still for too long was not right when it came either."""
        is_stuck = now.t_s - last.first_seen_s > _STUCK_TICKS * self.tick_s and not self._may_rest
        if is_stuck:
            self._sticks += 1
            self._estimate = self._previous
        else:
            self._counted_s += now.t_s - last.t_s
            if self._integral.trace.power_w is None:
                self._cut(now, self._longest_lag_s(now))
        self._last = _CounterRead(now.began_s, now.t_s, now.value_j, last.first_seen_s, is_sound=not is_stuck)

    def _is_possible(self, last: _CounterRead, now: _CounterRead) -> bool:
        limit_w = math.inf if self.limits.power_limit_w is None else self.limits.power_limit_w
        most_j = OVERSHOOT * limit_w * (now.t_s - last.began_s + self.tick_s)
        return 0 < now.value_j - last.value_j <= most_j

    def _learn_tick(self, unchanged_s: float) -> None:
        if self.tick_s < unchanged_s < _STUCK_TICKS * self.tick_s:
            self.tick_s = unchanged_s

    def _drift_at(self, t_s: float) -> Bounds:
        """The drift's interval now: as it was at the estimate, widened by the integral's error since."""
        since = self._estimate
        if self._integral.trace.power_w is not None:
            return since.drift.widened(doubt_j(since.trace, self._integral.trace, self.limits))
        limit_w = math.inf if self.limits.power_limit_w is None else self.limits.power_limit_w
        return since.drift.widened(limit_w * (t_s - since.t_s) if t_s > since.t_s else 0.0)

    def _within_limit(self, t_s: float, energy_j: float) -> float:
        """The energy, cut to what is possible since the latest boundary."""
        if t_s <= self._energy_s:
            return self._energy_j
        limit_w = math.inf if self.limits.power_limit_w is None else OVERSHOOT * self.limits.power_limit_w
        least_j = _LEAST_SHARE * (self._integral.trace.energy_j - self._boundary_integral_j)
        return self._energy_j + min(max(energy_j - self._energy_j, least_j), limit_w * (t_s - self._energy_s))
