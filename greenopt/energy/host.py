"""Energy of the host: RAPL where its counters can be read, else the estimate from CPU time.

A host's energy stands beside a GPU's and is never added to it.
"""

from typing import TYPE_CHECKING

from greenopt.energy.rapl import POWERCAP, RaplDomains, RaplSource
from greenopt.energy.source import DeviceStats, ReadError
from greenopt.reading import EnergySource

if TYPE_CHECKING:
    import psutil

__all__ = ["POWERCAP", "CpuTimeEstimate", "RaplDomains", "RaplSource"]


class CpuTimeEstimate:
    """CPU time of this process and its descendants times an assumed power per busy core. Not a measurement."""

    kind = EnergySource.ESTIMATE
    power_limit_w: float | None = None
    counter_tick_s = 0.01
    power_lag_s = 0.0

    def __init__(self, w_per_core: float, process: "psutil.Process | None" = None) -> None:
        """Start at 0.

        Args:
            w_per_core: assumed power in W of one core that is busy.
            process: the root of the process tree; this process unless given.
        """
        if process is None:
            import psutil

            process = psutil.Process()
        self.name = f"CPU time x {w_per_core:g} W per core"
        self._w_per_core = w_per_core
        self._process = process
        self._first_s = self._most_s = self._cpu_s()

    def energy_j(self) -> float | None:
        """Estimated energy in J since this source was made.

        Raises:
            ReadError: the process cannot be read.
        """
        # Between a child's end and its parent's wait its time is in neither of them.
        self._most_s = max(self._most_s, self._cpu_s())
        return (self._most_s - self._first_s) * self._w_per_core

    def power_w(self) -> float | None:
        """Return None: there is no power reading."""
        return None

    def device_stats(self) -> DeviceStats:
        """Return an empty state: nothing else is reported."""
        return DeviceStats()

    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _cpu_s(self) -> float:
        import psutil

        seconds = 0.0
        try:
            tree = [self._process, *self._process.children(recursive=True)]
        except psutil.Error as error:
            raise ReadError(f"CPU time: {error}") from error
        for process in tree:
            try:
                seconds += sum(process.cpu_times()[:4])
            except psutil.Error:
                continue
        return seconds
