"""Builds the model of a trial: one of `keras.applications` or a custom model, under a global policy.

Invariants: it ends in a softmax over the classes, computed in float32 where the policy is mixed; layers that are not
trained keep their weights, and their BatchNormalization its moving statistics.
"""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from greenopt.spec import MODEL_NAMES, TrainingSpec, Value
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.applications import IMAGENET, Application, Shape, build_application
from greenopt.trial.model.precision import dtype_policy
from greenopt.trial.model.weights_file import load_weights
from greenopt.trial.reference import resolve_function

_SUM_TOLERANCE = 0.02


class ModelShape(NamedTuple):
    """What a model is built for.

    Attributes:
        images: (height, width, channels) of an image.
        classes: number of classes.
        parameters: further values of a trial's setting, by name, for a function of the user's own.
    """

    images: Shape
    classes: int
    parameters: Mapping[str, Value] = {}


class BuiltModel(NamedTuple):
    """A model, and what the study's weights were loaded into: `all` or `features`; None where nothing was loaded."""

    model: keras.Model
    weights_loaded: str | None


def build_model(training: TrainingSpec, policy: str, wanted: ModelShape, *, load: bool = True) -> BuiltModel:
    """Build and initialise a model; the same seed of Keras before it gives the same weights.

    Args:
        training: the model's name or reference, its weights, which layers are trained, its dropout, and the momentum of
            its BatchNormalization layers.
        policy: Keras's name of the policy to build it under.
        wanted: what it is built for.
        load: whether the study's weights are loaded; otherwise all are random.

    Returns:
        A model (batch, height, width, channels) -> (batch, classes).

    Raises:
        WrongSettingError: there is no such model, or it does not fit the images or the weights.
        DataMissingError: the weights are not there.
    """
    with dtype_policy(policy):
        if training.model in MODEL_NAMES:
            model, features = build_application(training, wanted.images, wanted.classes, load=load)
        else:
            model, features = Application(_referenced(training.model, wanted), None)
    loaded = None
    if load and training.weights == IMAGENET:
        loaded = "features"
    elif load and training.weights is not None:
        loaded = load_weights(model, features, Path(training.weights).expanduser())
    _freeze(model, training)
    if policy.startswith("mixed"):
        last_layer(model).dtype_policy = keras.dtype_policies.DTypePolicy("float32")
    if training.batchnorm_momentum is not None:
        for layer in batchnorm_layers(model):
            layer.momentum = training.batchnorm_momentum
    return BuiltModel(model, loaded)


def weighted_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers that have weights, in the order of their computation, those of nested models too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from weighted_layers(layer)
        elif layer.weights:
            yield layer


def _freeze(model: keras.Model, training: TrainingSpec) -> None:
    """Keep all but the last layers from being trained, as the study says."""
    if training.trainable == "all":
        return
    layers = list(weighted_layers(model))
    trained = 1 if training.trainable == "head" else training.trainable
    if trained > len(layers):
        raise WrongSettingError(
            f"training.trainable: {trained}: {training.model} has {len(layers)} layers with weights; give at most so "
            'many, or "all"'
        )
    for layer in layers[:-trained]:
        layer.trainable = False


def last_layer(model: keras.Model) -> keras.layers.Layer:
    """Return the layer that computes the output, also inside nested models."""
    last = model.layers[-1]
    return last_layer(last) if isinstance(last, keras.Model) else last


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those inside of nested models and of composed layers too."""
    # Keras has no public walk that enters composed layers.
    return list(model._flatten_layers())


def batchnorm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All BatchNormalization layers, wherever they are."""
    return [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]


def weights_are_finite(model: keras.Model) -> bool:
    """Return whether no weight is infinite or NaN."""
    return are_finite([weight.value for weight in model.weights])


def are_finite(variables: Sequence[tf.Variable]) -> bool:
    """Return whether no value of variables is infinite or NaN; integers never are."""
    floating = [variable for variable in variables if variable.dtype.is_floating]
    by_type: dict[str, list[tf.Tensor]] = {}
    for variable in floating:
        by_type.setdefault(variable.dtype.name, []).append(tf.nn.l2_loss(variable))
    # Sums of squares are quick to take, and finite where all values are, unless these are very large.
    if all(math.isfinite(float(tf.add_n(sums))) for sums in by_type.values()):
        return True
    return all(bool(tf.reduce_all(tf.math.is_finite(variable))) for variable in floating)


def _referenced(reference: str, wanted: ModelShape) -> keras.Model:
    """Call the user's function: `build(input_shape, classes, **parameters)`."""
    build: Any = resolve_function(reference, "training.model")
    parameters = dict(wanted.parameters)
    try:
        inspect.signature(build).bind(wanted.images, wanted.classes, **parameters)
    except TypeError as error:
        call = "".join(f", {name}" for name in parameters)
        raise WrongSettingError(
            f"training.model: {reference} is called as function(input_shape, classes{call}): {error}"
        ) from None
    model = build(wanted.images, wanted.classes, **parameters)
    if not isinstance(model, keras.Model):
        raise WrongSettingError(f"training.model: {reference} returned a {type(model).__name__}, not a keras.Model")
    _check_output(model, reference, wanted.images, wanted.classes)
    return model


def _check_output(model: keras.Model, reference: str, shape: Shape, classes: int) -> None:
    # An image of zeros alone would not tell: where nothing comes in, two sigmoids add up to 1 as well.
    images = np.stack([np.zeros(shape), np.random.default_rng(0).random(shape)]).astype(np.float32)
    try:
        returned = model(images, training=False)
        if not tf.is_tensor(returned):
            raise WrongSettingError(
                f"training.model: {reference} has {len(returned)} outputs; expected one, of class probabilities"
            )
        output = np.asarray(returned)
    except (ValueError, TypeError) as error:
        raise WrongSettingError(
            f"training.model: {reference} does not take images of shape {shape}: {error}"
        ) from error
    if output.shape != (2, classes):
        raise WrongSettingError(
            f"training.model: {reference} returns shape {output.shape[1:]}; expected ({classes},) class probabilities"
        )
    if np.abs(output.astype(np.float64).sum(axis=1) - 1).max() > _SUM_TOLERANCE or output.min() < 0:
        raise WrongSettingError(
            f"training.model: {reference} does not end in a softmax: its outputs do not add up to 1"
        )
