"""Convolutions of small images as matrix products: the same sums, in an operation that XLA can put into CUDA graphs.

On a fast GPU a step with small images waits for the start of each operation rather than for its work. XLA starts a
sequence of kernels at once, as a CUDA graph, but leaves cuDNN's convolutions out, which cuts a step of ResNet-50 into
some 150 short sequences. Matrix products it does not leave out. They need every patch of the images in memory, so this
is for small images alone.

Invariants: a layer computes what it did before, to rounding: the same outputs and gradients. Weights, configuration,
copies and saved models are as they were. All convolutions of a model are replaced or none.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

PATCH_BYTES = 256 * 1024
"""What the patches of a layer may take for an image, in float32: enough for ResNet-50 with images of 32x32."""

_MANY_ROWS, _PART_ROWS = 16_384, 1024
"""From so many rows on, a sum over all of them is one over parts of so many: few threads of a GPU would work on it."""

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

    def views(self, size: int) -> list[slice] | None:
        """For each place, what of the taps meets an image of that size; None where it meets more than the taps."""
        starts = [self.padding[0] - place * self.stride for place in range(self.places)]
        if min(starts) < 0 or max(starts) + size > self.taps[1] - self.taps[0]:
            return None
        return [slice(start, start + size) for start in starts]


def _call(layer: keras.layers.Conv2D, inputs: Any) -> Any:
    """(batch, height, width, channels) -> (batch, height', width', filters)."""
    x, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(layer.kernel)
    y_axis, x_axis = (
        _Axis.of(x.shape[1 + axis], kernel.shape[axis], layer.strides[axis], layer.padding) for axis in (0, 1)
    )
    met, filters = _part(kernel, slice(*y_axis.taps), slice(*x_axis.taps)), kernel.shape[-1]
    y_views, x_views = y_axis.views(x.shape[1]), x_axis.views(x.shape[2])
    if y_views and x_views and _is_larger_than_image(met, x):
        # The kernel as each place meets it, for whole images, rather than the images as the kernel meets them.
        rows, matrix = x, _side_by_side(_side_by_side(met, x_views, 1), y_views, 0)
    else:
        rows, matrix = _patches(_patches(x, x_axis, 2), y_axis, 1), met
    columns = math.prod(matrix.shape[:3])
    product = _product(tf.reshape(rows, [-1, columns]), tf.reshape(matrix, [columns, -1]))
    product = tf.reshape(product, [-1, filters])
    if layer.use_bias:
        product += tf.convert_to_tensor(layer.bias)
    outputs = tf.reshape(product, [-1, y_axis.places, x_axis.places, filters])
    return outputs if layer.activation is None else layer.activation(outputs)


def _is_larger_than_image(kernel: tf.Tensor, x: tf.Tensor) -> bool:
    """Whether a kernel has more taps than images have pixels, and patches of the batch more numbers than its views."""
    batch, pixels, taps = x.shape[0], math.prod(x.shape[1:3]), math.prod(kernel.shape[:2])
    return pixels < taps and batch is not None and batch * taps >= pixels * kernel.shape[-1]


def _product(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """The product; with very many rows, whose sum in the gradient is one long row of additions, in parts there."""
    count = rows.shape[0]
    if count is None or count < _MANY_ROWS or count % _PART_ROWS:
        return rows @ matrix

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(rows: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(pull: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            left, right = (tf.reshape(one, [-1, _PART_ROWS, one.shape[-1]]) for one in (rows, pull))
            of_matrix = tf.reduce_sum(tf.matmul(left, right, transpose_a=True), axis=0)
            return tf.matmul(pull, matrix, transpose_b=True), of_matrix

        return rows @ matrix, gradient

    return product(rows, matrix)


def _patches(x: tf.Tensor, along: _Axis, axis: int) -> tf.Tensor:
    """What each position of a kernel meets along an axis of images, side by side in the place of their channels."""
    if any(along.padding):
        x = tf.pad(x, [along.padding if at == axis else (0, 0) for at in range(4)])
    return _side_by_side(x, along.slices(), axis)


def _side_by_side(x: tf.Tensor, parts: Sequence[slice], axis: int) -> tf.Tensor:
    """Parts of an axis, one after the other in the last axis."""
    met = [_part(x, *[slice(None)] * axis, part) for part in parts]
    return tf.concat(met, axis=-1) if len(met) > 1 else met[0]


def _part(x: tf.Tensor, *slices: slice) -> tf.Tensor:
    """x[slices], without an operation where that is all of x."""
    pairs = zip(slices, x.shape, strict=False)
    return x if all(part == slice(None) or part.indices(size) == (0, size, 1) for part, size in pairs) else x[slices]
