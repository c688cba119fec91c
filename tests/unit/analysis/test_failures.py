"""Failures count: in shares, in what is settled, and in what is advised."""

from typing import Any

import numpy as np
import pytest

from greenopt.analysis.analyse import analyse
from greenopt.analysis.document import build_document
from greenopt.analysis.failures import failed_trials, failure_shares
from greenopt.analysis.trials import analysed_trials
from tests.known_effects import paper_study
from tests.made_studies.operating import advice_on
from tests.made_studies.truth import LEVELS, PARAMETERS, Made, Truth, measured, no_effects

BATCH, LR = PARAMETERS.index("batch_size"), PARAMETERS.index("lr")


def diverging(seed: int, trials: int = 150) -> Made:
    """Make a study in which large batches save energy and diverge with the largest learning rate."""
    energy = no_effects()
    energy[BATCH] = [0, -0.5, -0.8, -1.0]
    energy[LR] = [0, 0.3, 0.3, 0.3]
    truth = Truth(energy=energy, failing=tuple(((BATCH, large), (LR, 0)) for large in (2, 3)))
    generator = np.random.default_rng(seed)
    settings = generator.integers(LEVELS, size=(trials, len(PARAMETERS)))
    settings[0] = 0
    return Made(paper_study(trials), tuple(measured(truth, settings, generator)), truth, seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_value_that_diverges_in_a_quarter_of_its_settings_is_not_settled(seed: int) -> None:
    advice = advice_on(diverging(seed))
    batch = next(one for one in advice.values if one.parameter == "batch_size")
    assert not (batch.value in (64, 128) and batch.confidence in ("settled", "likely"))
    assert advice.setting is not None
    assert not (advice.setting["batch_size"] in (64, 128) and advice.setting["lr"] == 0.01)


def test_shares_are_told_by_value_and_by_pair() -> None:
    made = diverging(1)
    analysis = analyse(made.spec, made.rows)
    worst = next(one for one in analysis.failures if one.second is not None)
    assert set(worst.items) <= {("batch_size", 64), ("batch_size", 128), ("lr", 0.01)}
    assert worst.failed == worst.trials
    assert 0 <= worst.low < worst.share <= worst.high <= 1
    by_value = {one.items: one for one in analysis.failures if one.second is None}
    assert by_value[("batch_size", 4),].failed == 0
    assert by_value[("lr", 0.01),].failed == sum(row["state"] == "pruned" for row in made.rows)
    assert build_document(analysis)["failures"][0]["share"] == analysis.failures[0].share


@pytest.mark.parametrize(
    ("reason", "counts"),
    [("out_of_memory", True), ("crash", True), (None, True), ("interrupted", False), ("duplicate", False)],
)
def test_only_failures_that_a_setting_can_cause_count(reason: str | None, counts: bool) -> None:
    made = diverging(2, 40)
    rows: list[dict[str, Any]] = [dict(row) for row in made.rows if row["state"] == "complete"]
    rows[3] |= {"state": "fail", "fail_reason": reason, "accuracy": None}
    trials = analysed_trials(made.spec, rows)
    assert failed_trials(trials).sum() == counts
    assert bool(failure_shares(trials, made.spec)) is counts


def test_a_baseline_whose_trials_have_all_failed_is_not_advised() -> None:
    made = diverging(3, 60)
    rows = [dict(row) for row in made.rows]
    for row in rows:
        if row["optimizer"] == "RMSProp" and row["internal"] == "none":
            row |= {"state": "fail", "fail_reason": "out_of_memory", "accuracy": None}
    advice = advice_on(Made(made.spec, tuple(rows), made.truth, made.seed))
    assert advice.setting is None or (advice.setting["optimizer"], advice.setting["internal"]) != ("RMSProp", "none")
    assert advice.setting is not None or any("No whole setting is advised" in text for text in advice.sentences)
