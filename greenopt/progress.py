"""A running study in the terminal: a bar a slot, or plain lines. Both only listen to the coordinator."""

import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from greenopt.events import EpochEnded, Event, MeterOpened, Outcome, PowerSampled, StepsDone, TrialPrepared
from greenopt.execution import Slot
from greenopt.record import Verdict
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary
from greenopt.wording import (
    MISSING,
    energy_words,
    flag_words,
    fraction_words,
    reading_words,
    seconds_words,
    setting_words,
)


class Forecast:
    """When a study will have ended, from the trials that have ended since this run began."""

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

    def began(self, trial: int) -> None:
        """A trial was started."""
        self._began[trial] = self._clock()

    def ended(self, trial: int) -> None:
        """A trial was recorded."""
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
    """A line for every event worth one; for logs and pipes."""

    def __init__(self, console: Console, forecast: Forecast) -> None:
        """Print to this console."""
        self._console, self._forecast = console, forecast
        self._trials = 0

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Say what begins, and what is there already."""
        self._trials = spec.study.trials
        there = f", {settled} of them finished earlier" if settled else ""
        self._say(f"study {spec.name}: {spec.study.trials} trials x {spec.training.epochs} epochs{there}")

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Say which setting runs where."""
        self._forecast.began(spec.trial)
        again = f" (again, after trial {spec.retry_of})" if spec.retry_of is not None else ""
        self._say(f"trial {spec.trial} began on {slot.name}{again}: {setting_words(spec.values)}")

    def event_arrived(self, trial: int, event: Event) -> None:
        """Say how epochs ended, and which parameters have no effect."""
        match event:
            case MeterOpened():
                idle = "" if event.idle_w is None else f", idle {event.idle_w:.0f} W ({event.idle_origin})"
                beside = " and ".join(name for name in (event.cpu, event.dram) if name)
                self._say(
                    f"trial {trial} is metered on {event.device}{idle}{f'; beside it {beside}' if beside else ''}"
                )
            case TrialPrepared():
                for parameter, reason in event.inert.items():
                    self._say(f"trial {trial}: {parameter} has no effect: {reason}")
            case EpochEnded():
                self._say(
                    f"trial {trial} epoch {event.epoch}/{event.epochs}: loss {fraction_words(event.loss)}, "
                    f"validation accuracy {fraction_words(event.val_accuracy)}, {reading_words(event.energy)}, "
                    f"{seconds_words(event.seconds)}{flag_words(event.energy.flags)}"
                )
            case _:
                pass

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Say how a trial ended, and when the study will."""
        self._forecast.ended(trial)
        remaining_s = self._forecast.remaining_s(settled)
        rest = f", about {seconds_words(remaining_s)} to go" if remaining_s else ""
        self._say(f"trial {trial} {ending_words(summary, verdict)} [{settled}/{self._trials}{rest}]")

    def _say(self, text: str) -> None:
        self._console.print(f"{datetime.now():%H:%M:%S} {text}", highlight=False, markup=False, soft_wrap=True)


class BarProgress:
    """A bar for the study and one for each running trial; finished trials scroll by above. A context manager."""

    def __init__(self, console: Console, forecast: Forecast) -> None:
        """Draw on this console."""
        self._forecast = forecast
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._study: TaskID = self._progress.add_task("study", figures="")
        self._tasks: dict[int, TaskID] = {}
        self._energy: dict[int, str] = {}
        self._accuracy: dict[int, str] = {}

    def __enter__(self) -> "BarProgress":
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture standing."""
        self._progress.stop()

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Set the study's bar."""
        self._progress.update(self._study, description=spec.name, total=spec.study.trials, completed=settled)

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Add a bar for the trial."""
        self._forecast.began(spec.trial)
        self._tasks[spec.trial] = self._progress.add_task(
            f"trial {spec.trial} on {slot.name}", total=spec.training.epochs, figures="getting ready"
        )

    def event_arrived(self, trial: int, event: Event) -> None:
        """Move the trial's bar."""
        task = self._tasks[trial]
        match event:
            case StepsDone():
                done = event.epoch - 1 + event.step / event.steps
                self._progress.update(task, completed=round(done, 1))
            case PowerSampled():
                self._energy[trial] = energy_words(event.energy_wh, event.source)
            case EpochEnded():
                self._accuracy[trial] = f"accuracy {fraction_words(event.val_accuracy)}"
                self._progress.update(task, completed=event.epoch)
            case _:
                return
        figures = (self._accuracy.get(trial, "accuracy " + MISSING), self._energy.get(trial, MISSING))
        self._progress.update(task, figures="  ".join(figures))

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Replace the trial's bar by a line above."""
        self._forecast.ended(trial)
        if trial in self._tasks:
            self._progress.remove_task(self._tasks.pop(trial))
        self._progress.console.print(f"trial {trial} {ending_words(summary, verdict)}", highlight=False, markup=False)
        remaining_s = self._forecast.remaining_s(settled)
        figures = f"about {seconds_words(remaining_s)} to go" if remaining_s else ""
        self._progress.update(self._study, completed=settled, figures=figures)


def ending_words(summary: TrialSummary, verdict: Verdict) -> str:
    """How a trial ended, in one line."""
    if verdict.outcome is Outcome.COMPLETED:
        test = summary.ended.test_accuracy if summary.ended else None
        return (
            f"done: accuracy {fraction_words(summary.accuracy)} (test {fraction_words(test)}), "
            f"{reading_words(summary.energy)}, {seconds_words(summary.energy.seconds)}"
            f"{flag_words(summary.energy.flags)}"
        )
    if not verdict.ran:
        return f"skipped: {verdict.message}"
    word = "stopped" if verdict.outcome is Outcome.DIVERGED else "failed"
    return f"{word}: {verdict.reason}: {verdict.message} ({reading_words(summary.total)} spent)"
