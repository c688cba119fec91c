"""The advised setting: predictions that hold, luck that is taken off, and the rule between model and measurement."""

from typing import Any

import numpy as np
import pytest

from greenopt.analysis.expectation import Expectation, expect
from greenopt.analysis.next_trials import NEXT_TRIALS, choose_next
from greenopt.analysis.questions import Lack, Question
from greenopt.analysis.recommend import SURE, beats_the_trial, recommend
from greenopt.analysis.recommend_text import format_prediction, format_recommendation
from greenopt.analysis.results import Predicted
from greenopt.analysis.trials import analysed_trials
from greenopt.reading import EnergySource
from tests.known_effects import ACCURACY, BASE_ACCURACY, BASE_LOG_WH, ENERGY, effect, known_rows, paper_study

SPEC = paper_study(80)
Rows = list[dict[str, Any]]


def expectation(rows: Rows) -> Expectation:
    found = expect(analysed_trials(SPEC, rows), SPEC)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def known() -> Expectation:
    return expectation(known_rows(SPEC, 80, 4))


def settings(count: int, seed: int) -> Rows:
    return [{name: row[name] for name in SPEC.space.distributions} for row in known_rows(SPEC, count, seed)]


def test_the_truth_of_new_settings_lies_in_their_intervals() -> None:
    fresh, inside = settings(300, 99), []
    for seed in range(4):
        known = expectation(known_rows(SPEC, 80, seed))
        log_wh, accuracy = known.draws(known.encoder.encode(fresh))
        for draws, base, effects in ((log_wh, BASE_LOG_WH, ENERGY), (accuracy, BASE_ACCURACY, ACCURACY)):
            truth = np.array([base + effect(setting, effects) for setting in fresh])
            low, high = np.quantile(draws, (0.025, 0.975), axis=0)
            inside.append(((low < truth) & (truth < high)).mean())
            assert np.std(draws.mean(axis=0) - truth) < 0.5 * np.std(truth)
    assert np.mean(inside) >= 0.88


def test_prediction_intervals_hold_a_further_training(known: Expectation) -> None:
    again = known_rows(SPEC, 200, 98)
    found = [known.predict({name: row[name] for name in SPEC.space.distributions}) for row in again]
    inside = [one.energy_low_wh < row["energy_wh"] < one.energy_high_wh for one, row in zip(found, again, strict=True)]
    assert np.mean(inside) > 0.9


def test_a_lucky_trial_is_expected_to_fall_back() -> None:
    rows = known_rows(SPEC, 80, 4)
    honest = expectation(rows).predict({name: rows[10][name] for name in SPEC.space.distributions})
    rows[10].update(accuracy=rows[10]["accuracy"] + 0.1, energy_wh=rows[10]["energy_wh"] * 0.6)
    lucky = expectation(rows).predict({name: rows[10][name] for name in SPEC.space.distributions})
    assert lucky.accuracy is not None
    assert honest.accuracy is not None
    assert honest.accuracy <= lucky.accuracy < rows[10]["accuracy"] - 0.03
    assert rows[10]["energy_wh"] * 1.15 < lucky.energy_wh <= honest.energy_wh


def test_the_models_setting_is_advised_where_it_is_surely_better() -> None:
    rows = [row for row in known_rows(SPEC, 200, 4) if row["batch_size"] != 128 or row["internal"] != "jit_compilation"]
    found = recommend(expectation(rows), {**SPEC.space.baseline, "optimizer": "SGD", "lr": 8e-4}, ())
    assert found is not None
    assert found.probability_better >= SURE
    assert (found.setting, found.trial) == (found.proposed, None)
    assert (found.setting["batch_size"], found.setting["internal"]) == (128, "jit_compilation")
    assert "which no trial has run" in format_recommendation(found)[0]


def test_a_trial_far_better_than_its_like_is_advised_before_the_model() -> None:
    rows = known_rows(SPEC, 80, 4)
    best = {**rows[0], "energy_wh": 2.0, "accuracy": 0.9}
    rows = [best, *rows[1:], {**best, "trial": 80}, {**best, "trial": 81}]
    found = recommend(expectation(rows), SPEC.space.baseline, ())
    assert found is not None
    assert found.trial == 0
    assert found.probability_better < SURE
    assert found.setting == {name: rows[0][name] for name in SPEC.space.distributions}
    assert format_recommendation(found)[0].startswith("Advised setting: that of trial 0")
    without = recommend(expectation(rows), SPEC.space.baseline, (), doubtful=(0, 80, 81))
    assert without is not None
    assert 0 not in (without.trial, *(one.trial for one in without.measured))


def test_too_few_trials_or_equal_ones_give_none() -> None:
    rows = known_rows(SPEC, 20, 1)
    assert expect(analysed_trials(SPEC, rows[:7]), SPEC) is None
    assert expect(analysed_trials(SPEC, [{**row, "energy_wh": 3.0} for row in rows]), SPEC) is None
    flat = expect(analysed_trials(SPEC, [{**row, "accuracy": 0.5} for row in rows]), SPEC)
    assert flat is not None
    found = recommend(flat, SPEC.space.baseline, ())
    assert found is not None
    assert found.predicted.accuracy == 0.5


def test_next_trials_tell_more_of_the_questions_than_random_ones(known: Expectation) -> None:
    questions = [Question("internal", "jit_compilation", "none"), Question("optimizer", "SGD", "RMSProp")]
    chosen = choose_next(known, questions)
    assert len(chosen) == NEXT_TRIALS
    for question in questions:
        values = [setting[question.parameter] for setting in chosen]
        assert {question.value, question.baseline} == set(values)

    def error(extra: Rows) -> float:
        both = np.vstack([known.trained, known.encoder.encode(extra)])
        return sum(_contrast_variance(known, both, one) for one in questions)

    assert error(chosen) < 0.9 * np.mean([error(settings(NEXT_TRIALS, seed)) for seed in range(3)])


@pytest.mark.parametrize(("pool", "different"), [(12, NEXT_TRIALS), (3, 3)])
def test_a_setting_comes_twice_only_where_there_are_no_others(
    known: Expectation, monkeypatch: pytest.MonkeyPatch, pool: int, different: int
) -> None:
    monkeypatch.setattr("greenopt.analysis.next_trials.POOL", pool)
    chosen = choose_next(known, [Question("internal", "jit_compilation", "none")])
    assert (len(chosen), len({str(setting) for setting in chosen})) == (NEXT_TRIALS, different)


def test_settings_that_ran_come_after_those_that_did_not(known: Expectation, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, fresh = settings(80, 4), settings(NEXT_TRIALS, 99)
    monkeypatch.setattr("greenopt.analysis.next_trials._drawn", lambda *_: [*ran, *fresh])
    chosen = choose_next(known, [Question("internal", "jit_compilation", "none")])
    assert {str(setting) for setting in chosen} == {str(setting) for setting in fresh}


def _contrast_variance(known: Expectation, encoded: Any, question: Question) -> float:
    """The variance of a difference of two means, each over the trials that have the value."""
    column = known.encoder.names.index(question.parameter)
    values = known.encoder.spec.space.distributions[question.parameter].values  # type: ignore[union-attr]
    counts = [(encoded[:, column] == values.index(value)).sum() for value in (question.value, question.baseline)]
    return float(sum(1 / count for count in counts))


def test_a_prediction_from_estimates_is_marked() -> None:
    expected = Predicted(21.6, 12.0, 39.1, 0.49, 0.02, 0.96)
    assert format_prediction(expected) == "21.6 Wh (12.0 to 39.1) and accuracy 0.490 (0.020 to 0.960)"
    assert format_prediction(expected, EnergySource.ESTIMATE).startswith("~21.6 Wh est. (12.0 to 39.1)")


def test_next_trials_stay_away_from_values_that_spread_much() -> None:
    rows = known_rows(SPEC, 80, 4)
    wild = SPEC.space.distributions["partitioning"].values[2]  # type: ignore[union-attr]
    generator = np.random.default_rng(1)
    for row in rows:
        if row["partitioning"] == wild:
            row["energy_wh"] *= float(np.exp(1.5 * generator.standard_normal()))
    chosen = choose_next(expectation(rows), [Question("internal", "jit_compilation", "none")])
    assert sum(setting["partitioning"] == wild for setting in chosen) <= 1


def test_a_question_lacks_what_is_not_sure() -> None:
    assert Lack.of(0.99, 0.98) is None
    nearly, hardly = Lack.of(0.97, 0.98), Lack.of(0.6, 0.98)
    assert nearly is not None
    assert hardly is not None
    assert 0.8 < nearly.near < 1
    assert hardly.near == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("sound", "better", "dominated", "theirs", "expected"),
    [
        pytest.param(0.97, 0.9, 0.02, 0.01, True, id="sound and surely of less energy"),
        pytest.param(0.97, 0.5, 0.02, 0.01, False, id="sound, but the trial is as good"),
        pytest.param(0.85, 0.9, 0.14, 0.03, False, id="of less energy, but more probably bettered than the trial"),
        pytest.param(0.85, 0.1, 0.14, 0.4, True, id="much less doubtful than the trial"),
        pytest.param(0.67, 0.1, 0.33, 0.36, False, id="about as doubtful as the trial: what ran is preferred"),
    ],
)
def test_the_model_beats_the_trial_only_where_it_is_clearly_better_or_safer(
    sound: float, better: float, dominated: float, theirs: float, expected: bool
) -> None:
    assert beats_the_trial(sound=sound, better=better, dominated=dominated, theirs=theirs) is expected
