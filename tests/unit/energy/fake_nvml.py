"""A stand-in for the module pynvml over boards of known power, with a virtual clock and scripted faults.

The sensors behave as measured: the energy counter changes every 100 ms, instant power every 100 ms and averages over
25 ms, PowerUsage over 25 ms or one second. The sensor keeps its own time, whatever the counter's tick is. Values come
in millijoules and milliwatts.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.unit.energy.waveforms import Constant, Waveform, mean_power_w

Spans = list[tuple[float, float]]


class VirtualClock:
    """Time that passes only when told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    def advance_to(self, t_s: float) -> None:
        self.now_s = max(self.now_s, t_s)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return {3: "Not Supported", 6: "Not Found", 9: "Driver Not Loaded"}.get(self.value, "Unknown Error")


@dataclass
class Board:
    """One GPU.

    Spans are (from, to) in s; a reading inside one fails, a counter inside `stuck` and a power inside `frozen` stand
    still. `garble_power` and `garble_counter` take the instant and the right value in W or J and return what is read.
    """

    uuid: str = "GPU-aaaa1111-0000-0000-0000-000000000000"
    waveform: Waveform = field(default_factory=lambda: Constant(300.0))
    name: str = "Fake H100"
    limit_w: float | None = 700.0
    has_counter: bool = True
    has_instant: bool = True
    has_usage: bool = True
    usage_average_s: float = 0.025
    tick_s: float = 0.1
    tick_phase_s: float = 0.0
    counter_start_j: float = 1_000_000.0
    counter_cost_s: float = 0.0
    counter_lost: Spans = field(default_factory=list)
    power_lost: Spans | Callable[[float], bool] = field(default_factory=list)
    resets_s: list[float] = field(default_factory=list)
    stuck: Spans = field(default_factory=list)
    catches_up: bool = False
    power_factor: float = 1.0
    power_tick_s: float = 0.1
    power_phase_s: float | None = None
    power_noise: float = 0.0
    frozen: Spans = field(default_factory=list)
    garble_power: Callable[[float, float], float] | None = None
    garble_counter: Callable[[float, float], float] | None = None
    utilisation_percent: int = 0
    mig: bool = False
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    counter_reads: int = 0
    power_reads: int = 0

    def latest_tick_s(self, t_s: float) -> float:
        ticks = math.floor((t_s - self.tick_phase_s) / self.tick_s + 1e-9)
        return ticks * self.tick_s + self.tick_phase_s

    def counter_j(self, t_s: float) -> float:
        tick_s = self.latest_tick_s(t_s)
        counted_j = self.waveform.energy_j(tick_s)
        for start_s, end_s in self.stuck:
            if start_s <= tick_s < end_s or (tick_s >= end_s and not self.catches_up):
                counted_j -= self.waveform.energy_j(min(tick_s, end_s)) - self.waveform.energy_j(start_s)
        reset_s = max((at_s for at_s in self.resets_s if at_s <= tick_s), default=None)
        if reset_s is not None:
            return max(0.0, counted_j - self.waveform.energy_j(self.latest_tick_s(reset_s)))
        return self.counter_start_j + counted_j

    def power_w(self, t_s: float, average_s: float) -> float:
        t_s = min([start_s for start_s, end_s in self.frozen if start_s <= t_s < end_s], default=t_s)
        phase_s = self.tick_phase_s if self.power_phase_s is None else self.power_phase_s
        tick = math.floor((t_s - phase_s) / self.power_tick_s + 1e-9)
        tick_s = tick * self.power_tick_s + phase_s
        noise = self.power_noise * random.Random(tick).gauss(0.0, 1.0) if self.power_noise else 0.0
        return self.power_factor * (1 + noise) * mean_power_w(self.waveform, tick_s - average_s, tick_s)

    def is_power_lost(self, t_s: float) -> bool:
        return self.power_lost(t_s) if callable(self.power_lost) else is_inside(self.power_lost, t_s)


def is_inside(spans: Spans, t_s: float) -> bool:
    return any(start_s <= t_s < end_s for start_s, end_s in spans)


class FakePynvml:
    """The functions of pynvml that greenopt calls, by their own names."""

    NVMLError = NVMLError
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_UNKNOWN = 999
    NVML_FI_DEV_POWER_AVERAGE = 185
    NVML_FI_DEV_POWER_INSTANT = 186
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, clock: Callable[[], float], *boards: Board) -> None:
        self.clock, self.boards = clock, boards
        self.shutdowns = 0

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shutdowns += 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159"

    def nvmlSystemGetProcessName(self, pid: int) -> bytes:  # noqa: N802
        if pid >= 90_000:
            raise NVMLError(self.NVML_ERROR_NOT_FOUND)
        return f"program-{pid}".encode()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:  # noqa: N802
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Board:  # noqa: N802
        for board in self.boards:
            if board.uuid == uuid:
                return board
        raise NVMLError(self.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, board: Board) -> str:  # noqa: N802
        return board.uuid

    def nvmlDeviceGetName(self, board: Board) -> bytes:  # noqa: N802
        return board.name.encode()

    def nvmlDeviceGetMigMode(self, board: Board) -> list[int]:  # noqa: N802
        return [int(board.mig), int(board.mig)]

    def nvmlDeviceGetMemoryInfo(self, board: Board) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=80 * 2**30, used=3 * 2**30)

    def nvmlDeviceGetTemperature(self, board: Board, sensor: int) -> int:  # noqa: N802
        return 41

    def nvmlDeviceGetUtilizationRates(self, board: Board) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=board.utilisation_percent, memory=20)

    def nvmlDeviceGetPowerManagementLimitConstraints(self, board: Board) -> list[int]:  # noqa: N802
        if board.limit_w is None:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return [200_000, int(board.limit_w * 1000)]

    def nvmlDeviceGetEnforcedPowerLimit(self, board: Board) -> int:  # noqa: N802
        if board.limit_w is None:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return int(board.limit_w * 1000)

    def nvmlDeviceGetComputeRunningProcesses(self, board: Board) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in board.processes]

    def nvmlDeviceGetTotalEnergyConsumption(self, board: Board) -> int:  # noqa: N802
        if not board.has_counter:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        board.counter_reads += 1
        now_s = self.clock()
        if board.counter_cost_s and isinstance(self.clock, VirtualClock):
            self.clock.advance(board.counter_cost_s)
        if is_inside(board.counter_lost, now_s):
            raise NVMLError(self.NVML_ERROR_UNKNOWN)
        counted_j = board.counter_j(now_s)
        return math.floor((board.garble_counter(now_s, counted_j) if board.garble_counter else counted_j) * 1000)

    def nvmlDeviceGetPowerUsage(self, board: Board) -> int:  # noqa: N802
        if not board.has_usage:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return self._power_mw(board, board.usage_average_s)

    def nvmlDeviceGetFieldValues(self, board: Board, fields: list[int]) -> list[SimpleNamespace]:  # noqa: N802
        (wanted,) = fields
        assert wanted in (self.NVML_FI_DEV_POWER_INSTANT, self.NVML_FI_DEV_POWER_AVERAGE)
        value, status = 0, self.NVML_SUCCESS
        try:
            if not board.has_instant:
                raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
            value = self._power_mw(board, 0.025 if wanted == self.NVML_FI_DEV_POWER_INSTANT else 1.0)
        except NVMLError as error:
            status = error.value
        # A failed field keeps whatever was in its memory; the status alone tells.
        return [SimpleNamespace(nvmlReturn=status, value=SimpleNamespace(uiVal=value or 4_000_000_000))]

    def _power_mw(self, board: Board, average_s: float) -> int:
        board.power_reads += 1
        if board.is_power_lost(self.clock()):
            raise NVMLError(self.NVML_ERROR_UNKNOWN)
        power_w = board.power_w(self.clock(), average_s)
        if board.garble_power is not None:
            power_w = board.garble_power(self.clock(), power_w)
        return round(power_w * 1000) if math.isfinite(power_w) else power_w  # type: ignore[return-value]


def as_module(fake: FakePynvml) -> Any:
    """The fake, typed as what `Nvml` takes."""
    return fake
