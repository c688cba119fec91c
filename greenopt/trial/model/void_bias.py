"""Biases that BatchNormalization makes void: it takes the mean off, and with it what was added to all images alike.

In training such a bias changes no output, and its gradient is 0 but for rounding, so it need not be added, nor its
gradient be summed over all images. The moving mean, by which an image is normalised after training, has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import keras

from greenopt.trial.model.quantization_aware import QuantizedConv2D

_CONVOLUTIONS = (keras.layers.Conv2D, QuantizedConv2D)


class VoidBias(NamedTuple):
    """A convolution with a bias, and the BatchNormalization that alone gets what it computes."""

    convolution: keras.layers.Layer
    batchnorm: keras.layers.BatchNormalization


def void_biases(
    model: keras.Model, layers: Iterable[keras.layers.Layer], fused: Sequence[keras.layers.Layer]
) -> list[VoidBias]:
    """Find them among a model's layers.

    Args:
        model: functional or sequential, and so are all models in it; others have none that can be found.
        layers: all of its layers.
        fused: BatchNormalization layers that train by the batch's mean.
    """
    layers = list(layers)
    models = [model, *(layer for layer in layers if isinstance(layer, keras.Model))]
    # A class of the user's own may call its layers in other ways than they are connected.
    if not all(type(each).__module__.startswith("keras.") and hasattr(each, "outputs") for each in models):
        return []
    outputs = {id(one) for each in models for one in each.outputs}
    wanted = {id(layer) for layer in fused}
    found = []
    for layer in layers:
        if not _is_plain(layer) or id(layer.output) in outputs:
            continue
        node = layer._outbound_nodes[0]
        shared = len(getattr(node.operation, "_inbound_nodes", ())) != 1
        # `training=False` in the call has a layer normalise as after training.
        told = node.arguments.kwargs.get("training") is not None or len(node.arguments.args) > 1
        if id(node.operation) in wanted and not shared and not told:
            found.append(VoidBias(layer, node.operation))
    return found


def _is_plain(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is a convolution with a bias that is trained, by its one output alone, for one layer."""
    return (
        type(layer) in _CONVOLUTIONS
        and layer.use_bias
        and layer.trainable
        and layer.activation is keras.activations.linear
        and layer.bias_regularizer is None
        and layer.activity_regularizer is None
        and len(layer._inbound_nodes) == len(layer._outbound_nodes) == 1
    )


@contextmanager
def without_biases(convolutions: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """Let convolutions add no bias while a step is traced."""
    convolutions = list(convolutions)
    for layer in convolutions:
        layer.use_bias = False
    try:
        yield
    finally:
        for layer in convolutions:
            layer.use_bias = True
