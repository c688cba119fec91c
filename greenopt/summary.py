"""The summary of a trial, derived from its events, whether or not it ended by itself."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from greenopt.events import (
    SETUP_PHASES,
    EpochEnded,
    Event,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    StepsDone,
    TrialEnded,
    TrialPrepared,
    TrialStarted,
)
from greenopt.reading import EnergyReading, sum_of_windows

PARTIAL = "partial"
"""Flag: the reading ends before the trial did."""


class TrialSummary(BaseModel):
    """The figures of one trial; a figure that was not measured or not reached is None.

    Attributes:
        ended: the trial's own last word; None if its process died before it.
        energy: from the start of the first epoch to the end of the last, and post-training quantization.
        setup: before the first epoch; `compile` is a part of it.
        total: the whole process, as far as metered; flagged `partial` where it died or could not measure its end.
        epochs: the epochs that were finished.
        meter: what the energy was read from; None if the trial died before it was opened.
        cpu: energy of the host's CPU packages over the window of `energy`; None where not readable.
        dram: the same of its memory.
        training: all epochs together; None where the training did not end.
    """

    model_config = ConfigDict(frozen=True)

    started: TrialStarted | None = None
    prepared: TrialPrepared | None = None
    ended: TrialEnded | None = None
    energy: EnergyReading
    setup: EnergyReading
    compile: EnergyReading
    total: EnergyReading
    epochs: tuple[EpochEnded, ...] = ()
    meter: MeterOpened | None = None
    cpu: EnergyReading | None = None
    dram: EnergyReading | None = None
    training: EnergyReading | None = None

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy 0..1 of the model as it would be used, or of the last epoch that was finished."""
        if self.ended is not None and self.ended.accuracy is not None:
            return self.ended.accuracy
        return self.epochs[-1].val_accuracy if self.epochs else None

    @property
    def figures(self) -> dict[str, float]:
        """Further figures of a trial that ended by itself, by name."""
        return dict(self.ended.figures) if self.ended is not None else {}

    @property
    def wh_per_epoch(self) -> float | None:
        """Mean over epochs of the energy of that epoch, in Wh; of all together where one was too short to measure."""
        if self.epochs and self.training is not None and self.training.energy_wh is not None:
            return self.training.energy_wh / len(self.epochs)
        energies = [epoch.energy.energy_wh for epoch in self.epochs]
        measured = [energy for energy in energies if energy is not None]
        return sum(measured) / len(measured) if measured and len(measured) == len(energies) else None

    @property
    def efficiency(self) -> float | None:
        """The paper's efficiency quotient, accuracy / (Wh per epoch), in 1/Wh."""
        if self.accuracy is None or not self.wh_per_epoch:
            return None
        return self.accuracy / self.wh_per_epoch

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the training's energy and of every epoch's; `partial` where the total is so too."""
        readings = (self.energy, *(epoch.energy for epoch in self.epochs))
        found = [flag for reading in readings for flag in reading.flags]
        return tuple(dict.fromkeys([*found, *(flag for flag in self.total.flags if flag == PARTIAL)]))


class TrialFold:
    """A trial's events sorted by kind, as they come. The one place that knows which event says what."""

    def __init__(self) -> None:
        """Start without events."""
        self.started: TrialStarted | None = None
        self.meter: MeterOpened | None = None
        self.prepared: TrialPrepared | None = None
        self.ended: TrialEnded | None = None
        self.steps: StepsDone | None = None
        self.epochs: list[EpochEnded] = []
        self.phases: list[PhaseEnded] = []
        self.last_energy: PowerSampled | None = None
        self._last_sample: PowerSampled | None = None

    def take(self, event: Event) -> None:
        """Add the trial's next event."""
        match event:
            case TrialStarted():
                self.started = event
            case MeterOpened():
                self.meter = event
            case TrialPrepared():
                self.prepared = event
            case StepsDone():
                self.steps = event
            case PowerSampled():
                self.last_energy = event if event.energy_wh is not None else self.last_energy
                before, self._last_sample = self._last_sample, event
                self.take_sample(event, event.power_w if event.power_w is not None else mean_power_w(before, event))
            case EpochEnded():
                self.epochs.append(event)
            case PhaseEnded():
                self.phases.append(event)
            case TrialEnded():
                self.ended = event
            case _:
                pass

    def take_sample(self, sample: PowerSampled, power_w: float | None) -> None:
        """Add a sample of the device; nothing here, for those who show its course.

        Args:
            sample: the event.
            power_w: its power in W, or the mean since the sample before where the device reports energy alone.
        """


def mean_power_w(before: PowerSampled | None, after: PowerSampled) -> float | None:
    """Return the mean power in W between two samples of an energy counter; None where it cannot be told."""
    if before is None or before.energy_wh is None or after.energy_wh is None:
        return None
    seconds, energy_wh = after.t_s - before.t_s, after.energy_wh - before.energy_wh
    return energy_wh * 3600 / seconds if seconds > 0 and energy_wh >= 0 else None


def summarise(events: Iterable[Event]) -> TrialSummary:
    """Derive a trial's figures from its events.

    A trial that was broken off keeps what it had drawn by its last word, else by its last power sample or by its phases
    and epochs, flagged `partial`.
    """
    fold = TrialFold()
    for event in events:
        fold.take(event)
    return summarise_fold(fold)


def summarise_fold(fold: TrialFold) -> TrialSummary:
    """Derive a trial's figures from its events in a fold; see `summarise`."""
    ended, epochs = fold.ended, fold.epochs
    phases = {phase.phase: phase.energy for phase in fold.phases}
    opened = fold.meter or fold.started
    known = _last_known(opened.t_s if opened is not None else None, fold.last_energy, phases, epochs)
    return TrialSummary(
        started=fold.started,
        prepared=fold.prepared,
        ended=ended,
        energy=_own_or(ended, ended.energy if ended is not None else None, _of_epochs(epochs)),
        setup=sum_of_windows([phases[phase] for phase in SETUP_PHASES if phase in phases]),
        compile=phases.get(Phase.COMPILE) or EnergyReading.missing("nothing was compiled"),
        total=_own_or(ended, ended.total if ended is not None else None, known),
        epochs=tuple(epochs),
        meter=fold.meter,
        training=phases.get(Phase.TRAIN),
        cpu=ended.cpu if ended is not None else _partial([epoch.cpu for epoch in epochs]),
        dram=ended.dram if ended is not None else _partial([epoch.dram for epoch in epochs]),
    )


def _partial(readings: list[EnergyReading | None]) -> EnergyReading | None:
    known = [reading for reading in readings if reading is not None]
    return sum_of_windows(known).flagged(PARTIAL) if known else None


def _of_epochs(epochs: list[EpochEnded]) -> EnergyReading:
    found = _partial([epoch.energy for epoch in epochs])
    return found or EnergyReading.missing("the trial did not finish an epoch")


def _own_or(ended: TrialEnded | None, own: EnergyReading | None, known: EnergyReading) -> EnergyReading:
    """Return a trial's own word; what is known besides where it has none, or could not measure as it was broken off.

    A completed trial's own word stands: what is known besides is a part, and never the value of an objective.
    """
    if own is None:
        return known
    is_broken_off = ended is not None and ended.outcome is not Outcome.COMPLETED
    return known if is_broken_off and own.energy_wh is None and known.energy_wh is not None else own


def _last_known(
    began_s: float | None, sample: PowerSampled | None, phases: dict[Phase, EnergyReading], epochs: list[EpochEnded]
) -> EnergyReading:
    """Return what a trial had drawn by its last power sample, or by its phases and epochs, whichever is more.

    Both are parts of the whole. A phase too short to be measured is missing in the sum of phases only; the last sample
    may be older than the last phase.
    """
    parts = [*phases.values(), *(epoch.energy for epoch in epochs if Phase.TRAIN not in phases)]
    measured = [part for part in parts if part.energy_wh is not None]
    candidates = [sum_of_windows(measured)] if measured else []
    if sample is not None and sample.energy_wh is not None and sample.source is not None:
        seconds = 0.0 if began_s is None else max(0.0, sample.t_s - began_s)
        candidates.append(EnergyReading(energy_wh=sample.energy_wh, source=sample.source, seconds=seconds))
    if not candidates:
        return EnergyReading.missing("the trial's process died before its first power sample")
    return max(candidates, key=lambda reading: reading.energy_wh or 0.0).flagged(PARTIAL)
