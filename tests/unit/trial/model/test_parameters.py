"""A function of the user's own gets the further parameters of a trial's setting by name."""

from typing import Any

import pytest

from greenopt.spec import TrialSpec
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.build import ModelShape, build_model
from tests.unit.trial.workbench import run, trial_spec

HERE = "tests.unit.trial.parametric"


def with_parameters(function: str = "build", training: dict[str, Any] | None = None, **parameters: Any) -> TrialSpec:
    spec = trial_spec(training={"model": f"{HERE}:{function}", **(training or {})}, batch_size=16)
    return spec.model_copy(update={"parameters": parameters})


def built(spec: TrialSpec) -> Any:
    return build_model(spec.training, "float32", ModelShape((16, 16, 3), 4, spec.parameters)).model


def test_parameters_reach_the_function_by_name_and_its_defaults_stay() -> None:
    assert built(with_parameters()).get_layer("first").filters == 4
    first = built(with_parameters(width=7, activation="tanh")).get_layer("first")
    assert (first.filters, first.activation.__name__) == (7, "tanh")
    assert built(with_parameters("build_of_anything", units=5)).get_layer("first").filters == 5


def test_a_parameter_that_the_function_does_not_take_is_told_with_the_call() -> None:
    with pytest.raises(WrongSettingError, match=r"called as function\(input_shape, classes, depth\): .*'depth'"):
        built(with_parameters(depth=3))


def test_a_trial_trains_the_model_of_its_parameters_and_converts_the_same_one() -> None:
    spec = with_parameters(training={"precision_applies_to": "policy"}, width=6)
    setting = spec.image_setting.model_copy(update={"internal": "post_quantization", "precision": "float16"})
    told = run(TrialSpec.model_validate({**spec.model_dump(), "setting": setting.model_dump()}))
    assert told.ended.outcome == "completed", told.ended.message
    assert told.facts["weights"] == 3 * 3 * 3 * 6 + 6 + 6 * 4 + 4
    assert told.ended.test_accuracy is not None
