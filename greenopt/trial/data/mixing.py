"""MixUp and CutMix of keras_cv, with labels that are the shares of the pixels at any alpha.

Invariant: of images (n, height, width, channels) with labels (n, classes), the share of a label is the share of the
pixels that come from images with it: counted in CutMix, the weight of both in MixUp.
"""

from collections.abc import Sequence
from typing import Any

import keras_cv
import tensorflow as tf


class MixUp(keras_cv.layers.MixUp):  # type: ignore[misc]
    """keras_cv's MixUp, whose shares have the distribution that is asked for at a small alpha too."""

    def _sample_from_beta(self, alpha: float, beta: float, shape: Sequence[Any]) -> tf.Tensor:
        return beta_shares(shape, alpha, beta)


class CutMix(keras_cv.layers.CutMix):  # type: ignore[misc]
    """keras_cv's CutMix, with labels by the pixels that were pasted.

    keras_cv clips its rectangle at the image's edge but weighs the label by the whole rectangle: at an alpha of 1 it
    pastes 31 % of the pixels and 48 % of the label. The definition (arXiv:1905.04899) weighs by the clipped one.
    """

    def _sample_from_beta(self, alpha: float, beta: float, shape: Sequence[Any]) -> tf.Tensor:
        return beta_shares(shape, alpha, beta)

    def _cutmix(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return what keras_cv gives, with the share of each image's own pixels, (n,), in the second place."""
        mixed, _, order, center_y, center_x, cut_width, cut_height = super()._cutmix(images)
        rows = _covered(center_y, cut_height, images.shape[1])
        columns = _covered(center_x, cut_width, images.shape[2])
        own = 1 - rows * columns / (images.shape[1] * images.shape[2])
        return mixed, own, order, center_y, center_x, cut_width, cut_height


def beta_shares(shape: Sequence[Any], alpha: float, beta: float) -> tf.Tensor:
    """Draw shares from the beta distribution, by TensorFlow's global seed.

    From the logarithms of two gamma variables: at a small alpha both are often below the least float32, for which
    TensorFlow takes them, and keras_cv's shares are 1/2 then (of an alpha of 0.01, 18 % are). G(a) has the distribution
    of G(a + 1) * U^(1/a).

    Args:
        shape: of the result.
        alpha: of the distribution, above 0.
        beta: likewise.

    Returns:
        Shares 0..1, float32.
    """

    def logarithm(a: float) -> tf.Tensor:
        uniform = tf.random.uniform(shape, minval=1e-7)
        return tf.math.log(tf.random.gamma(shape, alpha=a + 1)) + tf.math.log(uniform) / a

    return tf.sigmoid(logarithm(alpha) - logarithm(beta))


def _covered(center: tf.Tensor, length: tf.Tensor, side: int) -> tf.Tensor:
    """How many of the places 0 to side - 1 lie inside of stretches, as keras_cv fills them: (n,) int32 -> float32."""
    places = tf.range(side, dtype=tf.float32)
    low = tf.cast(center, tf.float32) - tf.cast(length, tf.float32) / 2
    high = low + tf.cast(length, tf.float32)
    inside = (places >= low[:, None]) & (places < high[:, None])
    return tf.reduce_sum(tf.cast(inside, tf.float32), axis=1)
