"""Measures what trials of a study will take, by training some of its settings for a few seconds each.

Invariant: nothing of the study is written or changed; the trainings' files are in a folder that the caller gives.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greenopt.coordination.pilot_settings import Pilot
from greenopt.coordination.trial_specs import build_trial_spec
from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.execution import Engine, EventArrived, ProcessEnded, Slot
from greenopt.forecast import EndedTrial
from greenopt.reading import EnergySource
from greenopt.search import Proposal
from greenopt.spec import StudySpec, Value
from greenopt.summary import TrialFold, TrialSummary, summarise_fold

SECONDS = 3.0
"""Training that is measured of each, after an epoch that warms up. A driver's counter moves ten times a second."""

LIMIT_S = 600.0
"""A pilot that has trained nothing by then is given up."""

_EPOCHS = 200


@dataclass(frozen=True)
class PilotResult:
    """What a whole trial of a pilot's setting would take.

    Attributes:
        values: the setting.
        images_per_s: images trained and validated in a second.
        setup_s: seconds before the first epoch, of a shape that nothing is kept of.
        compile_s: of these, seconds of tracing and compiling, which later trials of the shape are spared.
        compile_wh: the energy of these, in Wh.
        seconds: of the whole trial, set-up included; None where nothing was trained.
        energy_wh: the same, in Wh; None where not measured.
        used_wh: energy of the pilot itself, in Wh.
        is_estimate: whether energies are estimates.
        problem: why nothing was trained, in words; empty where something was.
    """

    values: dict[str, Value]
    images_per_s: float | None = None
    setup_s: float | None = None
    compile_s: float = 0.0
    compile_wh: float = 0.0
    seconds: float | None = None
    energy_wh: float | None = None
    used_wh: float | None = None
    is_estimate: bool = False
    problem: str = ""

    def as_trial(self, later: float) -> EndedTrial:
        """Return it as a forecast learns from it; one that failed tells that trials like it get no training.

        Args:
            later: share 0..1 of a study's trials that are not the first of their shape.
        """
        if self.problem:
            return EndedTrial(self.values, self.used_wh, None, 0.0, is_estimate=self.is_estimate)
        wh = None if self.energy_wh is None else self.energy_wh - later * self.compile_wh
        seconds = None if self.seconds is None else self.seconds - later * self.compile_s
        return EndedTrial(self.values, wh, seconds, 1.0, is_estimate=self.is_estimate)


@dataclass
class _Running:
    pilot: Pilot
    slot: Slot
    began_s: float
    fold: TrialFold = field(default_factory=TrialFold)
    is_ending: bool = False

    def is_enough(self) -> bool:
        """Return whether it has trained as long as is measured."""
        return sum(epoch.seconds for epoch in self.fold.epochs[1:]) >= SECONDS


def measure(
    spec: StudySpec,
    pilots: Sequence[Pilot],
    engine: Engine,
    folder: Path,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[PilotResult]:
    """Train pilots on all slots of an engine, and yield the result of each as it ends.

    Args:
        spec: the study.
        pilots: settings of it, with their images.
        engine: runs nothing else.
        folder: for the trainings' files.
        clock: seconds.

    Raises:
        UsageError: no slot is left.
    """
    waiting, running = deque(enumerate(pilots)), dict[int, _Running]()
    while waiting or running:
        busy = [one.slot for one in running.values()]
        for slot in [slot for slot in engine.slots if slot not in busy][: len(waiting)]:
            number, pilot = waiting.popleft()
            running[number] = _Running(pilot, slot, clock())
            _start(spec, number, running[number], engine, folder)
        if not running:
            raise UsageError(f"--measure: no machine is left to train on; {len(waiting)} settings were not measured")
        for message in engine.receive(0.5):
            one = running[message.trial]
            if isinstance(message, EventArrived):
                one.fold.take(message.event)
            elif isinstance(message, ProcessEnded):
                del running[message.trial]
                summary = summarise_fold(one.fold)
                yield result_of(spec, one.pilot, summary, _problem(summary, message, was_asked=one.is_ending))
        for number, one in running.items():
            if not one.is_ending and (one.is_enough() or clock() - one.began_s > LIMIT_S):
                one.is_ending = True
                engine.end(number)


def _start(spec: StudySpec, number: int, one: _Running, engine: Engine, folder: Path) -> None:
    place = folder / f"{number:04d}"
    place.mkdir(parents=True)
    trial = build_trial_spec(spec, Proposal(number, one.pilot.values), one.slot, place)
    training = trial.training.model_copy(update={"epochs": _EPOCHS, "keep_model": False})
    short = {"data": one.pilot.data, "training": training, "model_folder": None, "study": f"{spec.name}, measured"}
    engine.start(trial.model_copy(update=short), one.slot, place / "log.txt")


def result_of(spec: StudySpec, pilot: Pilot, summary: TrialSummary, problem: str) -> PilotResult:
    """Return what a whole trial would take by what a pilot took.

    Args:
        spec: the study.
        pilot: what was trained.
        summary: of its events.
        problem: why it tells nothing of a whole trial; empty where it does.
    """
    epochs = summary.epochs[1:] or summary.epochs
    used_wh, source = summary.total.energy_wh, summary.meter.source if summary.meter is not None else None
    is_estimate = source is EnergySource.ESTIMATE
    if problem:
        return PilotResult(pilot.values, used_wh=used_wh, is_estimate=is_estimate, problem=problem)
    count = spec.epochs_of(pilot.values) * pilot.scale
    epoch_s = statistics.fmean(epoch.seconds for epoch in epochs)
    measured = [epoch.energy.energy_wh for epoch in epochs if epoch.energy.energy_wh is not None]
    setup_wh, images = summary.setup.energy_wh, pilot.data.images
    return PilotResult(
        pilot.values,
        images_per_s=None if images is None else images / epoch_s,
        setup_s=summary.setup.seconds,
        compile_s=summary.compile.seconds,
        compile_wh=summary.compile.energy_wh or 0.0,
        seconds=summary.setup.seconds + count * epoch_s,
        energy_wh=(setup_wh or 0.0) + count * statistics.fmean(measured) if len(measured) == len(epochs) else None,
        used_wh=used_wh,
        is_estimate=is_estimate,
    )


def _problem(summary: TrialSummary, end: ProcessEnded, *, was_asked: bool) -> str:
    """Return why a pilot tells nothing of a whole trial, in words; empty where it does.

    Args:
        summary: of its events.
        end: of its process.
        was_asked: whether it ended because it was asked to.
    """
    ended = summary.ended
    if was_asked or (ended is not None and ended.outcome is Outcome.COMPLETED):
        return "" if summary.epochs else f"trained nothing within {LIMIT_S:g} s"
    if ended is not None:
        reason = str(ended.reason or ended.outcome).replace("_", " ")
        return f"{reason}: {ended.message}" if ended.message else reason
    if end.lost is not None:
        return end.lost
    last = end.log_tail.strip().splitlines()[-1:] or [""]
    return f"its process ended by {end.signal or f'exit code {end.exit_code}'}: {last[0]}".removesuffix(": ")
