"""The meters of one trial: its device, and the host's CPU packages and memory if they are readable.

Invariants: all of them share their boundaries, to within the time of a reading; a host's energy stands beside the
device's and is never added to it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from greenopt.energy.ledger import Mark
from greenopt.energy.meter import EnergyMeter, PowerSample
from greenopt.energy.rapl import RaplDomains
from greenopt.energy.source import PowerSource
from greenopt.reading import EnergyReading, EnergySource


@dataclass(frozen=True, slots=True)
class Marks:
    """One boundary on every meter of a trial; None where there is no such meter."""

    device: Mark
    cpu: Mark | None = None
    dram: Mark | None = None

    @property
    def t_s(self) -> float:
        """The device's instant, in s of the monotonic clock."""
        return self.device.t_s


@dataclass(frozen=True, slots=True)
class Readings:
    """Energy over one window: of the trial's device, of all CPU packages of the host, of its memory.

    The host's figures hold whatever ran on it, not the trial alone. None where there is no readable counter.
    """

    device: EnergyReading
    cpu: EnergyReading | None = None
    dram: EnergyReading | None = None

    @classmethod
    def missing(cls, reason: str) -> Self:
        """Return readings without an energy, with the reason."""
        return cls(EnergyReading.missing(reason))

    def flagged(self, *flags: str) -> "Readings":
        """Return the readings with added flags."""
        cpu = None if self.cpu is None else self.cpu.flagged(*flags)
        dram = None if self.dram is None else self.dram.flagged(*flags)
        return Readings(self.device.flagged(*flags), cpu, dram)


class TrialMeter:
    """Meters a trial's device and its host together. A context manager; safe to use from several threads."""

    def __init__(
        self,
        source: PowerSource,
        host: RaplDomains,
        *,
        sample_hz: float = 10.0,
        idle_w: float | None = None,
        sync: Callable[[], None] | None = None,
        on_sample: Callable[[PowerSample], None] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            source: the trial's device.
            host: RAPL domains; one that is the device itself is not metered a second time.
            sample_hz: how often the device's power is read, in Hz.
            idle_w: idle power of the GPU in W, for net energy; a CPU has none.
            sync: waits until the device has done its work; called before each boundary.
            on_sample: called about once a second with the state of the device.
        """
        # The idle power is a GPU's and is never taken off what a CPU draws.
        is_gpu = source.kind in (EnergySource.NVML_COUNTER, EnergySource.NVML_POWER)
        self._device = EnergyMeter(
            source, sample_hz=sample_hz, idle_w=idle_w if is_gpu else None, sync=sync, on_sample=on_sample
        )
        self._is_cpu = source.kind is EnergySource.RAPL
        self._cpu = EnergyMeter(host.cpu) if host.cpu is not None and not self._is_cpu else None
        self._dram = EnergyMeter(host.dram) if host.dram is not None else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin metering."""
        for meter in (self._cpu, self._dram, self._device):
            if meter is not None:
                self._stack.enter_context(meter)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Read once more and close all sources."""
        self._stack.close()

    def mark(self) -> Marks:
        """Mark a boundary: the device first, after it has finished all queued work, then the host."""
        device = self._device.mark()
        return Marks(device, *(None if meter is None else meter.mark() for meter in (self._cpu, self._dram)))

    def between(self, start: Marks, end: Marks) -> Readings:
        """Return the energy between two boundaries."""
        device = self._device.between(start.device, end.device)
        cpu = device if self._is_cpu else _between(self._cpu, start.cpu, end.cpu)
        return Readings(device, cpu, _between(self._dram, start.dram, end.dram))

    def so_far(self, start: Marks | None = None) -> Readings:
        """Return the energy since a boundary, or since metering began, without reading or waiting."""
        device = self._device.so_far(None if start is None else start.device)
        cpu = None if self._cpu is None else self._cpu.so_far(None if start is None else start.cpu)
        dram = None if self._dram is None else self._dram.so_far(None if start is None else start.dram)
        return Readings(device, device if self._is_cpu else cpu, dram)


def _between(meter: EnergyMeter | None, start: Mark | None, end: Mark | None) -> EnergyReading | None:
    return None if meter is None or start is None or end is None else meter.between(start, end)
