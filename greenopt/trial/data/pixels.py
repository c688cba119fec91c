"""What arrays of images and labels have to be, and how images become pixels of 0..255.

Invariants: an array is used with one meaning or refused with one line that says what would be right; equal pictures
give equal pixels, whether they are stored as bytes, as whole numbers, as truth values or as fractions of 0..1; what is
transparent lies on white. Needs no TensorFlow.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LOWEST_MAXIMUM = 32
"""Images of which no pixel reaches an eighth of 255 were hardly meant to be in 0..255."""

_ROUNDING = 1e-3
"""Of the range; how far fractions and 0..255 may be exceeded by rounding."""

_WHOLE = 1e-2
_NUMBERED = "store numpy.unique(y, return_inverse=True)[1]"
_AT_ONCE = 1 << 22
_TRANSPARENT = (2, 4)
"""Numbers of channels of which the last one is opacity."""


class Kind(NamedTuple):
    """Of an array: shape and type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class LabelledArrays(NamedTuple):
    """Images with their labels, as a file or a folder gives them.

    Attributes:
        x: (images, height, width, 3) in 0..255, uint8 or float32.
        y: (images,) int32, labels 0..classes - 1.
        class_names: name of each class; empty where classes have numbers only.
        parts: (images,) uint8, 0 training, 1 validation, 2 test; None where the data have no parts of their own.
        left_out: what was left out, in words.
    """

    x: Array
    y: Array
    class_names: tuple[str, ...] = ()
    parts: Array | None = None
    left_out: str = ""


class Extent(NamedTuple):
    """The least and the largest value of an array, and whether all are finite."""

    low: float
    high: float
    is_finite: bool


def shape_problem(x: Kind, y: Kind) -> str | None:
    """Return what is wrong with images x and labels y as far as their shapes and types tell; None where nothing is."""
    return _images_problem(x) or _labels_problem(y, x.shape[0])


def value_problem(kind: Kind, extent: Extent, is_all: bool = True) -> str | None:
    """Return what is wrong with the values of images.

    Args:
        kind: of the images.
        extent: of their values.
        is_all: whether it is of all of them, and not of the first ones.

    Returns:
        One line; None where nothing is.
    """
    low, high, is_finite = extent
    if not is_finite:
        return "x has values that are NaN or infinite; images are numbers 0..255, or fractions 0..1"
    if low < -_ROUNDING * (255 if high > 1 + _ROUNDING else 1):
        way = "store (x + 1) / 2" if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING else "scale them to one of these"
        return f"x has values from {low:g} to {high:g}; images are numbers 0..255, or fractions 0..1: {way}"
    if high > 255 * (1 + _ROUNDING):
        way = "store x // 257" if kind.dtype == np.uint16 else "scale them to one of these"
        return f"x has values from {low:g} to {high:g}, outside 0..255, and fractions are 0..1: {way}"
    if is_all and kind.dtype.kind != "b" and not is_fractions(kind, extent) and high < _LOWEST_MAXIMUM:
        return (
            f"x has values from {low:g} to {high:g}; images are 0..255, or fractions 0..1 of a floating-point type: "
            f"store x / {max(high, 1):g}"
        )
    return None


def transparency_problem(x: Array, extent: Extent) -> str | None:
    """Return that opacity is on another scale than the colours of floating-point images; None where it is not."""
    if x.ndim != 4 or x.shape[3] not in _TRANSPARENT or x.dtype.kind != "f" or extent.high <= 1 + _ROUNDING:
        return None
    if float(x[..., -1].max()) > 1 + _ROUNDING:
        return None
    return f"x has values up to {extent.high:g}, and its last channel, opacity, up to 1; store both on the same scale"


def class_problem(y: Array) -> str | None:
    """Return what is wrong with whole-number labels (images,); None where they are 0 to k - 1 and each occurs."""
    found = np.unique(y)
    if len(found) < 2:
        return f"y has the one label {found[0]}; there must be at least two classes"
    if found[0] != 0 or found[-1] != len(found) - 1:
        return (
            f"y has {len(found)} different labels from {found[0]} to {found[-1]}; labels are 0 to k - 1, none left "
            f"out: {_NUMBERED}"
        )
    return None


def extent_of(parts: Iterable[Array]) -> Extent:
    """Return the extent of an array that is given in parts."""
    low, high, is_finite = np.inf, -np.inf, True
    for part in parts:
        if part.size:
            # NaN comes through both; of two infinities one does.
            least, largest = float(part.min()), float(part.max())
            is_finite = is_finite and bool(np.isfinite(least) and np.isfinite(largest))
            low, high = min(low, least), max(high, largest)
    return Extent(low, high, is_finite)


def parts_of(x: Array) -> Iterable[Array]:
    """Return an array in parts along its first axis that fit into a processor's cache or nearly so."""
    rows = max(1, _AT_ONCE // max(1, x[:1].size))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def to_pixels(x: Array) -> Array:
    """Images as pixels of 0..255.

    Args:
        x: (images, height, width) or (images, height, width, channels), of which nothing above is wrong: gray, gray
            with transparency, colour, colour with transparency.

    Returns:
        (images, height, width, 3): uint8 where all pixels are whole, else float32.
    """
    kind = Kind(x.shape, x.dtype)
    if x.dtype.kind == "b":
        pixels = x.astype(np.uint8) * np.uint8(255)
    elif x.dtype.kind in "iu":
        pixels = x.astype(np.uint8, copy=False)
    else:
        pixels = _whole_if_whole(_stretched(x, is_fractions(kind, extent_of(parts_of(x)))))
    pixels = pixels[..., np.newaxis] if pixels.ndim == 3 else pixels
    pixels = _on_white(pixels) if pixels.shape[3] in _TRANSPARENT else pixels
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels


def _on_white(pixels: Array) -> Array:
    """Lay (images, height, width, colours and opacity) in 0..255 on white: (images, height, width, colours)."""
    result = np.empty((*pixels.shape[:3], pixels.shape[3] - 1), pixels.dtype)
    rows = max(1, _AT_ONCE // max(1, pixels[:1].size))
    for start in range(0, len(pixels), rows):
        part = pixels[start : start + rows].astype(np.float32)
        opacity = part[..., -1:] / 255
        laid = part[..., :-1] * opacity + 255 * (1 - opacity)
        result[start : start + rows] = np.rint(laid) if pixels.dtype == np.uint8 else laid
    return result


def _stretched(x: Array, is_fractions: bool) -> Array:
    stretched = np.array(x, np.float64 if x.dtype.itemsize > 4 else np.float32)
    if is_fractions:
        np.multiply(stretched, 255, out=stretched)
    return np.clip(stretched, 0, 255, out=stretched)


def _whole_if_whole(pixels: Array) -> Array:
    if all(np.abs(part - np.rint(part)).max() < _WHOLE for part in parts_of(pixels)):
        return np.rint(pixels).astype(np.uint8)
    return pixels.astype(np.float32)


def is_fractions(kind: Kind, extent: Extent) -> bool:
    """Return whether images are fractions of 0..1, and not numbers of 0..255."""
    return kind.dtype.kind == "f" and extent.high <= 1 + _ROUNDING


def _images_problem(x: Kind) -> str | None:
    if x.dtype.kind == "O":
        return "x holds Python objects; images of one size are one array: numpy.stack(list(x))"
    if x.dtype.kind not in "biuf":
        return f"x has type {x.dtype}; images are numbers 0..255, or fractions 0..1"
    shape, wanted = x.shape, "images are (images, height, width[, 1, 2, 3 or 4])"
    if len(shape) not in (3, 4):
        return f"x has shape {shape}; {wanted}"
    if 0 in shape:
        return f"x has shape {shape}, which holds no pixel; {wanted}"
    is_channels_first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
    if len(shape) == 4 and (is_channels_first or shape[3] not in (1, 2, 3, 4)):
        way = "; these have their channels first: store numpy.moveaxis(x, 1, 3)" if shape[1] in (1, 3, 4) else ""
        return f"x has shape {shape}; {wanted}{way}"
    return None


def _labels_problem(y: Kind, images: int) -> str | None:
    wanted = "labels are whole numbers, one an image"
    if y.dtype.kind == "O":
        return f"y holds Python objects; {wanted}, or text: store y.astype(str)"
    shape = y.shape
    if len(shape) == 2 and shape[1] > 1 and shape[0] == images:
        return f"y has shape {shape}, a column for each class; {wanted}: store y.argmax(axis=1)"
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        return f"y has shape {shape}; {wanted}: (images,)"
    if y.dtype.kind not in "iuUS":
        way = _NUMBERED if y.dtype.kind != "f" else 'store y.astype("int64") if they are whole'
        return f"y has type {y.dtype}; {wanted}: {way}"
    if shape[0] != images:
        return f"x has {images} images and y {shape[0]} labels"
    return None
