"""A whole analysis: what is counted, excluded, ranked, advised; and the document that it makes."""

import json
import math
import tomllib
from typing import Any

import pytest

from greenopt.analysis.analyse import analyse
from greenopt.analysis.document import build_document
from greenopt.analysis.results import Analysis, Coding, Response
from greenopt.spec import StudySpec
from tests.known_effects import ENERGY, known_rows, paper_study

SPEC = paper_study(150)


@pytest.fixture(scope="module")
def known() -> Analysis:
    rows = known_rows(SPEC, 150, 5)
    rows[0]["batch_size"] = 1
    rows[1].update(state="pruned", stop_reason="diverged", accuracy=0.01, energy_wh=rows[1]["energy_wh"] / 10)
    rows[2].update(state="fail", fail_reason="out_of_memory", accuracy=None, energy_wh=None, wh_per_epoch=None)
    rows[3].update(state="fail", fail_reason="duplicate", accuracy=None, energy_wh=None, wh_per_epoch=None)
    rows[4].update(epochs_done=100)
    rows[5].update(energy_wh=None, efficiency=None, wh_per_epoch=None)
    rows.append({**rows[6], "trial": 150, "energy_wh": rows[6]["energy_wh"] * 1.1})
    rows.append({"trial": 151, "state": "running", **SPEC.space.baseline})
    return analyse(SPEC, rows)


def test_every_trial_is_counted_once(known: Analysis) -> None:
    counts = known.counts
    assert (counts.trials, counts.complete, counts.pruned, counts.failed) == (152, 148, 1, 1)
    assert (counts.unfinished, counts.duplicates_skipped, counts.outside_space) == (1, 1, 1)
    assert counts.replicated_settings == 1
    assert counts.trials == sum((148, counts.pruned, counts.failed, counts.unfinished, counts.duplicates_skipped))


def test_what_is_left_out_is_named_with_the_reason(known: Analysis) -> None:
    said = {exclusion.trials: (exclusion.reason, exclusion.left_out_of) for exclusion in known.exclusions}
    assert said[0,] == ("batch_size = 1 is outside the study's space", "regressions")
    assert said[1,] == ("stopped early: diverged", "everything but counts")
    assert said[2,] == ("failed: out_of_memory", "everything but counts")
    assert said[4,] == ("trained another number of epochs than 50", "energy_wh, log_energy_wh")
    assert said[5,] == ("not measured", "log_energy_wh, energy_wh, efficiency, wh_per_epoch")
    assert known.regressions[Response.ACCURACY][Coding.TREATMENT].n == 147
    assert known.regressions[Response.LOG_ENERGY_WH][Coding.TREATMENT].n == 145
    assert known.regressions[Response.WH_PER_EPOCH][Coding.TREATMENT].n == 146


def test_the_trial_that_stopped_early_is_a_lower_bound(known: Analysis) -> None:
    methods = [other.method for other in known.regressions[Response.LOG_ENERGY_WH][Coding.EFFECTIVE].alternatives]
    assert "censored (Tobit), with 1 trial that ended early as lower bounds" in methods
    accuracy = [other.method for other in known.regressions[Response.ACCURACY][Coding.EFFECTIVE].alternatives]
    assert accuracy == ["OLS with 1 trial that ended early at 0"]


def test_the_rankings_and_the_front_are_those_of_completed_trials(known: Analysis) -> None:
    complete = known.trials[known.trials["state"] == "complete"]
    assert [row.value for row in known.ranking["accuracy"]] == sorted(complete["accuracy"], reverse=True)[:5]
    assert [row.value for row in known.ranking["energy"]] == sorted(complete["energy_wh"].dropna())[:5]
    best = known.ranking["efficiency"][0]
    assert best.value == pytest.approx(best.accuracy / best.wh_per_epoch)  # type: ignore[operator]
    for point in known.pareto:
        better = (complete["accuracy"] >= point.accuracy) & (complete["energy_wh"] <= point.energy_wh)
        assert better.sum() == 1
    assert known.trials["on_front"].sum() == len(known.pareto)
    after = list(known.hypervolume.after.values())
    assert after == sorted(after)
    assert after[-1] == pytest.approx(known.hypervolume.value)


def test_known_effects_are_found_and_nothing_else_is_settled(known: Analysis) -> None:
    advised = {advice.parameter: advice for advice in known.advice.values}
    assert advised["batch_size"].value == 128
    assert advised["batch_size"].confidence == "settled"
    truth = math.exp(ENERGY["batch_size", 128])
    assert advised["batch_size"].energy_low < truth < advised["batch_size"].energy_high
    settled = {name for name, advice in advised.items() if advice.confidence == "settled"}
    assert settled <= {name for name, _ in ENERGY} | {"lr"}
    assert advised["augmentation"].value != "mixup"


def test_the_next_settings_are_a_study_files_tables(known: Analysis) -> None:
    advice = known.advice
    assert 0 < len(advice.next_settings) <= 10
    tables = tomllib.loads(advice.toml)["study"]["enqueue"]
    assert tables == [dict(setting) for setting in advice.next_settings]
    raw = SPEC.model_dump(mode="json")
    raw["study"]["enqueue"] = tables
    assert StudySpec.model_validate(raw).enqueued == tuple(tables)


def test_the_document_has_the_promised_keys_and_no_number_that_is_none(known: Analysis) -> None:
    text = json.dumps(build_document(known), allow_nan=False)
    document: dict[str, Any] = json.loads(text)
    assert set(document["regression"]) == set(Response)
    for codings in document["regression"].values():
        assert set(codings) == {"paper", "treatment", "effective"}
        for fitted in codings.values():
            assert {"r_squared", "adj_r_squared", "f_value", "f_pvalue", "n", "df_model"} <= set(fitted)
            assert {"name", "coef", "std_err", "t", "p", "low", "high"} <= set(fitted["coefficients"][0])
    assert set(document["ranking"]) == {"accuracy", "energy", "efficiency"}
    assert {"trial", "value", "params"} <= set(document["ranking"]["energy"][0])
    assert document["ranking"]["energy"][0]["params"]["batch_size"] == 128
    assert 0 < document["hypervolume"] < 1
    assert set(document["descriptive"]["wh_per_epoch"]) == {"min", "median", "mean", "max", "std", "n"}
    assert [row["trial"] for row in document["pareto"]] == [row.trial for row in known.pareto]


@pytest.mark.parametrize("trials", [0, 1, 2, 12])
def test_few_trials_are_analysed_as_far_as_they_go(trials: int) -> None:
    found = analyse(SPEC, known_rows(SPEC, trials, 1))
    assert found.counts.complete == trials
    assert not found.regressions
    assert set(found.refused) == {(response, coding) for response in Response for coding in Coding}
    (sentence,) = found.advice.sentences
    text = {
        0: "no trial has been completed",
        1: "no parameter has two values in 1 completed trial",
        2: "2 trials for 2 coefficients leave nothing to judge them by",
        12: "12 trials for 12 coefficients leave nothing to judge them by",
    }
    assert sentence.startswith(f"No advice: {text[trials]}")
    assert trials == 0 or "`greenopt run studies/known.toml` goes on with it." in sentence
    json.dumps(build_document(found), allow_nan=False)


def test_a_study_of_failures_alone_is_analysed() -> None:
    rows = [{**row, "state": "fail", "fail_reason": "crash"} for row in known_rows(SPEC, 5, 1)]
    for row in rows:
        row.update(accuracy=None, energy_wh=None, efficiency=None, wh_per_epoch=None)
    found = analyse(SPEC, rows)
    assert found.counts.failed == 5
    assert found.pareto == ()
    assert found.hypervolume.value is None
    json.dumps(build_document(found), allow_nan=False)


def test_no_effect_gives_no_advice_to_follow() -> None:
    found = analyse(SPEC, known_rows(SPEC, 150, 8, {}, {}))
    assert [advice for advice in found.advice.values if advice.confidence == "settled"] == []
    assert (
        found.advice.sentences[0].startswith("No value is shown to save energy")
        or "likely" in found.advice.sentences[0]
    )


def test_accuracy_is_not_sold_for_energy() -> None:
    found = analyse(SPEC, known_rows(SPEC, 300, 2, {("batch_size", 128): -1.0}, {("batch_size", 128): -0.2}))
    assert {advice.parameter: advice.value for advice in found.advice.values}["batch_size"] != 128


def test_more_accuracy_for_more_energy_is_left_to_the_reader() -> None:
    found = analyse(SPEC, known_rows(SPEC, 300, 2, {("batch_size", 128): 1.0}, {("batch_size", 128): 0.2}))
    (advice,) = [one for one in found.advice.values if one.parameter == "batch_size"]
    assert (advice.value, advice.confidence) == (128, "trade_off")
    assert "a trade-off between accuracy and energy" in advice.text
    assert found.advice.setting is not None
    assert found.advice.setting["batch_size"] != 128, "more energy for more accuracy is nothing to advise"


def test_a_range_is_advised_by_its_ends() -> None:
    spec = StudySpec.model_validate(
        {
            "study": {"name": "ranged", "trials": 60, "objective": "elsewhere:trained"},
            "training": {"epochs": 1},
            "space": {"width": {"low": 10, "high": 110}, "kind": ["a", "b"]},
        }
    )
    rows = [
        {
            "trial": number,
            "state": "complete",
            "width": (width := 10 + (37 * number) % 101),
            "kind": "ab"[number % 2],
            "accuracy": 0.5 + 0.001 * (number % 7),
            "energy_wh": math.exp(-0.01 * width + 0.01 * (number % 5)),
            "epochs_done": 1,
        }
        for number in range(60)
    ]
    (advice,) = [one for one in analyse(spec, rows).advice.values if one.parameter == "width"]
    assert (advice.value, advice.baseline, advice.confidence) == (110, 10, "settled")
    assert advice.energy_ratio == pytest.approx(math.exp(-1.0), rel=0.02)
