"""Figures that an objective function returns: all are kept, those that the study optimises must be there."""

from typing import Any

import numpy as np
import pytest

from greenopt.coordination.verdict import Verdict, judge, objective_values, trial_metrics
from greenopt.events import FailReason, Outcome, TrialEnded, decode, encode
from greenopt.spec import Bounds, StudySpec
from greenopt.summary import summarise
from tests.unit.trial import objectives
from tests.unit.trial.test_objective import run
from tests.unit.trial.workbench import Told

MAE = ("mae", "energy_wh")


def given(monkeypatch: pytest.MonkeyPatch, result: Any, *names: str, **rest: Any) -> Told:
    monkeypatch.setitem(objectives.GIVEN, "result", result)
    return run("gives", objectives=names or ("accuracy", "energy_wh"), **rest)


def test_everything_that_a_function_returns_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"accuracy": 0.5, "f1_macro": np.float32(0.25), "latency_ms": 3, "bleu": 31.5, "test_accuracy": 0.4}
    ended = given(monkeypatch, result).ended
    assert (ended.accuracy, ended.test_accuracy) == (0.5, 0.4)
    assert ended.figures == {"f1_macro": 0.25, "latency_ms": 3.0, "bleu": 31.5}
    metrics = trial_metrics(summarise([ended]), Verdict(Outcome.COMPLETED), None)
    assert (metrics["bleu"], metrics["latency_ms"], metrics["size_bytes"]) == (31.5, 3.0, None)


def test_a_regression_needs_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    for result in (2.5, {"mae": 2.5}):
        ended = given(monkeypatch, result, *MAE).ended
        assert (ended.outcome, ended.accuracy, ended.figures) == (Outcome.COMPLETED, None, {"mae": 2.5})


@pytest.mark.parametrize(
    ("result", "names", "message"),
    [
        ({"mae": 11}, MAE, "mae 11: is outside its range of 0 to 10 (objectives.mae)"),
        ({"mae": float("inf")}, MAE, "mae inf: is outside its range"),
        ({"rmse": 1}, MAE, "returned rmse; the study's objectives need mae too"),
        (1.0, ("mae", "rmse"), "returned no mapping; return one with mae, rmse"),
        ({"mae": None}, MAE, "returned None; expected mae, a number"),
        ({"mae": "low"}, MAE, "mae 'low': give one number"),
        ({"mae": 1, "energy_wh": 2}, MAE, "returned energy_wh, which is the name of a figure of greenopt's own"),
        ({"mae": 1, "message": 2}, MAE, "returned message, which is the name"),
        ({"mae": 1, "kind": 2}, MAE, "returned kind, which is a parameter of [space]"),
        ({"mae": 1, "a b": 2}, MAE, "returned 'a b': a figure's name has letters"),
        ({"mae": 1, 3: 2}, MAE, "returned 3: a figure's name"),
        ({"mae": 1, "f1_macro": 55}, MAE, "f1_macro 55: give a fraction 0..1, 0.55"),
    ],
    ids=str,
)
def test_what_is_no_figure_is_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, result: Any, names: tuple[str, ...], message: str
) -> None:
    told = given(monkeypatch, result, *names, ranges={"mae": Bounds(0, 10)})
    assert (told.ended.outcome, told.ended.reason) == (Outcome.FAILED, FailReason.WRONG_SETTING)
    assert message in told.ended.message
    assert (told.ended.figures, told.epochs) == ({}, [])


def test_an_objective_that_is_no_number_is_a_divergence_and_another_figure_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = given(monkeypatch, {"mae": float("nan")}, *MAE).ended
    assert (ended.outcome, ended.message.endswith("returned a mae of nan")) == (Outcome.DIVERGED, True)
    ended = given(monkeypatch, {"mae": 1.0, "r2": float("nan")}, *MAE).ended
    assert (ended.outcome, ended.figures) == (Outcome.COMPLETED, {"mae": 1.0})
    assert ended.missing == {"r2": "the function returned nan"}


def regression(**directions: Any) -> StudySpec:
    table = {"name": "own", "trials": 2, "objective": "mine:train"}
    return StudySpec.model_validate({"study": table, "objectives": directions, "space": {"depth": [1, 2]}})


def test_objectives_are_told_in_the_study_s_order_and_one_that_is_missing_fails_the_trial_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = regression(energy_wh="minimize", r2="maximize", mae={"direction": "minimize", "range": [0, 10]})
    assert [str(way) for way in study.objectives.values()] == ["minimize", "maximize", "minimize"]
    summary = summarise([given(monkeypatch, {"mae": 2, "r2": -1.5}, *study.objectives).ended])
    assert judge(summary, study, None, None).outcome is Outcome.COMPLETED
    assert objective_values(summary, study) == [1.0, -1.5, 2.0]
    lacking = summary.model_copy(
        update={"ended": summary.ended and summary.ended.model_copy(update={"figures": {}, "missing": {"r2": "no"}})}
    )
    verdict = judge(lacking, study, None, None)
    assert (verdict.reason, verdict.message) == (FailReason.NOT_MEASURED, "r2, mae not measured: no")


def test_events_of_before_figures_are_read_as_ever() -> None:
    line = b'{"kind":"trial_ended","t_s":1.0,"outcome":"completed","accuracy":0.5}'
    ended = decode(line)
    assert isinstance(ended, TrialEnded)
    assert (ended.figures, ended.missing, ended.inference_source) == ({}, {}, None)
    assert decode(encode(ended)) == ended
