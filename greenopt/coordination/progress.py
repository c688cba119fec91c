"""A running study as lines of text, for pipes, logs and whoever wants no more; it only listens to the coordinator."""

import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console

from greenopt.coordination.verdict import Verdict
from greenopt.events import EpochEnded, Event, FailReason, MeterOpened, Outcome, TrialPrepared
from greenopt.execution import Slot
from greenopt.formatting import (
    flag_words,
    fraction_words,
    reading_words,
    seconds_words,
    setting_words,
)
from greenopt.runs.study_log import CONDUCT_WORDS, Conduct, StudyEnd
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary


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

    def conduct_changed(self, conduct: Conduct) -> None:
        """Say that the study was paused, goes on, or will stop."""
        self._say(CONDUCT_WORDS[conduct])

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Nothing: what a study came to is printed when it has been put away."""

    def _say(self, text: str) -> None:
        self._console.print(f"{datetime.now():%H:%M:%S} {text}", highlight=False, markup=False, soft_wrap=True)


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
