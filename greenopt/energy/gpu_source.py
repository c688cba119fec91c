"""One NVIDIA GPU as a power source; its readings are probed, not inferred from its model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenopt.energy.gpus import foreign_pids
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import MIG_WHOLE_BOARD, SHARED_GPU, DeviceStats, NotSupportedError, ReadError
from greenopt.reading import EnergySource

COUNTER_TICK_S = 0.1
"""How often the energy counter changes on the boards measured so far; the meter corrects it by what it sees."""

INSTANT_LAG_S = 0.125
"""Field 186 changes every 100 ms and averages over 25 ms."""

AVERAGE_LAG_S = 1.0
"""Field 185 averages over one second, and so does `nvmlDeviceGetPowerUsage` on boards after GA100."""


@dataclass(frozen=True, slots=True)
class _PowerReading:
    """One way to read power in W, and how far its values look back in s."""

    name: str
    read: Callable[[Any], float]
    lag_s: float


class NvmlSource:
    """The counter, the power sensor and the state of one GPU."""

    def __init__(self, nvml: Nvml, uuid: str) -> None:
        """Find the GPU and what it supports.

        Raises:
            ReadError: there is no GPU with this UUID.
        """
        self._nvml = nvml
        self._handle: Any = nvml.handle(uuid)
        self.name = f"{self._product()} {uuid}"
        self.power_limit_w = nvml.power_limit_w(self._handle)
        self.counter_tick_s = COUNTER_TICK_S
        self.has_counter = self._supports(nvml.counter_j)
        self._powers = self._choose_powers()
        self.power_lag_s = self._powers[0].lag_s if self._powers else INSTANT_LAG_S
        self.kind = EnergySource.NVML_COUNTER if self.has_counter else EnergySource.NVML_POWER

    @property
    def power_reading(self) -> str | None:
        """The power reading in use: `instant`, `average` or `usage`; None where the board tells none."""
        return self._powers[0].name if self._powers else None

    def energy_j(self) -> float | None:
        """Return the board's energy counter in J; None if it has none (older than Volta, some vGPUs)."""
        return self._nvml.counter_j(self._handle) if self.has_counter else None

    def power_w(self) -> float | None:
        """Return instant power in W if the board reports it, else averaged power; None if it reports neither.

        A reading that fails gives way, from here on, to the next one that does not: going back to it would mix values
        that look back over different times.
        """
        failure: ReadError | None = None
        for place, power in enumerate(self._powers):
            try:
                power_w = power.read(self._handle)
            except ReadError as error:
                failure = failure or error
                continue
            self._powers, self.power_lag_s = self._powers[place:], power.lag_s
            return power_w
        if failure is not None:
            raise failure
        return None

    def device_stats(self) -> DeviceStats:
        """Temperature, utilisation and memory in use."""
        return self._nvml.device_stats(self._handle)

    def flags(self) -> tuple[str, ...]:
        """`shared_gpu` while another process computes here, `mig_whole_board` while the board is split."""
        found = []
        if self._nvml.is_mig(self._handle):
            found.append(MIG_WHOLE_BOARD)
        try:
            if foreign_pids(pid for pid, _ in self._nvml.processes(self._handle)):
                found.append(SHARED_GPU)
        except ReadError:
            pass
        return tuple(found)

    def close(self) -> None:
        """Release NVML."""
        self._nvml.close()

    def _choose_powers(self) -> tuple[_PowerReading, ...]:
        """Return the power readings from the first that answers; without one, all that the board does not deny."""
        nvml = self._nvml
        every = (
            _PowerReading("instant", nvml.instant_power_w, INSTANT_LAG_S),
            _PowerReading("average", nvml.average_power_w, AVERAGE_LAG_S),
            _PowerReading("usage", nvml.power_usage_w, AVERAGE_LAG_S),
        )
        failing = []
        for place, power in enumerate(every):
            try:
                power.read(self._handle)
            except NotSupportedError:
                continue
            except ReadError:
                failing.append(power)
                continue
            return every[place:]
        return tuple(failing)

    def _product(self) -> str:
        try:
            return self._nvml.name(self._handle)
        except ReadError:
            return "GPU"

    def _supports(self, read: Callable[[Any], float]) -> bool:
        """Return whether the device has a reading; a temporary failure counts as having it."""
        try:
            read(self._handle)
        except NotSupportedError:
            return False
        except ReadError:
            return True
        return True
