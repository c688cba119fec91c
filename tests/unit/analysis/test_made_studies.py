"""The made studies are what they say, whatever the advice on them; scripts/analysis_check operating has the figures."""

import numpy as np
import pytest

from greenopt.analysis.results import Advice, ValueAdvice
from tests.made_studies import operating
from tests.made_studies.families import BATCH, FAMILIES, build
from tests.made_studies.operating import clear_savings, is_dominated, judge
from tests.made_studies.truth import LEVELS, PARAMETERS, Made, Truth, as_values, measured, no_effects


def made_of(truth: Truth, trials: int = 40, seed: int = 1) -> Made:
    """Make a study of random settings with a truth of its own."""
    return _with(build("null", seed, trials), truth, seed)


def _with(made: Made, truth: Truth, seed: int) -> Made:
    generator = np.random.default_rng(seed)
    settings = generator.integers(LEVELS, size=(len(made.rows), len(PARAMETERS)))
    return Made(made.spec, tuple(measured(truth, settings, generator)), truth, seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_trials_scatter_around_the_truth(family: str) -> None:
    made = build(family, 3, 40)
    setting = as_values(np.array([1, 0, 1, 1, 2, 1, 0, 1, 1, 1]))
    repeated = made.run([setting] * 2000, seed=1)
    complete = [row for row in repeated if row["state"] == "complete"]
    if not complete:
        assert made.true_accuracy(setting) == 0
        return
    assert np.mean([row["accuracy"] for row in complete]) == pytest.approx(made.true_accuracy(setting), abs=0.015)
    assert np.median([row["energy_wh"] for row in complete]) == pytest.approx(made.true_energy_wh(setting), rel=0.03)


def test_a_study_is_the_same_each_time_and_another_with_another_seed() -> None:
    assert build("additive", 1, 10).rows == build("additive", 1, 10).rows
    assert build("additive", 1, 10).rows != build("additive", 2, 10).rows


def test_effects_are_means_over_the_space() -> None:
    """Where a quarter of a value's settings diverges, its accuracy is a quarter less."""
    lr = PARAMETERS.index("lr")
    truth = Truth(base_accuracy=0.4, failing=(((BATCH, 3), (lr, 0)),))
    energy, accuracy = truth.effects
    assert accuracy[BATCH, 3] == pytest.approx(-0.1, abs=0.01)
    assert energy[BATCH].tolist() == [0, 0, 0, 0]


def test_diverged_trials_have_no_accuracy() -> None:
    lr = PARAMETERS.index("lr")
    made = made_of(Truth(failing=(((BATCH, 3), (lr, 0)),)), trials=200)
    ended = [row for row in made.rows if row["batch_size"] == 128 and row["lr"] == 0.01]
    assert ended
    assert all(row["state"] == "pruned" and row["accuracy"] is None for row in ended)
    assert sum(row["state"] == "pruned" for row in made.rows) == len(ended)


def test_a_value_that_costs_accuracy_is_no_clear_saving() -> None:
    energy, accuracy = no_effects(), no_effects()
    energy[BATCH, 1:] = -1.0
    accuracy[BATCH, 2:] = -0.05
    assert clear_savings(made_of(Truth(energy=energy, accuracy=accuracy))) == {"batch_size": {32}}
    accuracy[BATCH, 1] = -0.05
    assert clear_savings(made_of(Truth(energy=energy, accuracy=accuracy))) == {}


def test_domination_looks_at_the_truth() -> None:
    energy = no_effects()
    energy[BATCH] = [0, -0.1, -0.2, -0.3]
    made = made_of(Truth(energy=energy), trials=100)
    baseline = dict(made.spec.space.baseline)
    assert is_dominated(made, baseline)
    assert not is_dominated(made, {**baseline, "batch_size": 128})


@pytest.mark.parametrize("confidence", ["settled", "likely", "hint"])
@pytest.mark.parametrize(("value", "is_wrong"), [(32, True), (64, False), (128, True)])
def test_wrong_advice_is_counted(monkeypatch: pytest.MonkeyPatch, confidence: str, value: int, is_wrong: bool) -> None:
    """32 costs accuracy, 64 saves at no loss, and 128 does nothing."""
    energy, accuracy = no_effects(), no_effects()
    energy[BATCH] = [0, -1, -1, 0]
    accuracy[BATCH] = [0, -0.1, 0, 0]
    made = made_of(Truth(energy=energy, accuracy=accuracy))
    one = ValueAdvice("batch_size", value, 4, 0.5, 0.4, 0.6, 0.0, 0.0, 0.0, confidence, "")
    setting = {**made.spec.space.baseline, "batch_size": value}
    monkeypatch.setattr(operating, "advice_on", lambda *_: Advice((), (one,), setting, (), ""))
    judged = judge(made)
    counted = {"settled": judged.wrong_settled, "likely": judged.wrong_likely, "hint": judged.wrong_hint}
    assert counted.pop(confidence) is is_wrong
    assert not any(counted.values())
    # In the advised setting, what does nothing there is neither right nor wrong.
    assert judged.wrong_settled_there is (value == 32 and confidence == "settled")
    assert judged.is_missed is (is_wrong or confidence == "hint")
