"""Quantization-aware training: a copy of a model whose Conv2D and Dense layers compute as if in int8.

Weights are rounded symmetrically around 0 to what max |w| spans (of each output channel in Conv2D, of the whole kernel
in Dense, which is what the int8 converter can express), inputs to limits that follow the batches. Gradients pass
straight through the rounding. Everything else of the model is as it was, the initial weights included.
"""

from typing import Any

import keras
from keras import ops

from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.build import all_layers

BITS = 8
LARGEST_INT8 = 127
RANGE_MOMENTUM = 0.99
_MIN_LIMIT = 1e-8


@keras.saving.register_keras_serializable("greenopt")
class InputRange(keras.layers.Layer):  # type: ignore[misc]
    """A layer that rounds its input to 2^8 values between moving limits, initialised by the first batch.

    Limits are float32 and rounding is done in float32 under any policy.
    """

    def build(self, input_shape: Any) -> None:
        """Create the two limits."""
        limit = {"shape": (), "initializer": "zeros", "trainable": False, "dtype": "float32", "autocast": False}
        self.low = self.add_weight(name="low", **limit)
        self.high = self.add_weight(name="high", **limit)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Round; in training, move the limits first."""
        if training:
            self._update_limits(ops.cast(ops.stop_gradient(inputs), "float32"))
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, self.low.value, self.high.value, num_bits=BITS)

    def _update_limits(self, inputs: Any) -> None:
        # 0 has to be exactly representable, so it is always within the limits.
        low, high = ops.minimum(ops.min(inputs), 0.0), ops.maximum(ops.max(inputs), _MIN_LIMIT)
        kept = ops.where(self.low < self.high, RANGE_MOMENTUM, 0.0)
        self.low.assign(kept * self.low + (1 - kept) * low)
        self.high.assign(kept * self.high + (1 - kept) * high)


@keras.saving.register_keras_serializable("greenopt")
class QuantizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A Conv2D with rounded weights and inputs."""

    def build(self, input_shape: Any) -> None:
        """Create the weights of a Conv2D, and the limits of its input."""
        super().build(input_shape)
        self.input_range = InputRange(name="input_range", dtype=self.dtype_policy)
        self.input_range.build(input_shape)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve the rounded inputs with the rounded weights."""
        return super().convolution_op(self.input_range(inputs), rounded(kernel, axis=-1))


@keras.saving.register_keras_serializable("greenopt")
class QuantizedDense(keras.layers.Dense):  # type: ignore[misc]
    """A Dense with rounded weights and inputs."""

    def build(self, input_shape: Any) -> None:
        """Create the weights of a Dense, and the limits of its input."""
        super().build(input_shape)
        self.input_range = InputRange(name="input_range", dtype=self.dtype_policy)
        self.input_range.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiply the rounded inputs by the rounded weights."""
        outputs = ops.matmul(self.input_range(inputs, training=training), rounded(self.kernel))
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
    weights = ops.cast(ops.convert_to_tensor(kernel), "float32")
    others = None if axis is None else tuple(range(len(kernel.shape) - 1))
    limit = ops.max(ops.abs(ops.stop_gradient(weights)), axis=others, keepdims=axis is not None)
    unit = ops.maximum(limit, _MIN_LIMIT) / LARGEST_INT8
    values = ops.round(weights / unit) * unit
    return ops.cast(weights + ops.stop_gradient(values - weights), kernel.dtype)


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
    return copy


def quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that compute as if in int8, also inside nested models."""
    return [layer for layer in all_layers(model) if _is_quantized(layer)]


def _is_quantized(layer: keras.layers.Layer) -> bool:
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
        elif _is_quantized(twin):
            twin.kernel.assign(layer.kernel)
            if layer.bias is not None:
                twin.bias.assign(layer.bias)
        else:
            twin.set_weights(layer.get_weights())
