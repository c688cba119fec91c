"""Post-training quantization: the conversion of a trained model to int8, and its accuracy as it runs on the CPU."""

import os
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.trial.data.images import Ids
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.training.trainer import Confusion, Trainer

Array = npt.NDArray[Any]


def converted(model: keras.Model, calibration: Array) -> bytes:
    """Convert a float32 model to int8, weights and activations.

    Args:
        model: a trained model, built under the float32 policy.
        calibration: (images, height, width, channels) float32, preprocessed images of the training part.

    Returns:
        A TFLite model with float32 input and output.

    Raises:
        WrongSettingError: the model has operations that the converter cannot express in int8.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        return bytes(converter.convert())
    except Exception as error:
        if type(error).__name__ != "ConverterError":
            raise
        raise WrongSettingError(
            f"internal = post_quantization: this model cannot be converted to int8: {error}"
        ) from error


class Int8Model:
    """A converted model, run by LiteRT on all cores that this process may use."""

    def __init__(self, content: bytes, batch_size: int) -> None:
        """Load a converted model for batches of one size."""
        from ai_edge_litert.interpreter import Interpreter

        self._batch_size = batch_size
        self._interpreter = Interpreter(model_content=content, num_threads=len(os.sched_getaffinity(0)))
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._interpreter.resize_tensor_input(self._input["index"], [batch_size, *self._input["shape"][1:]])
        self._interpreter.allocate_tensors()

    def predict(self, images: Array) -> Array:
        """Probabilities (images, classes) of at most one batch of preprocessed float32 images."""
        batch = np.resize(images, (self._batch_size, *images.shape[1:]))
        self._interpreter.set_tensor(self._input["index"], batch)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[: len(images)]  # type: ignore[no-any-return]


def calibration_ids(train: Ids, count: int) -> Ids:
    """Return `count` ids, evenly spread over the training part."""
    return train[:: max(1, len(train) // count)][:count]


def int8_accuracy(model: Int8Model, trainer: Trainer, ids: Ids, batch_size: int) -> float:
    """Share of right answers of a converted model, 0..1."""
    batches = trainer.pipeline.batches(ids, batch_size)
    right = sum(int((model.predict(x).argmax(axis=1) == y).sum()) for x, y in batches)
    return right / len(ids)


def int8_confusion(model: Int8Model, trainer: Trainer, ids: Ids, batch_size: int, classes: int) -> Confusion:
    """Return how a converted model classifies images: (classes, classes), by class (row) and answer (column)."""
    counts = np.zeros((classes, classes), np.int64)
    for x, y in trainer.pipeline.batches(ids, batch_size):
        np.add.at(counts, (y, model.predict(x).argmax(axis=1)), 1)
    return counts
