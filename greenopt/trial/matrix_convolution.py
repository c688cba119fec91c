"""Convolutions of small images as matrix products: the same sums, in an operation that XLA can put into CUDA graphs.

On a fast GPU a step with small images waits for the start of each operation rather than for its work. XLA starts a
sequence of kernels at once, as a CUDA graph, but leaves cuDNN's convolutions out, which cuts a step of ResNet-50 into
some 150 short sequences. Matrix products it does not leave out. They need every patch of the images in memory, so this
is for small images alone.

Invariants: a layer computes what it did before, to rounding: the same outputs and gradients. Weights, configuration,
copies and saved models are as they were. All convolutions of a model are replaced or none.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

PATCH_BYTES = 256 * 1024
"""What the patches of a layer may take for an image, in float32: enough for ResNet-50 with images of 32x32."""

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def multiply_convolutions(layers: Iterable[keras.layers.Layer]) -> int:
    """Let Conv2D layers compute by matrix products; returns how many do: all of a model's convolutions, or none."""
    found = [layer for layer in layers if isinstance(layer, _CONVOLUTIONS)]
    if not all(_is_expressible(layer) for layer in found):
        return 0
    for layer in found:
        # On the instance: its class, which names the layer in configurations and saved models, stays Keras's.
        layer.call = partial(_call, layer)
    return len(found)


def _is_expressible(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.built
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.data_format == "channels_last"
        and _patch_bytes(layer) <= PATCH_BYTES
    )


def _patch_bytes(layer: keras.layers.Conv2D) -> float:
    """Bytes of the patches of one image; infinite where the size of the images is not known."""
    places = layer.compute_output_shape(layer.get_build_config()["input_shape"])[1:3]
    return math.inf if None in places else 4 * math.prod(places) * math.prod(layer.kernel.shape[:3])


@dataclass(frozen=True)
class _Axis:
    """How a kernel lies over one axis of an image.

    Attributes:
        places: positions of the kernel.
        stride: between them.
        taps: first, and one past the last, element of the kernel that meets the image anywhere.
        padding: zeros before and after the image, for these elements alone.
    """

    places: int
    stride: int
    taps: tuple[int, int]
    padding: tuple[int, int]

    @classmethod
    def of(cls, size: int, kernel: int, stride: int, padding: str) -> "_Axis":
        """Of an image's and a kernel's size, with Keras's padding: `valid` or `same`."""
        if padding == "valid":
            return cls((size - kernel) // stride + 1, stride, (0, kernel), (0, 0))
        places = math.ceil(size / stride)
        reach = (places - 1) * stride
        before = max(0, reach + kernel - size) // 2
        met = [tap for tap in range(kernel) if any(0 <= at * stride + tap - before < size for at in range(places))]
        after = max(0, reach + met[-1] + 1 - before - size)
        return cls(places, stride, (met[0], met[-1] + 1), (before - met[0], after))

    def slices(self) -> list[slice]:
        """For each tap, where of the padded image it lies."""
        reach = (self.places - 1) * self.stride + 1
        return [slice(tap, tap + reach, self.stride) for tap in range(self.taps[1] - self.taps[0])]


def _call(layer: keras.layers.Conv2D, inputs: Any) -> Any:
    """(batch, height, width, channels) -> (batch, height', width', filters)."""
    x, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(layer.kernel)
    y_axis, x_axis = (
        _Axis.of(x.shape[1 + axis], kernel.shape[axis], layer.strides[axis], layer.padding) for axis in (0, 1)
    )
    patches = _patches(_patches(x, x_axis, 2), y_axis, 1)
    met = _part(kernel, slice(*y_axis.taps), slice(*x_axis.taps))
    filters = kernel.shape[-1]
    product = tf.reshape(patches, [-1, patches.shape[-1]]) @ tf.reshape(met, [-1, filters])
    if layer.use_bias:
        product += tf.convert_to_tensor(layer.bias)
    outputs = tf.reshape(product, [-1, y_axis.places, x_axis.places, filters])
    return outputs if layer.activation is None else layer.activation(outputs)


def _patches(x: tf.Tensor, along: _Axis, axis: int) -> tf.Tensor:
    """What each position of a kernel meets along an axis of images, side by side in the place of their channels."""
    if any(along.padding):
        x = tf.pad(x, [along.padding if at == axis else (0, 0) for at in range(4)])
    met = [_part(x, *[slice(None)] * axis, part) for part in along.slices()]
    return tf.concat(met, axis=-1) if len(met) > 1 else met[0]


def _part(x: tf.Tensor, *slices: slice) -> tf.Tensor:
    """x[slices], without an operation where that is all of x."""
    pairs = zip(slices, x.shape, strict=False)
    return x if all(part == slice(None) or part.indices(size) == (0, size, 1) for part, size in pairs) else x[slices]
