"""The study as the live view shows it: updated by batches of changes, queried for metrics.

Owned by the thread that draws. Invariant: the work for a batch follows the size of the batch, not that of the study,
so that ten thousand finished trials cost nothing at each tick.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greenopt.energy.footprint import Footprint
from greenopt.events import FailReason
from greenopt.front import StudyFront
from greenopt.reading import EnergySource
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    ForecastMade,
    LogEntry,
    RunState,
    RunStateChanged,
    SlotsChanged,
    StorageChanged,
    TrialPlaced,
    TrialRecorded,
)
from greenopt.spec import Direction, StudySpec
from greenopt.storage.trial_state import FINISHED_STATES, TrialState, is_settled
from greenopt.tui.state.forecast import TrialForecast
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.parameter_effects import ParameterEffects
from greenopt.tui.state.reader import Batch, Row

LOG_ENTRIES = 5000


@dataclass
class UsedEnergy:
    """Energy used by all trials together, set-up and failures included."""

    energy_wh: float = 0.0
    is_known: bool = False
    has_estimate: bool = False

    @property
    def source(self) -> str | None:
        """`estimate` if any part of it is one."""
        return EnergySource.ESTIMATE if self.has_estimate else None

    def add(self, energy_wh: float | None, source: str | None) -> None:
        """Add a trial's energy."""
        if energy_wh is not None:
            self.energy_wh += energy_wh
            self.is_known = True
            self.has_estimate |= source == EnergySource.ESTIMATE


class StudyModel:
    """Everything that is shown of one study."""

    def __init__(self, spec: StudySpec) -> None:
        """Start without trials."""
        self.spec = spec
        self.footprint = Footprint.from_spec(spec.energy)
        self.rows: dict[int, Row] = {}
        self.counts: Counter[str] = Counter()
        self.live: dict[int, LiveTrial] = {}
        self.trace = StudyFront(spec)
        self.plane = self.trace.plane
        self.front: frozenset[int] = frozenset()
        self.effects = ParameterEffects(spec.space)
        self.forecast = TrialForecast()
        self.finished: list[int] = []
        self.settled = 0
        self.holder: dict[str, Any] | None = None
        self.problem: str | None = None
        self.outage: str | None = None
        self.run_state = RunState.RUNNING
        self.coordinator: CoordinatorStarted | None = None
        self.end: CoordinatorEnded | None = None
        self.foreseen: ForecastMade | None = None
        self.slots: dict[str, str | None] = {}
        self.placed: dict[int, str] = {}
        self.study_log: deque[LogEntry] = deque(maxlen=LOG_ENTRIES)
        self.has_been_read = False
        self.revision = 0
        self._spent = UsedEnergy()
        self._best: dict[str, Row] = {}

    def apply(self, batch: Batch) -> None:
        """Apply a batch of changes; `revision` grows when a trial begins or ends."""
        self.has_been_read = True
        self.problem = batch.problem
        # A storage that does not answer says nothing about who runs the study.
        self.holder = batch.holder if batch.problem is None else self.holder
        for entry in batch.study_log:
            self._take_entry(entry)
        fresh = [row for row in batch.rows if self._is_news(row)]
        if any(self._has_ended(row["trial"]) for row in fresh):
            # One that had ended was excluded, taken back in or asked for again: what it was counted for is not kept.
            fresh = list({**self.rows, **{row["trial"]: row for row in fresh}}.values())
            self._forget_trials()
        for row in sorted(fresh, key=_ended_at):
            self._take_row(row)
        if fresh:
            self.front = frozenset(self.trace.trials)
            self.revision += 1
        for number, lines in batch.lines.items():
            if self.rows[number]["state"] == TrialState.RUNNING:
                self.live.setdefault(number, LiveTrial(number, self.spec.epochs_of(self.rows[number]))).take_lines(
                    lines
                )

    @property
    def is_running(self) -> bool:
        """Whether a coordinator runs the study now."""
        return self.holder is not None

    def best(self, figure: str) -> Row | None:
        """Return the completed trial that is best in a figure: `accuracy`, `efficiency`, or an objective."""
        return self._best.get(figure)

    @property
    def shown_figures(self) -> tuple[str, ...]:
        """The figures of a trial in one line: the objectives, where they are not accuracy and energy."""
        return () if self.plane.is_accuracy_for_energy else tuple(self.spec.objectives)

    def used(self) -> UsedEnergy:
        """Return the energy used by all trials so far, including running ones."""
        total = UsedEnergy(self._spent.energy_wh, self._spent.is_known, self._spent.has_estimate)
        for live in self.live.values():
            total.add(live.total_wh, live.source)
        return total

    def state(self, row: Mapping[str, Any]) -> str:
        """Return a trial's state in one word: the storage's state, `front`, `skipped`, or `lost`."""
        if row["trial"] in self.front:
            return "front"
        if row["state"] == TrialState.RUNNING and not self.is_running:
            return "lost"
        return _counted_as(row)

    def elapsed_s(self, now: datetime) -> float | None:
        """Return the seconds since the last coordinator began, up to its end if it has ended."""
        if self.coordinator is None:
            return self.forecast.span_s(now if self.is_running else None)
        end_s = self.end.utc_s if self.end is not None else now.timestamp()
        if self.end is None and not self.is_running:
            end_s = max((entry.utc_s for entry in self.study_log), default=end_s)
        return max(0.0, end_s - self.coordinator.utc_s)

    def slot_of(self, trial: int) -> str:
        """Return the name of the slot in which a trial runs."""
        return self.placed.get(trial, "")

    def _is_news(self, row: Row) -> bool:
        known = self.rows.get(row["trial"])
        # A trial's parameters are written one by one, after it was made: a row may be read before its last.
        parameters = () if row["state"] in FINISHED_STATES else tuple(self.spec.space.distributions)
        names = ("state", "excluded", "retried", *parameters)
        return known is None or any(known.get(name) != row.get(name) for name in names)

    def _has_ended(self, trial: int) -> bool:
        known = self.rows.get(trial)
        return known is not None and known["state"] in FINISHED_STATES

    def _forget_trials(self) -> None:
        """Start without trials again."""
        self.rows, self.counts, self.finished, self.settled = {}, Counter(), [], 0
        self.trace, self.effects, self.forecast = (
            StudyFront(self.spec),
            ParameterEffects(self.spec.space),
            TrialForecast(),
        )
        self._spent, self._best = UsedEnergy(), {}

    def _take_row(self, row: Row) -> None:
        number = row["trial"]
        before = self.rows.get(number)
        if before is not None:
            self.counts[_counted_as(before)] -= 1
        self.rows[number] = row
        self.counts[_counted_as(row)] += 1
        if row["state"] in FINISHED_STATES:
            self._take_ended(row)

    def _take_ended(self, row: Row) -> None:
        self.live.pop(row["trial"], None)
        self.finished.append(row["trial"])
        self.settled += is_settled(row["state"], row)
        self._spent.add(row.get("total_wh"), row.get("total_source"))
        if row.get("fail_reason") != FailReason.DUPLICATE:
            self.forecast.add(row)
        if row["state"] != TrialState.COMPLETE:
            return
        self.effects.add(row, self.plane.across, self.plane.up)
        self.trace.add(row)
        ways = {"accuracy": Direction.MAXIMIZE, "efficiency": Direction.MAXIMIZE, **self.spec.objectives}
        for figure, way in ways.items():
            value, best = row.get(figure), self._best.get(figure)
            if value is not None and (best is None or _is_better(value, best[figure], way)):
                self._best[figure] = row

    def _take_entry(self, entry: LogEntry) -> None:
        if not isinstance(entry, ForecastMade):
            self.study_log.append(entry)
        match entry:
            case CoordinatorStarted():
                self.coordinator, self.end, self.run_state = entry, None, RunState.RUNNING
                self.outage = None
                self.slots = dict(entry.slots)
            case SlotsChanged():
                self.slots = dict(entry.slots)
            case TrialPlaced():
                self.placed[entry.trial] = entry.slot
            case TrialRecorded():
                self.placed.pop(entry.trial, None)
            case RunStateChanged():
                self.run_state = entry.conduct
            case StorageChanged():
                self.outage = entry.cause
            case ForecastMade():
                self.foreseen = entry
            case CoordinatorEnded():
                self.end = entry


def _is_better(value: float, other: float, way: Direction) -> bool:
    return value > other if way is Direction.MAXIMIZE else value < other


def _counted_as(row: Mapping[str, Any]) -> str:
    return "skipped" if row.get("fail_reason") == FailReason.DUPLICATE else str(row["state"])


def _ended_at(row: Row) -> tuple[bool, Any, int]:
    ended = row["ended"]
    return (ended is None, ended or 0, row["trial"])
