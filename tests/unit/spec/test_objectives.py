"""Objectives of a study file: figures by name, with directions and ranges."""

from typing import Any

import pytest
from pydantic import ValidationError

from greenopt.spec import Bounds, Metric, StudySpec, describe
from tests.builders import study


def own(objectives: dict[str, Any]) -> StudySpec:
    table = {"name": "own", "trials": 2, "objective": "mine:train"}
    return StudySpec.model_validate({"study": table, "objectives": objectives, "space": {"depth": [1, 2]}})


def test_a_study_that_is_kept_is_read_as_it_was() -> None:
    kept = own({"mae": {"direction": "minimize", "range": [0, 10]}, "energy_wh": "minimize", "f1_macro": "maximize"})
    assert kept.ranges == {"mae": Bounds(0, 10)}
    assert StudySpec.model_validate(kept.model_dump(mode="json")) == kept
    assert [isinstance(name, Metric) for name in kept.objectives] == [False, True, True]
    before = study().model_dump(mode="json")
    del before["ranges"]
    assert StudySpec.model_validate(before) == study()


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"mae": {"direction": "minimize", "range": [10, 0]}}, "range = [10, 0]: the first number must be below"),
        ({"mae": {"direction": "minimize", "range": [0]}}, 'write mae = "minimize" or mae = { direction ='),
        ({"mae": {"direction": "minimize", "range": [0, float("nan")]}}, "range = [0, nan]"),
        ({"mae": {"range": [0, 1]}}, 'write mae = "minimize"'),
        ({"mae": "down"}, "objectives.mae: 'down': input should be 'maximize' or 'minimize'"),
        ({"accuracy": {"direction": "maximize", "range": [0, 1]}}, "objectives.accuracy: takes no range"),
        ({"test_accuracy": "maximize"}, "is reported and never optimised; choose accuracy"),
        ({"a b": "minimize"}, "a figure's name has 1 to 64 letters"),
    ],
    ids=str,
)
def test_a_wrong_objective_is_refused_with_what_would_be_right(objectives: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        own(objectives)
    assert message in describe(caught.value)


@pytest.mark.parametrize(("name", "hint"), [("f1", "did you mean f1_macro?"), ("mae", "known: accuracy, energy_wh")])
def test_a_figure_that_no_trial_of_greenopt_has_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        study(objectives={name: "maximize"})
    assert hint in describe(caught.value)
