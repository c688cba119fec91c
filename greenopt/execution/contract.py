"""The engine as the coordinator sees it: slots that take one trial each, and messages from trials.

`LocalEngine` and `RayEngine` keep it; tests/contract/test_engines.py holds both to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from greenopt.events import Event
from greenopt.reading import EnergySource
from greenopt.spec import TrialSpec


@dataclass(frozen=True)
class Slot:
    """Room for one trial: a whole GPU, or the CPU.

    Attributes:
        name: unique within the engine; what the user sees.
        gpu_uuid: the GPU; None for the CPU.
        is_shared: whether other processes may compute on it meanwhile.
        cuda_name: the GPU in CUDA_VISIBLE_DEVICES; its UUID unless given.
        host: the machine that it belongs to; None for this one.
        gpu_name: the GPU's model, where it is another machine's, which alone can be asked.
        cpu_source: where a CPU's energy comes from there, likewise.
    """

    name: str
    gpu_uuid: str | None = None
    is_shared: bool = False
    cuda_name: str | None = None
    host: str | None = None
    gpu_name: str | None = None
    cpu_source: EnergySource | None = None


@dataclass(frozen=True)
class EventArrived:
    """A running trial sent an event."""

    trial: int
    event: Event


@dataclass(frozen=True)
class ProcessEnded:
    """A trial's process has ended; no message of that trial follows.

    Attributes:
        exit_code: None where a signal ended it.
        signal: name such as `SIGKILL`; None where it ended by itself.
        log_tail: the last lines that it printed.
        exceeded_bytes: memory that it used when it was ended for it; None where it stayed below its limit.
        lost: why what ran it is gone, in words: its machine, or what held its slot there; None where neither is.
    """

    trial: int
    exit_code: int | None
    signal: str | None
    log_tail: str
    exceeded_bytes: int | None = None
    lost: str | None = None


Message: TypeAlias = EventArrived | ProcessEnded


class Engine(Protocol):
    """Runs trials. Used by one thread."""

    @property
    def slots(self) -> Sequence[Slot]:
        """All slots that are there now, busy or not; on a cluster they come and go."""
        ...

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        """Start a trial in a free slot; what it prints is appended to `log`."""
        ...

    def receive(self, timeout_s: float) -> list[Message]:
        """Return messages since the last call, in each trial's order; wait at most `timeout_s` for the first."""
        ...

    def end(self, trial: int) -> None:
        """Ask a trial to end without waiting; it is killed if it has not ended a few seconds later."""
        ...

    def close(self) -> None:
        """Kill running trials and release all resources."""
        ...
