"""The energy between two marks of a device, with its uncertainty and flags.

Invariant: an energy is never 0. Where nothing was measured the reading says why instead.
"""

import math
from dataclasses import dataclass

from greenopt.energy.interval import Evidence
from greenopt.energy.ledger import J_PER_WH, Mark
from greenopt.energy.trace import Limits
from greenopt.reading import EnergyReading, EnergySource

LOW_COVERAGE = 0.95
"""Below this share of the window spanned by readings, the reading is flagged."""

_MOSTLY = 0.5
_NOTABLE = 0.05


@dataclass(frozen=True, slots=True)
class Scale:
    """The device properties that turn marks into readings.

    Attributes:
        kind: what stands behind the counter.
        limits: of the device.
        tick_s: of the counter, in s.
        idle_w: idle power of the device in W; None where unknown.
    """

    kind: EnergySource
    limits: Limits
    tick_s: float
    idle_w: float | None = None


def reading_between(start: Mark, end: Mark, scale: Scale, *, failure: str | None = None) -> EnergyReading:
    """Return the energy between two marks of one meter.

    Args:
        start: opens the window.
        end: closes it.
        scale: of the device.
        failure: the latest failed reading in words, for the reason where nothing was measured.

    Returns:
        Gross energy in Wh; the difference of the marks' energies, so that parts add up exactly to the whole.
    """
    seconds = end.t_s - start.t_s
    if seconds <= 0:
        return EnergyReading.missing("the window has no length")
    source = _source(start, end, scale)
    energy_wh = end.energy_wh - start.energy_wh
    if source is None or energy_wh <= 0:
        return EnergyReading.missing(_reason(start, end, scale, failure), seconds).flagged(*_flags(start, end, scale))
    return EnergyReading(
        energy_wh=energy_wh,
        source=source,
        seconds=seconds,
        uncertainty_wh=_uncertainty_wh(start, end, scale),
        coverage=_coverage(start, end),
        counter_wh=None if source is EnergySource.ESTIMATE else _counter_wh(start, end),
        integral_wh=_integral_wh(start, end),
        net_wh=None if scale.idle_w is None else max(0.0, energy_wh - scale.idle_w * seconds / J_PER_WH),
        flags=_flags(start, end, scale),
    )


def _has_power(start: Mark, end: Mark) -> bool:
    return end.trace.covered_s > start.trace.covered_s


def _source(start: Mark, end: Mark, scale: Scale) -> EnergySource | None:
    """Return the counter if it covers most of the window and moved in it, else power, else None."""
    counted_share = (end.counted_s - start.counted_s) / (end.t_s - start.t_s)
    if end.ticks > start.ticks and counted_share >= _MOSTLY:
        return scale.kind
    return EnergySource.NVML_POWER if _has_power(start, end) else None


def _reason(start: Mark, end: Mark, scale: Scale, failure: str | None) -> str:
    if failure is not None and end.counted_s == start.counted_s:
        return failure
    if end.stalls > start.stalls:
        return "the energy counter did not move and there is no power reading"
    if scale.kind is EnergySource.ESTIMATE:
        return "no CPU time was counted; it is counted in steps of 0.01 s"
    if end.t_s - start.t_s <= 2 * scale.tick_s:
        return f"shorter than the energy counter's step of {scale.tick_s:g} s, and no power reading to fill it"
    if end.counted_s > start.counted_s:
        return "the energy counter did not move"
    return f"no two power readings within {scale.limits.max_gap_s:g} s and no energy counter"


def _coverage(start: Mark, end: Mark) -> float:
    """Share spanned by power samples without a gap; by sound counter readings where power was never read."""
    has_power = end.trace.power_w is not None
    spanned_s = end.trace.covered_s - start.trace.covered_s if has_power else end.counted_s - start.counted_s
    return min(1.0, max(0.0, spanned_s / (end.t_s - start.t_s)))


def _uncertainty_wh(start: Mark, end: Mark, scale: Scale) -> float | None:
    """Half-width in Wh; None where nothing bounds it, and for an estimate, whose error is that of an assumption."""
    if scale.kind is EnergySource.ESTIMATE:
        return None
    half_width_j = Evidence(start, end, scale.limits, scale.tick_s).half_width_j()
    return half_width_j / J_PER_WH if math.isfinite(half_width_j) else None


def _counter_wh(start: Mark, end: Mark) -> float | None:
    """Return the counter's difference in Wh; None over a reset, at a failed edge, or without any change."""
    if start.counter_wh is None or end.counter_wh is None or end.resets > start.resets or end.stalls > start.stalls:
        return None
    difference_wh = end.counter_wh - start.counter_wh
    return difference_wh if difference_wh > 0 else None


def _integral_wh(start: Mark, end: Mark) -> float | None:
    return end.integral_wh - start.integral_wh if _has_power(start, end) else None


def _flags(start: Mark, end: Mark, scale: Scale) -> tuple[str, ...]:
    found = {
        "gap": end.trace.power_w is not None and end.trace.gaps > start.trace.gaps,
        "low_coverage": 0 < _coverage(start, end) < LOW_COVERAGE,
        "reset": end.resets > start.resets,
        "stuck_counter": end.stalls > start.stalls,
        "disagreement": Evidence(start, end, scale.limits, scale.tick_s).disagrees(),
        "implausible_power": end.trace.rejected > start.trace.rejected,
        "frozen_power": end.trace.frozen_j > start.trace.frozen_j,
        "implausible_counter": end.refused > start.refused,
        "above_limit": end.trace.excesses > start.trace.excesses and end.ticks == 0,
        "held_back": max(start.held_back_wh, end.held_back_wh) > _NOTABLE * (end.energy_wh - start.energy_wh),
        "short": _has_power(start, end) and end.t_s - start.t_s < scale.limits.lag_s,
    }
    return (*(word for word, holds in found.items() if holds), *end.flags)
