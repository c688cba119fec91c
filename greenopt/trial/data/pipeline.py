"""The input pipeline: images are gathered, augmented, scaled and cast, on the device and outside XLA."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from greenopt.trial.data.augmentation import as_function
from greenopt.trial.data.data_source import Block, build_data_source
from greenopt.trial.data.images import Array, Ids, Images
from greenopt.trial.data.scaling import Scaling
from greenopt.trial.model.precision import dtype_policy


@dataclass(frozen=True, eq=False)
class ImagePreprocessing:
    """Preprocessing applied to training images.

    Attributes:
        scaling: None leaves them at 0..255.
        image_dtype: type that they are cast to after scaling.
        model_dtype: type that they are cast to after that.
        augmentation: a layer; None leaves training images as they are.
    """

    scaling: Scaling | None
    image_dtype: str
    model_dtype: str
    augmentation: keras.layers.Layer | None


class BlockShape(NamedTuple):
    """Steps in a block, and images a step."""

    steps: int
    batch: int


class InputPipeline:
    """The images of a study in blocks for training and for evaluation."""

    def __init__(
        self,
        images: Images,
        preprocessing: ImagePreprocessing,
        training: BlockShape,
        evaluation: BlockShape,
        device_bytes: int,
    ) -> None:
        """Build the data source and the preprocessing functions.

        Args:
            images: all images.
            preprocessing: scaling, dtypes and augmentation.
            training: shape of a block for training.
            evaluation: shape of one for evaluation.
            device_bytes: images are kept on the device up to this size.
        """
        self._preprocessing, self._training, self._evaluation = preprocessing, training, evaluation
        self._classes, self._labels = images.classes, images.y
        self._data_source = build_data_source(images, device_bytes)
        self._augment = as_function(preprocessing.augmentation) if preprocessing.augmentation is not None else None
        # jit_compile is explicit: TensorFlow's default is on for a GPU and off for a CPU.
        self._plain = tf.function(self._prepare, autograph=False, jit_compile=False)
        self._augmented = tf.function(self._prepare_augmented, autograph=False, jit_compile=False)

    @property
    def place(self) -> str:
        """Where images are fed from: `device`, `host` or `disk`."""
        return self._data_source.place

    @property
    def scaling(self) -> Scaling | None:
        """The scaling of images; None where they stay as they are."""
        return self._preprocessing.scaling

    def training(self, ids: Ids) -> Iterator[Block]:
        """Yield augmented images and one-hot labels, each (steps, batch, ...); the last block is padded."""
        size = math.prod(self._training)
        parts = (np.resize(ids[start : start + size], size) for start in range(0, len(ids), size))
        for block in self._data_source.blocks(parts):
            # Augmentation of Keras and keras_cv fails under another policy when its first call traces it.
            with dtype_policy("float32"):
                x, y = self._augmented(*block)
            yield x, y

    def evaluation(self, ids: Ids) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Yield images, labels and a mask without padding, each (steps, batch, ...); ids are repeated as padding."""
        size = math.prod(self._evaluation)
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            (block,) = self._data_source.blocks([np.resize(part, size)])
            x, y = self._plain(*block)
            yield x, y, tf.constant((np.arange(size) < len(part)).reshape(self._evaluation), tf.float32)

    def prepared(self, ids: Ids) -> Array:
        """Return unaugmented model inputs: (images, height, width, channels) float32."""
        (x, _), *_ = self._data_source.blocks([ids])
        return np.asarray(tf.cast(self._scaled(x), tf.float32))

    def batches(self, ids: Ids, size: int) -> Iterator[tuple[Array, Array]]:
        """Yield unaugmented model inputs with labels, as arrays, in batches of at most `size`."""
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            yield self.prepared(part), self._labels[part]

    def _prepare(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Convert stored images and labels of an evaluation block to model inputs and one-hot labels."""
        return self._blocked(x, tf.one_hot(y, self._classes), self._evaluation)

    def _prepare_augmented(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Convert stored images and labels of a training block to augmented model inputs and one-hot labels."""
        y = tf.one_hot(y, self._classes)
        if self._augment is not None:
            x, y = self._augment(tf.cast(x, tf.float32), y)
        return self._blocked(x, y, self._training)

    def _blocked(self, x: tf.Tensor, y: tf.Tensor, shape: BlockShape) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale images and split (steps * batch, height, width, channels) into (steps, batch, ...); labels likewise."""
        return tf.reshape(self._scaled(x), [*shape, *x.shape[1:]]), tf.reshape(y, [*shape, self._classes])

    def _scaled(self, x: tf.Tensor) -> tf.Tensor:
        """Scale images and cast them to the setting's dtype, then to the model's."""
        x = tf.cast(x, tf.float32)
        if (scaling := self._preprocessing.scaling) is not None:
            x = tf.reverse(x, [-1]) if scaling.is_bgr else x
            x = (x - tf.constant(scaling.shift, tf.float32)) / tf.constant(scaling.scale, tf.float32)
        return tf.cast(tf.cast(x, self._preprocessing.image_dtype), self._preprocessing.model_dtype)
