"""Biases that BatchNormalization makes void: it takes the mean off, and with it what was added to all images alike.

In training such a bias changes no output, and its gradient is 0 but for rounding, so it need not be added, nor its
gradient be summed over all images. The moving mean, by which an image is normalised after training, has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import keras


class VoidBias(NamedTuple):
    """A convolution with a bias, and the BatchNormalization that alone gets what it computes."""

    convolution: keras.layers.Layer
    batchnorm: keras.layers.BatchNormalization


def void_biases(
    model: keras.Model, layers: Iterable[keras.layers.Layer], fused: Sequence[keras.layers.Layer]
) -> list[VoidBias]:
    """Find them among a model's layers.

    Args:
        model: functional or sequential; others have none that can be found.
        layers: all of its layers.
        fused: BatchNormalization layers that train by the batch's mean.
    """
    layers = list(layers)
    models = [model, *(layer for layer in layers if isinstance(layer, keras.Model))]
    outputs = {id(one) for each in models for one in getattr(each, "outputs", ())}
    wanted = {id(layer) for layer in fused}
    found = []
    for layer in layers:
        if not (isinstance(layer, keras.layers.Conv2D) and layer.use_bias and layer.trainable):
            continue
        if len(layer._inbound_nodes) != 1 or len(layer._outbound_nodes) != 1 or id(layer.output) in outputs:
            continue
        follower = layer._outbound_nodes[0].operation
        shared = len(getattr(follower, "_inbound_nodes", ())) != 1
        if id(follower) in wanted and not shared and layer.activation is keras.activations.linear:
            found.append(VoidBias(layer, follower))
    return found


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
