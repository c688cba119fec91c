"""Schedules the writing of notes, figures and artifacts.

Invariants: while a coordinator runs a study, its process alone writes (`DashboardPublisher`); otherwise `catch_up` adds
what is missing and stops when a coordinator begins. A trial's note and artifacts are there before the storage holds
it for finished, because an open page never asks again for a finished trial. No failure here reaches the study.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenopt.coordination.verdict import Verdict
from greenopt.dashboard.content import attach_curves, describe_trial, write_figures
from greenopt.dashboard.notes import format_row_setting, study_note
from greenopt.dashboard.store import DashboardStore
from greenopt.dashboard.trial_curves import CurvesByTrial
from greenopt.energy.footprint import Footprint
from greenopt.events import EpochEnded, Event, FailReason, TrialEnded, TrialStarted
from greenopt.execution import Slot
from greenopt.forecast import StudyForecast, format_forecast
from greenopt.gpu_models import format_mixed
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.plain_text import in_one_line
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.search import Storage, StudySnapshot, is_outage, read_study, read_trial, writing_together
from greenopt.spec import StudySpec, TrialSpec
from greenopt.storage.trial_state import FINISHED_STATES, STATE_BY_OUTCOME
from greenopt.storage.url import without_secrets
from greenopt.summary import TrialSummary

FIGURES_EVERY_S = 30.0
MAX_FAILURES = 3
DRAWING_SHARE = 0.1
DRAWING_FREE_S = 30.0
"""Drawings of trials' curves may take that part of the time, and so many seconds beside it: where several trials end in
a second, those that are left out are drawn by `greenopt dashboard`."""


class DashboardPublisher:
    """Observer and annotator of a coordinator that updates the notes, figures and artifacts of its study."""

    def __init__(
        self,
        spec: StudySpec,
        storage: Storage,
        folder: RunFolder,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Store the arguments; nothing is read or written yet.

        Args:
            spec: the study.
            storage: holds it.
            folder: its results.
            warn: called with one line on what could not be written.
            clock: monotonic seconds.
            is_busy: whether the coordinator uses the storage or waits for it; what is not urgent is put off then.
        """
        self._is_busy, self._is_note_old = is_busy, False
        self._foreseen: StudyForecast | None = None
        self._is_forecast_new, self._footprint = False, Footprint.from_spec(spec.energy)
        self._spec, self._storage, self._folder = spec, storage, folder
        self._warn, self._clock = warn, clock
        self._store: DashboardStore | None = None
        self._curves_by_trial = CurvesByTrial(folder)
        self._machines: set[str] = set()
        self._attached: set[int] = set()
        self._began_s, self._drawing_s = clock(), 0.0
        self._drawn_at_s = clock() - FIGURES_EVERY_S
        self._has_news = False
        self._failures = 0

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Write the study's note."""
        self._attempt(self._describe)

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Start recording the trial's curves."""
        self._curves_by_trial.begin(spec.trial)

    def event_arrived(self, trial: int, event: Event) -> None:
        """Record the event; redraw the figures when they are due, which is never between two trials."""
        self._curves_by_trial.add(trial, event)
        if isinstance(event, TrialEnded):
            # Hidden behind the end of the trial's process, which takes longer.
            self._attempt(lambda: self._attach_curves(trial))
        if isinstance(event, TrialStarted) and (found := {_machine(event.gpu_name, event.host)} - self._machines):
            self._machines |= found
            self._is_note_old = True
            self._attempt(self._describe)
        self._has_news = self._has_news or isinstance(event, EpochEnded)
        if self._has_news and self._clock() - self._drawn_at_s >= FIGURES_EVERY_S:
            self._attempt(self._draw)

    def annotate(self, trial: int, verdict: Verdict, metrics: Mapping[str, Any]) -> None:
        """Add a note and artifacts to a trial before the storage holds it as finished.

        Raises:
            Exception: the storage is away; to be called again.
        """
        if self._is_note_old:
            self._attempt(self._describe, is_in_turn=True)
        self._attempt(lambda: self._annotate(trial, verdict, metrics), is_in_turn=True)

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Mark the figures as out of date."""
        self._has_news = True

    def run_state_changed(self, run_state: RunState) -> None:
        """Do nothing: the dashboard does not show the study's run state."""

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Do nothing: the dashboard does not show slots."""

    def forecast_made(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        """Keep the forecast; the note has it when the figures are drawn next."""
        self._foreseen, self._is_forecast_new = forecast, True

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Do nothing: `close` draws the last figures."""

    def close(self) -> None:
        """Draw the figures one last time."""
        if self._has_news:
            self._attempt(self._draw)

    def _attempt(self, work: Callable[[], None], *, is_in_turn: bool = False) -> None:
        """Run work that may fail; after `MAX_FAILURES` consecutive failures no more work is attempted.

        An outage of the storage is no such failure: work that is in turn is called again, other work is put off.
        """
        if self._failures >= MAX_FAILURES or (self._is_busy() and not is_in_turn):
            return
        try:
            work()
            self._failures = 0
        except Exception as error:
            if is_outage(error):
                self._has_news = True
                if is_in_turn:
                    raise
                return
            self._failures += 1
            if self._failures in (1, MAX_FAILURES):
                later = f"; `greenopt dashboard {self._spec.name}` adds what is missing" if self._failures > 1 else ""
                reason = in_one_line(without_secrets(str(error).strip().partition("\n")[0]))
                self._warn(f"dashboard not updated: {type(error).__name__}: {reason}{later}")

    def _opened(self) -> DashboardStore:
        if self._store is None:
            self._store = DashboardStore(self._spec.name, self._storage, self._folder.artifacts)
        return self._store

    def _describe(self) -> None:
        snapshot = read_study(self._spec.name, self._storage)
        self._write_note(snapshot)

    def _write_note(self, snapshot: StudySnapshot) -> None:
        foreseen = self._foreseen
        forecast = format_forecast(foreseen, self._footprint) if foreseen is not None and foreseen.left else ""
        machines = sorted(_machines(snapshot) | self._machines)
        self._opened().write_study_note(study_note(snapshot.spec, machines, forecast, format_mixed(snapshot.rows)))
        self._is_note_old = False

    def _draw(self) -> None:
        self._drawn_at_s, self._has_news = self._clock(), False
        snapshot = read_study(self._spec.name, self._storage)
        write_figures(self._opened(), snapshot, self._curves_by_trial)
        if self._is_forecast_new:
            self._is_forecast_new = False
            self._write_note(snapshot)

    def _annotate(self, trial: int, verdict: Verdict, metrics: Mapping[str, Any]) -> None:
        kept = read_trial(self._spec.name, self._storage, trial)
        row = {**kept, **metrics, "state": STATE_BY_OUTCOME[verdict.outcome]}
        describe_trial(self._opened(), self._folder, self._spec, row, ended=False)
        if verdict.ran:
            self._attach_curves(trial)

    def _attach_curves(self, trial: int) -> None:
        if trial not in self._attached:
            row = read_trial(self._spec.name, self._storage, trial)
            curves = self._curves_by_trial.get(trial, row.get(ATTEMPT_ATTRIBUTE))
            text = format_row_setting(self._spec, row)
            began_s = self._clock()
            is_drawn = self._drawing_s <= DRAWING_FREE_S + DRAWING_SHARE * (began_s - self._began_s)
            with writing_together(self._storage):
                attach_curves(self._opened(), self._folder, trial, text, curves, ended=False, is_drawn=is_drawn)
            self._drawing_s += self._clock() - began_s
            self._attached.add(trial)


def catch_up(study: str, storage: Storage, folder: RunFolder, is_idle: Callable[[], bool]) -> None:
    """Add what is missing from a study that was imported, or whose coordinator was killed or could not write.

    Args:
        study: its name.
        storage: holds the study.
        folder: its results; it need not exist.
        is_idle: whether still no coordinator runs the study; asked before each trial.
    """
    snapshot = read_study(study, storage)
    store = DashboardStore(study, storage, folder.artifacts)
    store.write_study_note(study_note(snapshot.spec, sorted(_machines(snapshot)), mixed=format_mixed(snapshot.rows)))
    curves_by_trial = CurvesByTrial(folder)
    write_figures(store, snapshot, curves_by_trial)
    for row in snapshot.rows:
        if row["state"] in FINISHED_STATES:
            if not is_idle():
                return
            describe_trial(store, folder, snapshot.spec, row, ended=True)
            text = format_row_setting(snapshot.spec, row)
            curves = curves_by_trial.get(row["trial"], row.get(ATTEMPT_ATTRIBUTE))
            attach_curves(store, folder, row["trial"], text, curves, ended=True)
            curves_by_trial.keep(set())


def _machines(snapshot: StudySnapshot) -> set[str]:
    return {_machine(row.get("gpu_name"), row["host"]) for row in snapshot.rows if row.get("host")}


def _machine(gpu_name: str | None, host: str | None) -> str:
    return f"{gpu_name or 'CPU'} on {host or 'a host that is not known'}"
