"""Models of `keras.applications`: as they are with random weights, or their features with an output layer of their own.

Invariant: with weights, images pass the same arithmetic on their way to the first layer as Keras's `preprocess_input`
and the model's own preprocessing layers give them.
"""

import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from greenopt.plain_text import in_one_line
from greenopt.spec import MODEL_NAMES, TrainingSpec
from greenopt.trial.data.scaling import Scaling
from greenopt.trial.failures import DataMissingError, WrongSettingError

Builder: TypeAlias = Callable[..., keras.Model]
Shape: TypeAlias = tuple[int, int, int]

IMAGENET = "imagenet"
_EFFICIENTNET = "keras.src.applications.efficientnet"


class Application(NamedTuple):
    """A model, and the part of it that computes the features; None where it was built as a whole."""

    model: keras.Model
    features: keras.Model | None


def build_application(training: TrainingSpec, shape: Shape, classes: int, *, load: bool = True) -> Application:
    """Build a model of `keras.applications`.

    With weights or dropout it is the features, their mean over the image, dropout where the study has it, and one
    softmax layer.

    Args:
        training: the model's name, weights and dropout.
        shape: (height, width, channels) of an image.
        classes: number of classes.
        load: whether `weights = "imagenet"` are loaded; otherwise they are random.

    Raises:
        WrongSettingError: it does not fit the images.
        DataMissingError: its weights cannot be downloaded.
    """
    name = training.model
    try:
        if training.weights is None and training.dropout is None:
            return Application(_built(name, shape, weights=None, classes=classes), None)
        features = _features(training, shape, load=load)
    except ValueError as error:
        raise WrongSettingError(f"training.model: {name} with images of {shape[0]}x{shape[1]}: {error}") from error
    outputs = features.output
    if training.dropout:
        outputs = keras.layers.Dropout(training.dropout, name="features_dropout")(outputs)
    outputs = keras.layers.Dense(classes, activation="softmax", name="predictions")(outputs)
    return Application(keras.Model(features.input, outputs, name=name.lower()), features)


def rescales_itself(name: str) -> bool:
    """Return whether a `keras.applications` model has a preprocessing layer that can be left out."""
    return name in MODEL_NAMES and "include_preprocessing" in inspect.signature(_builder(name)).parameters


def takes_imagenet_scaling(training: TrainingSpec) -> bool:
    """Return whether images are scaled for a model's ImageNet weights, in place of `preprocessing`."""
    return training.weights is not None and training.imagenet_scaling and training.model in MODEL_NAMES


def imagenet_scaling(name: str) -> Scaling | None:
    """Return how Keras scales images for the ImageNet weights of a model; None where the model does it itself.

    Found from Keras's own `preprocess_input` of that model, which is an affine function of each channel and may change
    the order of the channels.
    """
    module: Any = sys.modules[_builder(name).__module__]
    probes = np.zeros((4, 1, 1, 3), np.float32)
    probes[1:, 0, 0] = 255 * np.eye(3, dtype=np.float32)
    found = np.asarray(module.preprocess_input(probes.copy()), np.float64)[:, 0, 0]
    offset, gain = found[0], (found[1:] - found[0]) / 255
    order = np.abs(gain).argmax(axis=0)
    factors = gain[order, range(3)]
    if not np.allclose(np.abs(gain).sum(axis=0), np.abs(factors)):
        raise NotImplementedError(f"preprocess_input of {name} mixes channels")
    is_reversed = order.tolist() == [2, 1, 0]
    if np.allclose(factors, 1) and np.allclose(offset, 0) and not is_reversed:
        return None
    shift, scale = -offset / factors, 1 / factors
    return Scaling(tuple(map(float, shift)), tuple(map(float, scale)), is_bgr=is_reversed)


def _features(training: TrainingSpec, shape: Shape, *, load: bool) -> keras.Model:
    """Return a model without its output layers: (batch, height, width, channels) -> (batch, features)."""
    name = training.model
    weights = IMAGENET if load and training.weights == IMAGENET else None
    scales = takes_imagenet_scaling(training)
    try:
        model = _built(name, shape, scales, weights=weights, include_top=False, pooling="avg")
    except Exception as error:
        if weights is None or isinstance(error, ValueError):
            raise
        raise DataMissingError(
            f"training.weights: the ImageNet weights of {name} cannot be had: {in_one_line(str(error))}; put the file "
            "into ~/.keras/models, or set training.weights to its path"
        ) from None
    is_first_efficientnet = _builder(name).__module__ == _EFFICIENTNET
    return _with_second_rescaling(model) if scales and weights is None and is_first_efficientnet else model


def _built(name: str, shape: Shape, is_scaled_inside: bool = False, **how: Any) -> keras.Model:
    extra = {"include_preprocessing": is_scaled_inside} if rescales_itself(name) else {}
    return _builder(name)(input_shape=shape, **how, **extra)


def _with_second_rescaling(model: keras.Model) -> keras.Model:
    """Return a copy of an EfficientNet with the layer that Keras adds for ImageNet weights, and only for these.

    Their first layers divide by the variance in place of the standard deviation; Keras takes that back by a further
    layer (https://github.com/tensorflow/tensorflow/issues/49930), which a file of these weights needs as well.
    """
    stddev: list[float] = sys.modules[_EFFICIENTNET].IMAGENET_STDDEV_RGB

    def call(layer: keras.layers.Layer, *inputs: Any, **how: Any) -> Any:
        outputs = layer(*inputs, **how)
        if isinstance(layer, keras.layers.Normalization):
            outputs = keras.layers.Rescaling([1 / value**0.5 for value in stddev])(outputs)
        return outputs

    return keras.models.clone_model(model, call_function=call, clone_function=_cloned)


def _cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config(layer.get_config())


def _builder(name: str) -> Builder:
    build: Builder = getattr(keras.applications, name)
    return build
