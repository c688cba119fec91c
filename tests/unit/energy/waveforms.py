"""Loads whose power and energy are known exactly at every instant."""

import bisect
import math
from dataclasses import dataclass
from typing import Protocol


class Waveform(Protocol):
    def energy_j(self, t_s: float) -> float:
        """Energy in J from 0 to `t_s`."""
        ...


def mean_power_w(waveform: Waveform, start_s: float, end_s: float) -> float:
    return (waveform.energy_j(end_s) - waveform.energy_j(start_s)) / (end_s - start_s)


@dataclass(frozen=True)
class Constant:
    power_w: float

    def energy_j(self, t_s: float) -> float:
        return self.power_w * t_s


@dataclass(frozen=True)
class Square:
    """High for the first `duty` of each period."""

    low_w: float
    high_w: float
    period_s: float
    duty: float = 0.5
    phase_s: float = 0.0

    def energy_j(self, t_s: float) -> float:
        return self._since_phase_j(t_s - self.phase_s) - self._since_phase_j(-self.phase_s)

    def _since_phase_j(self, t_s: float) -> float:
        periods = math.floor(t_s / self.period_s)
        high_s = periods * self.duty * self.period_s + min(t_s - periods * self.period_s, self.duty * self.period_s)
        return self.low_w * t_s + (self.high_w - self.low_w) * high_s


@dataclass(frozen=True)
class Ramp:
    """From one power to another over `duration_s`, constant before and after."""

    start_w: float
    end_w: float
    duration_s: float
    begin_s: float = 0.0

    def energy_j(self, t_s: float) -> float:
        inside_s = min(max(t_s - self.begin_s, 0.0), self.duration_s)
        slope = (self.end_w - self.start_w) / self.duration_s
        after_s = max(0.0, t_s - self.begin_s - self.duration_s)
        return self.start_w * t_s + slope * inside_s**2 / 2 + (self.end_w - self.start_w) * after_s


class Steps:
    """Constant power between given instants; the first holds from the beginning of time."""

    def __init__(self, steps: list[tuple[float, float]]) -> None:
        self._times = [t_s for t_s, _ in steps]
        self._powers = [power_w for _, power_w in steps]
        self._energies = [0.0]
        for index in range(1, len(steps)):
            elapsed_s = self._times[index] - self._times[index - 1]
            self._energies.append(self._energies[-1] + self._powers[index - 1] * elapsed_s)
        self._zero_j = self._from_first_j(0.0)

    def energy_j(self, t_s: float) -> float:
        return self._from_first_j(t_s) - self._zero_j

    def _from_first_j(self, t_s: float) -> float:
        index = max(0, bisect.bisect_right(self._times, t_s) - 1)
        return self._energies[index] + self._powers[index] * (t_s - self._times[index])
