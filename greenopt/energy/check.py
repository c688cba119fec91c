"""Measures a meter: what its readings cost and how often they change, whether they agree, what metering slows down.

Loads, clock and sleep come in as arguments, so that every figure can be checked against a device of known power.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from greenopt.energy.meter import EnergyMeter
from greenopt.energy.source import PowerSource
from greenopt.reading import EnergyReading

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Work = Callable[[], object]

_POLL_S = 0.001
_WARM_UPS = 2


class _Measurements(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReadingStats(_Measurements):
    """How one reading of a device behaves.

    Attributes:
        cost_s: median time that reading it takes, in s; None where the device has no such reading.
        period_s: median time between two changes of its value, in s; None where it changed less than twice.
        reads: how often it was read.
    """

    cost_s: float | None
    period_s: float | None
    reads: int


class Comparison(_Measurements):
    """Counter and integral of power over the same window.

    Attributes:
        load: what ran meanwhile, in words.
        core_share: share of one CPU core that this process used meanwhile; None where it did other work too.
    """

    load: str
    reading: EnergyReading
    core_share: float | None = None

    @property
    def difference(self) -> float | None:
        """Integral less counter, as a share of the counter; None where one of them is missing."""
        counter_wh, integral_wh = self.reading.counter_wh, self.reading.integral_wh
        return integral_wh / counter_wh - 1 if counter_wh and integral_wh is not None else None


class Overhead(_Measurements):
    """What metering adds to a piece of work that was done with and without it, in turns.

    Attributes:
        work_s: median time of the work without the meter, in s.
        share: median over pairs of the added time, as a share of the time without; below 0 is noise.
        noise: half-width of a 95 % interval of that median (sign test of the pairs' order statistics).
        pairs: how often.
    """

    work_s: float
    share: float
    noise: float
    pairs: int


class Repeats(_Measurements):
    """The same work, again and again.

    Attributes:
        readings: one for each repetition.
    """

    readings: tuple[EnergyReading, ...]

    @property
    def energies_wh(self) -> list[float]:
        """The energies that were measured, in Wh."""
        return [reading.energy_wh for reading in self.readings if reading.energy_wh is not None]

    @property
    def variation(self) -> float | None:
        """Coefficient of variation: standard deviation over mean; None for fewer than two energies."""
        energies = self.energies_wh
        return statistics.stdev(energies) / statistics.mean(energies) if len(energies) > 1 else None

    @property
    def distinguishable(self) -> float | None:
        """The smallest difference of two single energies, as a share, that chance makes in 1 of 20 pairs only.

        Student's t x sqrt(2) x coefficient of variation, or what the meter's resolution leaves open, if that is more.
        """
        from scipy.stats import t

        energies, variation = self.energies_wh, self.variation
        if variation is None:
            return None
        by_chance = float(t.ppf(0.975, len(energies) - 1)) * math.sqrt(2) * variation
        doubts = [reading.uncertainty_wh for reading in self.readings if reading.uncertainty_wh is not None]
        by_resolution = math.sqrt(2) * statistics.mean(doubts) / statistics.mean(energies) if doubts else 0.0
        return max(by_chance, by_resolution)


def measure_readings(
    read: Callable[[], float | None], seconds: float, clock: Clock = time.monotonic, sleep: Sleep = time.sleep
) -> ReadingStats:
    """Read one value again and again, a thousand times a second at most.

    Args:
        read: the reading; None where the device has none. A reading that fails is passed over.
        seconds: for how long.
        clock: monotonic seconds.
        sleep: waits that many seconds.
    """
    until_s = clock() + seconds
    costs_s: list[float] = []
    changes_s: list[float] = []
    last: float | None = None
    while (began_s := clock()) < until_s:
        try:
            value = read()
        except Exception:
            value = None
        if value is not None:
            costs_s.append(clock() - began_s)
            if last is not None and value != last:
                changes_s.append(clock())
            last = value
        sleep(_POLL_S)
    periods_s = [later - earlier for earlier, later in pairwise(changes_s)]
    return ReadingStats(
        cost_s=statistics.median(costs_s) if costs_s else None,
        period_s=statistics.median(periods_s) if periods_s else None,
        reads=len(costs_s),
    )


@contextmanager
def metered(source: PowerSource, sync: Work | None = None) -> Iterator[Callable[[], EnergyReading]]:
    """Meter a block without closing the source; the function that it gives tells the energy, once the block is left."""
    found: list[EnergyReading] = []
    with EnergyMeter(_Kept(source), sync=None if sync is None else lambda: _call(sync)) as meter:
        start = meter.mark()
        yield lambda: found[0]
        found.append(meter.between(start, meter.mark()))


def compare(source: PowerSource, load: str, work: Work, *, counts_core: bool = False) -> Comparison:
    """Counter and integral of power while some work runs.

    Args:
        source: the device.
        load: the work in words.
        work: returns when the device has done it.
        counts_core: whether the work leaves the CPU alone, so that what is used is the meter's.
    """
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    with metered(source) as reading:
        work()
    used = (time.process_time() - began_cpu_s) / (time.monotonic() - began_s)
    return Comparison(load=load, reading=reading(), core_share=used if counts_core else None)


def overhead(
    source: PowerSource, work: Work, pairs: int, least_s: float = 2.5, clock: Clock = time.monotonic
) -> Overhead:
    """Time some work with and without the meter, in turns, each first as often as the other.

    Args:
        source: the device.
        work: returns when the device has done it; run three times before anything counts.
        pairs: how often.
        least_s: the work is repeated until it takes about this long, in s: a meter reads more in its first moments, as
            it looks for the counter's tick, than later on.
        clock: monotonic seconds.
    """
    for _ in range(_WARM_UPS):
        work()
    began_s = clock()
    work()
    times = max(1, math.ceil(least_s / max(clock() - began_s, 1e-9)))

    def timed(with_meter: bool) -> float:
        with metered(source) if with_meter else nullcontext():
            began_s = clock()
            for _ in range(times):
                work()
            return clock() - began_s

    shares, plain_s = [], []
    for pair in range(pairs):
        times_s = {which: timed(which) for which in ((True, False) if pair % 2 else (False, True))}
        plain_s.append(times_s[False])
        shares.append(times_s[True] / times_s[False] - 1)
    return Overhead(
        work_s=statistics.median(plain_s), share=statistics.median(shares), noise=_median_noise(shares), pairs=pairs
    )


def repeat(source: PowerSource, work: Work, times: int) -> Repeats:
    """Meter the same work several times."""
    readings = []
    for _ in range(times):
        with metered(source) as reading:
            work()
        readings.append(reading())
    return Repeats(readings=tuple(readings))


def _median_noise(values: list[float]) -> float:
    """Half the distance between the order statistics that hold the median with 95 %."""
    ordered, count = sorted(values), len(values)
    skipped = max(0, math.floor(count / 2 - 1.96 * math.sqrt(count) / 2))
    return (ordered[count - 1 - skipped] - ordered[skipped]) / 2


def _call(work: Work) -> None:
    work()


class _Kept:
    """A source that outlives the meters that use it."""

    def __init__(self, source: PowerSource) -> None:
        self._source = source
        self.name, self.kind, self.power_limit_w = source.name, source.kind, source.power_limit_w
        self.counter_tick_s, self.power_lag_s = source.counter_tick_s, source.power_lag_s
        self.energy_j = source.energy_j
        self.device_stats, self.flags = source.device_stats, source.flags

    def power_w(self) -> float | None:
        """Return the source's power in W; how far it looks back may change with it."""
        power_w = self._source.power_w()
        self.power_lag_s = self._source.power_lag_s
        return power_w

    def close(self) -> None:
        """Whoever opened the source closes it."""
