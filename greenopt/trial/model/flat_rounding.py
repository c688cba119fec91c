"""The kernels of all quantized layers rounded together, as parts of a model's flat weights.

Kernels of one shape lie beside each other there, so that one operation finds the largest weights of all of them; then
one divides all weights by their units.

Invariant: kernels become what `rounded` makes of each, and gradients pass straight through.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from greenopt.trial.model.flat_variables import ROW, FlatVariables
from greenopt.trial.model.quantization_aware import largest_weight, weight_unit

_LONG = 256


class _Group(NamedTuple):
    """Variables of one shape that lie beside each other.

    Attributes:
        variables: how many.
        rows: of each.
        units: rows of units of each; 0 where they are not rounded.
        axis: whose indices have units of their own; None for one unit.
    """

    variables: int
    rows: int
    units: int
    axis: int | None


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
        self._weights, self._half = weights, set(half)
        whole = weights.used[: weights.whole_rows]
        places = {id(one) for one in whole}
        self.layers = [layer for layer in layers if id(layer.kernel) in places and fills_rows(layer)]
        axes = {id(layer.kernel): layer.kernel_axis for layer in self.layers}
        alike = groupby(whole, key=lambda one: (tuple(one.shape), id(one) in axes, axes.get(id(one))))
        self._groups = [_group(len([*ones]), *kind) for kind, ones in alike]
        self._unit_rows: tf.Tensor | None = None

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

    def begin(self) -> None:
        """Find which row of units is for which row of weights; part of a program, before its steps."""
        found, first = [], 0
        for group in (group for group in self._groups if group.units):
            kernel = tf.range(group.variables * group.rows) // group.rows
            row = tf.range(group.variables * group.rows) % group.rows
            found.append(first + kernel * group.units + row % group.units)
            first += group.variables * group.units
        self._unit_rows = tf.concat(found, axis=0)

    def __call__(self, flat: tf.Tensor) -> tf.Tensor:
        """Round the flat weights' kernels; gradients are those with respect to the result."""
        flat = self._weights.cast_and_back(flat, self._half)
        sizes = [group.variables * group.rows for group in self._groups]
        *pieces, _ = tf.split(tf.abs(flat), [*sizes, flat.shape[0] - sum(sizes)])
        limits = [_limits(piece, group) for piece, group in zip(pieces, self._groups, strict=True) if group.units]
        units = tf.gather(weight_unit(tf.concat(limits, axis=0)), self._unit_rows)
        # Between the kernels lie rows that stay as they are.
        runs = [
            (kind, sum(g.variables * g.rows for g in run)) for kind, run in groupby(self._groups, lambda g: g.units > 0)
        ]
        parts = tf.split(flat, [*(size for _, size in runs), flat.shape[0] - sum(sizes)])
        of_runs = iter(tf.split(units, [size for kind, size in runs if kind]))
        found = []
        for part, (kind, _) in zip(parts[:-1], runs, strict=True):
            unit = next(of_runs) if kind else None
            found.append(part if unit is None else tf.round(part / unit) * unit)
        return tf.concat([*found, parts[-1]], axis=0)


def fills_rows(layer: Any) -> bool:
    """Return whether rows of the flat weights that hold a quantized layer's kernel have the same units as others."""
    shape = layer.kernel.shape
    return math.prod(shape) % ROW == 0 and (layer.kernel_axis is None or shape[-1] % ROW == 0)


def together(variables: Sequence[keras.Variable], kernels: Collection[int]) -> list[keras.Variable]:
    """Return variables with those of one shape beside each other, kernels (by id) first."""
    return sorted(variables, key=lambda one: (id(one) not in kernels, tuple(one.shape)))


def _group(count: int, shape: tuple[int, ...], quantized: bool, axis: int | None) -> _Group:
    units = 0 if not quantized else 1 if axis is None else shape[-1] // ROW
    return _Group(count, math.prod(shape) // ROW, units, axis)


def _limits(magnitudes: tf.Tensor, group: _Group) -> tf.Tensor:
    """(count * rows, ROW) -> (count * units, ROW), the largest weight of each channel, or of each kernel."""
    if group.axis is None:
        largest = tf.reduce_max(tf.reshape(magnitudes, (group.variables, -1)), axis=1, keepdims=True)
        return tf.broadcast_to(largest, (group.variables, ROW))
    length, channels = group.rows // group.units, group.units * ROW
    if group.variables == 1:
        return tf.reshape(largest_weight(tf.reshape(magnitudes, (length, channels)), -1), (-1, ROW))
    # TensorFlow's kernel goes along the middle axis of three one by one.
    parts = math.gcd(length, 64) if length >= _LONG else 1
    found = tf.reduce_max(tf.reshape(magnitudes, (group.variables * parts, length // parts, channels)), axis=1)
    if parts > 1:
        found = tf.reduce_max(tf.reshape(found, (group.variables, parts, channels)), axis=1)
    return tf.reshape(found, (-1, ROW))
