"""The kernels of all quantized layers rounded together, as parts of a model's flat weights.

Invariant: kernels become what `rounded` makes of each, and gradients pass straight through.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from greenopt.trial.model.flat_variables import ROW, FlatVariables
from greenopt.trial.model.quantization_aware import largest_weight, weight_unit


class FlatRounding:
    """Rounds the kernels that fill whole rows of the flat weights; layers with others round their own.

    Attributes:
        layers: whose kernels are rounded here.
    """

    def __init__(self, layers: Iterable[Any], weights: FlatVariables, half: Sequence[int]) -> None:
        """Find the kernels.

        Args:
            layers: quantized ones.
            weights: the flat weights of float32 variables.
            half: ids of variables that are cast to float16 before they are rounded.
        """
        axes = {id(layer.kernel): layer.kernel_axis for layer in layers}
        self._weights = weights
        self._axes = [axes.get(id(one), False) for one in weights.used[: weights.whole_rows]]
        self._half = set(half)
        places = {id(one) for one in weights.used[: weights.whole_rows]}
        self.layers = [layer for layer in layers if id(layer.kernel) in places]

    @contextmanager
    def in_place_of_layers(self) -> Iterator[None]:
        """Let layers take their kernels for rounded within a context."""
        for layer in self.layers:
            layer.rounds_kernel = False
        try:
            yield
        finally:
            for layer in self.layers:
                layer.rounds_kernel = True

    def __call__(self, flat: tf.Tensor) -> tf.Tensor:
        """Round the flat weights' kernels; gradients are those with respect to the result."""
        flat = self._weights.cast_and_back(flat, self._half)
        shapes = [one.shape for one in self._weights.used]
        parts = self._weights.parts(tf.abs(flat))[0][: self._weights.whole_rows]
        quantized = [place for place, axis in enumerate(self._axes) if axis is not False]
        limits = [tf.reshape(largest_weight(parts[place], self._axes[place]), [-1]) for place in quantized]
        units = tf.split(weight_unit(tf.concat(limits, axis=0)), [limit.shape[0] for limit in limits])
        of_place = dict(zip(quantized, units, strict=True))
        rows = [tf.reshape(tf.broadcast_to(of_place[place], shapes[place]), (-1, ROW)) for place in quantized]
        # Between the kernels lie rows that stay as they are.
        sizes = self._weights.rows_of_parts
        order = [*range(self._weights.whole_rows)]
        if quantized == order:
            head, tail = tf.split(flat, [sum(sizes), flat.shape[0] - sum(sizes)])
            unit = tf.concat(rows, axis=0)
            return tf.concat([tf.round(head / unit) * unit, tail], axis=0)
        found, taken = [], iter(rows)
        for place, part in enumerate(tf.split(flat, [*sizes, flat.shape[0] - sum(sizes)])):
            unit = next(taken) if place in of_place else None
            found.append(part if unit is None else tf.round(part / unit) * unit)
        return tf.concat(found, axis=0)
