"""Scaling of images, fitted on the training part alone.

All four kinds are one step, (x - shift) / scale for each channel; they differ in what is fitted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greenopt.spec import Preprocessing

Array = npt.NDArray[Any]
_FIT_AT_ONCE = 8192


@dataclass(frozen=True)
class Scaling:
    """(x - shift) / scale; one number a channel, fitted in float64."""

    shift: tuple[float, ...]
    scale: tuple[float, ...]


def fit_scaling(kind: Preprocessing, training_images: Array) -> Scaling | None:
    """Fit a scaling.

    Args:
        kind: `standardization`: mean and standard deviation; `robust_scaling`: median and distance of the quartiles;
            `minmax`: least and range.
        training_images: (images, height, width, channels), 0..255, of the training part alone.

    Returns:
        The scaling; None for `none`, which leaves 0..255 as it is. A channel without any spread is not scaled.
    """
    match kind:
        case Preprocessing.NONE:
            return None
        case Preprocessing.STANDARDIZATION:
            shift, scale = _mean_and_deviation(training_images)
        case Preprocessing.ROBUST_SCALING:
            low, shift, high = (_quantiles(training_images, share) for share in (0.25, 0.5, 0.75))
            scale = high - low
        case Preprocessing.MINMAX:
            shift = training_images.min(axis=(0, 1, 2)).astype(np.float64)
            scale = training_images.max(axis=(0, 1, 2)) - shift
    return Scaling(tuple(shift.tolist()), tuple(np.where(scale > 0, scale, 1.0).tolist()))


def _mean_and_deviation(images: Array) -> tuple[Array, Array]:
    pixels = images[..., 0].size
    parts = [images[start : start + _FIT_AT_ONCE] for start in range(0, len(images), _FIT_AT_ONCE)]
    mean = np.sum([_total(part) for part in parts], axis=0) / pixels
    variance = np.sum([_total((part - mean) ** 2) for part in parts], axis=0) / pixels
    return mean, np.sqrt(variance)


def _total(images: Array) -> Array:
    return np.asarray(images.sum(axis=(0, 1, 2), dtype=np.float64))


def _quantiles(images: Array, share: float) -> Array:
    """A quantile of each channel, interpolated linearly; whole numbers are counted instead of sorted."""
    channels = [images[..., channel].ravel() for channel in range(images.shape[-1])]
    if images.dtype != np.uint8:
        return np.array([np.quantile(channel.astype(np.float64), share) for channel in channels])
    return np.array([_counted_quantile(np.bincount(channel, minlength=256), share) for channel in channels])


def _counted_quantile(counts: Array, share: float) -> float:
    ends = np.cumsum(counts)
    place = share * (ends[-1] - 1)
    low, high = np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")
    return float(low + (high - low) * (place - np.floor(place)))
