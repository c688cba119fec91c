"""Energy readings: what one device drew between two instants, how that was obtained, and sums of readings.

Invariant: an energy that was not measured is None and has a reason; it is never 0.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EnergySource(StrEnum):
    """How an energy was obtained, best first; the last two only of imported trials."""

    NVML_COUNTER = "nvml_counter"
    NVML_POWER = "nvml_power"
    RAPL = "rapl"
    ESTIMATE = "estimate"
    NVIDIA_SMI_SNAPSHOT = "nvidia_smi_snapshot"
    UNKNOWN = "unknown"

    @property
    def is_measured(self) -> bool:
        """Return whether the energy was measured by a sensor."""
        return self not in (EnergySource.ESTIMATE, EnergySource.UNKNOWN)


class EnergyReading(BaseModel):
    """The energy one device drew between two instants.

    Attributes:
        energy_wh: gross energy in Wh; None where it was not measured, and then `reason` says why. Never 0 for that.
        source: how `energy_wh` was obtained; None exactly where `energy_wh` is.
        seconds: length of the window in s.
        uncertainty_wh: half-width in Wh of the interval around `energy_wh` that is made to hold, 19 times in 20, what
            a perfect counter of this board would show: resolution, sampling, gaps, faults, and a power sensor up to 5 %
            off the counter. What the counter itself is off a wall meter (about 5 % between boards) is not in it. None
            where nothing bounds it.
        coverage: share of the window, 0..1, that readings span without a gap; None where that is not known.
        counter_wh: the driver's energy counter over the window, in Wh, where there is one.
        integral_wh: the integral of sampled power over the window, in Wh, where there is one.
        net_wh: `energy_wh` less idle power x time, at least 0; None without an idle baseline.
        flags: words about what may be wrong, such as `gap`, `reset`, `shared_gpu`, `partial`, `disagreement`.
        reason: why nothing was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    energy_wh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    source: EnergySource | None
    seconds: Annotated[float, Field(ge=0)]
    uncertainty_wh: Annotated[float, Field(ge=0)] | None = None
    coverage: Annotated[float, Field(ge=0, le=1)] | None = None
    counter_wh: float | None = None
    integral_wh: float | None = None
    net_wh: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None

    @model_validator(mode="after")
    def _missing_has_a_reason(self) -> Self:
        if (self.energy_wh is None) != (self.source is None) or (self.energy_wh is None) != (self.reason is not None):
            raise ValueError("an energy has a source, a missing one a reason")
        return self

    @classmethod
    def missing(cls, reason: str, seconds: float = 0.0) -> Self:
        """Return a reading without an energy, with the reason."""
        return cls(energy_wh=None, source=None, seconds=seconds, reason=reason)

    def flagged(self, *flags: str) -> Self:
        """Return the reading with added flags."""
        return self.model_copy(update={"flags": tuple(dict.fromkeys((*self.flags, *flags)))})

    @property
    def average_power_w(self) -> float | None:
        """Mean power in W."""
        return self.energy_wh * 3600 / self.seconds if self.energy_wh is not None and self.seconds > 0 else None


def sum_of_windows(readings: list[EnergyReading]) -> EnergyReading:
    """Return the sum of readings of adjacent windows; missing if one of them is missing.

    Uncertainties are added, not squared: neighbouring windows share the reads at their boundary.
    """
    seconds = sum(reading.seconds for reading in readings)
    flags = tuple(dict.fromkeys(flag for reading in readings for flag in reading.flags))
    missing = next((reading.reason for reading in readings if reading.reason is not None), None)
    if not readings or missing is not None:
        return EnergyReading.missing(missing or "no reading", seconds).flagged(*flags)
    sources = [reading.source for reading in readings if reading.source is not None]
    ranks = list(type(sources[0]))
    return EnergyReading(
        energy_wh=sum(reading.energy_wh or 0.0 for reading in readings),
        source=max(sources, key=ranks.index),
        seconds=seconds,
        uncertainty_wh=_total([reading.uncertainty_wh for reading in readings]),
        coverage=_weighted([(reading.coverage, reading.seconds) for reading in readings]),
        counter_wh=_total([reading.counter_wh for reading in readings]),
        integral_wh=_total([reading.integral_wh for reading in readings]),
        net_wh=_total([reading.net_wh for reading in readings]),
        flags=flags,
    )


def sum_of_devices(readings: Iterable[EnergyReading]) -> EnergyReading:
    """Sum the energy of several devices over the same window; missing as soon as one is missing.

    Uncertainties add up, coverage and source are the worst of all.
    """
    parts = list(readings)
    if not parts:
        return EnergyReading.missing("no device was metered")
    missing = next((part for part in parts if part.energy_wh is None), None)
    if missing is not None:
        return missing
    worst = max((part.source for part in parts if part.source), key=list(EnergySource).index)
    return EnergyReading(
        energy_wh=math.fsum(part.energy_wh or 0.0 for part in parts),
        source=worst,
        seconds=max(part.seconds for part in parts),
        uncertainty_wh=_total([part.uncertainty_wh for part in parts]),
        coverage=min(part.coverage or 0.0 for part in parts),
        counter_wh=_total([part.counter_wh for part in parts]),
        integral_wh=_total([part.integral_wh for part in parts]),
        net_wh=_total([part.net_wh for part in parts]),
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
    )


def _total(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) if len(present) == len(values) else None


def _weighted(shares: list[tuple[float | None, float]]) -> float | None:
    seconds = sum(weight for _, weight in shares)
    known = [share * weight for share, weight in shares if share is not None]
    return sum(known) / seconds if len(known) == len(shares) and seconds > 0 else None
