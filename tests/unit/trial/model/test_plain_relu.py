"""ReLU by plain operations, against the layers as Keras has them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.model.build import all_layers
from greenopt.trial.model.plain_relu import replace_relu
from tests.unit.trial.workbench import outputs_and_gradients, prepared, trial_spec


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "float64"])
@pytest.mark.parametrize("kind", ["Activation", "ReLU"])
@pytest.mark.parametrize("jit", [False, True])
def test_it_gives_kerass_outputs_and_gradients_at_and_beside_zero_and_where_there_is_no_number(
    kind: str, policy: str, jit: bool
) -> None:
    x = tf.constant([[-np.inf, -2.0, -0.0, 0.0, 1e-7, 3.0, np.inf, np.nan]])
    grad_output = tf.constant([[1.0, 2, 3, 4, 5, 6, 7, 8]])
    layers = []
    for _ in range(2):
        layer = keras.layers.ReLU(dtype=policy) if kind == "ReLU" else keras.layers.Activation("relu", dtype=policy)
        layer.build(x.shape)
        layers.append(layer)
    assert replace_relu(layers[1:]) == 1
    wanted, found = (outputs_and_gradients(layer, x, grad_output, jit) for layer in layers)
    for a, b in zip(found, wanted, strict=True):
        assert np.array_equal(a[:, :-1], b[:, :-1])
    # Keras's has a NaN stay one under XLA, and not everywhere else.
    assert np.isnan(found[0][0, -1])
    assert np.isnan(wanted[0][0, -1]) or not jit


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Activation("relu6"),
        keras.layers.Activation("gelu"),
        keras.layers.ReLU(max_value=6.0),
        keras.layers.ReLU(negative_slope=0.1),
        keras.layers.ReLU(threshold=1.0),
        keras.layers.LeakyReLU(),
        keras.layers.Dense(2, activation="relu"),
    ],
)
def test_every_other_activation_stays_kerass(layer: keras.layers.Layer) -> None:
    assert replace_relu([layer]) == 0
    assert "call" not in vars(layer)


def test_under_xla_alone_all_of_resnet50_has_it_and_copies_are_kerass() -> None:
    for internal, wanted in (("jit_compilation", 49), ("none", 0)):
        data, training = {"name": "synthetic", "images": 80, "classes": 2}, {"model": "ResNet50"}
        model = prepared(trial_spec(data, training, internal=internal))[0].model
        changed = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.Activation)]
        assert sum("call" in vars(layer) for layer in changed) == wanted
        copy = keras.models.clone_model(model)
        assert not any("call" in vars(layer) for layer in copy.layers if isinstance(layer, keras.layers.Activation))
