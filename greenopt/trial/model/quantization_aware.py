"""Quantization-aware training: a copy of a model whose Conv2D and Dense layers compute as if in int8.

Weights are rounded symmetrically around 0 to what max |w| spans (of each output channel in Conv2D, of the whole kernel
in Dense, which is what the int8 converter can express), inputs to limits that follow the batches before. Gradients
pass straight through the rounding. Everything else of the model is as it was, the initial weights included.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import keras
import tensorflow as tf
from keras import ops

from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.build import all_layers
from greenopt.trial.model.positive_inputs import is_positive

STEPS = 2**8 - 1
LARGEST_INT8 = 127
RANGE_MOMENTUM = 0.99
_MIN_LIMIT = 1e-8


class Grid(NamedTuple):
    """The 2^8 values that an input is rounded to, at equal distances, 0 among them.

    Each attribute is a float32 tensor with one value.

    Attributes:
        zero: which of them is 0, from 0 to 255.
        per_step: the reciprocal of their distance.
        step: their distance.
    """

    zero: tf.Tensor
    per_step: tf.Tensor
    step: tf.Tensor

    @classmethod
    def from_limits(cls, low: tf.Tensor, high: tf.Tensor) -> "Grid":
        """Return the grid between limits, moved so that 0 is one of its values; of any number of limits."""
        step = (tf.maximum(high, _MIN_LIMIT) - low) / STEPS
        return cls(tf.round(-low / step), 1 / step, step)


Limits: TypeAlias = tuple[tf.Tensor, tf.Tensor]


class LimitsCollector(Protocol):
    """Keeps limits of many inputs, so that they can be read and moved together."""

    def rounded(self, layer: "InputRange", x: tf.Tensor) -> tf.Tensor:
        """Round a layer's input by its limits before this batch, and take what the batch makes of these."""


@keras.saving.register_keras_serializable("greenopt")
class InputRange(keras.layers.Layer):  # type: ignore[misc]
    """A layer that rounds its input to 2^8 values between limits that follow the batches before this one.

    The first batch is rounded by its own limits. Limits are float32 and rounding is done in float32 under any policy.
    """

    collector: LimitsCollector | None = None
    """Where limits are kept while all are moved together."""
    is_positive = False
    """Whether no input is below 0, so that the low limit is 0 and need not be looked for."""

    def build(self, input_shape: Any) -> None:
        """Create the two limits."""
        limit = {"shape": (), "initializer": "zeros", "trainable": False, "dtype": "float32", "autocast": False}
        self.low = self.add_weight(name="low", **limit)
        self.high = self.add_weight(name="high", **limit)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Round; in training, move the limits then."""
        x = tf.convert_to_tensor(inputs)
        if not training:
            return rounded_to(x, Grid.from_limits(self.low.value, self.high.value), self.is_positive)
        if self.collector is not None:
            return self.collector.rounded(self, x)
        used, moved = moved_limits((self.low.value, self.high.value), self.extremes(x))
        for limit, value in zip((self.low, self.high), moved, strict=True):
            limit.assign(value)
        return rounded_to(x, Grid.from_limits(*used), self.is_positive)

    def extremes(self, x: tf.Tensor) -> Limits:
        """Return the smallest and the largest value of an input, float32; of a positive one 0 and the largest."""
        seen = tf.stop_gradient(tf.cast(x, tf.float32))
        return tf.constant(0.0) if self.is_positive else tf.reduce_min(seen), tf.reduce_max(seen)


def moved_limits(limits: Limits, batch: Limits) -> tuple[Limits, Limits]:
    """Return the limits that a batch is rounded by, and those after it.

    Args:
        limits: low and high before the batch; equal where there was none.
        batch: the smallest and the largest value in it.
    """
    # 0 has to be exactly representable, so it is always within the limits.
    own = tf.minimum(batch[0], 0.0), tf.maximum(batch[1], _MIN_LIMIT)
    known = limits[0] < limits[1]
    used = tf.where(known, limits[0], own[0]), tf.where(known, limits[1], own[1])
    low, high = (a * RANGE_MOMENTUM + b * (1 - RANGE_MOMENTUM) for a, b in zip(used, own, strict=True))
    return used, (low, high)


def rounded_to(x: tf.Tensor, grid: Grid, is_positive: bool = False) -> tf.Tensor:
    """Round to a grid; gradients pass for values between its ends.

    TensorFlow's operation for this takes limits from main memory alone, and a GPU would wait for each; with limits that
    are part of the program it does not, so values are brought to 0..255 before it.

    Args:
        x: of any floating-point type.
        grid: to round to.
        is_positive: no value is below 0, and `grid.zero` is 0.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rounding(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
        places = tf.cast(x, tf.float32) * grid.per_step
        places = places if is_positive else places + grid.zero
        whole = tf.raw_ops.FakeQuantWithMinMaxArgs(inputs=places, min=0.0, max=float(STEPS))
        values = (whole if is_positive else whole - grid.zero) * grid.step

        def gradient(grad_output: tf.Tensor) -> tf.Tensor:
            if is_positive and grad_output.dtype != tf.float32:
                return tf.where(places <= STEPS, grad_output, tf.zeros((), grad_output.dtype))
            passed = tf.raw_ops.FakeQuantWithMinMaxArgsGradient(
                gradients=tf.cast(grad_output, tf.float32), inputs=places, min=0.0, max=float(STEPS)
            )
            return tf.cast(passed, grad_output.dtype)

        return tf.cast(values, x.dtype), gradient

    return rounding(x)


@keras.saving.register_keras_serializable("greenopt")
class QuantizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A Conv2D with rounded weights and inputs."""

    rounds_kernel = True
    """False while the kernels of all layers are rounded together."""
    kernel_axis: int | None = -1

    def build(self, input_shape: Any) -> None:
        """Create the weights of a Conv2D, and the limits of its input."""
        super().build(input_shape)
        self.input_range = InputRange(name="input_range", dtype=self.dtype_policy)
        self.input_range.build(input_shape)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve the rounded inputs with the rounded weights."""
        kernel = rounded(kernel, self.kernel_axis) if self.rounds_kernel else kernel
        return super().convolution_op(self.input_range(inputs), kernel)


@keras.saving.register_keras_serializable("greenopt")
class QuantizedDense(keras.layers.Dense):  # type: ignore[misc]
    """A Dense with rounded weights and inputs."""

    rounds_kernel = True
    """False while the kernels of all layers are rounded together."""
    kernel_axis: int | None = None

    def build(self, input_shape: Any) -> None:
        """Create the weights of a Dense, and the limits of its input."""
        super().build(input_shape)
        self.input_range = InputRange(name="input_range", dtype=self.dtype_policy)
        self.input_range.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiply the rounded inputs by the rounded weights."""
        kernel = rounded(self.kernel, self.kernel_axis) if self.rounds_kernel else self.kernel
        outputs = ops.matmul(self.input_range(inputs, training=training), kernel)
        outputs = outputs if self.bias is None else ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def rounded(kernel: Any, axis: int | None = None) -> Any:
    """Weights rounded to 255 values symmetric around 0, by their largest magnitude.

    Args:
        kernel: weights of any shape.
        axis: the axis of which each index has its own limit; one limit for all where None.
    """
    # Not Keras's fake_quant_with_min_max_vars: for single channels TensorFlow runs one GPU kernel a channel, and a step
    # of ResNet-50, with 26,500 channels, took 0.7 s on an H200. The limits hold every weight, so its gradient is this.

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rounding(kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
        weights = tf.cast(kernel, tf.float32)
        unit = weight_unit(largest_weight(tf.abs(weights), axis))
        return tf.cast(tf.round(weights / unit) * unit, kernel.dtype), lambda grad_output: grad_output

    return rounding(tf.convert_to_tensor(kernel))


def largest_weight(magnitudes: tf.Tensor, axis: int | None) -> tf.Tensor:
    """Return the largest of a kernel's magnitudes, or that of each index of an axis, with all axes kept."""
    others = None if axis is None else tuple(range(len(magnitudes.shape) - 1))
    return tf.reduce_max(magnitudes, axis=others, keepdims=axis is not None)


def weight_unit(limit: tf.Tensor) -> tf.Tensor:
    """Return the unit that weights are whole multiples of, by their largest magnitude."""
    return tf.maximum(limit, _MIN_LIMIT) * (1 / LARGEST_INT8)


_QUANTIZED: dict[Any, Any] = {keras.layers.Conv2D: QuantizedConv2D, keras.layers.Dense: QuantizedDense}


def quantization_aware(model: keras.Model) -> keras.Model:
    """Copy a model for quantization-aware training; call this under the policy that built the model.

    Raises:
        WrongSettingError: the model cannot be copied, or has no layer to quantize.
    """
    try:
        copy = keras.models.clone_model(model, clone_function=_clone_layer, recursive=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise WrongSettingError(
            f"internal = pre_quantization needs a functional or sequential model: {error}"
        ) from error
    if not quantized_layers(copy):
        raise WrongSettingError("internal = pre_quantization: the model has no Conv2D and no Dense layer to quantize")
    _copy_weights(model, copy)
    known: dict[int, bool] = {}
    for layer in quantized_layers(copy):
        layer.input_range.is_positive = is_positive(layer, known)
    return copy


def quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that compute as if in int8, also inside nested models."""
    return [layer for layer in all_layers(model) if is_quantized(layer)]


def input_ranges(layers: Iterable[keras.layers.Layer]) -> list[InputRange]:
    """Return the layers among others that round inputs."""
    return list({id(layer): layer for layer in layers if isinstance(layer, InputRange)}.values())


def is_quantized(layer: keras.layers.Layer) -> bool:
    """Return whether a layer computes as if in int8."""
    return isinstance(layer, QuantizedConv2D | QuantizedDense)


def _clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    kind: Any = _QUANTIZED.get(type(layer), type(layer))
    return kind.from_config(layer.get_config())


def _copy_weights(model: keras.Model, copy: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        twin = copy.get_layer(layer.name)
        if isinstance(layer, keras.Model):
            _copy_weights(layer, twin)
        elif is_quantized(twin):
            twin.kernel.assign(layer.kernel)
            if layer.bias is not None:
                twin.bias.assign(layer.bias)
        else:
            twin.set_weights(layer.get_weights())
