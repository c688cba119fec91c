"""Which layers' inputs are never below 0, by the layers that compute them."""

from typing import Any

import keras

_POSITIVE = {keras.activations.relu, keras.activations.relu6, keras.activations.sigmoid, keras.activations.softmax}

_layers = keras.layers

_ACTIVATED = (_layers.Activation, _layers.Conv2D, _layers.Dense)

_KEEPING = (
    _layers.MaxPooling2D,
    _layers.AveragePooling2D,
    _layers.GlobalMaxPooling2D,
    _layers.GlobalAveragePooling2D,
    _layers.ZeroPadding2D,
    _layers.Flatten,
    _layers.Reshape,
    _layers.Dropout,
    _layers.Add,
    _layers.Multiply,
    _layers.Concatenate,
)
"""Layers whose output is not below 0 where no input is."""


def is_positive(layer: keras.layers.Layer, known: dict[int, bool] | None = None) -> bool:
    """Return whether no input of a layer is below 0 at any of its calls; False where that cannot be told.

    Args:
        layer: of a model.
        known: what is known already, by id of a layer; more is added to it.
    """
    known = {} if known is None else known
    if id(layer) not in known:
        # A layer that this is asked of meanwhile leads to itself.
        known[id(layer)] = False
        tensors = [tensor for node in layer._inbound_nodes for tensor in node.input_tensors]
        known[id(layer)] = bool(tensors) and all(
            _is_output_positive(one._keras_history.operation, known) for one in tensors
        )
    return known[id(layer)]


def _is_output_positive(layer: Any, known: dict[int, bool]) -> bool:
    if type(layer) is _layers.ReLU:
        return bool(layer.negative_slope == 0 and layer.threshold >= 0)
    if type(layer) in _KEEPING:
        return is_positive(layer, known)
    if isinstance(layer, _ACTIVATED) and type(layer).__module__.startswith(("keras.", "greenopt.")):
        return layer.activation in _POSITIVE
    return False
