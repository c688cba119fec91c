"""Convolutions of small images as matrix products, an operation that XLA can capture in CUDA graphs.

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


def replace_convolutions_with_matmul(layers: Iterable[keras.layers.Layer]) -> int:
    """Replace Conv2D layers' computation by matrix products, in all layers or none; return how many were replaced."""
    found = [layer for layer in layers if isinstance(layer, _CONVOLUTIONS)]
    if not all(_is_expressible(layer) for layer in found):
        return 0
    for layer in found:
        # Replaced on the instance, so that configurations and saved models still name Keras's class.
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
    """Return the bytes of one image's patches; infinite if the image size is unknown."""
    places = layer.compute_output_shape(layer.get_build_config()["input_shape"])[1:3]
    return math.inf if None in places else 4 * math.prod(places) * math.prod(layer.kernel.shape[:3])


@dataclass(frozen=True)
class _Axis:
    """The placement of a kernel along one axis of an image.

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
    def from_sizes(cls, size: int, kernel: int, stride: int, padding: str) -> "_Axis":
        """Derive the placement from an image's and a kernel's size, with Keras's padding: `valid` or `same`."""
        if padding == "valid":
            return cls((size - kernel) // stride + 1, stride, (0, kernel), (0, 0))
        places = math.ceil(size / stride)
        reach = (places - 1) * stride
        before = max(0, reach + kernel - size) // 2
        met = [tap for tap in range(kernel) if any(0 <= at * stride + tap - before < size for at in range(places))]
        after = max(0, reach + met[-1] + 1 - before - size)
        return cls(places, stride, (met[0], met[-1] + 1), (before - met[0], after))

    def slices(self) -> list[slice]:
        """Return each tap's slice of the padded image."""
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
        _Axis.from_sizes(x.shape[1 + axis], kernel.shape[axis], layer.strides[axis], layer.padding) for axis in (0, 1)
    )
    met, filters = _part(kernel, slice(*y_axis.taps), slice(*x_axis.taps)), kernel.shape[-1]
    y_views, x_views = y_axis.views(x.shape[1]), x_axis.views(x.shape[2])
    if y_views and x_views and _is_larger_than_image(met, x):
        # Expand the kernel to whole images, rather than the images to patches.
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
    """Return whether a kernel has more taps than the image has pixels, and patches are larger than its views."""
    batch, pixels, taps = x.shape[0], math.prod(x.shape[1:3]), math.prod(kernel.shape[:2])
    return pixels < taps and batch is not None and batch * taps >= pixels * kernel.shape[-1]


def _product(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiply matrices; with very many rows, compute the gradient's sum over the rows in parts."""
    count = rows.shape[0]
    if count is None or count < _MANY_ROWS or count % _PART_ROWS:
        return rows @ matrix

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(rows: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(grad_output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            left, right = (tf.reshape(one, [-1, _PART_ROWS, one.shape[-1]]) for one in (rows, grad_output))
            of_matrix = tf.reduce_sum(tf.matmul(left, right, transpose_a=True), axis=0)
            return tf.matmul(grad_output, matrix, transpose_b=True), of_matrix

        return rows @ matrix, gradient

    return product(rows, matrix)


def _patches(x: tf.Tensor, along: _Axis, axis: int) -> tf.Tensor:
    """Return the pixels under each kernel position along an axis, concatenated along the channels."""
    if any(along.padding):
        x = tf.pad(x, [along.padding if at == axis else (0, 0) for at in range(4)])
    return _side_by_side(x, along.slices(), axis)


def _side_by_side(x: tf.Tensor, parts: Sequence[slice], axis: int) -> tf.Tensor:
    """Concatenate parts of an axis along the last axis."""
    met = [_part(x, *[slice(None)] * axis, part) for part in parts]
    return tf.concat(met, axis=-1) if len(met) > 1 else met[0]


def _part(x: tf.Tensor, *slices: slice) -> tf.Tensor:
    """Return x[slices], without an operation if that is all of x."""
    pairs = zip(slices, x.shape, strict=False)
    return x if all(part == slice(None) or part.indices(size) == (0, size, 1) for part, size in pairs) else x[slices]
