"""What early stops saved, and how often the rule was wrong."""

from typing import Any

import pytest

from greenopt.stopping import format_tally, tally_stops


def row(trial: int, state: str = "complete", **rest: Any) -> dict[str, Any]:
    return {"trial": trial, "state": state, "accuracy": 0.5, "energy_wh": 10.0, "energy_source": "nvml_power", **rest}


def stopped(trial: int, **rest: Any) -> dict[str, Any]:
    return row(trial, "pruned", **{"stop_reason": "dominated", "forecast_wh": 50.0, "energy_wh": 5.0, **rest})


def test_a_study_without_early_stops_has_no_tally() -> None:
    assert tally_stops([row(0), row(1, "pruned", stop_reason="diverged"), row(2, "fail")]) is None


def test_saved_energy_is_that_forecast_less_that_used() -> None:
    tally = tally_stops([row(0), stopped(1), stopped(2, stop_reason="not_started", energy_wh=None)])
    assert tally is not None
    assert (tally.stopped, tally.not_started, tally.saved_wh) == (1, 1, 95.0)
    assert format_tally(tally) == (
        "the stopping rule stopped 1 trial early and did not start 1, which by forecast would have taken 95 Wh more"
    )


def test_of_what_is_stuck_no_saving_is_claimed() -> None:
    tally = tally_stops([row(0), stopped(1, stop_reason="at_chance", forecast_wh=None)])
    assert tally is not None
    assert (tally.at_chance, tally.saved_wh) == (1, 0.0)
    assert format_tally(tally) == "1 trial stopped that was at chance"


def test_audited_trials_on_the_front_are_the_rules_errors() -> None:
    audited: dict[str, Any] = {"audited": "dominated by trial 0 at epoch 3", "forecast_wh": 12.0}
    rows = [row(0), row(1, accuracy=0.9, energy_wh=20.0, **audited), row(2, accuracy=0.4, **audited), row(3, **audited)]
    tally = tally_stops(rows)
    assert tally is not None
    assert (tally.audited, tally.wrong) == (3, 1)
    # Wilson's interval of 1 in 3, as R's prop.test(1, 3, correct = FALSE) gives it.
    assert (tally.wrong_low, tally.wrong_high) == pytest.approx((0.0615, 0.7923), abs=1e-4)
    told = "of 3 trials that it would have stopped and that ran on as an audit, 1 came to the front"
    assert format_tally(tally) == f"{told} (95 % interval 6% to 79%)"


def test_what_a_table_lacks_counts_as_lacking() -> None:
    nan = float("nan")
    rows = [row(0, audited=nan, forecast_wh=nan), stopped(1, forecast_wh=nan), row(2, audited=nan, accuracy=nan)]
    tally = tally_stops(rows)
    assert tally is not None
    assert (tally.stopped, tally.audited, tally.saved_wh) == (1, 0, 0.0)
