"""Convolutions as matrix products, against the layers as Keras has them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.model import matmul_convolution as matrix_convolution
from greenopt.trial.model.build import all_layers
from greenopt.trial.model.matmul_convolution import replace_convolutions_with_matmul
from tests.unit.trial.workbench import outputs_and_gradients, prepared, relative, trial_spec

TOLERANCE = {"float32": 1e-5, "mixed_float16": 5e-3}


@pytest.mark.parametrize("policy", list(TOLERANCE))
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        ((8, 8), (3, 3), 1),
        ((8, 7), (3, 3), 2),
        ((9, 9), (7, 7), 2),
        ((5, 6), (1, 1), 1),
        ((5, 6), (1, 1), 2),
        ((7, 7), (2, 4), 1),
        ((5, 7), (3, 2), 3),
    ],
)
def test_a_product_gives_kerass_outputs_and_gradients(
    size: tuple[int, int], kernel: tuple[int, int], stride: int, padding: str, policy: str
) -> None:
    check((3, *size, 5), kernel, stride, padding, policy)


@pytest.mark.parametrize(("size", "stride"), [((1, 1), 1), ((2, 1), 1), ((2, 2), 2)])
def test_what_of_a_kernel_lies_on_padding_alone_has_a_gradient_of_zero(size: tuple[int, int], stride: int) -> None:
    check((3, *size, 5), (3, 3), stride, "same", "float32")
    check((3, *size, 5), (7, 7), stride, "same", "float32")


@pytest.mark.parametrize("policy", list(TOLERANCE))
@pytest.mark.parametrize(("size", "kernel"), [((2, 2), (3, 3)), ((2, 3), (7, 7)), ((3, 3), (5, 7)), ((1, 2), (3, 3))])
def test_images_smaller_than_a_kernel_are_multiplied_whole(
    size: tuple[int, int], kernel: tuple[int, int], policy: str
) -> None:
    check((3, *size, 5), kernel, 1, "same", policy)
    assert "Pad" not in operations((3, *size, 5), kernel)
    assert "Pad" in operations((1, *size, 5), kernel, filters=64), (
        "a kernel for each place would be larger than patches"
    )
    assert "Pad" in operations((3, 8, 8, 5), kernel)


@pytest.mark.parametrize("policy", list(TOLERANCE))
def test_a_gradient_over_very_many_rows_is_summed_in_parts(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "BatchMatMulV2" not in operations((4, 4, 4, 5), (3, 3))
    monkeypatch.setattr(matrix_convolution, "_MANY_ROWS", 64)
    monkeypatch.setattr(matrix_convolution, "_PART_ROWS", 16)
    assert "BatchMatMulV2" in operations((4, 4, 4, 5), (3, 3))
    assert "BatchMatMulV2" not in operations((3, 4, 4, 5), (3, 3)), "48 rows are not so many"
    assert "BatchMatMulV2" not in operations((9, 3, 3, 5), (3, 3)), "81 rows are no whole parts"
    check((4, 4, 4, 5), (3, 3), 1, "same", policy)


def operations(shape: tuple[int, ...], kernel: tuple[int, int], filters: int = 4) -> set[str]:
    """Of a layer's step and gradient."""
    layer = keras.layers.Conv2D(filters, kernel, padding="same")
    layer.build(shape)
    replace_convolutions_with_matmul([layer])

    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(y, layer.kernel.value)

    return {operation.type for operation in step.get_concrete_function(tf.TensorSpec(shape)).graph.get_operations()}


def check(shape: tuple[int, ...], kernel: tuple[int, int], stride: int, padding: str, policy: str) -> None:
    random = np.random.default_rng(3)
    x = tf.constant(random.normal(size=shape), tf.float32)
    layers = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        layer = keras.layers.Conv2D(4, kernel, stride, padding, bias_initializer="normal", dtype=policy)
        layer.build(shape)
        layers.append(layer)
    assert replace_convolutions_with_matmul(layers[1:]) == 1
    grad_output = tf.constant(random.normal(size=layers[0].compute_output_shape(shape)), tf.float32)
    wanted, found = (outputs_and_gradients(layer, x, grad_output, jit=True) for layer in layers)
    assert len(wanted) == len(found) == 4
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert relative(a, b) < TOLERANCE[policy]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(4, 3, groups=2),
        keras.layers.Conv2D(4, 3, dilation_rate=2),
        keras.layers.Conv2D(4, 3, data_format="channels_first"),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.SeparableConv2D(4, 3),
        keras.layers.Conv2DTranspose(4, 3),
    ],
)
def test_one_convolution_that_is_no_product_leaves_all_of_them_to_keras(layer: keras.layers.Layer) -> None:
    plain = keras.layers.Conv2D(4, 3)
    for each in (layer, plain):
        each.build((None, 8, 8, 4))
    assert replace_convolutions_with_matmul([plain, layer]) == 0
    assert "call" not in vars(plain)
    assert replace_convolutions_with_matmul([plain, keras.layers.Dense(2)]) == 1


@pytest.mark.parametrize(("shape", "count"), [((32, 32, 3), 53), ((64, 64, 3), 0)])
def test_resnet50_multiplies_for_images_of_32x32_and_not_for_larger_ones(
    shape: tuple[int, int, int], count: int
) -> None:
    model = keras.applications.ResNet50(weights=None, input_shape=shape, classes=2)
    assert replace_convolutions_with_matmul(all_layers(model)) == count
    copy = keras.models.clone_model(model)
    assert not any("call" in vars(layer) for layer in copy.layers)


def test_images_of_unknown_size_are_left_to_keras() -> None:
    layer = keras.layers.Conv2D(4, 1)
    layer.build((None, None, None, 3))
    assert replace_convolutions_with_matmul([layer]) == 0


def test_resnet50_trains_by_products_as_it_does_by_convolutions() -> None:
    spec = trial_spec({"name": "synthetic", "images": 80, "classes": 2}, {"model": "ResNet50"})
    model = prepared(spec)[0].model
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    assert replace_convolutions_with_matmul(all_layers(model)) == 53
    x, y = tf.random.stateless_uniform((8, 32, 32, 3), (1, 2)), tf.one_hot([0, 1] * 4, 2)
    gradients = []
    for each in (model, copy):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(y, each(x, training=False)))
        gradients.append(tape.gradient(loss, [weight.value for weight in each.trainable_weights]))
    for a, b in zip(*gradients, strict=True):
        assert relative(a.numpy(), b.numpy()) < 1e-3
