"""The limits of all quantized inputs in one variable, read once a step and moved together.

Invariant: limits become what each layer by itself would make of them, to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from greenopt.trial.model.quantization_aware import Grid, InputRange, moved_limits


class FlatLimits:
    """Limits of `InputRange` layers, each called once a step; a `LimitsCollector` while they are collected."""

    def __init__(self, layers: Sequence[InputRange]) -> None:
        """Create the flat variable: the low limits, then the high ones."""
        self._layers = layers
        self._places = {id(layer): place for place, layer in enumerate(layers)}
        self.flat = tf.Variable(tf.zeros((2, len(layers))), trainable=False, name="flat_limits")
        self._grids: list[Grid] = []
        self._found: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}

    def load(self) -> None:
        """Copy the layers' limits into the flat variable."""
        self.flat.assign([[layer.low.value for layer in self._layers], [layer.high.value for layer in self._layers]])

    def store(self) -> None:
        """Copy the flat variable's limits into the layers'."""
        lows, highs = tf.unstack(self.flat.read_value())
        for layer, low, high in zip(self._layers, tf.unstack(lows), tf.unstack(highs), strict=True):
            layer.low.assign(low)
            layer.high.assign(high)

    def set_first(self, forward: Callable[[], Sequence[tf.Tensor]], steps: tf.Tensor) -> None:
        """Take the first batch's own limits where there are none yet and a step is to follow.

        Args:
            forward: runs the model on the first batch, each layer with limits of its own, and returns all low limits,
                then all high ones, after it.
            steps: how many follow.
        """
        limits = self.flat.read_value()
        unknown = tf.logical_and(steps > 0, limits[0, 0] >= limits[1, 0])
        count = len(self._layers)
        self.flat.assign(tf.cond(unknown, lambda: tf.reshape(tf.stack(forward()), (2, count)), lambda: limits))

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Within a context, let layers round by the flat limits; move these at its end."""
        limits = self.flat.read_value()
        low, high = limits[0], limits[1]
        numbers = tf.split(tf.concat(Grid.from_limits(low, high), axis=0), len(Grid._fields) * len(self._layers))
        count = len(self._layers)
        self._grids = [Grid(*numbers[place::count]) for place in range(count)]
        self._found = {}
        for layer in self._layers:
            layer.collector = self
        try:
            yield
        finally:
            for layer in self._layers:
                layer.collector = None
        found = [self._found.get(id(layer)) for layer in self._layers]
        lows, highs = (
            tf.stack([limits[side, place] if one is None else one[side] for place, one in enumerate(found)])
            for side in (0, 1)
        )
        self.flat.assign(tf.stack(moved_limits((low, high), (lows, highs))[1]))

    def grid(self, layer: InputRange) -> Grid:
        """Return the grid by a layer's limits before this batch."""
        return self._grids[self._places[id(layer)]]

    def collect(self, layer: InputRange, low: tf.Tensor, high: tf.Tensor) -> None:
        """Take the smallest and the largest value of a layer's input in this batch."""
        self._found[id(layer)] = low, high
