"""Scaling of images, fitted on the training part alone.

All kinds are one step, (x - shift) / scale for each channel; they differ in what is fitted. That of pretrained weights
is given, not fitted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greenopt.spec import Preprocessing

Array = npt.NDArray[Any]
_LEVELS = 256
_SHARES = {Preprocessing.ROBUST_SCALING: (0.25, 0.5, 0.75), Preprocessing.MINMAX: (0.0, 0.0, 1.0)}
"""Quantiles that a kind is fitted by: the lower end of its scale, its shift, the upper end."""

_COUNTED_AT_ONCE = 2048
"""Images; their channels fit into a processor's cache."""


@dataclass(frozen=True)
class Scaling:
    """(x - shift) / scale; one number a channel, in float64.

    Attributes:
        shift: what is taken off each channel.
        scale: what each channel is divided by after that.
        is_bgr: whether the channels, red, green and blue, are reversed first; the numbers are then of blue, green, red.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]
    is_bgr: bool = False


def fit_scaling(kind: Preprocessing, training_images: Array | Iterable[Array]) -> Scaling | None:
    """Fit a scaling.

    Args:
        kind: `standardization`: mean and standard deviation; `robust_scaling`: median and distance of the quartiles;
            `minmax`: least and range.
        training_images: (images, height, width, channels), 0..255, of the training part alone; those that are bytes may
            be given some at a time.

    Returns:
        The scaling; None for `none`, which leaves 0..255 as it is. A channel without any spread is not scaled.
    """
    if kind is Preprocessing.NONE:
        return None
    if not isinstance(training_images, np.ndarray) or training_images.dtype == np.uint8:
        fitted = [_fit_counted(kind, counts) for counts in _level_counts(training_images)]
    else:
        fitted = [_fit(kind, training_images[..., at].astype(np.float64)) for at in range(training_images.shape[-1])]
    shift, scale = zip(*fitted, strict=True)
    return Scaling(shift, tuple(one if one > 0 else 1.0 for one in scale))


def _fit(kind: Preprocessing, channel: Array) -> tuple[float, float]:
    """Shift and scale of a channel, float64."""
    if kind is Preprocessing.STANDARDIZATION:
        return float(channel.mean()), float(channel.std())
    low, middle, high = np.quantile(channel, _SHARES[kind])
    return float(middle), float(high - low)


def _fit_counted(kind: Preprocessing, counts: Array) -> tuple[float, float]:
    """Fit shift and scale of a channel from the count of each level."""
    if kind is Preprocessing.STANDARDIZATION:
        levels, pixels = np.arange(_LEVELS), counts.sum()
        mean = levels @ counts / pixels
        return float(mean), float(np.sqrt((levels - mean) ** 2 @ counts / pixels))
    low, middle, high = (_counted_quantile(counts, share) for share in _SHARES[kind])
    return middle, high - low


def _level_counts(images: Array | Iterable[Array]) -> Array:
    """How often each level occurs in each channel: (images, height, width, channels) uint8 -> (channels, 256) int64.

    Levels are counted two at a time, as one number of 16 bits, which takes half as long.
    """
    parts = _parts(images) if isinstance(images, np.ndarray) else (part for some in images for part in _parts(some))
    pairs: Array = np.zeros((0, _LEVELS**2), np.int64)
    for part in parts:
        channels = part.shape[-1]
        if not len(pairs):
            pairs, single = np.zeros((channels, _LEVELS**2), np.int64), np.zeros((channels, _LEVELS), np.int64)
        for at in range(channels):
            levels = part[..., at].ravel()
            even = len(levels) // 2 * 2
            pairs[at] += np.bincount(levels[:even].view(np.uint16), minlength=_LEVELS**2)
            single[at] += np.bincount(levels[even:], minlength=_LEVELS)
    both = pairs.reshape(-1, _LEVELS, _LEVELS)
    return np.asarray(both.sum(axis=1) + both.sum(axis=2) + single)


def _parts(images: Array) -> Iterator[Array]:
    return (images[start : start + _COUNTED_AT_ONCE] for start in range(0, len(images), _COUNTED_AT_ONCE))


def _counted_quantile(counts: Array, share: float) -> float:
    """Compute a quantile from counts, interpolated linearly."""
    ends = np.cumsum(counts)
    place = share * (ends[-1] - 1)
    low, high = np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")
    return float(low + (high - low) * (place - np.floor(place)))
