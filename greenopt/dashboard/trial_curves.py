"""Curves of one trial: its epochs, and its power over time in bounded memory."""

from dataclasses import dataclass, field
from itertools import accumulate

from greenopt.events import Event, PowerSampled, read_events
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.summary import TrialFold

MAX_SAMPLES = 400


@dataclass
class PowerCurve:
    """Power over time in at most `MAX_SAMPLES` points, each the mean of equally many samples.

    Attributes:
        t_s: middle of each point, in s.
        power_w: mean power there, in W.
        stride: how many samples make a point; doubles when the curve is full.
    """

    t_s: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)
    stride: int = 1
    _waiting: list[tuple[float, float]] = field(default_factory=list)

    def add(self, t_s: float, power_w: float) -> None:
        """Add a sample."""
        self._waiting.append((t_s, power_w))
        if len(self._waiting) < self.stride:
            return
        self.t_s.append(sum(t_s for t_s, _ in self._waiting) / self.stride)
        self.power_w.append(sum(power_w for _, power_w in self._waiting) / self.stride)
        self._waiting.clear()
        if len(self.t_s) == MAX_SAMPLES:
            self.t_s, self.power_w = _halved(self.t_s), _halved(self.power_w)
            self.stride *= 2


def _halved(values: list[float]) -> list[float]:
    return [(a + b) / 2 for a, b in zip(values[::2], values[1::2], strict=True)]


class TrialCurves(TrialFold):
    """Epochs and power of a trial so far. Times count from the start of its process.

    Attributes:
        power: of the trial's device; from the rise of its energy where power itself is not read.
        power_source: where the power comes from; None before the first sample.
    """

    def __init__(self) -> None:
        """Start without events."""
        super().__init__()
        self.power = PowerCurve()
        self.power_source: EnergySource | None = None

    @property
    def prepared_s(self) -> float | None:
        """When the first epoch began, in s; None before."""
        return None if self.prepared is None else self.prepared.t_s - self._start_s

    @property
    def _start_s(self) -> float:
        return 0.0 if self.started is None else self.started.t_s

    def take_sample(self, sample: PowerSampled, power_w: float | None) -> None:
        """Add a point to the curve of power."""
        if power_w is not None:
            self.power_source = sample.source
            self.power.add(sample.t_s - self._start_s, power_w)

    @property
    def used_wh(self) -> list[float | None]:
        """Energy from the first epoch's start to each epoch's end, in Wh; None from the first unmeasured one on."""
        return list(accumulate((epoch.energy.energy_wh for epoch in self.epochs), _sum))


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


class CurvesByTrial:
    """Curves of a study's trials: recorded live for running trials, read from events on request for others."""

    def __init__(self, folder: RunFolder) -> None:
        """Start without curves."""
        self._folder = folder
        self._known: dict[int, TrialCurves] = {}

    @property
    def are_here(self) -> bool:
        """Whether the study's events are on this machine; a storage may be shared by others."""
        return self._folder.path.exists()

    def begin(self, trial: int) -> None:
        """Start recording a trial."""
        self._known[trial] = TrialCurves()

    def add(self, trial: int, event: Event) -> None:
        """Add an event of a recorded trial; events of other trials are ignored, as they are in their files."""
        if trial in self._known:
            self._known[trial].take(event)

    def get(self, trial: int, attempt_id: str | None = None) -> TrialCurves:
        """Return a trial's curves; empty if nothing is known of the trial.

        Args:
            trial: its number.
            attempt_id: the attempt that the storage has of it.
        """
        if trial not in self._known:
            self._known[trial] = TrialCurves()
            for event in read_events(self._folder.own_events(trial, attempt_id)):
                self._known[trial].take(event)
        return self._known[trial]

    def keep(self, trials: set[int]) -> None:
        """Drop the curves of all other trials."""
        self._known = {trial: curves for trial, curves in self._known.items() if trial in trials}
