from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.precision import dtype_policy
from greenopt.trial.model.quantization_aware import (
    InputRange,
    QuantizedConv2D,
    QuantizedDense,
    quantization_aware,
    quantized_layers,
    rounded,
)
from greenopt.trial.training.int8_conversion import Int8Model, calibration_ids, converted
from greenopt.trial.training.setup import float32_copy
from tests.unit.trial import nested, tiny
from tests.unit.trial.workbench import prepared, trial_spec

SHAPE = (16, 16, 3)


@pytest.mark.parametrize("build", [tiny.build, nested.build])
def test_every_conv2d_and_dense_is_quantized_and_nothing_else_changes(build: Any) -> None:
    keras.utils.set_random_seed(1)
    model = build(SHAPE, 4)
    copy = quantization_aware(model)
    wanted = [type(layer) for layer in model._flatten_layers()].count(keras.layers.Conv2D) + 1
    assert len(quantized_layers(copy)) == wanted
    kinds = {type(layer) for layer in copy._flatten_layers()}
    assert keras.layers.Conv2D not in kinds
    assert keras.layers.Dense not in kinds
    for before, after in zip(model.trainable_weights, copy.trainable_weights, strict=True):
        assert before.name == after.name
        np.testing.assert_array_equal(before.numpy(), after.numpy())


def test_resnet50_has_54_quantized_layers() -> None:
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
    assert len(quantized_layers(quantization_aware(model))) == 54


def test_weights_take_255_values_symmetric_around_zero() -> None:
    kernel = tf.random.stateless_normal((3, 3, 40, 2), seed=(1, 2)) * [1.0, 10.0]
    for channel, values in enumerate(np.moveaxis(rounded(kernel, axis=-1).numpy(), -1, 0)):
        step = np.abs(kernel.numpy()[..., channel]).max() / 127
        np.testing.assert_allclose(values / step, np.rint(values / step), atol=1e-3)
        assert np.abs(values - kernel.numpy()[..., channel]).max() <= step / 2 * 1.001
        assert np.abs(values).max() == pytest.approx(127 * step, rel=1e-5)
    whole = rounded(kernel).numpy()
    assert len(np.unique(whole)) <= 255
    assert not rounded(tf.zeros((3, 3))).numpy().any()


def test_gradients_pass_straight_through_the_rounding_of_weights() -> None:
    kernel = tf.Variable(tf.random.stateless_normal((5, 4), seed=(1, 2)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(rounded(kernel))
    np.testing.assert_array_equal(tape.gradient(total, kernel).numpy(), 1)


def test_input_limits_start_at_the_first_batch_then_follow_slowly_and_rest_outside_training() -> None:
    layer = InputRange()
    layer(tf.constant([[-1.0, 3.0]]), training=True)
    assert (float(layer.low), float(layer.high)) == (-1.0, 3.0)
    layer(tf.constant([[-2.0, 13.0]]), training=True)
    assert (float(layer.low), float(layer.high)) == (pytest.approx(-1.01), pytest.approx(3.1))
    layer(tf.constant([[-50.0, 50.0]]), training=False)
    assert float(layer.high) == pytest.approx(3.1)
    assert layer(tf.constant([[100.0]]), training=False).numpy().item() == pytest.approx(3.1, rel=0.01)
    assert len(np.unique(layer(tf.random.uniform((1, 5000), -1, 3), training=False))) <= 256


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "float64"])
def test_quantized_layers_keep_the_policy_and_their_limits_in_float32(policy: str) -> None:
    with dtype_policy(policy):
        copy = quantization_aware(tiny.build(SHAPE, 4))
    for layer in quantized_layers(copy):
        assert layer.dtype_policy.name == policy
        assert layer.input_range.low.dtype == "float32"
    assert np.isfinite(copy(np.ones((2, *SHAPE), np.float32), training=True).numpy()).all()


def test_the_softmax_of_a_mixed_policy_stays_in_float32() -> None:
    model = prepared(trial_spec(internal="pre_quantization", precision="global_policy_float16"))[0].model
    first, *_, last = quantized_layers(model)
    assert (first.compute_dtype, last.compute_dtype) == ("float16", "float32")
    assert model(np.zeros((1, *SHAPE), np.float32)).dtype == "float32"


def test_training_moves_weights_and_limits_and_rounding_shows_in_the_answers() -> None:
    prepared_trial, _, split = prepared(trial_spec(internal="pre_quantization"))
    before = [layer.kernel.numpy() for layer in quantized_layers(prepared_trial.model)]
    prepared_trial.trainer.train_epoch(1)
    for layer, kernel in zip(quantized_layers(prepared_trial.model), before, strict=True):
        assert not np.array_equal(layer.kernel.numpy(), kernel)
        assert float(layer.input_range.high) > float(layer.input_range.low)
    plain, _, _ = prepared(trial_spec())
    for layer, twin in zip(plain.model.layers, prepared_trial.model.layers, strict=True):
        if isinstance(twin, QuantizedConv2D | QuantizedDense):
            layer.set_weights([weight.numpy() for weight in twin.trainable_weights])
        else:
            layer.set_weights(twin.get_weights())
    images = prepared_trial.trainer.pipeline.prepared(split.validation)
    difference = np.abs(prepared_trial.model(images).numpy() - plain.model(images).numpy())
    assert 1e-6 < difference.max() < 0.1


def test_a_quantized_model_is_saved_and_loaded(tmp_path: Any) -> None:
    model = quantization_aware(tiny.build(SHAPE, 4))
    model(np.random.default_rng(0).random((4, *SHAPE), np.float32), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(1).random((4, *SHAPE), np.float32)
    np.testing.assert_allclose(model(x), loaded(x), rtol=1e-5)


def test_models_that_cannot_be_quantized_say_why() -> None:
    class Own(keras.Model):
        pass

    with pytest.raises(WrongSettingError, match="needs a functional or sequential model"):
        quantization_aware(Own())
    with pytest.raises(WrongSettingError, match="no Conv2D and no Dense layer"):
        quantization_aware(nested.without_layers_to_quantize(SHAPE, 4))


@pytest.mark.parametrize("precision", ["float32", "global_policy_float16"])
def test_conversion_to_int8_keeps_the_answers(precision: str) -> None:
    spec = trial_spec(optimizer="RMSProp", preprocessing="standardization", precision=precision, training={"epochs": 3})
    prepared_trial, _, split = prepared(spec)
    for epoch in (1, 2, 3):
        prepared_trial.trainer.train_epoch(epoch)
    copy = float32_copy(prepared_trial)
    assert {weight.dtype for weight in copy.weights} == {"float32"}
    calibration = prepared_trial.trainer.pipeline.prepared(calibration_ids(split.train, 50))
    model = Int8Model(converted(copy, calibration), batch_size=32)
    x = prepared_trial.trainer.pipeline.prepared(split.validation)[:50]
    answers = np.concatenate([model.predict(x[:32]), model.predict(x[32:])])
    assert answers.shape == (50, 4)
    assert (answers.argmax(axis=1) == copy(x).numpy().argmax(axis=1)).mean() > 0.9
    types = {detail["dtype"] for detail in model._interpreter.get_tensor_details()}
    assert np.int8 in types


def test_calibration_images_are_spread_over_the_training_part() -> None:
    ids = np.arange(1000, 2000)
    assert calibration_ids(ids, 100).tolist() == list(range(1000, 2000, 10))
    assert calibration_ids(ids, 5000).tolist() == ids.tolist()
    assert len(calibration_ids(ids, 600)) == 600
