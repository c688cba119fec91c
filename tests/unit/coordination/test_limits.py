"""Budgets, patience and forecasts of a running study, with scripted trials."""

from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.front_watch import FrontWatch
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.events import Event
from greenopt.execution import ProcessEnded, Slot
from greenopt.forecast import StudyForecast
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    ForecastMade,
    StudyEnd,
    TrialPlaced,
    elapsed_s,
    read_entries,
)
from greenopt.search import Search, open_storage
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import ended, epoch, prepared_phases, reading, started, study
from tests.fakes import FakeEngine, completes, fails
from tests.unit.coordination.test_coordinator import CONTINUOUS, Desk

TRIAL_WH = 2.5
"""What each scripted trial draws, set-up included."""


class Clock:
    """A clock that goes on at each reading."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self._step_s
        return self.now_s


def bounded(trials: int = 20, **tables: Any) -> StudySpec:
    return study(study={"trials": trials, **tables.pop("study", {})}, space=CONTINUOUS, **tables)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("budget", "energy"),
    [
        ("10 Wh", {}),
        ("4 gCO2", {"carbon_g_per_kwh": 400.0}),
        ("5 EUR", {"price_per_kwh": 500.0, "currency": "EUR"}),
    ],
)
def test_each_kind_of_energy_budget_allows_the_same_trials(desk: Desk, budget: str, energy: dict[str, Any]) -> None:
    desk.run(bounded(study={"budget": [budget]}, energy=energy))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 4)


def test_a_larger_budget_goes_on_and_a_smaller_one_ends_at_once(desk: Desk) -> None:
    desk.run(bounded(study={"budget": ["5 Wh"]}))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 2)
    desk.run(bounded(study={"budget": ["4 Wh"]}))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 2)
    desk.run(bounded(study={"budget": ["12.5 Wh"]}))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 5)


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_what_running_trials_will_need_is_reserved(desk: Desk, slots: int) -> None:
    desk.run(bounded(study={"budget": ["5 Wh"]}))
    desk.run(bounded(study={"budget": ["15 Wh"]}), slots=[Slot(f"cpu {index}") for index in range(slots)])
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 6)


def test_failed_trials_count(desk: Desk) -> None:
    desk.run(bounded(study={"budget": ["10 Wh"], "stop_after_equal_failures": 99}), fails("crash"))
    used_wh = sum(row.get("total_wh", 0.0) for row in desk.rows)
    assert desk.end is StudyEnd.BUDGET_SPENT
    assert 0 < used_wh <= 10
    assert len(desk.rows) < 20


def test_a_budget_of_time_counts_earlier_runs(desk: Desk) -> None:
    def run(budget: str, before_s: float) -> int:
        engine = FakeEngine(completes)
        spec, clock = bounded(study={"budget": [budget]}), Clock(0.5)
        coordinator = desk.coordinator(spec, engine, clock=clock, elapsed_before_s=before_s, wait=lambda _: None)
        desk.end = coordinator.run()
        return len(engine.specs)

    first = run("60 s", 0.0)
    assert desk.end is StudyEnd.BUDGET_SPENT
    assert first > 0
    assert run("60 s", 60.0) == 0
    assert desk.end is StudyEnd.BUDGET_SPENT
    assert run("2 min", 60.0) > 0


def scores(*accuracies: float) -> Any:
    def script(spec: TrialSpec) -> list[Event | ProcessEnded]:
        accuracy = accuracies[min(spec.trial, len(accuracies) - 1)]
        last = ended(accuracy=accuracy)
        events: list[Event] = [started(spec.trial), *prepared_phases(), epoch(1), epoch(2, accuracy), last]
        return [*events, ProcessEnded(spec.trial, 0, None, "")]

    return script


def test_patience_ends_a_study_whose_front_stands_still(desk: Desk) -> None:
    script = scores(0.1, 0.2, 0.3, 0.2, 0.1, 0.25, 0.9)
    desk.run(bounded(study={"patience": 3}), script)
    assert (desk.end, len(desk.rows)) == (StudyEnd.FRONT_STILL, 6)
    desk.run(bounded(study={"patience": 3}), script)
    assert (desk.end, len(desk.rows)) == (StudyEnd.FRONT_STILL, 6), "it stands still when the study is resumed, too"
    desk.run(bounded(study={"patience": 4}), script)
    assert (desk.end, len(desk.rows)) == (StudyEnd.FRONT_STILL, 11), "0.9 is on the front; four equal ones follow it"


def test_failed_trials_leave_the_front_as_it_is() -> None:
    watch = FrontWatch(study())
    for values in ([0.5, 10.0], None, [0.4, 11.0]):
        watch.add(values)
    assert watch.ended_since == 2
    watch.add([0.4, 9.0])
    assert watch.ended_since == 0


class Hearer:
    """An observer that keeps forecasts."""

    def __init__(self) -> None:
        self.made: list[tuple[StudyForecast, int, float]] = []

    def forecast_made(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        self.made.append((forecast, settled, used_wh))

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def test_a_running_study_is_forecast_after_each_trial(desk: Desk) -> None:
    hearer, engine = Hearer(), FakeEngine(completes)
    desk.coordinator(bounded(8), engine, observers=(hearer,)).run()
    assert [settled for made, settled, _ in hearer.made if made.energy_wh is not None] == [2, 3, 4, 5, 6, 7, 8]
    for made, settled, used_wh in hearer.made[2:]:
        assert used_wh == pytest.approx(TRIAL_WH * settled)
        assert made.left == 8 - settled
        assert made.energy_wh is not None
        assert made.energy_wh.expected == pytest.approx(8 * TRIAL_WH, rel=0.05)
        assert made.energy_wh.low <= 8 * TRIAL_WH <= made.energy_wh.high


def test_the_time_of_runs_is_without_what_lies_between_them() -> None:
    def began(utc_s: float) -> CoordinatorStarted:
        return CoordinatorStarted(utc_s=utc_s, pid=1, host="a", slots={}, settled=0, trials=1)

    end = CoordinatorEnded(utc_s=130.0, end=StudyEnd.STOPPED)
    assert elapsed_s([began(100.0), end, began(1000.0)]) == pytest.approx(30.0)
    assert elapsed_s([began(100.0), end, began(1000.0), end.model_copy(update={"utc_s": 1005.0})]) == pytest.approx(
        35.0
    )
    assert elapsed_s([]) == 0.0
    early = ForecastMade(utc_s=999.0, settled=1, ended=1, left=1, used_wh=1.0, energy_wh=None, left_s=None)
    assert elapsed_s([began(100.0), end, early, began(1000.0)]) == pytest.approx(30.0)
    killed = TrialPlaced(utc_s=120.0, trial=0, slot="gpu 0")
    assert elapsed_s([began(100.0), killed, early, began(1000.0), killed.model_copy(update={"utc_s": 1005.0})]) == (
        pytest.approx(25.0)
    )


def test_a_coordinator_says_that_it_started_before_it_says_anything_else(desk: Desk) -> None:
    for trials in (3, 5):
        engine = FakeEngine(completes)
        log = StudyLogWriter(desk.folder.study_log, engine.slots)
        desk.coordinator(bounded(trials), engine, observers=(log,)).run()
    entries = read_entries(desk.folder.study_log, None)
    starts = [index for index, entry in enumerate(entries) if isinstance(entry, CoordinatorStarted)]
    assert starts[0] == 0
    assert len(starts) == 2
    assert isinstance(entries[starts[1] - 1], CoordinatorEnded)
    assert any(isinstance(entry, ForecastMade) for entry in entries[starts[1] :])


def test_a_search_tells_its_ended_trials_in_their_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(bounded(3))
    rows = Search(bounded(3), open_storage(desk.folder.default_storage)).ended_rows()
    assert [row["trial"] for row in rows] == [0, 1, 2]
    assert all(row["total_wh"] == TRIAL_WH and len(row["values"]) == 2 for row in rows)
    assert reading().energy_wh == 1.0
