"""The `PowerSource` protocol between meter and device, and the values that it returns.

Invariant: a reading that a device cannot give is None; one that it gives but that failed this time is `ReadError`.
"""

from dataclasses import dataclass
from typing import Protocol

from greenopt.errors import GreenoptError
from greenopt.reading import EnergySource

SHARED_GPU = "shared_gpu"
MIG_WHOLE_BOARD = "mig_whole_board"


class ReadError(GreenoptError):
    """A single reading failed; the next one may succeed."""


class NotSupportedError(ReadError):
    """The device has no such reading and never will."""


class GpuLostError(ReadError):
    """The GPU has fallen off the bus; no reading of it will succeed until the machine is restarted."""


class DriverError(GreenoptError):
    """NVIDIA's driver is installed and does not work; which GPUs there are cannot be told."""


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """The state of a device beside its energy; None where the device does not report it.

    Attributes:
        temperature_c: temperature in degrees Celsius.
        utilisation: share of the last moments in which it computed, 0..1.
        memory_bytes: memory in use by all processes.
    """

    temperature_c: float | None = None
    utilisation: float | None = None
    memory_bytes: int | None = None


class PowerSource(Protocol):
    """A device whose energy can be metered. Reads may come from two threads, never at the same time.

    Attributes:
        name: the device in words.
        kind: what stands behind `energy_j`, or behind `power_w` where there is no counter.
        power_limit_w: the most that the device can be set to draw in W; None where unknown.
        counter_tick_s: time in s between two changes of `energy_j`.
        power_lag_s: how far a value of `power_w` may look back, in s.
    """

    name: str
    kind: EnergySource
    power_limit_w: float | None
    counter_tick_s: float
    power_lag_s: float

    def energy_j(self) -> float | None:
        """Energy in J since an arbitrary instant; None where there is no counter.

        It falls only where the counter itself restarted: what was drawn around that instant is then not known.

        Raises:
            ReadError: this reading failed.
        """
        ...

    def power_w(self) -> float | None:
        """Power in W, as close to this instant as the device can tell; None where it cannot.

        Raises:
            ReadError: this reading failed.
        """
        ...

    def device_stats(self) -> DeviceStats:
        """Temperature, utilisation and memory; a value that cannot be read is None."""
        ...

    def flags(self) -> tuple[str, ...]:
        """Words about what makes the readings doubtful now, such as `shared_gpu`; empty where nothing does."""
        ...

    def close(self) -> None:
        """Release the device; no reading follows."""
        ...


class UnreadableSource:
    """A device that cannot be metered; every reading raises the reason."""

    kind = EnergySource.NVML_POWER
    power_limit_w: float | None = None
    counter_tick_s = 0.1
    power_lag_s = 0.1

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def energy_j(self) -> float | None:
        """Raise `ReadError` with the reason."""
        raise ReadError(self.reason)

    def power_w(self) -> float | None:
        """Raise `ReadError` with the reason."""
        raise ReadError(self.reason)

    def device_stats(self) -> DeviceStats:
        """Return an empty state."""
        return DeviceStats()

    def flags(self) -> tuple[str, ...]:
        """Return no flags: readings are missing, not doubtful."""
        return ()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
