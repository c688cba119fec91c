"""BatchNormalization as Keras has it, computed in few operations in training.

On a fast GPU a step with small images waits for the start of each operation rather than for its work, so their number
counts. Keras composes a training step of BatchNormalization of a dozen operations and its gradient of two dozen;
ResNet-50 has 53 such layers. TensorFlow has one operation for the step and one for its gradient. XLA takes these two
apart; given the sums that they come to, over the rows of a matrix, it makes programs of them that need less power.

Invariants: a layer computes what it did before, to rounding: the same outputs, gradients and moving statistics (Keras's
are of the biased variance). Weights, configuration, copies and saved models are as they were. A layer that cannot be
expressed stays as it is.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

Sums: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_FUSED_TYPES = ("float32", "float16", "bfloat16")
_MIN_EPSILON = 1e-5
_MAX_IMAGES = 880_801
"""Of more images cuDNN trains no batch normalization; PyTorch keeps to the same number."""


class Statistic(NamedTuple):
    """What a batch adds to one moving average.

    Attributes:
        value: (channels,) float32.
        factor: the batch's mean or variance is `factor` times `value`.
        momentum: of the moving average.
    """

    value: tf.Tensor
    factor: float
    momentum: float


class BatchStatistics:
    """The statistics of one batch, by the moving average that each is for."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[int, list[Statistic]] = {}
        self._read: set[int] = set()

    def read(self, moving: keras.Variable) -> None:
        """Remember that a layer normalised by a moving average."""
        self._read.add(id(moving))

    @property
    def is_mixed(self) -> bool:
        """Whether a moving average was both read and updated, whose value depends on the order then."""
        return not self._read.isdisjoint(self._found)

    def add(self, moving: keras.Variable, statistic: Statistic) -> None:
        """Add one; a layer that is called several times adds as many."""
        self._found.setdefault(id(moving), []).append(statistic)

    def combined(self, moving: keras.Variable) -> tuple[tf.Tensor, float, float]:
        """Return value, weight and share, so that the moving average becomes share * itself + weight * value."""
        statistics = self._found.get(id(moving))
        if not statistics:
            return tf.zeros(moving.shape), 0.0, 1.0
        (value, factor, momentum), *more = statistics
        weight, share = (1 - momentum) * factor, momentum
        for one in more:
            value = value * (weight * one.momentum) + one.value * ((1 - one.momentum) * one.factor)
            weight, share = 1.0, share * one.momentum
        return value, weight, share


class MovingAverages:
    """The moving averages of fused layers: updated layer by layer, or collected to be updated together.

    Attributes:
        layers: whose moving averages these are.
    """

    def __init__(self, layers: Iterable[keras.layers.BatchNormalization]) -> None:
        """Update each layer by itself until told otherwise."""
        self.layers = list(layers)
        self._collecting: BatchStatistics | None = None

    @contextmanager
    def collected(self) -> Iterator[BatchStatistics]:
        """Collect statistics within a context, instead of updating the moving averages."""
        self._collecting = statistics = BatchStatistics()
        try:
            yield statistics
        finally:
            self._collecting = None

    def read(self, moving: keras.Variable) -> None:
        """Remember, while statistics are collected, that a layer normalised by a moving average."""
        if self._collecting is not None:
            self._collecting.read(moving)

    def update(self, moving: keras.Variable, statistic: Statistic) -> None:
        """Update a moving average with a batch's statistic, or collect it."""
        if self._collecting is not None and moving.dtype == "float32":
            self._collecting.add(moving, statistic)
            return
        value = statistic.value * statistic.factor if statistic.factor != 1 else statistic.value
        moving.assign(tf.cast(moving, tf.float32) * statistic.momentum + value * (1 - statistic.momentum))


def fuse_batchnorm(layers: Iterable[keras.layers.Layer], jit: bool, gpu: bool = False) -> MovingAverages:
    """Let BatchNormalization layers train in few operations.

    Args:
        layers: of a built model.
        jit: whether XLA compiles them.
        gpu: whether for a GPU.

    Returns:
        The moving averages of those that do.
    """
    averages = MovingAverages(layer for layer in layers if _is_fusible(layer))
    method = partial(_by_sums, fused_sums if gpu else separate_sums) if jit else _by_rows if gpu else _by_operation
    for layer in averages.layers:
        # Replaced on the instance, so that configurations and saved models still name Keras's class.
        layer.call = partial(_normalise, layer, layer.call, method, averages)
    return averages


def normalised_by_batch(x: tf.Tensor) -> tf.Tensor:
    """(batch, height, width, channels) -> the same, normalised as a layer on a GPU will without XLA, if it is fused."""
    channels = x.shape[-1]
    return _by_rows(x, tf.ones(channels), tf.zeros(channels), _MIN_EPSILON)[0] if x.dtype.name in _FUSED_TYPES else x


def _is_fusible(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype in _FUSED_TYPES
        and layer.epsilon >= _MIN_EPSILON
        and not (layer.renorm or layer.synchronized)
    )


def _normalise(
    layer: keras.layers.BatchNormalization,
    plain: Any,
    method: Any,
    averages: MovingAverages,
    inputs: Any,
    training: Any = None,
    mask: Any = None,
) -> Any:
    """(batch, height, width, channels) -> the same, normalised; by the layer's plain call where that is no slower."""
    resting = not training and method in (_by_operation, _by_rows)
    if not training:
        averages.read(layer.moving_mean)
    if not (resting or (training and layer.trainable)) or mask is not None:
        return plain(inputs, training=training, mask=mask)
    x, channels = tf.convert_to_tensor(inputs), inputs.shape[-1]
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones(channels)
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros(channels)
    if resting:
        mean, variance = tf.cast(layer.moving_mean, tf.float32), tf.cast(layer.moving_variance, tf.float32)
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=layer.epsilon, is_training=False
        ).y
    compute = _by_operation if None in x.shape else method
    outputs, mean, variance, factor = compute(x, scale, offset, layer.epsilon)
    averages.update(layer.moving_mean, Statistic(mean, 1.0, layer.momentum))
    averages.update(layer.moving_variance, Statistic(variance, factor, layer.momentum))
    return outputs


def _by_operation(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float, order: str = "NHWC"
) -> tuple[Any, ...]:
    """Output, mean, and variance with a factor that it is to be multiplied by, by TensorFlow's operation."""
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, data_format=order, is_training=True
    )
    # The operation's variance is a sum over count - 1.
    if None not in x.shape:
        rows = math.prod(x.shape) // scale.shape[0]
        return outputs, mean, variance, max(rows - 1, 1) / rows
    count = tf.cast(tf.size(x) // scale.shape[0], tf.float32)
    return outputs, mean, variance * tf.maximum(count - 1, 1) / count, 1.0


def _by_rows(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[Any, ...]:
    """As `_by_operation`, for a GPU, which computes float32 with each pixel as an image of its own.

    TensorFlow uses cuDNN's channels-last kernels for float16 alone; it would turn float32 inputs round to channels
    first and outputs back. Images of one pixel lie in memory the same way in both orders.
    """
    rows = math.prod(x.shape[:-1])
    if x.dtype != tf.float32 or rows > _MAX_IMAGES:
        return _by_operation(x, scale, offset, epsilon)
    pixels = tf.reshape(x, (rows, x.shape[-1], 1, 1))
    outputs, *statistics = _by_operation(pixels, scale, offset, epsilon, "NCHW")
    return tf.reshape(outputs, x.shape), *statistics


def _by_sums(sums: Sums, x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[Any, ...]:
    """Compute output, mean, variance and its factor, 1, for XLA, with a method for taking two sums.

    Sums of squares and products lose digits where the mean is far from 0, so a row is taken off all rows first: it lies
    within some deviations of the mean, also in the first step, when the moving mean does not. XLA reads it along with
    the rows, in the same programs.
    """
    statistics: list[tf.Tensor] = []
    _, height, width, _ = x.shape
    # Not a corner, where convolutions see the edge.
    middle = height // 2 * width + width // 2

    # One gradient of all of it, which is less to trace and to compute; the row has none, since nothing changes with it.
    # Mean and variance are no outputs, since nothing that is learned follows from them.
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalised(rows: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, Any]:
        exact, count = tf.cast(rows, tf.float32), float(rows.shape[0])
        shift = exact[middle]
        near = exact - shift
        mean = tf.reduce_mean(near, axis=0)
        variance = tf.maximum(tf.reduce_mean(near * near, axis=0) - mean * mean, 0.0)
        statistics.extend((shift + mean, variance))
        centred, steepness = near - mean, tf.math.rsqrt(variance + epsilon)

        def gradient(grad_output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            dy = tf.cast(grad_output, tf.float32)
            total, with_rows = sums(dy, dy * near)
            d_scale = (with_rows - mean * total) * steepness
            dx = (dy - total / count - centred * (steepness * d_scale / count)) * (scale * steepness)
            return tf.cast(dx, rows.dtype), d_scale, total

        return tf.cast(centred * (steepness * scale) + offset, rows.dtype), gradient

    outputs = normalised(tf.reshape(x, [-1, x.shape[-1]]), scale, offset)
    return tf.reshape(outputs, x.shape), *statistics, 1.0


def separate_sums(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum the rows of two matrices in two operations."""
    return tf.reduce_sum(a, axis=0), tf.reduce_sum(b, axis=0)


def fused_sums(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum the rows of two matrices in one operation; on a GPU, XLA would otherwise store a product in memory first."""
    zero = tf.constant(0.0)
    sums = xla.variadic_reduce((a, b), (zero, zero), dimensions_to_reduce=(0,), reducer=_additions())
    for found in sums:
        found.set_shape(a.shape[1:])
    return sums[0], sums[1]


@cache
def _additions() -> Any:
    """Return a function (a, b, c, d) -> (a + c, b + d) of single numbers."""
    number = tf.TensorSpec((), tf.float32)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def additions(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return a + c, b + d

    with tf.init_scope():
        return additions.get_concrete_function(number, number, number, number)
