"""Augmentation of a block of training images, on the device, outside XLA.

Invariants: images are (n, height, width, 3) float32 in 0..255 before and after, labels (n, classes) float32 with sum 1;
what is drawn is new at each call, for each image by itself, and the same again in a trial with the same seed.

No such layer of Keras or keras_cv compiles under XLA, which is why whole blocks are augmented before they are trained
on. The layers break under another policy than float32: they are built and called under it.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from greenopt.spec import Augmentation, TrainingSpec

Augment: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Equalization(keras.layers.Equalization):  # type: ignore[misc]
    """Keras's Equalization for each image by itself; Keras takes one histogram of all images of a call.

    It is faster too: Keras looks for the first level that occurs where it waits for the device.
    """

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        """(n, height, width, channels) in 0..255 -> the same, with every channel's levels spread evenly."""
        if not training:
            return images
        height, width, channels = images.shape[1:]
        by_channel = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width])
        levels = tf.cast(tf.clip_by_value(by_channel, 0, 255), tf.int32)
        histogram = tf.raw_ops.DenseBincount(input=levels, size=256, weights=tf.zeros(0), binary_output=False)
        below = tf.cumsum(histogram, axis=1)
        # That of the lowest level that occurs; nothing is below it.
        lowest = tf.reduce_min(tf.where(below > 0, below, float(height * width)), axis=1, keepdims=True)
        rest = height * width - lowest
        spread = tf.clip_by_value(tf.round((below - lowest) * 255 / tf.maximum(rest, 1)), 0, 255)
        equalized = tf.where(rest == 0, by_channel, tf.gather(spread, levels, batch_dims=1))
        return tf.transpose(tf.reshape(equalized, [-1, channels, height, width]), [0, 2, 3, 1])


class RandAugment(keras.layers.RandAugment):  # type: ignore[misc]
    """Keras's RandAugment with operations drawn for each image; Keras draws them once a call, for all images alike.

    It costs nothing: Keras computes all operations on all images anyway and then selects.
    """

    def __init__(self, **how: Any) -> None:
        """With Keras's arguments."""
        super().__init__(**how)
        self.equalization = Equalization(value_range=self.value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """Keras's draw, with (num_ops, images, 1, 1, 1) indices of operations."""
        drawn = super().get_random_transformation(data, training=training, seed=seed)
        if drawn is None:
            return None
        shape = (self.num_ops, keras.ops.shape(data)[0], 1, 1, 1)
        drawn["layer_idxes"] = keras.random.randint(shape, 0, len(self._AUGMENT_LAYERS), seed=self.generator)
        return drawn


def build_augmentation(kind: Augmentation, training: TrainingSpec, seed: int) -> keras.layers.Layer | None:
    """Build an augmentation layer, or None; call this under the float32 policy.

    MixUp and CutMix of keras_cv draw by TensorFlow's global seed, which has to be set before.
    """
    match kind:
        case Augmentation.NONE:
            return None
        case Augmentation.RANDOM:
            # Not keras_cv's: it maps image by image, 300 times slower on a GPU.
            return RandAugment(
                value_range=(0, 255), num_ops=training.random_layers, factor=training.random_magnitude, seed=seed
            )
        case Augmentation.MIXUP:
            from greenopt.trial.data.mixing import MixUp

            return MixUp(alpha=training.mixup_alpha)
        case Augmentation.CUTMIX:
            from greenopt.trial.data.mixing import CutMix

            return CutMix(alpha=training.cutmix_alpha)


def as_function(layer: keras.layers.Layer) -> Augment:
    """Call a layer on (images, labels); layers that know no labels leave them as they are."""
    if isinstance(layer, keras.layers.RandAugment):
        return lambda images, labels: (layer(images, training=True), labels)

    def mix(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mixed = layer({"images": images, "labels": labels}, training=True)
        return mixed["images"], mixed["labels"]

    return mix
