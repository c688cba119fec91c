import inspect
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.spec import MODEL_NAMES, Precision
from greenopt.spec.training import ImageMeaning
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.applications import rescales_itself
from greenopt.trial.model.build import ModelShape, are_finite, batchnorm_layers, build_model, last_layer
from greenopt.trial.model.precision import dtype_policy, number_formats
from tests.unit.trial.workbench import TINY, prepared, trial_spec

HERE = "tests.unit.trial.nested"


def built(model: str, policy: str = "float32", shape: Any = (16, 16, 3), **training: Any) -> keras.Model:
    spec = trial_spec(training={"model": model, **training})
    return build_model(spec.training, policy, ModelShape(shape, 4)).model


def test_names_of_models_are_those_of_the_installed_keras() -> None:
    functions = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    assert set(MODEL_NAMES) == functions


def test_a_model_of_keras_starts_untrained_with_the_asked_shape() -> None:
    model = built("MobileNetV3Small", shape=(32, 32, 3))
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 4)
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in model._flatten_layers())
    assert rescales_itself("MobileNetV3Small")
    assert not rescales_itself("ResNet50")


def test_images_too_small_for_a_model_are_refused_with_its_reason() -> None:
    with pytest.raises(WrongSettingError, match=r"training\.model: VGG16 with images of 16x16: .*32x32"):
        built("VGG16")


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("nowhere.at_all:build", "No module named 'nowhere'"),
        (f"{HERE}:absent", "has no function absent"),
        (f"{HERE}:not_callable", "has no function not_callable"),
        (f"{HERE}:of_one_argument", r"is called as function\(input_shape, classes\)"),
        (f"{HERE}:no_model", "returned a str, not a keras.Model"),
        (f"{HERE}:too_few", r"returns shape \(3,\); expected \(4,\)"),
        (f"{HERE}:logits", "does not end in a softmax"),
        (f"{HERE}:two_outputs", "has 2 outputs; expected one, of class probabilities"),
    ],
)
def test_a_wrong_reference_says_what_is_wrong(reference: str, text: str) -> None:
    with pytest.raises(WrongSettingError, match=text):
        built(reference)


def test_two_sigmoids_are_no_softmax_though_they_add_up_to_1_where_nothing_comes_in() -> None:
    spec = trial_spec(training={"model": f"{HERE}:sigmoids"})
    with pytest.raises(WrongSettingError, match="does not end in a softmax"):
        build_model(spec.training, "float32", ModelShape((16, 16, 3), 2))


@pytest.mark.parametrize("model", [TINY, f"{HERE}:build"])
def test_batchnorm_momentum_reaches_every_layer_and_is_kerass_own_unless_given(model: str) -> None:
    momenta = {layer.momentum for layer in batchnorm_layers(built(model, batchnorm_momentum=0.7))}
    assert momenta == {0.7}
    assert {layer.momentum for layer in batchnorm_layers(built(model, batchnorm_momentum=None))} == {0.99}


def test_the_seed_decides_the_initial_weights() -> None:
    first, again, other = (prepared(trial_spec(seed=seed))[0].model.get_weights() for seed in (2, 2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("model", [TINY, f"{HERE}:build"])
def test_a_mixed_policy_computes_in_float16_keeps_float32_weights_and_a_float32_softmax(model: str) -> None:
    built_model = built(model, "mixed_float16")
    first = next(layer for layer in built_model._flatten_layers() if isinstance(layer, keras.layers.Conv2D))
    assert (first.compute_dtype, first.variable_dtype) == ("float16", "float32")
    assert last_layer(built_model).compute_dtype == "float32"
    assert built_model(np.zeros((1, 16, 16, 3), np.float32)).dtype == "float32"


@pytest.mark.parametrize("policy", ["float16", "float64"])
def test_a_pure_policy_computes_and_keeps_weights_in_its_type(policy: str) -> None:
    model = built(TINY, policy)
    assert {weight.dtype for weight in model.trainable_weights} == {policy}
    assert model(np.zeros((1, 16, 16, 3), np.float32)).dtype == policy


def test_precision_means_images_or_policy() -> None:
    assert number_formats(Precision.FLOAT16, ImageMeaning.IMAGES).policy == "float32"
    assert number_formats(Precision.FLOAT16, ImageMeaning.IMAGES).images == "float16"
    assert number_formats(Precision.FLOAT64, ImageMeaning.POLICY).policy == "float64"
    for meaning in ImageMeaning:
        mixed = number_formats(Precision.GLOBAL_POLICY_FLOAT16, meaning)
        assert (mixed.policy, mixed.images) == ("mixed_float16", "float32")


def test_a_policy_is_set_back_even_after_an_error() -> None:
    def fail() -> None:
        with dtype_policy("mixed_float16"):
            assert keras.config.dtype_policy().name == "mixed_float16"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (3e38, True), (np.nan, False), (-np.inf, False)])
@pytest.mark.parametrize("place", [0, 1])
def test_one_value_that_is_not_finite_is_found(place: int, value: float, finite: bool) -> None:
    """Squares of the largest values are not finite, though these are."""
    variables = [tf.Variable(tf.ones(5)), tf.Variable(tf.ones((2, 3), tf.float16)), tf.Variable(tf.ones(4))]
    changed = variables[2 * place]
    changed[-1].assign(value)

    assert are_finite(variables) is finite
