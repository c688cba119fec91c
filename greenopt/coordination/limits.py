"""What bounds a running study: its budgets and its patience. Also the source of its forecasts.

Used by the coordinator's thread alone. It learns from the study's trials as an observer does, and is asked before each
start whether one more trial fits. Invariant: what the running trials are forecast to need is reserved, so that a budget
is exceeded by no more than the forecast's error.
"""

from collections.abc import Callable, Sequence
from typing import Any

from greenopt.coordination.front_watch import FrontWatch
from greenopt.coordination.verdict import Verdict, objective_values, trial_metrics
from greenopt.energy.footprint import Footprint
from greenopt.events import EpochEnded, Event, FailReason, Outcome
from greenopt.execution import Slot
from greenopt.forecast import RunningTrial, StudyForecast, StudyForecaster, ended_trial, spendings
from greenopt.forecast.spending import Spending, in_unit
from greenopt.forecast.study import MAX_SIMULATED, NextTrial
from greenopt.forecast.trials import refused_trial
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.search import ADAPTIVE, Search
from greenopt.spec import StudySpec, TrialSpec
from greenopt.stopping import Refusal
from greenopt.storage.trial_state import STATE_BY_OUTCOME, is_settled
from greenopt.summary import TrialFold, TrialSummary

FORECAST_EVERY_S = 60.0
"""How often a forecast follows the epochs of running trials, at most."""

FORECASTS_A_ROUND = 8
"""Forecasts while each slot runs one trial: one of hundreds of running trials takes a second."""

TOLERANCE = 0.05
"""The part of a trial's forecast by which it may exceed a budget: no trial is known better before it starts."""


class _Running(TrialFold):
    def __init__(self, spec: TrialSpec, began_s: float) -> None:
        super().__init__()
        self.spec, self.began_s = spec, began_s

    def as_seen(self, now_s: float) -> RunningTrial:
        parts = [*(phase.energy for phase in self.phases), *(epoch.energy for epoch in self.epochs)]
        known = [part.energy_wh for part in parts if part.energy_wh is not None]
        sampled = self.last_energy.energy_wh if self.last_energy is not None else None
        used = [energy_wh for energy_wh in (sampled, sum(known) if known else None) if energy_wh is not None]
        share = min(1.0, len(self.epochs) / self.spec.training.epochs)
        return RunningTrial(self.spec.values, max(used, default=None), now_s - self.began_s, share)


class Limits:
    """The budgets, the patience and the forecasts of one run of a study; an observer of its coordinator."""

    def __init__(
        self,
        spec: StudySpec,
        search: Search,
        slots: int,
        clock: Callable[[], float],
        announce: Callable[[StudyForecast, int, float], None],
        elapsed_before_s: float = 0.0,
    ) -> None:
        """Store the arguments; nothing is read yet.

        Args:
            spec: the study.
            search: asks and tells.
            slots: how many trials run at once.
            clock: monotonic seconds.
            announce: called with each forecast, how many trials counted by then, and the energy in Wh that they used.
            elapsed_before_s: how long earlier runs of the study took, in s.
        """
        self._spec, self._search, self._slots, self._clock, self._announce = spec, search, slots, clock, announce
        self._elapsed_before_s, self._began_s = elapsed_before_s, clock()
        self._footprint = Footprint.from_spec(spec.energy)
        adapts = spec.sampler.name in ADAPTIVE
        self._forecaster = StudyForecaster(spec.space, adapts=adapts, seed=spec.seeds.sampler)
        self._front = FrontWatch(spec)
        self._running: dict[int, _Running] = {}
        self._next: NextTrial | None = None
        self._announced_s = -float("inf")
        self._ended_since = 0
        self._settled = 0

    def end(self) -> StudyEnd | None:
        """Return why no more trials are to start; None where they may."""
        if self._spec.study.patience is not None and self._front.ended_since >= self._spec.study.patience:
            return StudyEnd.FRONT_STILL
        return StudyEnd.BUDGET_SPENT if any(each.is_spent for each in self._spent()) else None

    def may_start(self) -> bool:
        """Return whether the next trial fits into every budget beside the running ones."""
        if not self._spec.budgets:
            return True
        following = self._of_next()
        needed_wh = following.running_wh + (1 - TOLERANCE) * following.wh
        needed_s = (1 - TOLERANCE) * following.seconds
        return all(spent.fits(in_unit(spent.budget, self._footprint, needed_wh, needed_s)) for spent in self._spent())

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Learn from the trials that are there."""
        self._settled, self._began_s = settled, self._clock()
        for row in self._search.ended_rows():
            self._learn(row, row["values"])

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Reserve what the trial will need."""
        self._running[spec.trial] = _Running(spec, self._clock())
        self._next = None

    def event_arrived(self, trial: int, event: Event) -> None:
        """Follow a running trial; forecast now and then."""
        if trial not in self._running:
            return
        self._running[trial].take(event)
        if isinstance(event, EpochEnded):
            self._next = None
            if self._clock() - self._announced_s >= FORECAST_EVERY_S:
                self.forecast()

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Learn from the trial; forecast, with many slots after some trials only."""
        running = self._running.pop(trial, None)
        self._settled = settled
        if isinstance(verdict.decision, Refusal):
            self._forecaster.add(refused_trial(verdict.decision.setting))
            self._front.add(None)
            self._next = None
            is_last = settled + len(self._running) >= self._spec.study.trials
            if is_last or self._clock() - self._announced_s >= FORECAST_EVERY_S:
                self.forecast()
            return
        if running is None:
            # Ended when the study was resumed: `study_began` finds it in the storage; or skipped.
            return
        metrics = {
            name: value for name, value in trial_metrics(summary, verdict, running.spec).items() if value is not None
        }
        row = {**running.spec.values, **metrics, "state": STATE_BY_OUTCOME[verdict.outcome]}
        # With the start of its process, which the trial itself does not see: it kept the slot.
        row["total_s"] = max(row.get("total_s") or 0.0, self._clock() - running.began_s)
        row["attempt"] = self._search.attempts_before(trial)
        values = objective_values(summary, self._spec) if verdict.outcome is Outcome.COMPLETED else None
        self._learn(row, values)
        self._ended_since += 1
        if self._ended_since * FORECASTS_A_ROUND >= self._slots:
            self.forecast()

    def run_state_changed(self, run_state: RunState) -> None:
        """Do nothing."""

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Go on with the slots that are left."""
        self._slots = max(1, len(others))

    def slots_changed(self, slots: Sequence[Slot], joined: Sequence[Slot], gone: Sequence[Slot]) -> None:
        """Go on with the slots that are there."""
        self._slots = max(1, len(slots))

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Do nothing."""

    def _spent(self) -> tuple[Spending, ...]:
        if not self._spec.budgets:
            return ()
        elapsed_s = self._elapsed_before_s + self._clock() - self._began_s
        return spendings(self._spec, self._forecaster.used_wh, elapsed_s)

    def _learn(self, row: dict[str, Any], values: Sequence[float] | None) -> None:
        self._next = None
        ended = ended_trial(self._spec, row)
        if ended is not None:
            self._forecaster.add(ended)
        if is_settled(row["state"], row):
            self._front.add(values)

    def _seen(self) -> list[RunningTrial]:
        now_s = self._clock() if self._running else 0.0
        return [running.as_seen(now_s) for running in self._running.values()]

    def _of_next(self) -> NextTrial:
        if self._next is None:
            known = self._search.upcoming(1)
            self._next = self._forecaster.of_next(self._seen(), known[0] if known else None)
        return self._next

    def forecast(self) -> None:
        """Forecast the study from what is known now, and announce it."""
        self._announced_s, self._ended_since = self._clock(), 0
        left = max(0, self._spec.study.trials - self._settled - len(self._running))
        upcoming = self._search.upcoming(min(left, MAX_SIMULATED)) if left else []
        made = self._forecaster.forecast(self._seen(), upcoming, left, self._slots)
        if made.energy_wh is not None or made.left_s is not None:
            self._announce(made, self._settled, self._forecaster.used_wh)
