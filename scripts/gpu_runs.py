"""The same study on one GPU and on several as it was run: boards, parts, trials.

Trials are read from the run folder (the storage and their events), parts from what `scripts/several_gpus` kept. A host
without GPUs has one board, `cpu`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenopt.events import (
    AttemptBegan,
    EpochEnded,
    Event,
    FailReason,
    PhaseEnded,
    PowerSampled,
    TrialEnded,
    read_events,
)
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from greenopt.summary import summarise

CPU = "cpu"
CUT_OFF = (FailReason.INTERRUPTED, "running")


@dataclass(frozen=True)
class Board:
    """A GPU by UUID, or the CPU; `idle_w` in W, None where not known."""

    uuid: str
    name: str
    product: str = ""
    driver: str = ""
    idle_w: float | None = None


@dataclass(frozen=True)
class Part:
    """One uninterrupted stretch of a run: monotonic times in s; by UUID energy counters in J, None where unread.

    `most_processes` is the highest number of processes that the driver listed on a GPU at one time, looked at from
    outside of the trials every few seconds.
    """

    began_s: float
    ended_s: float
    began_j: Mapping[str, float | None] = field(default_factory=dict)
    ended_j: Mapping[str, float | None] = field(default_factory=dict)
    most_processes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """A trial that was started: its GPU, monotonic times in s, energies in Wh (None where not measured).

    `busy` holds the utilisation, 0..1, of its GPU about once a second; `metered_s` is the window of `total_wh`.
    """

    trial: int
    setting: Mapping[str, Any]
    outcome: str
    gpu: str
    began_s: float
    ended_s: float
    total_wh: float | None = None
    training_wh: float | None = None
    metered_s: float = 0.0
    epochs: int = 0
    source: str | None = None
    busy: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A study on the boards `used` of `boards`; `is_done` once all its trials are settled."""

    label: str
    boards: tuple[Board, ...]
    used: tuple[str, ...]
    parts: tuple[Part, ...]
    ran: tuple[Ran, ...]
    is_done: bool = True

    @property
    def wall_s(self) -> float:
        """The time that its parts took together."""
        return sum(part.ended_s - part.began_s for part in self.parts)

    @property
    def ended(self) -> tuple[Ran, ...]:
        """The trials that came to an end of their own, in whatever way."""
        return tuple(trial for trial in self.ran if trial.outcome not in CUT_OFF)

    def most_processes(self, uuid: str) -> int:
        """The most processes that were seen on a GPU at one time; 0 too where the driver lists none."""
        return max((part.most_processes.get(uuid, 0) for part in self.parts), default=0)


def read_trials(folder: RunFolder) -> list[Ran]:
    """The trials of a run folder that were started."""
    snapshot = read_study(folder.name, open_storage(folder.storage()))
    names = tuple(snapshot.spec.space.distributions)
    ran = (_ran(row, names, list(read_events(folder.events(row["trial"])))) for row in snapshot.rows)
    return [trial for trial in ran if trial is not None]


def _ran(row: Mapping[str, Any], names: Sequence[str], events: Sequence[Event]) -> Ran | None:
    summary = summarise(events)
    if summary.started is None:
        return None
    return Ran(
        trial=row["trial"],
        setting={name: row[name] for name in names},
        outcome=row.get("fail_reason") or row.get("stop_reason") or row["state"],
        gpu=summary.started.gpu_uuid or CPU,
        began_s=summary.started.t_s,
        ended_s=[event.t_s for event in events if not isinstance(event, AttemptBegan)][-1],
        total_wh=summary.total.energy_wh,
        training_wh=summary.energy.energy_wh,
        metered_s=summary.total.seconds,
        epochs=len(summary.epochs),
        source=summary.total.source,
        busy=tuple(
            event.utilisation for event in events if isinstance(event, PowerSampled) and event.utilisation is not None
        ),
        flags=_flags(events),
    )


def _flags(events: Iterable[Event]) -> tuple[str, ...]:
    """Flags of every reading, set-up included."""
    found: dict[str, None] = {}
    for event in events:
        readings = [event.energy] if isinstance(event, PhaseEnded | EpochEnded | TrialEnded) else []
        readings += [event.total] if isinstance(event, TrialEnded) else []
        found.update(dict.fromkeys(flag for reading in readings if reading is not None for flag in reading.flags))
    return tuple(found)
