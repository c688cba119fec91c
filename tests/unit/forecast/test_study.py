"""Forecasts of whole studies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from greenopt.energy.footprint import Footprint
from greenopt.forecast import Amount, EndedTrial, RunningTrial, StudyForecast, StudyForecaster, format_forecast
from greenopt.spec import Choice, SearchSpace
from tests.golden.paper_runs import FOLDER, TABLE
from tests.unit.forecast.orders import imported, judge, made

SPACE = SearchSpace(own=True, distributions={"batch_size": Choice(values=(8, 16, 32))})


def ended(batch_size: int, wh: float | None, share: float = 1.0, **rest: bool) -> EndedTrial:
    return EndedTrial({"batch_size": batch_size}, wh, None if wh is None else 10 * wh, share, **rest)


def taught(trials: Sequence[EndedTrial]) -> StudyForecaster:
    forecaster = StudyForecaster(SPACE)
    for trial in trials:
        forecaster.add(trial)
    return forecaster


EVEN = [ended(8, 4.0), ended(16, 2.0), ended(32, 1.0)] * 4


def test_the_papers_runs_are_forecast_from_ten_of_them(tmp_path: Path) -> None:
    paper = imported(FOLDER if FOLDER.is_dir() else TABLE, tmp_path)
    hits = judge(lambda order: paper, 10, 100, are_settings_known=True)
    assert hits.within >= 80
    assert hits.held >= 90


@pytest.mark.parametrize(("space", "stops"), [("batch", False), ("names", False), ("narrow", True)])
def test_made_studies_are_forecast_too(space: str, stops: bool) -> None:
    drawn = judge(lambda order: made(space, 60, order, stops=stops), 20, 30, are_settings_known=False)
    assert drawn.held >= 70
    assert drawn.error < (0.3 if stops else 0.15)


def test_nothing_is_known_before_two_trials_have_ended() -> None:
    for trials in ([], [ended(8, 4.0)]):
        forecast = taught(trials).forecast([], [], 10, 1)
        assert (forecast.energy_wh, forecast.left_s) == (None, None)
        assert format_forecast(forecast, Footprint()) == ""


def test_a_study_that_is_done_took_what_it_took() -> None:
    forecast = taught(EVEN).forecast([], [], 0, 2)
    assert forecast.energy_wh == Amount(28.0, 28.0, 28.0)
    assert forecast.left_s == Amount(0.0, 0.0, 0.0)


def test_known_settings_are_added_up() -> None:
    dear = taught(EVEN).forecast([], [{"batch_size": 8}] * 5, 5, 1)
    cheap = taught(EVEN).forecast([], [{"batch_size": 32}] * 5, 5, 1)
    assert dear.energy_wh is not None
    assert cheap.energy_wh is not None
    assert dear.energy_wh.expected == pytest.approx(28 + 20, rel=0.05)
    assert cheap.energy_wh.expected == pytest.approx(28 + 5, rel=0.05)
    assert dear.energy_wh.low < dear.energy_wh.expected < dear.energy_wh.high


def test_time_left_is_that_of_the_slot_which_ends_last() -> None:
    upcoming = [{"batch_size": 16}] * 6
    one, three = (taught(EVEN).forecast([], upcoming, 6, slots).left_s for slots in (1, 3))
    assert one is not None
    assert three is not None
    assert one.expected == pytest.approx(120, rel=0.05)
    assert three.expected == pytest.approx(40, rel=0.1)
    assert three.expected > one.expected / 3


def test_a_running_trial_counts_with_what_it_will_have_used() -> None:
    half = RunningTrial({"batch_size": 8}, 2.0, 20.0, 0.5)
    odd = RunningTrial({"batch_size": 8}, 20.0, 20.0, 0.5)
    begun = RunningTrial({"batch_size": 8}, None, 0.0, 0.0)
    amounts = [taught(EVEN).forecast([running], [], 0, 1).energy_wh for running in (half, odd, begun)]
    expected = [amount.expected - 28 for amount in amounts if amount is not None]
    assert expected == [pytest.approx(4, rel=0.1), pytest.approx(40, rel=0.1), pytest.approx(4, rel=0.1)]


def test_stopped_trials_say_how_much_of_their_training_others_will_get() -> None:
    stopped = taught([ended(8, 0.4, 0.1), ended(16, 0.2, 0.1), ended(32, 0.1, 0.1)] * 8)
    amount = stopped.forecast([], [{"batch_size": 8}] * 20, 20, 1).energy_wh
    assert amount is not None
    assert 20 * 0.4 < amount.expected - stopped.used_wh < 20 * 0.4 * 2.5
    assert amount.high - stopped.used_wh < 0.6 * 20 * 4


def test_failed_and_repeated_trials_are_spent_and_those_without_energy_tell_nothing() -> None:
    forecaster = taught([*EVEN, ended(8, 1.5, 0.3, is_settled=False), ended(8, None, 0.0)])
    assert forecaster.used_wh == pytest.approx(29.5)
    assert forecaster.ended == len(EVEN) + 1


def test_an_adaptive_sampler_is_taken_to_go_on_like_its_latest_trials() -> None:
    trials = [*EVEN, *[ended(32, 1.0)] * 20]
    adaptive, drawn = StudyForecaster(SPACE, adapts=True), StudyForecaster(SPACE)
    for trial in trials:
        adaptive.add(trial)
        drawn.add(trial)
    a, b = (one.forecast([], [], 40, 1).energy_wh for one in (adaptive, drawn))
    assert a is not None
    assert b is not None
    assert a.expected < b.expected


def test_thousands_of_trials_are_forecast_by_a_part_of_them() -> None:
    amount = taught(EVEN).forecast([], [], 10_000, 4).energy_wh
    assert amount is not None
    assert amount.expected == pytest.approx(28 + 10_000 * 7 / 3, rel=0.15)


def test_a_forecast_in_words() -> None:
    hours = Amount(3.4 * 3600, 2.9 * 3600, 4.2 * 3600)
    forecast = StudyForecast(Amount(1234.0, 900.0, 1800.0), hours, 10, 41)
    footprint = Footprint(381.0, "DE", 0.3, "EUR")
    text = "1.2 kWh (0.9 to 1.8), 3.4 h left (2.9 to 4.2), 470 g CO2e, 0.37 EUR"
    assert format_forecast(forecast, footprint) == text
    small = StudyForecast(Amount(0.9, 0.5, 2.0), Amount(100.0, 50.0, 300.0), 3, 1, is_estimate=True)
    assert format_forecast(small, Footprint()) == "~0.9 Wh (0.5 to 2) est., 1.7 min left (0.83 to 5)"
    assert np.isfinite(small.left or 0)
