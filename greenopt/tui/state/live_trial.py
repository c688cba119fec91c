"""One trial reconstructed from its events: progress, curves, device state over the last minutes."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError

from greenopt.events import (
    SETUP_PHASES,
    EnergySource,
    EpochEnded,
    Event,
    MeterOpened,
    PhaseEnded,
    PowerSampled,
    StepsDone,
    TrialEnded,
    TrialPrepared,
    TrialStarted,
    decode,
)

SAMPLES_KEPT = 600
"""At about one a second, the last ten minutes."""


class Progress(NamedTuple):
    """Finished epochs, including the fraction of the running one, and all epochs."""

    epochs_done: float
    epochs: int


class LiveTrial:
    """The state of a trial from its events so far. Updated by one thread, read by another between two updates."""

    def __init__(self, trial: int, epochs: int) -> None:
        """Start without events.

        Args:
            trial: its number.
            epochs: how many it will train.
        """
        self.trial, self.epochs_planned = trial, epochs
        self.started: TrialStarted | None = None
        self.meter: MeterOpened | None = None
        self.prepared: TrialPrepared | None = None
        self.ended: TrialEnded | None = None
        self.steps: StepsDone | None = None
        self.epochs: list[EpochEnded] = []
        self.phases: list[PhaseEnded] = []
        self.samples: deque[PowerSampled] = deque(maxlen=SAMPLES_KEPT)
        self.flags: tuple[str, ...] = ()

    def take_lines(self, lines: Iterable[bytes]) -> None:
        """Add lines of an events file; a line that is not an event is skipped."""
        for line in lines:
            try:
                self.take(decode(line))
            except ValidationError:
                continue

    def take(self, event: Event) -> None:
        """Add one event."""
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
                self.samples.append(self._with_power(event))
            case EpochEnded():
                self.epochs.append(event)
                self._flag(event.energy.flags)
            case PhaseEnded():
                self.phases.append(event)
                self._flag(event.energy.flags)
            case TrialEnded():
                self.ended = event
                self._flag(event.energy.flags if event.energy else ())

    @property
    def memory_bytes(self) -> int | None:
        """Size of the device's memory; None where not known."""
        return self.started.gpu_memory_bytes if self.started else None

    @property
    def progress(self) -> Progress:
        """How far the epochs are."""
        done = float(len(self.epochs))
        if self.steps is not None and self.steps.epoch == len(self.epochs) + 1 and self.steps.steps:
            done += min(1.0, self.steps.step / self.steps.steps)
        return Progress(done, self.epochs_planned)

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy 0..1 after the last finished epoch."""
        return self.epochs[-1].val_accuracy if self.epochs else None

    @property
    def training_wh(self) -> float | None:
        """Energy of the finished epochs in Wh; where one was too short to measure, all that followed the set-up.

        None where that is not known either.
        """
        energies = [epoch.energy.energy_wh for epoch in self.epochs]
        known = [energy for energy in energies if energy is not None]
        if len(known) == len(energies):
            return sum(known) if known else None
        setup = [ended.energy.energy_wh for ended in self.phases if ended.phase in SETUP_PHASES]
        total = self.total_wh
        if total is None or any(energy is None for energy in setup):
            return None
        return max(0.0, total - sum(energy or 0.0 for energy in setup))

    @property
    def total_wh(self) -> float | None:
        """Energy since metering began in Wh, set-up included."""
        return next((sample.energy_wh for sample in reversed(self.samples) if sample.energy_wh is not None), None)

    @property
    def source(self) -> EnergySource | None:
        """How its energy is obtained."""
        return self.meter.source if self.meter is not None else None

    @property
    def forecast_wh(self) -> float | None:
        """Energy of all epochs at the pace of those that are done, in Wh."""
        used = self.training_wh
        return None if used is None or not self.epochs else used / len(self.epochs) * self.epochs_planned

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean duration of the finished epochs in s."""
        return sum(epoch.seconds for epoch in self.epochs) / len(self.epochs) if self.epochs else None

    def activity_text(self) -> str:
        """Return what the trial is doing: `getting ready: compile`, `epoch 3/50`, `testing`."""
        if self.ended is not None:
            return "ending"
        if self.prepared is None:
            last = self.phases[-1].phase if self.phases else None
            following = {None: "starting", "import": "reading data", "data": "building", "build": "compiling"}
            return f"getting ready: {following.get(last, 'compiling')}"
        if len(self.epochs) >= self.epochs_planned:
            return "quantizing and testing"
        return f"epoch {min(int(self.progress.epochs_done) + 1, self.epochs_planned)}/{self.epochs_planned}"

    def _with_power(self, sample: PowerSampled) -> PowerSampled:
        """Return a sample, with the mean power since the previous sample if the device reports energy alone."""
        before = self.samples[-1] if self.samples else None
        if sample.power_w is not None or before is None or before.energy_wh is None or sample.energy_wh is None:
            return sample
        seconds = sample.t_s - before.t_s
        if seconds <= 0 or sample.energy_wh < before.energy_wh:
            return sample
        return sample.model_copy(update={"power_w": (sample.energy_wh - before.energy_wh) * 3600 / seconds})

    def _flag(self, flags: Iterable[str]) -> None:
        self.flags = tuple(dict.fromkeys((*self.flags, *flags)))
