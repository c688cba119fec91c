"""Writes the study log from the coordinator's notifications."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from greenopt.coordination.verdict import Verdict, build_ending
from greenopt.events import Event, FailReason
from greenopt.execution import Slot
from greenopt.forecast import StudyForecast
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    ForecastAmount,
    ForecastMade,
    LogEntry,
    RunState,
    RunStateChanged,
    SlotsChanged,
    SlotSetAside,
    StorageChanged,
    StudyEnd,
    TrialPlaced,
    TrialRecorded,
    append_entry,
)
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary


class StudyLogWriter:
    """An observer that appends to the study log. A full disk costs the entry, never the study."""

    def __init__(
        self,
        file: Path,
        slots: Sequence[Slot],
        clock: Callable[[], float] = time.time,
        *,
        study_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Store the arguments; nothing is written yet.

        Args:
            file: the study log; its folder exists when the study begins.
            slots: where trials run.
            clock: seconds since 1970, UTC.
            study_id: the study's identity.
            run_id: the identity of this coordinator's run.
        """
        self._file, self._slots, self._clock = file, slots, clock
        self._study_id, self._run_id = study_id, run_id
        self._objectives: tuple[str, ...] = ()

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Append who runs the study, and where."""
        self._objectives = tuple(spec.objectives)
        self._append(
            CoordinatorStarted(
                utc_s=self._clock(),
                pid=os.getpid(),
                host=socket.gethostname(),
                slots={slot.name: slot.gpu_uuid for slot in self._slots},
                settled=settled,
                trials=spec.study.trials,
                study_id=self._study_id,
                run_id=self._run_id,
            )
        )

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Append where a trial runs."""
        self._append(TrialPlaced(utc_s=self._clock(), trial=spec.trial, slot=slot.name))

    def event_arrived(self, trial: int, event: Event) -> None:
        """Do nothing: events have their own files."""

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Append how a trial ended."""
        ending = build_ending(summary, verdict, self._objectives)
        self._append(TrialRecorded(utc_s=self._clock(), trial=trial, settled=settled, ending=ending))

    def run_state_changed(self, run_state: RunState) -> None:
        """Append the study's new run state."""
        self._append(RunStateChanged(utc_s=self._clock(), conduct=run_state))

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Append that a slot's GPU failed."""
        self._append(SlotSetAside(utc_s=self._clock(), slot=slot.name, reason=failure))

    def slots_changed(self, slots: Sequence[Slot], joined: Sequence[Slot], gone: Sequence[Slot]) -> None:
        """Append which slots there are now."""
        self._append(
            SlotsChanged(
                utc_s=self._clock(),
                slots={slot.name: slot.gpu_uuid for slot in slots},
                joined=tuple(slot.name for slot in joined),
                gone=tuple(slot.name for slot in gone),
            )
        )

    def storage_changed(self, name: str, cause: str | None) -> None:
        """Append that the storage is away or back."""
        self._append(StorageChanged(utc_s=self._clock(), storage=name, cause=cause))

    def forecast_made(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        """Append what the study is forecast to take."""
        energy_wh, left_s = forecast.energy_wh, forecast.left_s
        self._append(
            ForecastMade(
                utc_s=self._clock(),
                settled=settled,
                ended=forecast.ended,
                left=forecast.left,
                used_wh=used_wh,
                energy_wh=None if energy_wh is None else ForecastAmount(**asdict(energy_wh)),
                left_s=None if left_s is None else ForecastAmount(**asdict(left_s)),
                is_estimate=forecast.is_estimate,
            )
        )

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Append why the coordinator ends."""
        self._append(CoordinatorEnded(utc_s=self._clock(), end=end, failure=failure))

    def _append(self, entry: LogEntry) -> None:
        try:
            append_entry(self._file, entry)
        except OSError:
            return
