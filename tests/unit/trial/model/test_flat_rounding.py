"""Kernels that are rounded together, against each rounded by itself."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.model.flat_rounding import FlatRounding, fills_rows, together
from greenopt.trial.model.flat_variables import FlatVariables
from greenopt.trial.model.positive_inputs import is_positive
from greenopt.trial.model.quantization_aware import Grid, QuantizedConv2D, QuantizedDense, rounded, rounded_to
from tests.unit.trial.workbench import outputs_and_gradients


def _built(layer: Any, *shape: int) -> Any:
    layer.build((None, *shape))
    return layer


@pytest.mark.parametrize("half", [False, True])
def test_kernels_rounded_together_are_as_if_rounded_one_by_one(half: bool) -> None:
    keras.utils.set_random_seed(3)
    layers = [
        *(_built(QuantizedConv2D(128, 3), 8, 8, 64) for _ in range(3)),
        _built(QuantizedConv2D(64, 1), 8, 8, 64),
        *(_built(QuantizedDense(10), 128) for _ in range(2)),
        _built(QuantizedConv2D(32, 1), 8, 8, 64),
        _built(QuantizedConv2D(64, 1), 8, 8, 64),
    ]
    between = keras.Variable(np.random.default_rng(1).normal(size=(3, 3, 64, 1)).astype(np.float32))
    kernels = {id(layer.kernel) for layer in layers if fills_rows(layer)}
    assert len(kernels) == 7
    variables = together([*(weight for layer in layers for weight in layer.weights), between], kernels)
    # As in a mixed policy whose last layers compute in float32.
    cast = [id(one) for one in variables if half and len(one.shape) == 4]
    variables.sort(key=lambda one: id(one) not in cast)
    weights = FlatVariables(variables, (), "flat")
    weights.load()
    rounding = FlatRounding(layers, weights, cast)
    assert {id(layer.kernel) for layer in rounding.layers} == kernels
    rounding.begin()
    parts, _ = weights.parts(rounding(weights.flat.read_value()))
    axes = {id(layer.kernel): layer.kernel_axis for layer in rounding.layers}
    for one, part in zip(weights.used, parts, strict=True):
        value = tf.cast(tf.cast(one.value, tf.float16), tf.float32) if id(one) in cast else one.value
        wanted = rounded(value, axes[id(one)]) if id(one) in axes else value
        np.testing.assert_array_equal(part.numpy(), wanted.numpy(), err_msg=str(one.shape))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("low", [0.0, -1.5])
def test_values_take_the_grids_values_and_gradients_pass_between_its_ends(dtype: str, low: float) -> None:
    grid, at = Grid.from_limits(tf.constant(low), tf.constant(3.0)), np.linspace(min(low * 2, 0.0), 6.0, 997)

    class Rounding(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return rounded_to(x, grid, is_positive=low == 0)

    x, pull = tf.constant(at, dtype), tf.constant(np.arange(1, 998), tf.float32) / 997
    found, gradient = outputs_and_gradients(Rounding(dtype=dtype), tf.cast(x, tf.float32), pull, jit=False)
    step = (3 - low) / 255
    zero = round(-low / step)
    places = np.asarray(x, np.float64) / step
    wanted = np.clip(np.floor(places + 0.5), -zero, 255 - zero) * step
    # A value halfway between two of the grid's may go to either.
    near = np.abs(places % 1 - 0.5) < 2e-3
    assert near.mean() < 0.02
    np.testing.assert_allclose(found[~near], wanted[~near], atol=2e-6 if dtype == "float32" else 2e-3)
    assert 0.0 in found
    inside = (places >= -zero) & (places <= 255 - zero)
    edge = np.minimum(np.abs(places + zero), np.abs(places - 255 + zero)) < 2e-2
    kept = inside * pull.numpy()
    np.testing.assert_allclose(gradient[~edge], kept[~edge], atol=1e-6 if dtype == "float32" else 1e-3)


def test_inputs_that_cannot_be_negative_are_told_by_what_computes_them() -> None:
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 1)
    rectified = layers.Activation("relu")(first(inputs))
    joined = layers.Concatenate()([rectified, layers.ReLU(max_value=6)(first(inputs))])
    after = layers.Conv2D(4, 1, activation="relu")
    x = after(layers.MaxPooling2D()(joined))
    third, mixed = layers.Conv2D(4, 1), layers.Conv2D(4, 1)
    y = layers.Add()([third(layers.ZeroPadding2D()(x)), layers.ZeroPadding2D()(x)])
    mixed(y)
    leaky = layers.Conv2D(4, 1)
    leaky(layers.ReLU(negative_slope=0.1)(inputs))
    twice = layers.Conv2D(4, 1)
    twice(x)
    twice(y)
    found = [is_positive(layer) for layer in (first, after, third, mixed, leaky, twice, layers.Conv2D(2, 1))]
    assert found == [False, True, True, False, False, False, False]
