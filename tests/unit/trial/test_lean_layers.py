"""Layers that compute by fewer operations, against the layers as Keras has them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.lean_layers import fuse_batchnorm, multiply_pointwise
from tests.unit.trial.workbench import prepared, trial_spec

TOLERANCE = {"float32": 5e-6, "mixed_float16": 2e-3, "float16": 2e-3}


def relative(found: Any, wanted: Any) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def trained(layer: keras.layers.Layer, x: tf.Tensor, pull: tf.Tensor, jit: bool) -> list[Any]:
    """Output, gradients to the input and to each weight, and the weights that are not trained, after one step."""

    @tf.function(jit_compile=jit)
    def step(x: tf.Tensor) -> Sequence[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(tf.cast(x, layer.compute_dtype), training=True), tf.float32)
            loss = tf.reduce_sum(y * pull)
        return [y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])]

    return [value.numpy() for value in step(x)] + [weight.numpy() for weight in layer.non_trainable_weights]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("policy", list(TOLERANCE))
@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("shape", [(32, 8, 8, 16), (4, 1, 1, 16)])
def test_fused_batchnorm_gives_kerass_outputs_gradients_and_moving_statistics(
    shape: tuple[int, ...], scale: bool, center: bool, policy: str, jit: bool
) -> None:
    random = np.random.default_rng(3)
    x = tf.constant(random.normal(2, 3, shape), tf.float32)
    pull = tf.constant(random.normal(size=shape), tf.float32)
    layers = []
    for _ in range(2):
        layer = keras.layers.BatchNormalization(
            momentum=0.8, epsilon=1.001e-5, scale=scale, center=center, dtype=policy
        )
        layer.build(shape)
        for number, weight in enumerate(layer.trainable_weights):
            weight.assign(np.linspace(0.5, 1.5, shape[-1]) + number)
        layers.append(layer)
    assert fuse_batchnorm(layers[1:]) == 1
    wanted, found = (trained(layer, x, pull, jit) for layer in layers)
    assert len(wanted) == len(found) == 4 + scale + center
    # The gradient to the input is a small difference of large terms; it is judged by the pull that it comes from.
    assert np.abs(found[1] - wanted[1]).max() / np.abs(pull).max() < TOLERANCE[policy]
    for a, b in zip(found[:1] + found[2:], wanted[:1] + wanted[2:], strict=True):
        assert relative(a, b) < TOLERANCE[policy]


def test_batchnorm_is_kerass_own_where_it_does_not_train() -> None:
    layer, plain = keras.layers.BatchNormalization(), keras.layers.BatchNormalization()
    x = tf.random.stateless_normal((4, 3, 3, 2), (1, 2))
    for each in (layer, plain):
        each.build(x.shape)
        each.moving_mean.assign([0.5, -1.0])
    fuse_batchnorm([layer])
    assert np.array_equal(layer(x, training=False), plain(x, training=False))
    for each in (layer, plain):
        each.trainable = False
    assert np.array_equal(layer(x, training=True), plain(x, training=True))


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.BatchNormalization(axis=1),
        keras.layers.BatchNormalization(dtype="float64"),
        keras.layers.BatchNormalization(renorm=True),
        keras.layers.BatchNormalization(epsilon=1e-7),
        keras.layers.LayerNormalization(),
    ],
)
def test_what_the_fused_operation_cannot_express_stays_as_it_is(layer: keras.layers.Layer) -> None:
    layer.build((None, 4, 4, 4))
    assert fuse_batchnorm([layer]) == 0


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("strides", [1, 2, (2, 1)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_pointwise_convolution_is_a_product_of_matrices(strides: Any, use_bias: bool, jit: bool) -> None:
    random = np.random.default_rng(4)
    x = tf.constant(random.normal(size=(6, 7, 5, 3)), tf.float32)
    plain = keras.layers.Conv2D(8, 1, strides=strides, use_bias=use_bias, activation="relu")
    layer = keras.layers.Conv2D.from_config(plain.get_config())
    pull = tf.constant(random.normal(size=plain(x).shape), tf.float32)
    layer.build(x.shape)
    layer.set_weights(plain.get_weights())
    assert multiply_pointwise([layer]) == 1
    for found, wanted in zip(trained(layer, x, pull, jit), trained(plain, x, pull, jit), strict=True):
        assert relative(found, wanted) < 5e-6


def test_other_convolutions_stay_as_they_are() -> None:
    others = [
        keras.layers.Conv2D(4, 3),
        keras.layers.Conv2D(4, 1, groups=2),
        keras.layers.Conv2D(4, 1, data_format="channels_first"),
        keras.layers.DepthwiseConv2D(1),
    ]
    assert multiply_pointwise(others) == 0


def test_resnet50_is_lean_and_its_configuration_and_copies_are_kerass() -> None:
    model = prepared(trial_spec({"name": "synthetic", "images": 80, "classes": 2}, {"model": "ResNet50"}))[0]
    assert model.lean_layers.fused_batchnorm == 53
    assert multiply_pointwise(model.model.layers) == 36
    copy = keras.models.clone_model(model.model)
    assert {type(layer).__module__.split(".")[0] for layer in copy.layers} == {"keras"}
    assert not any("call" in vars(layer) or "convolution_op" in vars(layer) for layer in copy.layers)
    x = tf.random.stateless_uniform((2, 32, 32, 3), (1, 2))
    copy.set_weights(model.model.get_weights())
    assert relative(model.model(x, training=False).numpy(), copy(x, training=False).numpy()) < 1e-4
