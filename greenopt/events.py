"""The events of a running trial, one JSON document per line, with their encoding and decoding.

Invariant: an event is written once, whole, and never changed. All that is shown, analysed or reported about a trial
is derived from its events and the study's storage. Times named `t_s` are seconds of one host's monotonic clock; only
their differences mean anything.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from greenopt.files import open_regular
from greenopt.reading import EnergyReading, EnergySource


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(StrEnum):
    """The parts of a trial, in their order."""

    IMPORT = "import"
    DATA = "data"
    BUILD = "build"
    COMPILE = "compile"
    TRAIN = "train"
    QUANTIZE = "quantize"
    TEST = "test"


SETUP_PHASES = (Phase.IMPORT, Phase.DATA, Phase.BUILD, Phase.COMPILE)


class AttemptBegan(_Record):
    """The first line of an events file: which study and which attempt of a trial the lines after it belong to.

    Written by the coordinator before the trial's process starts.

    Attributes:
        study_id: the study's, as in its storage and its `study.json`.
        run_id: the coordinator's that started the attempt.
        attempt_id: this attempt's, as in the trial's attributes in the storage.
    """

    kind: Literal["attempt_began"] = "attempt_began"
    study_id: str
    run_id: str
    attempt_id: str
    trial: int


class TrialStarted(_Record):
    """The trial's process is up.

    Attributes:
        utc: the wall clock's time; of an imported run the time that its log gives, in whatever zone.
        pid: its process; None of an imported run, as is `host`.
        gpu_memory_bytes: size of the GPU's memory.
    """

    kind: Literal["trial_started"] = "trial_started"
    t_s: float
    utc: str
    trial: int
    pid: int | None = None
    host: str | None = None
    gpu_uuid: str | None = None
    gpu_name: str | None = None
    gpu_memory_bytes: int | None = None
    driver: str | None = None


class MeterOpened(_Record):
    """The sources of the trial's energy.

    Attributes:
        device: the device in words.
        source: how its energy is obtained.
        idle_w: idle power of the device in W; None where not known.
        idle_origin: where `idle_w` is from, or why there is none.
        cpu: the counter of the host's CPU packages in words; None where none is readable.
        dram: the same of its memory.
    """

    kind: Literal["meter_opened"] = "meter_opened"
    t_s: float
    device: str
    source: EnergySource
    idle_w: float | None = None
    idle_origin: str
    cpu: str | None = None
    dram: str | None = None


class TrialPrepared(_Record):
    """Everything is built and compiled; the first epoch is next.

    Attributes:
        inert: parameters that have no effect in this setting, with the reason.
        facts: what was really built, for the record: versions, shapes, counts, optimizer and policy names.
    """

    kind: Literal["trial_prepared"] = "trial_prepared"
    t_s: float
    steps_per_epoch: int
    inert: dict[str, str] = {}
    facts: dict[str, str | int | float | bool | None] = {}


class PhaseEnded(_Record):
    """A phase is over; phases follow one another without gaps.

    Attributes:
        cpu: energy of all CPU packages of the host, whatever ran on them; None where not readable.
        dram: the same of the host's memory.
    """

    kind: Literal["phase_ended"] = "phase_ended"
    t_s: float
    phase: Phase
    energy: EnergyReading
    cpu: EnergyReading | None = None
    dram: EnergyReading | None = None


class StepsDone(_Record):
    """Progress inside an epoch, at most about one a second."""

    kind: Literal["steps_done"] = "steps_done"
    t_s: float
    epoch: int
    step: int
    steps: int


class PowerSampled(_Record):
    """The state of the device, about once a second.

    Attributes:
        power_w: power in W.
        energy_wh: energy since the trial's process began metering, in Wh; what survives a sudden death.
    """

    kind: Literal["power_sampled"] = "power_sampled"
    t_s: float
    power_w: float | None = None
    energy_wh: float | None = None
    source: EnergySource | None = None
    temperature_c: float | None = None
    utilisation: float | None = None
    memory_bytes: int | None = None


class EpochEnded(_Record):
    """An epoch with its validation is over. Epochs count from 1; accuracies are fractions 0..1.

    `cpu` and `dram` are the host's energies over the same window, as in `PhaseEnded`.
    """

    kind: Literal["epoch_ended"] = "epoch_ended"
    t_s: float
    epoch: int
    epochs: int
    seconds: float
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float | None
    energy: EnergyReading
    cpu: EnergyReading | None = None
    dram: EnergyReading | None = None


class ConfusionCounted(_Record):
    """How often the images of each class of the test part were taken for each class, by the model as it would be used.

    Attributes:
        class_names: name of each class, or its number.
        counts: images by class (row) and answer (column).
    """

    kind: Literal["confusion_counted"] = "confusion_counted"
    t_s: float
    class_names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why a trial was stopped early, or not started, though nothing had failed."""

    DIVERGED = "diverged"
    AT_CHANCE = "at_chance"
    DOMINATED = "dominated"
    NOT_WORTH_ENERGY = "not_worth_energy"
    HALVED = "halved"
    NOT_STARTED = "not_started"


class FailReason(StrEnum):
    """Why a trial failed."""

    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"
    KILLED = "killed"
    INTERRUPTED = "interrupted"
    TIMEOUT = "timeout"
    DATA_MISSING = "data_missing"
    WRONG_SETTING = "wrong_setting"
    NOT_MEASURED = "not_measured"
    NOT_RECORDED = "not_recorded"
    GPU_BUSY = "gpu_busy"
    GPU_FAILED = "gpu_failed"
    NODE_LOST = "node_lost"
    DUPLICATE = "duplicate"

    @property
    def is_worth_a_retry(self) -> bool:
        """Whether the same setting may succeed in another attempt."""
        return self in _WORTH_A_RETRY


_WORTH_A_RETRY = (
    FailReason.KILLED,
    FailReason.INTERRUPTED,
    FailReason.GPU_BUSY,
    FailReason.GPU_FAILED,
    FailReason.NODE_LOST,
    FailReason.NOT_RECORDED,
)


class TrialEnded(_Record):
    """The final event of a trial that could still write one.

    Attributes:
        accuracy: validation accuracy after the last epoch, of the model as it would be used.
        test_accuracy: the same on the test part.
        unquantized_accuracy: validation accuracy before post-training quantization, where that was done.
        energy: training and post-training quantization, the `energy_wh` of the page `numbers`.
        cpu: energy of all CPU packages of the host over the window of `energy`; None where not readable.
        dram: the same of the host's memory.
        total: from the start of metering to here.
        figures: further figures of the trial by name: what its own process found, and what an objective function
            returned.
        missing: why a figure that was wanted is not there, by its name.
        inference_source: where the energy of a prediction is from; None where it was not measured.
        reason: a `FailReason`, or the `StopReason` `diverged`.
        message: one line for the user.
    """

    kind: Literal["trial_ended"] = "trial_ended"
    t_s: float
    outcome: Outcome
    accuracy: float | None = None
    test_accuracy: float | None = None
    unquantized_accuracy: float | None = None
    energy: EnergyReading | None = None
    cpu: EnergyReading | None = None
    dram: EnergyReading | None = None
    total: EnergyReading | None = None
    figures: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    missing: dict[str, str] = {}
    inference_source: EnergySource | None = None
    reason: str | None = None
    message: str = ""


Event: TypeAlias = (
    AttemptBegan
    | TrialStarted
    | MeterOpened
    | TrialPrepared
    | PhaseEnded
    | StepsDone
    | PowerSampled
    | EpochEnded
    | ConfusionCounted
    | TrialEnded
)

MAX_LINE_BYTES = 10_000_000
"""The longest line that is read for an event."""

_CONFUSION_LINE = b'{"kind":"confusion_counted"'
_EPOCH_LINE = b'{"kind":"epoch_ended"'
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def encode(event: Event) -> bytes:
    """Encode an event as one line of JSON, newline included."""
    return event.model_dump_json(exclude_defaults=False).encode() + b"\n"


def decode(line: bytes | str) -> Event:
    """Decode an event from one line.

    Raises:
        ValueError: the line is not an event.
    """
    return _EVENT.validate_json(line)


def first_event(path: Path) -> Event | None:
    """Return the event in a file's first line; None where there is no such file or the line is not an event."""
    try:
        with open_regular(path) as file:
            return decode(file.readline(MAX_LINE_BYTES))
    except (OSError, ValidationError):
        return None


def read_events(path: Path | None) -> Iterator[Event]:
    """Read the events of a file in order; a last line without a newline is still being written and is left out.

    A line that is not an event is passed over: a disk that filled up must not hide the lines around it.

    Args:
        path: the file, as `RunFolder.own_events` gives it; None where there is none, and then there are no events.
    """
    if (file := _opened(path)) is None:
        return
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield decode(line)
            except ValidationError:
                continue


def _opened(path: Path | None) -> BinaryIO | None:
    """Open a file of events; None where there is none, or what is in its place cannot be read."""
    try:
        return None if path is None else open_regular(path)
    except OSError:
        return None


def read_epochs(path: Path | None) -> list[EpochEnded]:
    """Read the finished epochs of a file in order, without parsing the lines of other events."""
    if (file := _opened(path)) is None:
        return []
    with file:
        lines = [line for line in file if line.startswith(_EPOCH_LINE) and line.endswith(b"\n")]
    epochs = []
    for line in lines:
        try:
            epochs.append(EpochEnded.model_validate_json(line))
        except ValidationError:
            continue
    return epochs


def read_confusion(path: Path | None) -> ConfusionCounted | None:
    """Read how a trial's test images were classified, without parsing other events; None where that was not counted."""
    if (file := _opened(path)) is None:
        return None
    with file:
        lines = [line for line in file if line.startswith(_CONFUSION_LINE) and line.endswith(b"\n")]
    try:
        return ConfusionCounted.model_validate_json(lines[-1]) if lines else None
    except ValidationError:
        return None
