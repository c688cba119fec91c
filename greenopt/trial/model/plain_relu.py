"""Keras's ReLU in operations that TensorFlow passes to XLA directly.

TensorFlow takes the ReLU operation and its gradient to XLA by a compiler of its own, five milliseconds each time; in
ResNet-50, with 49 of them, that is a tenth of what a trial waits for before its first step.

Invariants: under XLA a layer computes what it did before, to the last digit: outputs and gradients, where there is no
number too. Weights, configuration, copies and saved models are as they were.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf


def replace_relu(layers: Iterable[keras.layers.Layer]) -> int:
    """Replace ReLU layers' computation by plain operations; return how many were replaced."""
    found = [layer for layer in layers if _is_plain(layer)]
    for layer in found:
        # Replaced on the instance, so that configurations and saved models still name Keras's class.
        layer.call = _relu
    return len(found)


def _is_plain(layer: keras.layers.Layer) -> bool:
    if type(layer) is keras.layers.Activation:
        return layer.activation is keras.activations.relu
    return (
        type(layer) is keras.layers.ReLU
        and layer.max_value is None
        and layer.negative_slope == 0
        and layer.threshold == 0
    )


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _relu(inputs: Any) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    x = tf.convert_to_tensor(inputs)
    zero = tf.constant(0, x.dtype)
    outputs = tf.maximum(x, zero)
    return outputs, lambda grad_output: tf.where(outputs > 0, grad_output, zero)
