"""The idle power of GPUs, measured once per GPU and stored for a month.

Invariant: a baseline is only ever taken from a GPU that was idle from beginning to end.
"""

import json
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock

from greenopt.energy.meter import EnergyMeter
from greenopt.energy.nvml import INDEX_PREFIX, PCI_PREFIX
from greenopt.energy.source import SHARED_GPU, PowerSource
from greenopt.files import write_whole
from greenopt.spec import EnergySpec

KEPT_FOR = timedelta(days=30)
"""An older baseline is measured anew: drivers, cooling and neighbours change."""

_BUSY_UTILISATION = 0.05
_LOCK_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class IdleBaseline:
    """Idle power of one GPU in W and the day it was measured (ISO 8601)."""

    idle_w: float
    measured: str


def measure_idle_w(
    source: PowerSource,
    seconds: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    is_busy: Callable[[], bool] | None = None,
) -> float | None:
    """Mean power of an idle device.

    Call it before the GPU is used: a process that holds a context keeps the board at a higher idle power.

    Args:
        source: the device; it stays open.
        seconds: how long to look.
        clock: seconds of a monotonic clock.
        sleep: waits that many seconds.
        is_busy: whether another process computes on it now; asks the source unless given.

    Returns:
        Power in W; None where the device was busy before or after, or could not be read.
    """

    def busy() -> bool:
        computes = is_busy() if is_busy is not None else SHARED_GPU in source.flags()
        return computes or (source.device_stats().utilisation or 0.0) > _BUSY_UTILISATION

    if busy():
        return None
    meter = EnergyMeter(source, clock=clock)
    start = meter.mark()
    while clock() - start.t_s < seconds:
        sleep(max(0.0, min(meter.step(), start.t_s + seconds) - clock()))
    reading = meter.between(start, meter.mark())
    return None if busy() else reading.average_power_w


class IdleStore:
    """Baselines by GPU UUID in one small file; a file that cannot be read counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        """Use a file; the user's cache unless given."""
        if path is None:
            import platformdirs

            path = Path(platformdirs.user_cache_dir("greenopt")) / "idle.json"
        self._path = path

    def get(self, gpu_uuid: str) -> IdleBaseline | None:
        """Return the stored baseline of a GPU; None if it was never measured."""
        try:
            kept = self._read()[gpu_uuid]
            date.fromisoformat(kept["measured"])
            idle_w = float(kept["idle_w"])
            return IdleBaseline(idle_w, measured=str(kept["measured"])) if 0 <= idle_w < math.inf else None
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, gpu_uuid: str, idle_w: float, day: date) -> None:
        """Store a baseline; a folder that cannot be written is ignored."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # The first trials of a study on several GPUs measure theirs at the same time.
            with filelock.FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_WAIT_S):
                everything = {**self._read(), gpu_uuid: asdict(IdleBaseline(idle_w, day.isoformat()))}
                write_whole(self._path, json.dumps(everything, indent=2).encode())

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class Idle:
    """The idle power in W and its origin, or None and the reason."""

    idle_w: float | None
    origin: str


def find_idle(
    source: PowerSource,
    gpu_uuid: str | None,
    spec: EnergySpec,
    *,
    store: IdleStore | None = None,
    today: date | None = None,
    measure: Callable[[PowerSource], float | None] = measure_idle_w,
) -> Idle:
    """Return the study's `energy.idle_w`, else the stored baseline of this GPU, else a new measurement.

    A trial on the CPU has none, whatever the study says: that of a GPU would be taken off another device's energy.
    Call it before the GPU is used.

    Args:
        source: the trial's device.
        gpu_uuid: the GPU; None for the CPU, which has no baseline.
        spec: holds the study's own figure.
        store: the kept baselines; the user's unless given.
        today: the day, in UTC.
        measure: measures the device, in W; None where it is busy or tells nothing.
    """
    if gpu_uuid is None:
        told = "; energy.idle_w is a GPU's" if spec.idle_w is not None else ""
        return Idle(None, f"the CPU has no idle baseline{told}")
    if spec.idle_w is not None:
        return Idle(spec.idle_w, "energy.idle_w")
    kept, day = store or IdleStore(), today or datetime.now(UTC).date()
    key = _key(gpu_uuid)
    baseline = kept.get(key)
    if baseline is not None and day - date.fromisoformat(baseline.measured) <= KEPT_FOR:
        return Idle(baseline.idle_w, f"measured on {baseline.measured}")
    idle_w = measure(source)
    if idle_w is None:
        return Idle(None, "the GPU was not idle, or cannot be read")
    kept.put(key, idle_w, day)
    return Idle(idle_w, "measured before this trial")


def _key(gpu_uuid: str) -> str:
    """Return what a baseline is kept by: a UUID is one board's in the world, its stand-in one of this host only."""
    is_stand_in = gpu_uuid.startswith((PCI_PREFIX, INDEX_PREFIX))
    return f"{gpu_uuid} of {socket.gethostname()}" if is_stand_in else gpu_uuid
