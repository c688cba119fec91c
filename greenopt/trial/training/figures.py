"""Figures of a trained model as it would be used: what it answers, how large it is, what a prediction takes."""

import resource
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.spec import Metric
from greenopt.trial.journal import Figures, Journal
from greenopt.trial.training.int8_conversion import Int8Model
from greenopt.trial.training.predictions import energy_figures, latency_figures, measure
from greenopt.trial.training.setup import PreparedTrial

Array = npt.NDArray[Any]
Predict = Callable[[Array], Array]

TOP = 5
_OF_ANSWERS = (Metric.F1_MACRO, Metric.RECALL_MACRO, Metric.TOP5_ACCURACY)
_OF_PREDICTIONS = (Metric.LATENCY_MS, Metric.LATENCY_P95_MS, Metric.INFERENCE_MJ)


def model_figures(trial: PreparedTrial, journal: Journal, int8: bytes | None = None) -> Figures:
    """Return a model's size and memory, and those figures of its answers and predictions that the study optimises.

    Args:
        trial: trained.
        journal: by whose meters energy is read.
        int8: the converted model, where that is the one to be used.
    """
    model, wanted = trial.model, trial.spec.objectives
    values: dict[str, float] = {
        Metric.PARAMETERS: model.count_params(),
        Metric.SIZE_BYTES: len(int8) if int8 is not None else weight_bytes(model),
        Metric.PEAK_MEMORY_BYTES: peak_memory_bytes(),
    }
    if any(name in wanted for name in _OF_ANSWERS):
        size = trial.spec.training.evaluation_batch_size
        predict = Int8Model(int8, size).predict if int8 is not None else float_predictor(trial)
        batches = trial.trainer.pipeline.batches(trial.split.validation, size)
        values |= answer_figures(((predict(x), y) for x, y in batches), trial.images.classes)
    if not any(name in wanted for name in _OF_PREDICTIONS):
        return Figures(_plain(values))
    return _with_predictions(trial, journal, int8, values)


def _with_predictions(trial: PreparedTrial, journal: Journal, int8: bytes | None, values: dict[str, float]) -> Figures:
    size = trial.spec.training.inference_batch_size
    predict = Int8Model(int8, size).predict if int8 is not None else float_predictor(trial)
    images, _ = next(iter(trial.trainer.pipeline.batches(np.resize(trial.split.validation, size), size)))
    measured = measure(lambda: predict(images), journal)
    values |= latency_figures(measured)
    on_host = int8 is not None and trial.spec.gpu_uuid is not None
    energy = energy_figures(measured, size, trial.spec.energy.cpu_w_per_core, on_host=on_host)
    if isinstance(energy, str):
        return Figures(_plain(values), {str(Metric.INFERENCE_MJ): energy})
    return Figures(_plain(values | energy.values), inference_source=energy.source)


def answer_figures(answers: Iterable[tuple[Array, Array]], classes: int) -> dict[str, float]:
    """Return F1 and recall as means over classes, and the share of answers whose class is among the likeliest five.

    Args:
        answers: batches of probabilities (images, classes), and the right classes (images).
        classes: how many there are. One that no image has counts for neither mean; recall is of its images.
    """
    right, taken, having = (np.zeros(classes) for _ in range(3))
    images = among = 0
    for probabilities, labels in answers:
        first = probabilities.argmax(axis=1)
        likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
        among += int((likeliest == labels[:, np.newaxis]).any(axis=1).sum())
        images += len(labels)
        np.add.at(right, labels[first == labels], 1)
        np.add.at(taken, first, 1)
        np.add.at(having, labels, 1)
    known = having > 0
    f1 = 2 * right[known] / (taken[known] + having[known])
    recall = right[known] / having[known]
    return {
        Metric.F1_MACRO: float(f1.mean()),
        Metric.RECALL_MACRO: float(recall.mean()),
        Metric.TOP5_ACCURACY: among / images,
    }


def float_predictor(trial: PreparedTrial) -> Predict:
    """Return a function from preprocessed images to probabilities, compiled as the trial's setting says."""
    program = tf.function(
        lambda x: trial.model(x, training=False), autograph=False, jit_compile=bool(trial.model.jit_compile)
    )
    dtype = trial.model.compute_dtype

    def predict(images: Array) -> Array:
        answers: Array = program(tf.cast(images, dtype)).numpy()
        return answers

    return predict


def weight_bytes(model: keras.Model) -> int:
    """Return how many bytes the weights of a model take."""
    return sum(int(np.prod(weight.shape)) * tf.as_dtype(weight.dtype).size for weight in model.weights)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held: of its GPU, else of the main memory."""
    if tf.config.list_logical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _plain(values: dict[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}
