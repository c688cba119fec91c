"""BatchNormalization as Keras has it, computed in few operations in training.

On a fast GPU a step with small images waits for the start of each operation rather than for its work, so their number
counts. Keras composes a training step of BatchNormalization of a dozen operations and its gradient of two dozen;
ResNet-50 has 53 such layers. TensorFlow has one operation for the step and one for its gradient. XLA takes these two
apart; given the sums that they come to, over the rows of a matrix, it makes programs of them that need less power.

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


def fuse_batchnorm(layers: Iterable[keras.layers.Layer], jit: bool) -> int:
    """Let BatchNormalization layers train in few operations.

    Args:
        layers: of a built model.
        jit: whether XLA compiles them.

    Returns:
        How many do.
    """
    fused = [layer for layer in layers if _is_fusible(layer)]
    for layer in fused:
        # On the instance: its class, which names the layer in configurations and saved models, stays Keras's.
        layer.call = partial(_normalise, layer, layer.call, jit)
    return len(fused)


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


def _normalise(
    layer: keras.layers.BatchNormalization, plain: Any, jit: bool, inputs: Any, training: Any = None, mask: Any = None
) -> Any:
    """(batch, height, width, channels) -> the same, normalised; the layer's plain call where it does not train."""
    if not (training and layer.trainable) or mask is not None:
        return plain(inputs, training=training, mask=mask)
    x, channels = tf.convert_to_tensor(inputs), inputs.shape[-1]
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones(channels)
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros(channels)
    way = _by_sums if jit and None not in x.shape else _by_operation
    outputs, mean, variance = way(x, scale, offset, layer.epsilon)
    _follow(layer.moving_mean, mean, layer.momentum)
    _follow(layer.moving_variance, variance, layer.momentum)
    return outputs


def _by_operation(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    """Output, mean and variance by TensorFlow's operation."""
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    # The operation's variance is a sum over count - 1.
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return outputs, mean, variance * tf.maximum(count - 1, 1) / count


def _by_sums(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    """The same for XLA."""
    statistics: list[tf.Tensor] = []

    # One gradient of all of it, which is less to trace and to compute. Mean and variance are no outputs, since nothing
    # that is learned follows from them.
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalised(rows: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, Any]:
        exact, count = tf.cast(rows, tf.float32), float(rows.shape[0])
        mean = tf.reduce_mean(exact, axis=0)
        variance = tf.maximum(tf.reduce_mean(exact * exact, axis=0) - mean * mean, 0.0)
        statistics.extend((mean, variance))
        centred, steepness = exact - mean, tf.math.rsqrt(variance + epsilon)

        def gradient(pull: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            dy = tf.cast(pull, tf.float32)
            total, along = tf.reduce_sum(dy, axis=0), tf.reduce_sum(dy * centred, axis=0) * steepness
            dx = (dy - total / count - centred * (steepness * along / count)) * (scale * steepness)
            return tf.cast(dx, rows.dtype), along, total

        return tf.cast(centred * (steepness * scale) + offset, rows.dtype), gradient

    outputs = normalised(tf.reshape(x, [-1, x.shape[-1]]), scale, offset)
    return tf.reshape(outputs, x.shape), *statistics


def _follow(moving: Any, value: tf.Tensor, momentum: float) -> None:
    moving.assign(tf.cast(moving, tf.float32) * momentum + value * (1 - momentum))
