"""The study log: what a study's coordinator did and when, one JSON document per line.

Invariant: written by the coordinator alone, appended, never changed. Results are in the storage and in the trials'
events; this file holds the rest: who runs the study, where its trials were placed, whether it is paused.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from greenopt.events import FailReason
from greenopt.files import open_regular
from greenopt.formatting import counted
from greenopt.runs.trial_ending import TrialEnding

FILE_NAME = "course.jsonl"


class RunState(StrEnum):
    """What a coordinator does about new and running trials."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPING_NOW = "stopping_now"


RUN_STATE_TEXTS = {
    RunState.RUNNING: "resumed",
    RunState.PAUSED: "paused: no new trials until it is resumed",
    RunState.STOPPING: "stopping after the running trials; no new ones",
    RunState.STOPPING_NOW: "stopping now; running trials are ended and will run again on resume",
}


def format_storage(storage: str, cause: str | None) -> str:
    """Format that a storage is away, or back again, in one line."""
    if cause is None:
        return f"storage {storage} is back; the study goes on"
    return f"storage {storage} is away: {cause}; running trials go on and their results are kept on disk"


def format_slots_changed(joined: Sequence[str], gone: Sequence[str], left: int) -> str:
    """Format which slots have come and gone, in one line.

    Args:
        joined: names of the new ones.
        gone: names of those that are no more.
        left: how many there are now.
    """
    parts = [f"{', '.join(joined)} joined"] if joined else []
    parts += [f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"] if gone else []
    rest = f"{counted(left, 'slot')} now" if left else "no slot is left; waiting for a machine to join"
    return f"{'; '.join(parts)}: {rest}"


class StudyEnd(StrEnum):
    """Why a coordinator stopped."""

    DONE = "done"
    STOPPED = "stopped"
    EQUAL_FAILURES = "equal_failures"
    SPACE_EXHAUSTED = "space_exhausted"
    BUDGET_SPENT = "budget_spent"
    FRONT_STILL = "front_still"
    INPUTS_CHANGED = "inputs_changed"
    GPUS_FAILED = "gpus_failed"
    STORAGE_LOST = "storage_lost"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    utc_s: float


class CoordinatorStarted(_Entry):
    """A coordinator has started a study; the first trial is next.

    Attributes:
        slots: names of the slots, with the GPU's UUID or None for the CPU.
        settled: trials that were there from earlier.
        trials: the study's size.
        study_id: the study's identity; None in entries from before there were any.
        run_id: the identity of this coordinator's run.
    """

    kind: Literal["coordinator_started"] = "coordinator_started"
    pid: int
    host: str
    slots: dict[str, str | None]
    settled: int
    trials: int
    study_id: str | None = None
    run_id: str | None = None


class TrialPlaced(_Entry):
    """A trial's process was started in a slot."""

    kind: Literal["trial_placed"] = "trial_placed"
    trial: int
    slot: str


class TrialRecorded(_Entry):
    """A trial is in the storage.

    Attributes:
        settled: trials that count towards the study's size, this one included.
        ending: how it ended; None in entries from before it was kept.
        text: the sentence that such older entries keep in its place; never written any more.
    """

    kind: Literal["trial_recorded"] = "trial_recorded"
    trial: int
    settled: int
    ending: TrialEnding | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _says_how_it_ended(self) -> Self:
        if self.ending is None and self.text is None:
            raise ValueError("how the trial ended is missing")
        return self


class RunStateChanged(_Entry):
    """The coordinator was paused, resumed or told to stop."""

    kind: Literal["conduct_changed"] = "conduct_changed"
    conduct: RunState


class SlotSetAside(_Entry):
    """A slot's GPU failed; no trial is placed there any more by this coordinator.

    Attributes:
        reason: what failed, in words.
    """

    kind: Literal["slot_set_aside"] = "slot_set_aside"
    slot: str
    reason: str


class SlotsChanged(_Entry):
    """Slots have come or gone, with the machines of a cluster.

    Attributes:
        slots: all that are there now, as in `CoordinatorStarted`.
        joined: names of the new ones.
        gone: names of those that are no more.
    """

    kind: Literal["slots_changed"] = "slots_changed"
    slots: dict[str, str | None]
    joined: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class StorageChanged(_Entry):
    """The study's storage went away, or came back.

    Attributes:
        storage: its URL without the password.
        cause: why it is away, in words; None where it is back.
    """

    kind: Literal["storage_changed"] = "storage_changed"
    storage: str
    cause: str | None = None


class ForecastAmount(BaseModel):
    """A quantity that is forecast, with its interval of 90 %."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    expected: float
    low: float
    high: float


class ForecastMade(_Entry):
    """What the whole study was forecast to take.

    Attributes:
        settled: trials that counted towards the study's size by then.
        ended: trials that the forecast rests on.
        left: trials that had yet to end, the running ones included.
        used_wh: energy of the trials that had ended, in Wh.
        energy_wh: of all trials in the end, in Wh; None where no energy was known.
        left_s: time until then, in s; None where no duration was known.
        is_estimate: whether an energy that it rests on was estimated and not measured.
    """

    kind: Literal["forecast_made"] = "forecast_made"
    settled: int
    ended: int
    left: int
    used_wh: float
    energy_wh: ForecastAmount | None = None
    left_s: ForecastAmount | None = None
    is_estimate: bool = False


class CoordinatorEnded(_Entry):
    """The coordinator is done; `failure` is the reason where equal failures stopped it."""

    kind: Literal["coordinator_ended"] = "coordinator_ended"
    end: StudyEnd
    failure: FailReason | None = None


LogEntry: TypeAlias = (
    CoordinatorStarted
    | TrialPlaced
    | TrialRecorded
    | RunStateChanged
    | SlotSetAside
    | SlotsChanged
    | StorageChanged
    | ForecastMade
    | CoordinatorEnded
)

_ENTRY: TypeAdapter[LogEntry] = TypeAdapter(Annotated[LogEntry, Field(discriminator="kind")])


def read_entries(file: Path, study_id: str | None) -> list[LogEntry]:
    """Return the entries of a study log; what coordinators of another study did there is left out.

    Args:
        file: the log, which need not exist.
        study_id: the study's identity; None where it is not known, and then all entries are returned.
    """
    found, is_own = [], True
    try:
        with open_regular(file) as lines:
            entries = [decode_entry(line) for line in lines if line.endswith(b"\n")]
    except OSError:
        return []
    for entry in entries:
        if isinstance(entry, CoordinatorStarted) and study_id is not None:
            is_own = entry.study_id in (None, study_id)
        if entry is not None and is_own:
            found.append(entry)
    return found


def elapsed_s(entries: Iterable[LogEntry]) -> float:
    """Return how long a study's coordinators ran, in s, without the time between them.

    A coordinator that was killed ran until its last entry. Entries between an end and the next start belong to neither:
    a coordinator used to tell its first forecast before that it had started.
    """
    total_s, began_s, last_s = 0.0, None, 0.0
    for entry in entries:
        if isinstance(entry, CoordinatorStarted):
            total_s += max(0.0, last_s - began_s) if began_s is not None else 0.0
            began_s = last_s = entry.utc_s
        elif not isinstance(entry, ForecastMade):
            last_s = entry.utc_s
        if isinstance(entry, CoordinatorEnded):
            total_s += max(0.0, last_s - began_s) if began_s is not None else 0.0
            began_s = None
    return total_s + (max(0.0, last_s - began_s) if began_s is not None else 0.0)


def append_entry(file: Path, entry: LogEntry) -> None:
    """Write one entry at the end of the file."""
    with file.open("ab") as out:
        out.write(entry.model_dump_json().encode() + b"\n")


def decode_entry(line: bytes) -> LogEntry | None:
    """Decode an entry from a line; None if the line is not an entry."""
    try:
        return _ENTRY.validate_json(line)
    except ValidationError:
        return None
