"""The limits of all quantized inputs in one variable, read once a step and moved together.

Invariant: limits become what each layer by itself would make of them, to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

from greenopt.trial.model.quantization_aware import Grid, InputRange, Limits, moved_limits, rounded_to


class FlatLimits:
    """Limits of `InputRange` layers, each called once a step; a `LimitsCollector` while they are collected."""

    def __init__(self, layers: Sequence[InputRange]) -> None:
        """Create the flat variable: the low limits, then the high ones."""
        self._layers = layers
        self._places = {id(layer): place for place, layer in enumerate(layers)}
        self.flat = tf.Variable(tf.zeros((2, len(layers))), trainable=False, name="flat_limits")
        self._grids: list[Grid] = []
        self._found: dict[int, Limits] = {}
        self._rounded: dict[tuple[int, bool], tuple[tf.Tensor, Limits, tf.Tensor]] = {}

    @property
    def replaced(self) -> list[keras.Variable]:
        """The layers' limits."""
        return [*(layer.low for layer in self._layers), *(layer.high for layer in self._layers)]

    def load(self) -> None:
        """Copy the layers' limits into the flat variable."""
        self.flat.assign([[layer.low.value for layer in self._layers], [layer.high.value for layer in self._layers]])

    def store(self) -> None:
        """Copy the flat variable's limits into the layers'."""
        for limit, value in self.values():
            limit.assign(value)

    def values(self) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Return each layer's limits with their values in the flat variable."""
        return list(zip(self.replaced, tf.unstack(tf.reshape(self.flat.read_value(), [-1])), strict=True))

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
        self._found, self._rounded = {}, {}
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

    def rounded(self, layer: InputRange, x: tf.Tensor) -> tf.Tensor:
        """Round a layer's input by its limits before this batch, and take what the batch makes of these.

        An input that two layers share, such as a residual block's, is rounded once: both have seen the same batches, so
        that their limits are the same.
        """
        key = id(x), layer.is_positive
        if key not in self._rounded:
            grid = self._grids[self._places[id(layer)]]
            # The input is kept with it, so that no other tensor takes its id.
            self._rounded[key] = x, layer.extremes(x), rounded_to(x, grid, layer.is_positive)
        _, self._found[id(layer)], rounded = self._rounded[key]
        return rounded
