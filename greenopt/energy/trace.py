"""The integral of sampled power, and bounds on its error.

Invariant: every sample counts, whether its value changed or not, and each stretch between two samples is integrated
once, as a trapezoid. All figures are running sums, so the memory does not grow with the length of a training.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

SENSOR_SHARE = 0.055
"""Bound of what a board's power sensor and its energy counter differ by: NVML documents power to +-5 %, and a sensor
that reads 5 % low must be raised by 5.3 % of what it read. Up to 0.01 was measured on an H100."""

OVERSHOOT = 1.5
"""A reading beyond this multiple of the highest power limit is not believed, unless counter and power agree on it.
Boards of laptops draw up to 1.3 times the limit that they report."""

NOTABLE_OVERSHOOT = 1.1
"""A power beyond this multiple of the limit is believed, and flagged where no counter confirms it."""

ANY_DEVICE_W = 10_000.0
"""No single device draws more; where the limit is unknown a reading beyond it is not believed."""

_MEMORY_S = 60.0
_RECENT = 5
_SENSOR_LAG_S = 0.125
_SPIKE = 5.0
_FROZEN_S = 1.0
_SHORTEST_STAND_S, _STOOD_S = 0.5, 2.0
_FROZEN_RUNS = 3
_LIVELY_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a device that are known before any reading.

    Attributes:
        power_limit_w: the most it can be set to draw, in W; None where unknown.
        lag_s: how far a power reading may look back, in s.
        max_gap_s: samples further apart than this leave a gap, in s.
    """

    power_limit_w: float | None
    lag_s: float
    max_gap_s: float

    @property
    def is_prompt(self) -> bool:
        """Whether a power reading is of the last moments, not an average over a second."""
        return self.lag_s <= 2 * _SENSOR_LAG_S

    @property
    def ceiling_w(self) -> float:
        """The highest power that is believed at its word, in W."""
        return ANY_DEVICE_W if self.power_limit_w is None else OVERSHOOT * self.power_limit_w

    def top_w(self, seen: "LoadRange") -> float:
        """Return what the device may draw unseen, in W: its limit or the most seen; twice that without a limit."""
        if self.power_limit_w is None:
            return 2 * seen.high_w if seen.count else math.inf
        return max(self.power_limit_w, seen.high_w)


@dataclass(frozen=True, slots=True)
class LoadRange:
    """The powers that a load has shown of late; what lies back is forgotten over a minute.

    Attributes:
        t_s: when it was last added to.
        high_w: upper end in W.
        low_w: lower end in W.
        count: how many powers it was made from.
    """

    t_s: float = 0.0
    high_w: float = 0.0
    low_w: float = 0.0
    count: int = 0

    def with_power(self, t_s: float, power_w: float) -> "LoadRange":
        """Return the range with one more power in W, seen at an instant."""
        if self.count == 0:
            return LoadRange(t_s, power_w, power_w, 1)
        kept = math.exp(-max(0.0, t_s - self.t_s) / _MEMORY_S)
        return LoadRange(
            t_s,
            power_w + max(0.0, self.high_w - power_w) * kept,
            power_w - max(0.0, power_w - self.low_w) * kept,
            self.count + 1,
        )

    def farthest_w(self, power_w: float) -> float:
        """Return the distance of a power from the farther end, in W."""
        return max(self.high_w - power_w, power_w - self.low_w) if self.count else 0.0

    def joined(self, other: "LoadRange") -> "LoadRange":
        """Return the range that holds both; one that was made from nothing adds nothing."""
        if not (self.count and other.count):
            return self if self.count else other
        return LoadRange(
            max(self.t_s, other.t_s),
            max(self.high_w, other.high_w),
            min(self.low_w, other.low_w),
            self.count + other.count,
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """Running sums of a power trace at one instant.

    Attributes:
        t_s: the instant.
        power_w: power there; None before the first sample.
        swing_w: largest difference between the latest samples, in W.
        peak_w: highest of the latest samples, in W.
        energy_j: the integral so far, in J.
        covered_s: time spanned by samples no further apart than the maximum gap.
        gap_s: time in all gaps so far, that before the first sample included.
        gaps: number of gaps so far.
        scatter_j2: sum of the squared errors that steps between samples can have caused, in J^2.
        spike_j: energy so far of single samples far off both their neighbours, in J: a burst, or a wrong reading.
        frozen_j: what may have been drawn unseen so far while the sensor stood still as it had not before, in J.
        rejected: readings so far that no device can have.
        excesses: readings so far beyond the power limit that were believed.
        range: the powers of late.
    """

    t_s: float
    power_w: float | None = None
    swing_w: float = 0.0
    peak_w: float = 0.0
    energy_j: float = 0.0
    covered_s: float = 0.0
    gap_s: float = 0.0
    gaps: int = 0
    scatter_j2: float = 0.0
    spike_j: float = 0.0
    frozen_j: float = 0.0
    rejected: int = 0
    excesses: int = 0
    range: LoadRange = LoadRange()


class _Runs:
    """Watches how long a sensor shows the very same value: one whose value kept changing and then stands is frozen.

    A run of equal values is suspected from a second on, where it is also several times as long as any of the last
    minute. A load that is steady as soon as it was not cannot be told from that and is suspected too.
    """

    def __init__(self, start_s: float) -> None:
        self._power_w: float | None = None
        self._since_s = self._told_s = start_s
        self._longest_s = 0.0
        self._changes = 0

    def stood_s(self, t_s: float, power_w: float) -> float:
        """Return for how long, in s, a value had stood exactly that jumps with this sample: it may have been frozen."""
        run_s = t_s - self._since_s
        return min(run_s, _STOOD_S) if power_w != self._power_w and run_s >= _SHORTEST_STAND_S else 0.0

    def frozen_s(self, t_s: float, power_w: float) -> float:
        """Return the time in s that has become suspect with this sample."""
        run_s = t_s - self._since_s
        if power_w != self._power_w:
            self._longest_s = max(run_s, self._longest_s * math.exp(-run_s / _MEMORY_S)) if self._changes else 0.0
            self._changes += 1
            self._power_w, self._since_s, self._told_s = power_w, t_s, t_s
            return 0.0
        if self._changes < _LIVELY_CHANGES or run_s <= max(_FROZEN_S, _FROZEN_RUNS * self._longest_s):
            return 0.0
        suspect_s, self._told_s = t_s - self._told_s, t_s
        return suspect_s


class PowerIntegral:
    """Adds up power samples with the trapezoid rule."""

    def __init__(self, limits: Limits, start_s: float) -> None:
        self.limits = limits
        self.ceiling_w = limits.ceiling_w
        self.rejected_w: float | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._sampled_s = start_s
        self._runs = _Runs(start_s)
        self.trace = Trace(start_s)

    def add(self, t_s: float, power_w: float) -> None:
        """Add a sample; a value that no device can have is taken as not read, and counted.

        Args:
            t_s: its instant, not before the previous one.
            power_w: power in W.
        """
        if not 0 <= power_w <= self.ceiling_w:
            self.rejected_w = power_w
            self.hold(t_s)
            self.trace = replace(self.trace, rejected=self.trace.rejected + 1)
            return
        self.rejected_w = None
        self._recent.append((t_s, power_w))
        self._extend(t_s, power_w)
        self._sampled_s = t_s

    def hold(self, t_s: float) -> None:
        """Carry the last power on to an instant at which power could not be read.

        Before the first sample there is none to carry: the stretch up to here stays a gap, and is never filled in, so
        that a window which ended here keeps its figures.
        """
        before = self.trace
        if before.power_w is not None:
            self._extend(t_s, before.power_w)
        elif t_s > before.t_s:
            self.trace = replace(before, t_s=t_s, gap_s=before.gap_s + t_s - before.t_s, gaps=before.gaps + 1)

    def _extend(self, t_s: float, power_w: float) -> None:
        before, limits = self.trace, self.limits
        elapsed_s = t_s - before.t_s
        start_w = power_w if before.power_w is None else before.power_w
        is_gap = t_s - self._sampled_s > limits.max_gap_s
        powers_w = [sample_w for _, sample_w in self._recent]
        notable_w = math.inf if limits.power_limit_w is None else NOTABLE_OVERSHOOT * limits.power_limit_w
        blur_s = elapsed_s / 2 + min(limits.lag_s, _SENSOR_LAG_S) + self._runs.stood_s(t_s, power_w) / 2
        self.trace = Trace(
            t_s=t_s,
            power_w=power_w,
            swing_w=max(powers_w) - min(powers_w),
            peak_w=max(powers_w),
            energy_j=before.energy_j + elapsed_s * (start_w + power_w) / 2,
            covered_s=before.covered_s + (0.0 if is_gap else elapsed_s),
            gap_s=before.gap_s + (elapsed_s if is_gap else 0.0),
            gaps=before.gaps + is_gap,
            scatter_j2=before.scatter_j2 + ((power_w - start_w) * blur_s) ** 2,
            spike_j=before.spike_j + self._latest_spike_j(),
            frozen_j=before.frozen_j + self._runs.frozen_s(t_s, power_w) * before.range.farthest_w(power_w),
            rejected=before.rejected,
            excesses=before.excesses + (power_w > notable_w),
            range=before.range.with_power(t_s, power_w),
        )

    def _latest_spike_j(self) -> float:
        """Energy of the last sample but one, in J, where it is far off both its neighbours."""
        if len(self._recent) < 3:
            return 0.0
        (before_s, before_w), (_, spike_w), (after_s, after_w) = list(self._recent)[-3:]
        near_w, far_w = min(before_w, after_w), max(before_w, after_w)
        if near_w / _SPIKE <= spike_w <= far_w * _SPIKE:
            return 0.0
        off_w = spike_w - far_w if spike_w > far_w else near_w - spike_w
        return off_w * min(after_s - before_s, 2 * self.limits.max_gap_s) / 2


def uncertainty_j(
    start: Trace,
    end: Trace,
    limits: Limits,
    *,
    share: float = SENSOR_SHARE,
    seen: LoadRange | None = None,
    resolved_s: float = math.inf,
) -> float:
    """Return the half-width in J of an interval around the integral, made to hold the truth 19 times in 20.

    Its parts:

    * the sensor against the counter;
    * gaps, in which anything up to the limit may have been drawn;
    * single samples far off their neighbours, which may be wrong readings, and a sensor that stands still as it never
      did before;
    * steps between samples, each as large as the step times half the sample distance plus the sensor's lag (and half
      the time for which the very same value had been shown before it), added as independent errors;
    * the lag at both edges;
    * what the sensor cannot see at all: a window shorter than its lag may hold any power that the load has shown in
      the last minute; an average over a second hides a load that swings between nothing and the limit within half of
      it.

    A load that repeats with the sensor's own period (100 ms) is outside this bound; only a counter can show it.

    Args:
        start: opens the window.
        end: closes it.
        limits: of the device.
        share: bound of the sensor's relative error.
        seen: the powers that the load has shown, where more than the trace tells; that of both traces unless given.
        resolved_s: the shortest time over which a counter has shown power, in s.
    """
    if end.power_w is None:
        return math.inf
    seen = start.range.joined(end.range) if seen is None else seen
    energy_j, seconds = end.energy_j - start.energy_j, end.t_s - start.t_s
    between_w = abs(end.power_w - (start.power_w or end.power_w))
    step_w = max(start.swing_w, end.swing_w, between_w if limits.is_prompt else between_w / 2)
    gap_s = end.gap_s - start.gap_s
    return (
        share * energy_j
        + (gap_s * limits.top_w(seen) if gap_s > 0 else 0.0)
        + (end.spike_j - start.spike_j)
        + (end.frozen_j - start.frozen_j)
        + math.sqrt(max(0.0, end.scatter_j2 - start.scatter_j2))
        + max(min(seconds, limits.lag_s) * step_w, _hidden_j(energy_j, seconds, limits, seen, resolved_s))
    )


def _hidden_j(energy_j: float, seconds: float, limits: Limits, seen: LoadRange, resolved_s: float) -> float:
    """Return what the sensor may not have seen, in J, since it averages or looks seldom."""
    mean_w = energy_j / seconds if seconds > 0 else 0.0
    if limits.is_prompt:
        return seconds * max(seen.high_w - mean_w, mean_w - seen.low_w) if seconds < limits.lag_s else 0.0
    is_resolved = resolved_s <= limits.lag_s / 4
    low_w, high_w = (seen.low_w, seen.high_w) if is_resolved else (0.0, limits.top_w(seen))
    return swing_j(seconds, mean_w, low_w, high_w, limits.lag_s)


def swing_j(seconds: float, mean_w: float, low_w: float, high_w: float, averaged_s: float) -> float:
    """Return by how much a window can differ from a mean over `averaged_s`, in J, while power swings within a range.

    The most is that of a square wave between both ends of the range, with this mean and half of `averaged_s` as its
    period: a slower one shows in the averages.
    """
    off_w = max(high_w - mean_w, mean_w - low_w)
    if not low_w < mean_w < high_w < math.inf:
        return min(seconds, averaged_s / 4) * off_w
    return min(seconds * off_w, averaged_s / 2 * (high_w - mean_w) * (mean_w - low_w) / (high_w - low_w))
