"""Energy of the host: RAPL counters of CPU packages and DRAM, and the estimate where nothing can be measured.

RAPL figures stand beside a GPU's energy and are never added to it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from greenopt.energy.source import ReadError, Vitals
from greenopt.events import EnergySource

if TYPE_CHECKING:
    import psutil

POWERCAP = Path("/sys/class/powercap")

_MICRO = 1e6


class _Zone:
    """One RAPL domain: a counter in microjoules that starts again at 0 after its range."""

    def __init__(self, folder: Path) -> None:
        self.name = (folder / "name").read_text().strip()
        self._counter = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = self._first_uj = int(self._counter.read_text())
        self._wrapped_uj = 0

    def energy_j(self) -> float:
        """Energy in J since this object was made; right as long as the counter wraps at most once between reads."""
        try:
            now_uj = int(self._counter.read_text())
        except (OSError, ValueError) as error:
            raise ReadError(f"{self._counter}: {error}") from error
        if now_uj < self._last_uj:
            self._wrapped_uj += self._range_uj
        self._last_uj = now_uj
        return (self._wrapped_uj + now_uj - self._first_uj) / _MICRO


class RaplSource:
    """The sum of RAPL domains of one kind over all sockets."""

    kind = EnergySource.RAPL
    power_limit_w: float | None = None
    counter_tick_s = 0.001
    power_lag_s = 0.0

    def __init__(self, name: str, zones: list[_Zone]) -> None:
        self.name = name
        self._zones = zones

    def energy_j(self) -> float | None:
        """Energy in J since this source was made."""
        return sum(zone.energy_j() for zone in self._zones)

    def power_w(self) -> float | None:
        """None: RAPL tells energy only."""
        return None

    def vitals(self) -> Vitals:
        """Nothing is told."""
        return Vitals()

    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class RaplDomains:
    """What RAPL of this host tells: CPU packages and, where the processor has it, memory. None where unreadable."""

    cpu: RaplSource | None
    dram: RaplSource | None

    @classmethod
    def find(cls, root: Path = POWERCAP) -> "RaplDomains":
        """Look for readable domains below a powercap folder.

        Packages are counted once: `psys` and the `intel-rapl-mmio` copies hold the same joules again.
        """
        zones = []
        for folder in sorted(root.glob("intel-rapl:*")):
            try:
                zones.append(_Zone(folder))
            except (OSError, ValueError):
                continue
        packages = [zone for zone in zones if zone.name.startswith("package")]
        memories = [zone for zone in zones if zone.name == "dram"]
        return cls(
            cpu=RaplSource(f"{len(packages)} CPU package(s), RAPL", packages) if packages else None,
            dram=RaplSource(f"DRAM of {len(memories)} socket(s), RAPL", memories) if memories else None,
        )


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
        """None: there is no power to read."""
        return None

    def vitals(self) -> Vitals:
        """Nothing is told."""
        return Vitals()

    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """There is nothing to give back."""

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
