"""One energy curve from two kinds of readings: a counter, exact but in steps, and power, smooth but drifting.

A board's energy counter changes every 20 ms to 1 s and says nothing in between; the integral of power is fine-grained
and drifts by some percent. The curve is a point estimate, and follows two intervals of what is likely (set-membership
estimation, after Schweppe 1968); what is possible, and so the uncertainty, is `Position`'s and `Evidence`'s business.

* `drift`: true energy less the integral. It starts as a point and widens by what the integral is likely to be wrong.
* `base`: what the counter would have shown at the start, had it not stepped. It is unknown by one tick at first.

A counter value C read at an instant, which changed at most `lag` earlier, says that base + drift lies in
[C - I, C - I + P x lag], I being the integral and P the power. Each such reading cuts both intervals. The energy is
the integral plus the point of `drift` in use, which stays while it is possible and else becomes the middle. So a
window shorter than a tick is measured by the integral, a long one by the counter, and none waits for a tick. Without a
power reading the latest rate of the counter carries the curve on between two readings.

Invariants: the curve never falls, never rises faster than 1.5 x the power limit (boards of laptops draw 1.3 x) unless
counter and power agree on more, and has one value at each mark; what
lies between two marks is the difference of these values, which are multiples of 2^-30 Wh. Parts therefore add up to
the whole exactly, in floating point too. Where the counter breaks (reset, stuck) the integral carries the curve on.
"""

import math
from dataclasses import dataclass, replace

from greenopt.energy.bounds import Bounds
from greenopt.energy.position import Position, Sight
from greenopt.energy.tick import TickWatch
from greenopt.energy.trace import Limits, LoadRange, PowerIntegral, Trace, uncertainty_j

J_PER_WH = 3600.0
_GRID_PER_WH = 2.0**30

# A correction downwards is spread over later windows rather than leave one of them empty: the curve keeps rising by
# this share of the integral. Idle boards draw about a tenth of their limit, so the counter always wins in the end.
_MIN_SHARE = 0.1

_POINT_SHARE = 0.02
"""The point of the curve follows the integral to within this share of it before the counter moves it."""

_AGREED = 1.25
_AGREED_S = 0.5


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
        stalls: readings at which the counter did not move though it should have.
        refused: counter readings so far that no device can have and that later ones did not confirm.
        held_back_wh: energy that the curve has yet to catch up with, since the device cannot draw it that fast, in Wh.
        position: bounds of the true energy on the counter's scale, in J; None before there are any.
        sight: the counter as it was read at this instant; None where it was not read or not believed.
        shift_j: by how much the counter's scale was moved at breaks so far, in J.
        broken_uncertainty_j: half-width in J of what all breaks so far left unknown.
        mismatch: by how much integral and counter differed of late, as a share of the integral.
        seen: the powers that the load has shown of late, by sensor and counter.
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
    stalls: int
    refused: int
    held_back_wh: float
    position: Bounds | None
    sight: Sight | None
    shift_j: float
    broken_uncertainty_j: float
    mismatch: float
    seen: LoadRange
    trace: Trace
    flags: tuple[str, ...] = ()

    @property
    def breaks(self) -> int:
        """Resets of the counter and readings at which it stood still, so far."""
        return self.resets + self.stalls

    @property
    def counter_j(self) -> float:
        """The counter's own value in J, where it was read."""
        return 0.0 if self.sight is None else self.sight.value_j - self.shift_j


@dataclass(frozen=True, slots=True)
class _CounterRead:
    began_s: float
    t_s: float
    value_j: float
    first_seen_s: float
    older_s: float = -math.inf
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
    """Converts readings in order of time to marks. Pure: no clock, no device, no thread."""

    def __init__(self, limits: Limits, tick_s: float, start_s: float, *, may_rest: bool = False) -> None:
        """Begin at an instant with energy 0.

        Args:
            limits: what is known of the device.
            tick_s: time in s between two changes of the counter, as far as the source knows; corrected by what is seen.
            start_s: the instant.
            may_rest: the counter may stand still without being broken (CPU time of a process that waits).
        """
        self._limits = limits
        self._watch = TickWatch(tick_s)
        self._may_rest = may_rest
        self._integral = PowerIntegral(limits, start_s)
        self._position = Position(limits)
        self._estimate = self._previous = _Estimate(start_s, self._integral.trace, Bounds(0.0, 0.0), correction_j=0.0)
        self._last: _CounterRead | None = None
        self._suspect: _CounterRead | None = None
        self._rates = LoadRange()
        self._rate_w = self._counted_s = self._held_back_j = 0.0
        self._ticks = self._resets = self._sticks = self._refused = 0
        self._energy_j, self._energy_s, self._boundary_integral_j = 0.0, start_s, 0.0

    def see_farther_back(self, lag_s: float) -> None:
        """Power readings look back by so many seconds from now on."""
        self._limits = self._integral.limits = self._position.limits = replace(self._limits, lag_s=lag_s)

    @property
    def tick_s(self) -> float:
        """Upper bound of the time between two changes of the counter, in s."""
        return self._watch.bound_s

    @property
    def known_tick_s(self) -> float | None:
        """The tick in s; None before two changes in succession were seen."""
        return self._watch.tick_s if self._watch.is_known else None

    @property
    def changes(self) -> int:
        """Return how often the counter was seen to change, resets included."""
        return self._ticks + self._resets

    def add_power(self, t_s: float, power_w: float | None) -> None:
        """Add a power reading in W; None says that there was none at this instant."""
        if power_w is None:
            self._integral.hold(t_s)
        else:
            self._integral.add(t_s, power_w)

    def add_counter(self, began_s: float, t_s: float, value_j: float) -> None:
        """Add a counter reading; the power reading of the same instant comes first.

        A value that the device cannot have reached is set aside until the next reading: one that goes on from it shows
        a reset, one that goes on from the value before shows that it was wrong.

        Args:
            began_s: when the reading began.
            t_s: when it ended.
            value_j: the counter in J.
        """
        last, suspect = self._last, self._suspect
        now = _CounterRead(began_s, t_s, value_j, first_seen_s=t_s)
        if not (math.isfinite(value_j) and value_j >= 0):
            self._refused += 1
        elif last is None:
            self._restart(now)
        elif value_j == last.value_j:
            self._refuse_suspect()
            self._stand_still(last, now)
        elif self._is_possible(last, now):
            self._refuse_suspect()
            self._advance(last, now)
        elif suspect is not None and (value_j == suspect.value_j or self._is_possible(suspect, now)):
            self._suspect = None
            self._resets += 1
            self._restart(now)
        else:
            self._refuse_suspect()
            self._suspect = now

    def mark(self, t_s: float, flags: tuple[str, ...] = (), *, is_boundary: bool = True) -> Mark:
        """Return the state at an instant, after its readings were added.

        Args:
            t_s: the instant.
            flags: words that hold from here on.
            is_boundary: whether windows can begin or end here. The curve's value at a boundary is never revised; what
                is learnt later moves the curve after it only.
        """
        trace, seen = self._integral.trace, self._seen
        energy_j = self._within_limit(t_s, trace.energy_j + self._estimate.correction_j + self._reckoned_j(t_s))
        if is_boundary:
            self._energy_j, self._energy_s, self._boundary_integral_j = energy_j, t_s, trace.energy_j
        last = self._last
        is_read = last is not None and last.is_sound and last.t_s == t_s
        return Mark(
            t_s=t_s,
            energy_wh=on_grid(energy_j),
            integral_wh=on_grid(trace.energy_j),
            counter_wh=on_grid(last.value_j) if last is not None and is_read else None,
            counted_s=self._counted_s,
            ticks=self._ticks,
            resets=self._resets,
            stalls=self._sticks,
            refused=self._refused,
            held_back_wh=self._held_back_j / J_PER_WH,
            position=self._position.at(t_s, trace, seen),
            sight=self._sight(last) if last is not None and is_read else None,
            shift_j=self._position.shift_j,
            broken_uncertainty_j=self._position.broken_j,
            mismatch=self._position.mismatch,
            seen=seen,
            trace=trace,
            flags=flags,
        )

    @property
    def _seen(self) -> LoadRange:
        return self._integral.trace.range.joined(self._rates)

    def _sight(self, read: "_CounterRead") -> Sight:
        return Sight(
            value_j=read.value_j + self._position.shift_j,
            age_s=read.t_s - read.older_s,
            stood_s=read.t_s - read.first_seen_s,
            read_s=read.t_s - read.began_s,
        )

    def _refuse_suspect(self) -> None:
        self._refused += self._suspect is not None
        self._suspect = None

    def _advance(self, last: "_CounterRead", now: "_CounterRead") -> None:
        """Take a value that rose as it may."""
        if not last.is_sound:
            self._restart(now)
            return
        self._ticks += 1
        self._counted_s += now.t_s - last.t_s
        self._watch.change(last.began_s, now.t_s, last.began_s - last.first_seen_s)
        self._rate_w = (now.value_j - last.value_j) / max(now.t_s - last.first_seen_s, self._watch.tick_s)
        self._learn_power(last, now)
        self._cut(now, min(self._longest_lag_s(now), now.t_s - last.began_s))
        self._last = replace(now, older_s=last.began_s)
        self._position.changed()
        self._locate()

    def _learn_power(self, last: "_CounterRead", now: "_CounterRead") -> None:
        """Take the mean power between two changes into the range that the load has shown.

        Where prompt power is read too, only what lies outside that range for certain, since a change is known to
        within the distance of two readings.
        """
        risen_j, power = now.value_j - last.value_j, self._integral.trace.range
        if power.count == 0 or not self._limits.is_prompt:
            self._rates = self._rates.with_power(now.t_s, self._rate_w)
            return
        least_w, shortest_s = risen_j / (now.t_s - last.older_s), last.began_s - last.first_seen_s
        most_w = risen_j / shortest_s if shortest_s > 0 else math.inf
        if least_w > power.high_w or most_w < power.low_w:
            self._rates = self._rates.with_power(now.t_s, least_w if least_w > power.high_w else most_w)

    def _locate(self) -> None:
        last = self._last
        if last is not None and self._watch.is_known:
            seen = self._seen
            self._position.see(last.t_s, self._integral.trace, seen, self._sight(last), self._watch.bound_s)

    def _restart(self, now: "_CounterRead") -> None:
        """Take the curve's value here as given and count from it."""
        correction_j = self._estimate.correction_j
        drift = Bounds(correction_j, correction_j)
        base = self._bracket(now, self._longest_lag_s(now)).minus(drift)
        self._estimate = self._previous = _Estimate(now.t_s, self._integral.trace, drift, correction_j, base)
        self._position.restart(now.t_s, self._integral.trace, self._seen, now.value_j, self._watch.bound_s)
        self._last = now

    def _cut(self, now: "_CounterRead", lag_s: float) -> None:
        """Cut both intervals with a counter value that is right to within the last `lag_s`."""
        before, bracket, drift = self._estimate, self._bracket(now, lag_s), self._drift_at(now.t_s)
        assert before.base is not None
        # Where nothing agrees the integral has drifted by more than it should, and the counter is right.
        base = before.base.shared_with(bracket.minus(drift)) or before.base
        drift = drift.shared_with(bracket.minus(base)) or bracket.minus(base)
        wanted_j = before.correction_j + self._reckoned_j(now.t_s)
        correction_j = wanted_j if drift.has(wanted_j) else drift.middle
        self._previous = before
        self._estimate = _Estimate(now.t_s, self._integral.trace, drift, correction_j, base)

    def _reckoned_j(self, t_s: float) -> float:
        """Return what the latest rate adds since the estimate, in J, for at most two ticks; 0 by power."""
        if self._integral.trace.power_w is not None or self._last is None or not self._last.is_sound or self._may_rest:
            return 0.0
        return self._rate_w * min(max(0.0, t_s - self._estimate.t_s), 2 * self._watch.tick_s)

    def _longest_lag_s(self, now: "_CounterRead") -> float:
        return self._watch.tick_s + now.t_s - now.began_s

    def _bracket(self, now: "_CounterRead", lag_s: float) -> Bounds:
        """Where the counter would stand less the integral, in J, had it not stepped."""
        trace = self._integral.trace
        least_j = now.value_j - trace.energy_j
        return Bounds(least_j, least_j + max(trace.peak_w, self._rate_w) * lag_s)

    def _stand_still(self, last: "_CounterRead", now: "_CounterRead") -> None:
        """Take a value that has not changed; one that stands still for too long was not right when it came either."""
        is_stuck = now.t_s - last.first_seen_s > self._watch.stall_s and not self._may_rest
        self._last = replace(
            now, first_seen_s=last.first_seen_s, older_s=last.older_s, is_sound=last.is_sound and not is_stuck
        )
        if is_stuck:
            if last.is_sound:
                self._position.recall()
            self._sticks += 1
            self._estimate = self._previous
        else:
            self._counted_s += now.t_s - last.t_s
            if self._integral.trace.power_w is None:
                self._cut(now, self._longest_lag_s(now))
            self._locate()

    def _is_possible(self, last: "_CounterRead", now: "_CounterRead") -> bool:
        """Whether the counter can have risen to a value; counter and power that agree are believed beyond the limit."""
        risen_j, seconds = now.value_j - last.value_j, now.t_s - last.began_s
        if 0 < risen_j <= self._integral.ceiling_w * (seconds + max(self._watch.bound_s, last.t_s - last.first_seen_s)):
            return True
        refused_w, rate_w = self._integral.rejected_w, risen_j / seconds
        if risen_j <= 0 or refused_w is None or seconds < _AGREED_S:
            return False
        if not rate_w / _AGREED <= refused_w <= rate_w * _AGREED:
            return False
        self._integral.ceiling_w = _AGREED * max(refused_w, rate_w)
        return True

    def _drift_at(self, t_s: float) -> Bounds:
        """Return the drift's interval now: as it was at the estimate, widened by the integral's likely error since."""
        since = self._estimate
        if self._integral.trace.power_w is not None:
            likely_j = uncertainty_j(since.trace, self._integral.trace, self._limits, share=_POINT_SHARE)
            return since.drift.widened(likely_j)
        limit_w = math.inf if self._limits.power_limit_w is None else self._limits.power_limit_w
        return since.drift.widened(limit_w * (t_s - since.t_s) if t_s > since.t_s else 0.0)

    def _within_limit(self, t_s: float, energy_j: float) -> float:
        """Clip an energy to what is possible since the latest boundary."""
        if t_s <= self._energy_s:
            return self._energy_j
        least_j = _MIN_SHARE * (self._integral.trace.energy_j - self._boundary_integral_j)
        most_j = self._integral.ceiling_w * (t_s - self._energy_s)
        wanted_j = max(energy_j - self._energy_j, least_j)
        self._held_back_j = max(0.0, wanted_j - most_j)
        return self._energy_j + min(wanted_j, most_j)
