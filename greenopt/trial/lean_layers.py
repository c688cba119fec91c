"""Keras's own layers, computed by fewer and larger operations.

On a fast GPU a step with small images waits for the start of each operation rather than for its work, so their number
counts. BatchNormalization, which Keras composes of a dozen operations in a training step and two dozen in its gradient,
is one fused operation and one for its gradient in TensorFlow; ResNet-50 has 53 of them. A convolution with a kernel of
1x1 is a product of matrices; XLA can start those, and what is between them, by one CUDA graph, which it cannot do with
convolutions (TensorFlow 2.21).

Invariants: a layer computes what it did before, to rounding: the same outputs, gradients and moving statistics (Keras's
are of the biased variance). Weights, configuration, copies and saved models are as they were. A layer that cannot be
expressed stays as it is.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

_FUSED_TYPES = ("float32", "float16", "bfloat16")
_LEAST_EPSILON = 1e-5


def fuse_batchnorm(layers: Iterable[keras.layers.Layer]) -> int:
    """Let BatchNormalization layers train by the fused operation; returns how many do."""
    fused = [layer for layer in layers if _is_fusible(layer)]
    for layer in fused:
        # On the instance: its class, which names the layer in configurations and saved models, stays Keras's.
        layer.call = partial(_normalise, layer, layer.call)
    return len(fused)


def multiply_pointwise(layers: Iterable[keras.layers.Layer]) -> int:
    """Let convolutions with a kernel of 1x1 be products of matrices; returns how many are."""
    pointwise = [layer for layer in layers if _is_pointwise(layer)]
    for layer in pointwise:
        layer.convolution_op = partial(_multiply, layer.strides)
    return len(pointwise)


def _is_fusible(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype in _FUSED_TYPES
        and layer.epsilon >= _LEAST_EPSILON
        and not (layer.renorm or layer.synchronized)
    )


def _is_pointwise(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.kernel_size == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
    )


def _normalise(
    layer: keras.layers.BatchNormalization, plain: Any, inputs: Any, training: Any = None, mask: Any = None
) -> Any:
    """(batch, height, width, channels) -> the same, normalised; the layer's plain call where it does not train."""
    if not (training and layer.trainable) or mask is not None:
        return plain(inputs, training=training, mask=mask)
    channels = inputs.shape[-1]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones(channels),
        offset=tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros(channels),
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    _follow(layer.moving_mean, mean, layer.momentum)
    _follow(layer.moving_variance, variance * _biased(inputs), layer.momentum)
    return outputs


def _biased(inputs: Any) -> tf.Tensor:
    """What turns the operation's variance, a sum over count - 1, into one over count."""
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    return tf.maximum(count - 1, 1) / count


def _follow(moving: Any, value: tf.Tensor, momentum: float) -> None:
    moving.assign(tf.cast(moving, tf.float32) * momentum + tf.stop_gradient(value) * (1 - momentum))


def _multiply(strides: tuple[int, int], inputs: Any, kernel: Any) -> tf.Tensor:
    """(batch, height, width, channels), (1, 1, channels, filters) -> (batch, height / down, width / right, filters)."""
    down, right = strides
    if strides != (1, 1):
        inputs = inputs[:, ::down, ::right]
    _, height, width, channels = inputs.shape
    filters = kernel.shape[-1]
    product = tf.matmul(tf.reshape(inputs, [-1, channels]), tf.reshape(kernel, [channels, filters]))
    return tf.reshape(product, [-1, height, width, filters])
