"""Trials that a stopping rule stopped: bounds in regressions, counted in advice, no failures."""

from typing import Any

import numpy as np
import pytest

from greenopt.analysis.analyse import analyse
from greenopt.analysis.failures import failed_trials, failure_shares, stopped_trials, tried_in_vain
from greenopt.analysis.results import Coding, Response
from greenopt.analysis.trials import analysed_trials
from tests.known_effects import paper_study
from tests.made_studies.operating import advice_on
from tests.made_studies.truth import LEVELS, PARAMETERS, Made, Truth, measured, no_effects

BATCH, LR = PARAMETERS.index("batch_size"), PARAMETERS.index("lr")
TRIALS = 150


def stopping(seed: int) -> Made:
    """Make a study in which large batches save energy and cost accuracy, and the less accurate are stopped."""
    energy, accuracy = no_effects(), no_effects()
    energy[BATCH] = [0, -0.5, -0.8, -1.0]
    accuracy[BATCH] = [0, 0, 0, -0.05]
    generator = np.random.default_rng(seed)
    settings = generator.integers(LEVELS, size=(TRIALS, len(PARAMETERS)))
    settings[0] = 0
    truth = Truth(energy=energy, accuracy=accuracy)
    rows = [dict(row) for row in measured(truth, settings, generator)]
    below = np.quantile([row["accuracy"] for row in rows], 0.3)
    kept = tuple(stopped(row) if row["accuracy"] < below else row for row in rows)
    return Made(paper_study(TRIALS), kept, truth, seed)


def stopped(row: dict[str, Any]) -> dict[str, Any]:
    """The trial as it is when it was stopped after a tenth of its epochs."""
    early = {"state": "pruned", "stop_reason": "dominated", "epochs_done": 5}
    early |= {"forecast_wh": row["energy_wh"], "forecast_accuracy": row["accuracy"]}
    return row | early | {"energy_wh": row["energy_wh"] / 10, "accuracy": row["accuracy"] * 0.8, "efficiency": None}


@pytest.fixture(scope="module")
def made() -> Made:
    made = stopping(3)
    count = sum(row["state"] == "pruned" for row in made.rows)
    assert 20 < count < TRIALS / 2
    return made


def test_stopped_trials_are_no_failures(made: Made) -> None:
    trials = analysed_trials(made.spec, made.rows)
    assert stopped_trials(trials).sum() == sum(row["state"] == "pruned" for row in made.rows)
    assert not failed_trials(trials).any()
    assert failure_shares(trials, made.spec) == ()


def test_they_are_bounds_of_energy_and_forecasts_of_accuracy_and_left_out_elsewhere(made: Made) -> None:
    analysis = analyse(made.spec, made.rows)
    count = sum(row["state"] == "pruned" for row in made.rows)
    for response, method in (
        (Response.LOG_ENERGY_WH, f"censored (Tobit), with {count} trials that ended early as lower bounds"),
        (Response.ACCURACY, f"OLS with {count} trials that a rule stopped at their forecast"),
    ):
        others = analysis.regressions[response][Coding.EFFECTIVE].alternatives
        methods = [other.method for other in others]
        assert method in methods
        assert not any("at 0" in method for method in methods)
    (exclusion,) = [one for one in analysis.exclusions if one.reason == "stopped early: dominated"]
    assert len(exclusion.trials) == count
    assert any(note.startswith(f"the stopping rule stopped {count} trials early") for note in analysis.footnotes)
    assert any("that the stopping rule let run" in note for note in analysis.footnotes)


def test_with_forecasts_accuracy_is_nearer_to_the_truth_than_among_survivors(made: Made) -> None:
    regression = analyse(made.spec, made.rows).regressions[Response.ACCURACY][Coding.EFFECTIVE]
    name = next(row.name for row in regression.coefficients if (row.parameter, row.value) == ("batch_size", 128))
    survivors = next(row.coef for row in regression.coefficients if row.name == name)
    whole = next(one for one in regression.alternatives if "at their forecast" in one.method)
    assert abs(whole.coefficients[name][0] + 0.05) < abs(survivors + 0.05)


@pytest.mark.parametrize("seed", range(4))
def test_a_value_whose_bad_trials_were_stopped_is_not_settled(seed: int) -> None:
    advice = advice_on(stopping(seed))
    batch = next(one for one in advice.values if one.parameter == "batch_size")
    assert not (batch.value == 128 and batch.confidence == "settled")


def test_a_pair_that_no_trial_completed_with_is_not_advised(made: Made) -> None:
    rows = [
        stopped(dict(row)) if (row["batch_size"], row["lr"]) == (64, made.spec.space.baseline["lr"]) else dict(row)
        for row in made.rows
    ]
    part = {"batch_size": 64, "lr": made.spec.space.baseline["lr"]}
    assert part in tried_in_vain(analysed_trials(made.spec, rows), made.spec)
    advice = advice_on(Made(made.spec, tuple(rows), made.truth, 0))
    assert advice.setting is None or any(advice.setting[name] != value for name, value in part.items())
