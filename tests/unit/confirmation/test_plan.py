"""The study that confirms: one setting, the same split, seeds of its own."""

from typing import Any

import pytest

from greenopt.confirmation import confirming_study, pick_trial
from greenopt.errors import UsageError
from greenopt.spec import StudySpec
from tests.builders import study
from tests.unit.confirmation.tables import row, snapshot


def planned(epochs: int = 2, name: str | None = None, **tables: Any) -> StudySpec:
    spec = study(**tables)
    return confirming_study(
        spec, pick_trial(snapshot(row(3, 0.9, 1.0, lr=0.01), spec=spec), "accuracy"), epochs, 3, name
    )


def test_it_trains_one_setting_on_the_same_split_with_other_seeds_and_keeps_the_models() -> None:
    spec = planned()
    assert spec.name == "tried-confirm-3"
    assert spec.space.size == 1
    assert (spec.space.baseline["lr"], spec.space.baseline["batch_size"]) == (0.01, 4)
    assert spec.seeds.split == study().seeds.split
    assert spec.seeds.training != study().seeds.training
    assert (spec.study.trials, spec.study.on_duplicate) == (3, "replicate")
    assert spec.training.keep_model
    assert planned(study={"enqueue": [{"batch_size": 8}]}).study.enqueue == ()
    assert spec.study.confirms is not None
    assert (spec.study.confirms.study, spec.study.confirms.trial, spec.study.confirms.by) == ("tried", 3, "accuracy")
    assert {**dict(spec.training), "keep_model": False} == dict(study().training)


def test_all_its_trainings_go_to_their_end() -> None:
    stopping = planned(stopping={"kind": "pareto", "chance_epochs": 3}).stopping
    assert (stopping.kind, stopping.chance_epochs) == ("none", 0)


def test_more_epochs_get_more_time() -> None:
    assert planned(epochs=4, training={"time_limit_s": 60.0}).training.time_limit_s == 120.0
    assert planned(epochs=1, training={"time_limit_s": 60.0}).training.time_limit_s == 60.0


def test_a_value_from_a_range_and_a_function_of_ones_own_are_confirmed_too() -> None:
    ranged = planned(space={"lr": {"low": 1e-3, "high": 0.1, "log": True}})
    assert ranged.space.baseline["lr"] == 0.01
    own = StudySpec.model_validate(
        {
            "study": {"name": "own", "trials": 2, "objective": "mine:train"},
            "training": {"epochs": 5},
            "space": {"width": [1, 2]},
        }
    )
    picked = pick_trial(snapshot({**row(0, 0.9, 1.0), "width": 2}, spec=own), "0")
    spec = confirming_study(own, picked, 5, 3)
    assert spec.space.baseline == {"width": 2}
    assert not spec.training.keep_model


def test_a_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"confirming trial 3 of tried: study.name: 'a/b'"):
        planned(name="a/b")
