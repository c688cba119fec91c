"""The integral of sampled power, and what is known about its error.

Invariant: every sample counts, whether its value changed or not, and each stretch between two samples is integrated
once, as a trapezoid. All figures are running sums, so the memory does not grow with the length of a training.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

SENSOR_SHARE = 0.02
"""Assumed bound of what a board's power sensor and its energy counter differ by; up to 0.01 was measured on an H100."""

OVERSHOOT = 1.1
"""No board draws more than this multiple of its highest power limit; a reading beyond it is cut to it."""

_RECENT = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known of a device before anything was read.

    Attributes:
        power_limit_w: the most it can be set to draw, in W; None where unknown.
        lag_s: how far a power reading may look back, in s.
        max_gap_s: samples further apart than this leave a gap, in s.
    """

    power_limit_w: float | None
    lag_s: float
    max_gap_s: float


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
        gap_j: the most that could have been drawn in all gaps so far, in J.
        gaps: number of gaps so far.
        scatter_j2: sum of the squared errors that steps between samples can have caused, in J^2.
    """

    t_s: float
    power_w: float | None = None
    swing_w: float = 0.0
    peak_w: float = 0.0
    energy_j: float = 0.0
    covered_s: float = 0.0
    gap_j: float = 0.0
    gaps: int = 0
    scatter_j2: float = 0.0


class PowerIntegral:
    """Adds up power samples with the trapezoid rule."""

    def __init__(self, limits: Limits, start_s: float) -> None:
        self._limits = limits
        self._cap_w = math.inf if limits.power_limit_w is None else OVERSHOOT * limits.power_limit_w
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._sampled_s = start_s
        self.trace = Trace(start_s)

    def add(self, t_s: float, power_w: float) -> None:
        """Add a sample; a value that no device can have is taken as not read.

        Args:
            t_s: its instant, not before the previous one.
            power_w: power in W.
        """
        if not (math.isfinite(power_w) and power_w >= 0):
            self.hold(t_s)
            return
        power_w = min(power_w, self._cap_w)
        self._recent.append(power_w)
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
            most_j = (self._limits.power_limit_w or 0.0) * (t_s - before.t_s)
            self.trace = replace(before, t_s=t_s, gap_j=before.gap_j + most_j, gaps=before.gaps + 1)

    def _extend(self, t_s: float, power_w: float) -> None:
        before, limits = self.trace, self._limits
        elapsed_s = t_s - before.t_s
        start_w = power_w if before.power_w is None else before.power_w
        is_gap = t_s - self._sampled_s > limits.max_gap_s
        self.trace = Trace(
            t_s=t_s,
            power_w=power_w,
            swing_w=max(self._recent) - min(self._recent),
            peak_w=max(self._recent),
            energy_j=before.energy_j + elapsed_s * (start_w + power_w) / 2,
            covered_s=before.covered_s + (0.0 if is_gap else elapsed_s),
            gap_j=before.gap_j + (elapsed_s * self._ceiling_w() if is_gap else 0.0),
            gaps=before.gaps + is_gap,
            scatter_j2=before.scatter_j2 + ((power_w - start_w) * (elapsed_s / 2 + limits.lag_s)) ** 2,
        )

    def _ceiling_w(self) -> float:
        """What the device may have drawn unseen: its limit; where that is unknown, twice what was seen last."""
        return 2 * max(self._recent) if self._limits.power_limit_w is None else self._limits.power_limit_w


def doubt_j(start: Trace, end: Trace, limits: Limits) -> float:
    """Half-width in J of an interval around the integral between two instants, made to hold the truth 19 times in 20.

    Four parts: the sensor against the counter; gaps, in which anything up to the limit may have been drawn; steps
    between samples, each as large as the step times half the sample distance plus the sensor's lag, added as
    independent errors; and the lag at both edges. In a window shorter than the lag the sensor may not have looked at
    all, so anything up to the limit is possible. A load that repeats with the sensor's own period (100 ms) is outside
    this bound; only a counter can show it.
    """
    if end.power_w is None:
        return math.inf
    energy_j, seconds = end.energy_j - start.energy_j, end.t_s - start.t_s
    step_w = max(start.swing_w, end.swing_w, abs(end.power_w - (start.power_w or end.power_w)))
    if seconds < limits.lag_s and limits.power_limit_w is not None:
        step_w = max(step_w, limits.power_limit_w - end.power_w)
    return (
        SENSOR_SHARE * energy_j
        + (end.gap_j - start.gap_j)
        + math.sqrt(end.scatter_j2 - start.scatter_j2)
        + min(seconds, limits.lag_s) * step_w
    )
