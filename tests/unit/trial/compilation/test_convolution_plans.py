"""Convolutions are planned as their layers are built, each shape once; nothing else comes of it."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.compilation import convolution_plans
from greenopt.trial.compilation.convolution_plans import ConvolutionPlanner

GRADIENTS = ("Conv2DBackpropFilter", "Conv2DBackpropInput")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Shapes of input and kernel, padding and strides of each convolution that is computed, and how many gradients."""
    found: list[tuple[Any, ...]] = []
    plain = tf.raw_ops.Conv2D

    def conv2d(**given: Any) -> Any:
        found.append((tuple(given["input"].shape), tuple(given["filter"].shape), given["padding"], given["strides"]))
        return plain(**given)

    monkeypatch.setattr(tf.raw_ops, "Conv2D", conv2d)
    return found


def planned(build: Any, train: int = 4, evaluation: int = 8) -> None:
    planner = ConvolutionPlanner(train, evaluation, "float32", tf.nn.relu)
    try:
        with planner.watching():
            build()
    finally:
        planner.finish()


def small_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(5, 3),
            keras.layers.Conv2D(5, 3, padding="same"),
            keras.layers.Conv2D(5, 3, padding="same"),
            keras.layers.Conv2D(6, 1, strides=2),
        ]
    )


def test_each_shape_is_computed_once_for_training_and_once_for_evaluation(computed: list[tuple[Any, ...]]) -> None:
    planned(small_model)

    shapes = [
        ((8, 8, 3), (3, 3, 3, 5), "VALID", [1, 1, 1, 1]),
        ((6, 6, 5), (3, 3, 5, 5), "SAME", [1, 1, 1, 1]),
        ((6, 6, 5), (1, 1, 5, 6), "VALID", [1, 2, 2, 1]),
    ]
    assert computed == [((batch, *image), *rest) for batch in (4, 8) for image, *rest in shapes]


def test_batches_of_one_size_are_planned_once(computed: list[tuple[Any, ...]]) -> None:
    planned(small_model, 4, 4)

    assert [shape[0] for shape, *_ in computed] == [4, 4, 4]


def test_what_training_computes_is_what_was_planned(computed: list[tuple[Any, ...]]) -> None:
    planned(small_model, 4, 4)
    model = small_model()

    @tf.function
    def step(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True))
        return tape.gradient(loss, model.trainable_variables)

    graph = step.get_concrete_function(tf.TensorSpec((4, 8, 8, 3))).graph
    nodes = [node for node in graph.get_operations() if node.type == "Conv2D"]
    of_model = {
        (
            tuple(node.inputs[0].shape),
            tuple(node.inputs[1].shape),
            node.get_attr("padding").decode(),
            tuple(node.get_attr("strides")),
        )
        for node in nodes
    }
    assert of_model == {(*each[:3], tuple(each[3])) for each in computed}


def test_the_images_have_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[list[tuple[int, ...]]] = []
    plain = tf.GradientTape.gradient

    def gradient(*given: Any) -> Any:
        found = plain(*given)
        gradients.append([tuple(one.shape) for one in found])
        return found

    monkeypatch.setattr(tf.GradientTape, "gradient", gradient)

    planned(small_model)

    libraries, first, *others = gradients
    assert libraries == [(2, 8, 8, 64), (3, 3, 64, 64), (64,)]
    assert first == [(3, 3, 3, 5)]
    assert others == [[(3, 3, 5, 5), (4, 6, 6, 5)], [(1, 1, 5, 6), (4, 6, 6, 5)]]


def test_layers_that_are_built_elsewhere_are_left_alone(computed: list[tuple[Any, ...]]) -> None:
    planned(lambda: keras.layers.Conv2D(3, 1).build((None, None, None, 3)))
    planned(lambda: keras.layers.Conv2D(3, 1, data_format="channels_first").build((None, 3, 8, 8)))
    planned(lambda: keras.layers.Conv1D(3, 1).build((None, 8, 3)))
    small_model()

    assert computed == []


def test_models_and_random_numbers_are_as_without() -> None:
    keras.utils.set_random_seed(1)
    expected, drawn = small_model().get_weights(), tf.random.normal((3,)).numpy()
    keras.utils.set_random_seed(1)
    weights: list[Any] = []

    planned(lambda: weights.extend(small_model().get_weights()))

    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(tf.random.normal((3,)).numpy(), drawn)


def test_what_fails_is_left_to_the_first_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    one = convolution_plans.Convolution((8, 8, 3), (3, 3, 3, 5), (1, 1), (1, 1), "SAME", "float32")
    with monkeypatch.context() as patched:
        patched.setattr(tf.raw_ops, "Conv2D", fail)
        convolution_plans.train(one, 4, tf.nn.relu, True)
        convolution_plans.infer(one, 4)
    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", fail)
    convolution_plans.train_one_layer("float32")


def test_a_layer_may_be_built_after_the_planner_has_finished(computed: list[tuple[Any, ...]]) -> None:
    made: list[Any] = []

    planned(lambda: made.append(keras.layers.Conv2D(3, 1)))
    made[0].build((None, 8, 8, 3))

    assert computed == []


def test_a_model_that_cannot_be_built_leaves_keras_as_it_was() -> None:
    before = dict(vars(keras.layers.Conv2D))

    def fail() -> None:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        planned(fail)
    assert dict(vars(keras.layers.Conv2D)) == before


def test_libraries_are_loaded_for_the_type_that_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    types: list[Any] = []
    plain = tf.matmul

    def matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        types.append(a.dtype)
        return plain(a, b)

    monkeypatch.setattr(tf, "matmul", matmul)

    convolution_plans.train_one_layer("float16")

    assert types == [tf.float16]
