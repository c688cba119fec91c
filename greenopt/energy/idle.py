"""What a GPU draws while nothing computes on it, measured once and kept for each GPU.

Invariant: a baseline is only ever taken from a GPU that was idle from beginning to end.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from greenopt.energy.meter import EnergyMeter
from greenopt.energy.source import SHARED_GPU, PowerSource
from greenopt.spec import EnergySpec

_BUSY_UTILISATION = 0.05


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
        is_busy: whether something computes on it now; asks the source unless given.

    Returns:
        Power in W; None where the device was busy before or after, or could not be read.
    """
    busy = is_busy or (lambda: _seems_busy(source))
    if busy():
        return None
    meter = EnergyMeter(source, clock=clock)
    start = meter.mark()
    while clock() - start.t_s < seconds:
        sleep(max(0.0, min(meter.step(), start.t_s + seconds) - clock()))
    reading = meter.between(start, meter.mark())
    return None if busy() else reading.average_power_w


def _seems_busy(source: PowerSource) -> bool:
    return SHARED_GPU in source.flags() or (source.vitals().utilisation or 0.0) > _BUSY_UTILISATION


class IdleStore:
    """Baselines by GPU UUID in one small file; a file that cannot be read counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        """Use a file; the user's cache unless given."""
        if path is None:
            import platformdirs

            path = Path(platformdirs.user_cache_dir("greenopt")) / "idle.json"
        self._path = path

    def get(self, gpu_uuid: str) -> IdleBaseline | None:
        """The baseline of a GPU; None where none was measured."""
        try:
            return IdleBaseline(**self._read()[gpu_uuid])
        except (KeyError, TypeError):
            return None

    def put(self, gpu_uuid: str, idle_w: float, day: date) -> None:
        """Keep a baseline; a folder that cannot be written is passed over."""
        everything = {**self._read(), gpu_uuid: asdict(IdleBaseline(idle_w, day.isoformat()))}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(everything, indent=2), encoding="utf-8")
            draft.replace(self._path)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def known_idle_w(gpu_uuid: str | None, spec: EnergySpec, store: IdleStore | None = None) -> float | None:
    """Idle power in W to reckon with: the study's `energy.idle_w`, else what was measured on this GPU, else None."""
    if spec.idle_w is not None or gpu_uuid is None:
        return spec.idle_w
    baseline = (store or IdleStore()).get(gpu_uuid)
    return None if baseline is None else baseline.idle_w
