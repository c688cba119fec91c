"""Signs, filters, outlooks, effects: what they say of given trials."""

import re
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greenopt.errors import UsageError
from greenopt.events import FailReason, Outcome
from greenopt.runs.study_log import ForecastAmount, ForecastMade, RunState, TrialRecorded
from greenopt.runs.trial_ending import TrialEnding
from greenopt.spec import SearchSpace
from greenopt.tui.state.forecast import Remaining, TrialForecast
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.parameter_effects import Moments, ParameterEffects
from greenopt.tui.state.reader import Batch, StudyReader
from greenopt.tui.state.trial_filter import TrialFilter, ordered
from greenopt.tui.tabs.gpus import slot_texts
from greenopt.tui.tabs.overview import summary_text
from greenopt.tui.tabs.parameters import effects_text
from greenopt.tui.tabs.study_log import entry_text
from greenopt.tui.text.header import (
    energy_text,
    forecast_text,
    format_remaining,
    format_rough_duration,
    format_used_energy,
    state_text,
    title_text,
)
from greenopt.tui.text.setting_toml import setting_toml
from greenopt.tui.text.status_symbols import STATUS_SYMBOLS, bar, sparkline
from greenopt.tui.widgets.plots import LinearAxis, LogAxis
from tests.builders import study
from tests.tui.studies import H100, Written, paper_like

ROWS: list[dict[str, Any]] = [
    {"trial": 0, "accuracy": 0.5, "optimizer": "SGD", "batch_size": 32, "message": None},
    {"trial": 1, "accuracy": None, "optimizer": "Adam", "batch_size": 64, "message": "the GPU has no memory left"},
    {"trial": 2, "accuracy": 0.7, "optimizer": "Adam", "batch_size": 32, "message": None},
]
STATES = ["done", "failed", "front"]


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("", [0, 1, 2]),
        ("accuracy>0.6", [2]),
        ("accuracy<=0.7 batch_size=32", [0, 2]),
        ("optimizer=adam", [1, 2]),
        ("optimizer!=adam", [0]),
        ("state=failed", [1]),
        ("memory", [1]),
        ("#2", [2]),
        ("batch_size=32 nothing", []),
    ],
)
def test_a_filter_lets_through_what_fits(text: str, passing: list[int]) -> None:
    chosen = TrialFilter(text, ROWS[0])
    assert [row["trial"] for row, state in zip(ROWS, STATES, strict=True) if chosen.lets_through(row, state)] == passing


def test_a_filter_that_cannot_be_meant_says_why() -> None:
    with pytest.raises(UsageError, match="accurcy: unknown column; known: state, accuracy"):
        TrialFilter("accurcy>0.5", ROWS[0])
    with pytest.raises(UsageError, match="accuracy>high: > needs a number"):
        TrialFilter("accuracy>high", ROWS[0])


def test_trials_without_a_figure_stand_last_in_either_order() -> None:
    assert [row["trial"] for row in ordered(ROWS, "accuracy", falling=True)] == [2, 0, 1]
    assert [row["trial"] for row in ordered(ROWS, "accuracy", falling=False)] == [0, 2, 1]
    assert [row["trial"] for row in ordered(ROWS, "optimizer", falling=False)] == [1, 2, 0]


def test_the_log_tells_how_a_trial_ended_and_colours_failures_alone() -> None:
    failed = TrialEnding(outcome=Outcome.FAILED, reason=FailReason.CRASH, message="exit code 1")
    skipped = TrialEnding(outcome=Outcome.FAILED, reason=FailReason.DUPLICATE, message="as trial 1", ran=False)
    line, other = (entry_text(TrialRecorded(utc_s=1, trial=3, settled=4, ending=each)) for each in (failed, skipped))
    assert line.plain.endswith("  trial 3 failed: crash: exit code 1 (– spent)")
    assert other.plain.endswith("  trial 3 skipped: as trial 1")
    assert [span.style for span in line.spans] != [span.style for span in other.spans]


def test_the_log_shows_the_sentence_of_an_entry_from_before_endings_were_kept() -> None:
    entry = TrialRecorded(utc_s=1, trial=3, settled=4, text="failed: crash: exit code 1")
    assert entry_text(entry).plain.endswith("  trial 3 failed: crash: exit code 1")


def test_every_state_has_a_mark_and_a_word_of_its_own() -> None:
    assert len({sign.mark for sign in STATUS_SYMBOLS.values()}) == len(STATUS_SYMBOLS)
    assert len({sign.word for sign in STATUS_SYMBOLS.values()}) == len(STATUS_SYMBOLS)


def test_sparklines_rise_with_their_numbers_and_leave_gaps() -> None:
    assert sparkline([0, 1, None, 8], 10) == "▁▂ █"
    assert sparkline([5, 5], 10) == "▄▄"
    assert sparkline(list(range(100)), 4) == "▁▃▆█"
    assert sparkline([None], 4) == ""
    assert bar(0.5, 4) == "━━──"
    assert bar(1.5, 2) == "━━"


def test_moments_are_those_of_the_textbook() -> None:
    moments = Moments()
    for value in (2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0):
        moments.add(value)
    assert moments.mean == 5.0
    assert moments.deviation is not None
    assert moments.deviation**2 == pytest.approx(32 / 7)
    assert Moments().deviation is None


def test_effects_group_trials_by_value_and_ranges_by_quarter() -> None:
    space = {"optimizer": ["SGD", "Adam"], "lr": {"low": 1e-4, "high": 1.0, "log": True}, "batch_size": 32}
    effects = ParameterEffects(SearchSpace.parse(space))
    for lr, optimizer, accuracy in ((1e-4, "SGD", 0.2), (0.9, "SGD", 0.4), (1.0, "Adam", 0.6)):
        effects.add({"lr": lr, "optimizer": optimizer, "accuracy": accuracy, "energy_wh": 2.0}, "energy_wh")
    found = {name: {each.value: each.effect.up for each in values} for name, values in effects}
    assert "batch_size" not in found
    assert found["optimizer"]["SGD"].mean == pytest.approx(0.3)
    assert [(moments.count) for moments in found["lr"].values()] == [1, 0, 0, 2]
    assert list(found["lr"]) == ["0.0001 to 0.001", "0.001 to 0.01", "0.01 to 0.1", "0.1 to 1"]


def test_the_outlook_follows_durations_slots_and_what_running_trials_have_done() -> None:
    forecast, began = TrialForecast(), datetime(2026, 1, 1)
    assert forecast.remaining(3, (), 1) is None
    for _ in range(2):
        forecast.add({"began": began, "ended": began + timedelta(seconds=100)})
    assert forecast.remaining(4, (), 2) == Remaining(200.0)
    half = LiveTrial(9, epochs=2)
    half.epochs = [None]  # type: ignore[list-item]
    assert forecast.remaining(4, [half], 1) == Remaining(350.0)
    assert forecast.remaining(0, (), 1) == Remaining(0.0)
    for seconds in (60, 140):
        forecast.add({"began": began, "ended": began + timedelta(seconds=seconds)})
    spread = forecast.remaining(4, (), 1)
    assert spread is not None
    assert spread.low_s is not None
    assert spread.high_s is not None
    assert spread.low_s < 400 < spread.high_s


def test_guesses_are_as_coarse_as_they_deserve() -> None:
    assert [format_rough_duration(seconds) for seconds in (40, 600, 40000, 200000)] == [
        "40 s",
        "10 min",
        "11.1 h",
        "2.3 d",
    ]
    assert format_remaining(Remaining(40000, 32000, 50000)) == "~11.1 h left (8.9 to 13.9 h)"
    assert format_remaining(Remaining(600)) == "~10 min left"


def test_much_energy_is_told_in_kilowatt_hours_and_estimates_stay_marked() -> None:
    assert format_used_energy(940.0, "nvml_counter") == "940 Wh"
    assert format_used_energy(1940.0, "nvml_counter") == "1.94 kWh"
    assert format_used_energy(1940.0, "estimate") == "~1.94 kWh est."
    assert format_used_energy(None, None) == "–"


def test_a_copied_setting_can_be_put_into_a_study_file() -> None:
    setting = {"optimizer": "SGD", "lr": 1e-05, "batch_size": 128, "note": 'say "ä"', "shuffle": True, "absent": None}
    read = tomllib.loads(setting_toml(setting))["space"]
    assert read == {name: value for name, value in setting.items() if value is not None}


def test_axes_have_round_numbers_that_fit() -> None:
    assert LinearAxis(60).get_ticks(0.0, 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert LinearAxis(60, step=1.0).get_ticks(0.5, 3.4) == [1.0, 2.0, 3.0]
    tiny = LinearAxis(40)
    labels = tiny.get_labels_for_ticks(tiny.get_ticks(0.0000991, 0.0001062))
    assert sum(len(label) + 3 for label in labels) <= 40
    assert LogAxis().get_labels_for_ticks(LogAxis().get_ticks(0.0, 2.0)) == ["1", "2", "5", "10", "20", "50", "100"]
    assert len(LogAxis().get_ticks(-3.0, 4.0)) <= 8


def test_the_energy_spent_is_told_of_the_budget_where_the_study_has_one() -> None:
    without = study()
    with_budget = study(study={"energy_budget_wh": 5000.0})
    assert " of " not in energy_text(StudyModel(without)).plain
    assert "of 5 kWh" in energy_text(StudyModel(with_budget)).plain


@pytest.mark.parametrize(
    ("end", "conduct", "stands", "comes_next"),
    [
        ("stopped", RunState.STOPPING, "■ stopped on request", "resume with `greenopt run` and its study file"),
        ("stopped", RunState.STOPPING_NOW, "■ stopped on request, at once", "resume with `greenopt run` and its study"),
        ("budget_spent", None, "■ stopped: the budget is spent", "its study file and a larger --budget"),
        (None, None, "■ not running", "resume with `greenopt run` and its study file"),
    ],
)
def test_the_overview_of_a_study_that_was_stopped_says_by_what(
    tmp_path: Path, end: str | None, conduct: RunState | None, stands: str, comes_next: str
) -> None:
    written = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    written.completes("gpu 0")
    if conduct is not None:
        written.conducted(conduct)
    written.ended(end) if end is not None else written.abandoned()
    model = model_of(written)
    assert state_text(model).plain == stands
    assert stands in summary_text(model, 80).plain.splitlines()
    assert comes_next in summary_text(model, 80).plain


@pytest.mark.parametrize("width", [77, 88, 116, 196])
def test_no_energy_of_a_parameter_and_no_setting_of_a_slot_is_cut_in_two(
    width: int, written: Callable[[str], Written]
) -> None:
    model = model_of(written("two_gpus"))
    effects = [line for line in effects_text(model, width).plain.splitlines()[1:] if line]
    energies = [line for line in effects if re.search(r"\d\.\d{3} ", line)]
    assert len(energies) > 20
    assert all(re.search(r"[\d.]+ Wh ", line) for line in energies)
    assert all(len(line) <= width for line in (*effects, *slot_texts(model, width).plain.splitlines()))


def test_a_spent_budget_is_seen_from_another_machine_too(tmp_path: Path) -> None:
    spec = paper_like(8)
    used = spec.model_copy(update={"study": spec.study.model_copy(update={"energy_budget_wh": 1.0})})
    written = Written(tmp_path, used, {"gpu 0": H100})
    written.completes("gpu 0")
    written.folder.study_log.unlink()
    written.abandoned()
    assert state_text(model_of(written)).plain == "■ stopped: the budget is spent"
    written.held_by()
    assert state_text(model_of(written)).plain == "▶ running"


def model_of(written: Written) -> StudyModel:
    reader = StudyReader(written.folder, written.folder.default_storage)
    model = StudyModel(reader.spec)
    model.apply(reader.read())
    return model


def test_the_forecast_is_shown_while_the_study_runs_and_counted_down() -> None:
    model = StudyModel(study(energy={"price_per_kwh": 0.3, "currency": "EUR"}))
    energy_wh = ForecastAmount(expected=1200.0, low=900.0, high=1800.0)
    left_s = ForecastAmount(expected=10_800.0, low=7200.0, high=14_400.0)
    now = datetime(2026, 3, 4, 11, 0, 0)
    made = ForecastMade(
        utc_s=now.timestamp() - 3600, settled=2, ended=2, left=9, used_wh=5.0, energy_wh=energy_wh, left_s=left_s
    )
    model.apply(Batch(study_log=(made,)))
    assert forecast_text(model, now) is None, "nothing runs"
    model.apply(Batch(holder={"pid": 1, "host": "a", "utc_s": 0.0}))
    shown = forecast_text(model, now)
    assert shown is not None
    assert shown.plain == "forecast 1.2 kWh (0.9 to 1.8), 2 h left (1 to 3), 0.36 EUR"
    assert "2.0 h left" in title_text(model, now, 120).plain
    assert not model.study_log
