"""Builds the model of a trial: one of `keras.applications` or a custom model, under a global policy.

Invariant: it ends in a softmax over the classes, computed in float32 where the policy is mixed.
"""

import inspect
from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from greenopt.spec import MODEL_NAMES, TrainingSpec
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.precision import dtype_policy
from greenopt.trial.reference import resolve_function

Builder: TypeAlias = Callable[..., keras.Model]
Shape: TypeAlias = tuple[int, int, int]

_SUM_TOLERANCE = 0.02


def build_model(training: TrainingSpec, policy: str, shape: Shape, classes: int) -> keras.Model:
    """Build and initialise a model; the same seed of Keras before it gives the same weights.

    Args:
        training: the model's name or reference, and the momentum of its BatchNormalization layers.
        policy: Keras's name of the policy to build it under.
        shape: (height, width, channels) of an image.
        classes: number of classes.

    Returns:
        A model (batch, height, width, channels) -> (batch, classes).

    Raises:
        WrongSettingError: there is no such model, or it does not fit the images.
    """
    with dtype_policy(policy):
        if training.model in MODEL_NAMES:
            model = _application(training.model, shape, classes)
        else:
            model = _referenced(training.model, shape, classes)
    if policy.startswith("mixed"):
        last_layer(model).dtype_policy = keras.dtype_policies.DTypePolicy("float32")
    if training.batchnorm_momentum is not None:
        for layer in batchnorm_layers(model):
            layer.momentum = training.batchnorm_momentum
    return model


def rescales_itself(name: str) -> bool:
    """Return whether a `keras.applications` model contains a preprocessing layer, which is left out here."""
    return name in MODEL_NAMES and _takes_include_preprocessing(getattr(keras.applications, name))


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
    flat: dict[str, list[tf.Tensor]] = {}
    for weight in model.weights:
        if tf.as_dtype(weight.dtype).is_floating:
            flat.setdefault(weight.dtype, []).append(tf.reshape(weight.value, [-1]))
    try:
        for values in flat.values():
            tf.debugging.check_numerics(tf.concat(values, axis=0), "weights")
    except tf.errors.InvalidArgumentError:
        return False
    return True


def _application(name: str, shape: Shape, classes: int) -> keras.Model:
    build = getattr(keras.applications, name)
    extra = {"include_preprocessing": False} if _takes_include_preprocessing(build) else {}
    try:
        return build(weights=None, input_shape=shape, classes=classes, **extra)
    except ValueError as error:
        raise WrongSettingError(f"training.model: {name} with images of {shape[0]}x{shape[1]}: {error}") from error


def _takes_include_preprocessing(build: Builder) -> bool:
    return "include_preprocessing" in inspect.signature(build).parameters


def _referenced(reference: str, shape: Shape, classes: int) -> keras.Model:
    build = resolve_function(reference, "training.model")
    try:
        inspect.signature(build).bind(shape, classes)
    except TypeError as error:
        raise WrongSettingError(
            f"training.model: {reference} is called as function(input_shape, classes): {error}"
        ) from None
    model = build(shape, classes)
    if not isinstance(model, keras.Model):
        raise WrongSettingError(f"training.model: {reference} returned a {type(model).__name__}, not a keras.Model")
    _check_output(model, reference, shape, classes)
    return model


def _check_output(model: keras.Model, reference: str, shape: Shape, classes: int) -> None:
    try:
        output = np.asarray(model(np.zeros((2, *shape), np.float32), training=False).numpy())
    except (ValueError, TypeError) as error:
        raise WrongSettingError(
            f"training.model: {reference} does not take images of shape {shape}: {error}"
        ) from error
    if output.shape != (2, classes):
        raise WrongSettingError(
            f"training.model: {reference} returns shape {output.shape[1:]}; expected ({classes},) class probabilities"
        )
    if abs(float(output.astype(np.float64).sum(axis=1).mean()) - 1) > _SUM_TOLERANCE or output.min() < 0:
        raise WrongSettingError(
            f"training.model: {reference} does not end in a softmax: its outputs do not add up to 1"
        )
