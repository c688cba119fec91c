"""Time and energy of a model's predictions, from repeated calls, with the intervals that repetition gives.

Invariant: an interval holds what varies from call to call and, of an energy, what the meter may be off; an energy that
is an estimate has none.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from greenopt.energy.trial_meter import Readings
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import Metric
from greenopt.trial.journal import Journal

BLOCKS = 5
BLOCK_S = 1.0
"""How long the calls of a block take, in s: several updates of any energy counter."""

STUDENT_T = 2.776
"""97.5th percentile of Student's t with BLOCKS - 1 degrees of freedom."""

WARM_UP = 5
"""Calls that come before, of which the first ones compile."""


class Block(NamedTuple):
    """Calls one after the other.

    Attributes:
        calls_s: how long each took, in s.
        energy: what the meters read.
    """

    calls_s: Sequence[float]
    energy: Readings


class Measured(NamedTuple):
    """Repeated calls, in `BLOCKS` blocks.

    Attributes:
        blocks: in order.
        energy: what the meters read over all of them.
        cpu_s: CPU time of this process meanwhile, in s.
    """

    blocks: Sequence[Block]
    energy: Readings
    cpu_s: float

    @property
    def calls(self) -> int:
        """How many there were."""
        return sum(len(block.calls_s) for block in self.blocks)


class PredictionEnergy(NamedTuple):
    """Energy of a prediction by the names of its figures, in mJ an image, and where it is from."""

    values: dict[str, float]
    source: EnergySource


def measure(predict: Callable[[], object], journal: Journal) -> Measured:
    """Repeat a prediction for some seconds, after a warm-up that is not counted."""
    for _ in range(WARM_UP):
        predict()
    cpu_s = time.process_time()
    blocks: list[Block] = []
    energy = journal.metered(lambda: blocks.extend(_block(predict, journal) for _ in range(BLOCKS)))
    return Measured(blocks, energy, time.process_time() - cpu_s)


def _block(predict: Callable[[], object], journal: Journal) -> Block:
    calls_s: list[float] = []

    def repeat() -> None:
        began_s = last_s = time.perf_counter()
        while not calls_s or last_s - began_s < BLOCK_S:
            predict()
            now_s = time.perf_counter()
            calls_s.append(now_s - last_s)
            last_s = now_s

    energy = journal.metered(repeat)
    return Block(calls_s, energy)


def latency_figures(measured: Measured) -> dict[str, float]:
    """Return the mean time of a call, the half-width of its 95 % interval, and the 95th percentile of calls, in ms."""
    calls_s = sorted(call_s for block in measured.blocks for call_s in block.calls_s)
    means_s = [statistics.fmean(block.calls_s) for block in measured.blocks]
    return {
        Metric.LATENCY_MS: 1000 * statistics.fmean(calls_s),
        "latency_uncertainty_ms": 1000 * half_width(means_s),
        Metric.LATENCY_P95_MS: 1000 * calls_s[math.ceil(0.95 * len(calls_s)) - 1],
    }


def energy_figures(
    measured: Measured, batch_size: int, cpu_w_per_core: float, *, on_host: bool = False
) -> PredictionEnergy | str:
    """Return the energy of one image's prediction, less the idle device's where that is known.

    Args:
        measured: the predictions.
        batch_size: images in a call.
        cpu_w_per_core: power that is assumed of a busy core, in W.
        on_host: whether they ran on the CPU though the trial's device is a GPU.

    Returns:
        The reason instead, where it was not measured.
    """
    energy = _of_host(measured, cpu_w_per_core) if on_host else measured.energy.device
    if energy.energy_wh is None or energy.source is None:
        return energy.reason or "no reading"
    energy_wh = _net_wh(energy)
    if energy_wh is None or energy_wh <= 0:
        return "the predictions drew no more than the idle device"
    mj_per_wh = 3.6e6 / (measured.calls * batch_size)
    values: dict[str, float] = {Metric.INFERENCE_MJ: energy_wh * mj_per_wh}
    if energy.uncertainty_wh is not None and (spread := _spread(measured, batch_size, on_host=on_host)) is not None:
        values["inference_uncertainty_mj"] = math.hypot(spread, energy.uncertainty_wh * mj_per_wh)
    return PredictionEnergy(values, energy.source)


def _of_host(measured: Measured, cpu_w_per_core: float) -> EnergyReading:
    """Return the energy of the CPU packages, else an estimate from CPU time."""
    host = measured.energy.cpu
    if host is not None and host.energy_wh:
        return host
    estimate_wh = measured.cpu_s * cpu_w_per_core / 3600
    return EnergyReading(
        energy_wh=estimate_wh, source=EnergySource.ESTIMATE, seconds=measured.energy.device.seconds, uncertainty_wh=None
    )


def _spread(measured: Measured, batch_size: int, *, on_host: bool) -> float | None:
    """Return the half-width of the interval that blocks give, in mJ an image; None where one was not measured."""
    readings = [block.energy.cpu if on_host else block.energy.device for block in measured.blocks]
    energies = [None if reading is None else _net_wh(reading) for reading in readings]
    known = [
        energy_wh * 3.6e6 / (len(block.calls_s) * batch_size)
        for block, energy_wh in zip(measured.blocks, energies, strict=True)
        if energy_wh is not None
    ]
    return half_width(known) if len(known) == len(measured.blocks) else None


def _net_wh(reading: EnergyReading) -> float | None:
    return reading.net_wh if reading.net_wh is not None else reading.energy_wh


def half_width(means: Sequence[float]) -> float:
    """Return the half-width of the 95 % interval around the mean of `BLOCKS` independent means."""
    return STUDENT_T * statistics.stdev(means) / math.sqrt(len(means))
