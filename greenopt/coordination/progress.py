"""Progress of a running study as lines of text, for pipes and logs, as an observer of the coordinator."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console

from greenopt.coordination.verdict import Verdict, build_ending
from greenopt.energy.footprint import Footprint
from greenopt.events import EpochEnded, Event, FailReason, MeterOpened, TrialPrepared
from greenopt.execution import Slot
from greenopt.files import full_disk_tolerated
from greenopt.forecast import StudyForecast, format_forecast
from greenopt.formatting import (
    format_flags,
    format_fraction,
    format_reading,
    format_seconds,
    format_setting,
)
from greenopt.plain_text import printable
from greenopt.runs.study_log import RUN_STATE_TEXTS, RunState, StudyEnd, format_slots_changed, format_storage
from greenopt.runs.trial_ending import format_ending
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary


class Forecast:
    """Forecast of a study's end from the trials that have ended since this run began."""

    def __init__(self, trials: int, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            trials: size of the study.
            slots: how many trials run at once.
            clock: monotonic seconds.
        """
        self._trials, self._slots, self._clock = trials, slots, clock
        self._began: dict[int, float] = {}
        self._durations_s: list[float] = []

    def slots_changed(self, slots: int) -> None:
        """Go on with another number of trials at once."""
        self._slots = max(1, slots)

    def began(self, trial: int) -> None:
        """Record the start of a trial."""
        self._began[trial] = self._clock()

    def ended(self, trial: int) -> None:
        """Record the end of a trial."""
        if trial in self._began:
            self._durations_s.append(self._clock() - self._began.pop(trial))

    def remaining_s(self, settled: int) -> float | None:
        """Seconds until the last trial ends; None before the first has ended."""
        if not self._durations_s:
            return None
        mean_s = sum(self._durations_s) / len(self._durations_s)
        spent_s = sum(min(mean_s, self._clock() - start_s) for start_s in self._began.values())
        return max(0.0, ((self._trials - settled) * mean_s - spent_s) / self._slots)


class PlainProgress:
    """An observer that prints a line for each important event, for logs and pipes."""

    def __init__(self, console: Console, forecast: Forecast, *, with_epochs: bool = True) -> None:
        """Prepare to print.

        Args:
            console: where to.
            forecast: when the study will end.
            with_epochs: whether a line is printed for each epoch.
        """
        self._console, self._forecast, self._with_epochs = console, forecast, with_epochs
        self._trials, self._footprint = 0, Footprint()
        self._objectives: tuple[str, ...] = ()
        self._foreseen: StudyForecast | None = None

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Print the study's size and how many trials are already done."""
        self._trials, self._footprint = spec.study.trials, Footprint.from_spec(spec.energy)
        self._objectives = tuple(spec.objectives)
        there = f", {settled} of them finished earlier" if settled else ""
        self._say(f"study {spec.name}: {spec.study.trials} trials x {spec.epochs_text} epochs{there}")
        self._say_forecast()

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Print which setting runs in which slot."""
        self._forecast.began(spec.trial)
        again = f" (again, after trial {spec.retry_of})" if spec.retry_of is not None else ""
        self._say(f"trial {spec.trial} started on {slot.name}{again}: {format_setting(spec.values)}")

    def event_arrived(self, trial: int, event: Event) -> None:
        """Print ended epochs, and parameters without effect."""
        match event:
            case MeterOpened():
                idle = "" if event.idle_w is None else f", idle {event.idle_w:.0f} W ({event.idle_origin})"
                beside = " and ".join(name for name in (event.cpu, event.dram) if name)
                self._say(
                    f"trial {trial} is metered on {event.device}{idle}{f'; also metered: {beside}' if beside else ''}"
                )
            case TrialPrepared():
                for parameter, reason in event.inert.items():
                    self._say(f"trial {trial}: {parameter} has no effect: {reason}")
            case EpochEnded() if self._with_epochs:
                self._say(
                    f"trial {trial} epoch {event.epoch}/{event.epochs}: loss {format_fraction(event.loss)}, "
                    f"validation accuracy {format_fraction(event.val_accuracy)}, {format_reading(event.energy)}, "
                    f"{format_seconds(event.seconds)}{format_flags(event.energy.flags)}"
                )
            case _:
                pass

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Print how a trial ended, and when the study will."""
        self._forecast.ended(trial)
        remaining_s = self._forecast.remaining_s(settled)
        rest = f", about {format_seconds(remaining_s)} left" if remaining_s else ""
        ending = format_ending(build_ending(summary, verdict, self._objectives))
        self._say(f"trial {trial} {ending} [{settled}/{self._trials}{rest}]")
        self._say_forecast()

    def forecast_made(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        """Keep a forecast, which is printed when a trial has ended."""
        self._foreseen = forecast

    def _say_forecast(self) -> None:
        """Print what the study will take, once for each forecast; not where no trial is left."""
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is not None and foreseen.left:
            self._say(f"forecast {format_forecast(foreseen, self._footprint)}")

    def run_state_changed(self, run_state: RunState) -> None:
        """Print that the study was paused, was resumed, or will stop."""
        self._say(RUN_STATE_TEXTS[run_state])

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Print that a slot's GPU failed, and where the study goes on."""
        rest = f"the study goes on on {', '.join(other.name for other in others)}" if others else "none is left"
        self._say(f"{slot.name} is set aside: {failure}; {rest}")

    def slots_changed(self, slots: Sequence[Slot], joined: Sequence[Slot], gone: Sequence[Slot]) -> None:
        """Print which slots have come and gone."""
        self._forecast.slots_changed(len(slots))
        self._say(format_slots_changed([s.name for s in joined], [s.name for s in gone], len(slots)))

    def storage_changed(self, name: str, cause: str | None) -> None:
        """Print that the storage is away, and why, or that it is back."""
        self._say(format_storage(name, cause))

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Do nothing: the summary is printed after the study's files are closed."""

    def _say(self, text: str) -> None:
        line = printable(f"{datetime.now():%H:%M:%S} {text}", keep="\n")
        with full_disk_tolerated():
            self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)
