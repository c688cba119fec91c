"""Many variables' values in one variable, so that one operation reads or updates them all.

On a fast GPU a training step without XLA waits for the start of each operation rather than for its work, and ResNet-50
has 214 variables that are trained. Kept as rows of one matrix they are parts of it that need no copy.

Invariant: after `load` the flat variable holds the variables' values, and after `store` the variables hold its.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

Tensors: TypeAlias = Sequence[tf.Tensor]

ROW = 64
"""Values in a row. Parts of whole rows begin at addresses that every kernel can read from, so they are not copied."""


class FlatVariables:
    """The flat variable of some variables: first those that fill whole rows, then the others, padded with zeros."""

    def __init__(self, variables: Sequence[keras.Variable], unused: Sequence[keras.Variable], name: str) -> None:
        """Create the flat variable, full of zeros.

        Args:
            variables: of one floating-point type.
            unused: more variables, with one axis, whose values are in the flat variable but not in `parts`.
            name: of the flat variable.
        """
        is_rows = [len(one.shape) > 1 and math.prod(one.shape) % ROW == 0 for one in variables]
        self.used = [one for one, rows in zip(variables, is_rows, strict=True) if rows]
        self._rows = [math.prod(one.shape) // ROW for one in self.used]
        self.used += [one for one, rows in zip(variables, is_rows, strict=True) if not rows]
        self.unused = list(unused)
        self._sizes = [math.prod(one.shape) for one in self.used[len(self._rows) :]]
        self._unused_size = sum(math.prod(one.shape) for one in unused)
        self._padding = -(sum(self._sizes) + self._unused_size) % ROW
        last = (sum(self._sizes) + self._unused_size + self._padding) // ROW
        self.dtype = tf.as_dtype(self.used[0].dtype)
        self.flat = tf.Variable(
            tf.zeros((sum(self._rows) + last, ROW), self.dtype), trainable=False, name=name, dtype=self.dtype
        )

    @property
    def replaced(self) -> list[keras.Variable]:
        """The variables."""
        return [*self.used, *self.unused]

    def load(self) -> None:
        """Copy the variables' values into the flat variable."""
        self.flat.assign(self.join([one.value for one in self.used], [one.value for one in self.unused]))

    def store(self) -> None:
        """Copy the flat variable's values into the variables."""
        for one, value in self.values():
            # Keras's `assign` takes ten times as long.
            tf.raw_ops.AssignVariableOp(resource=one.value.handle, value=value)

    def values(self) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Return each variable with its value in the flat variable."""
        parts, rest = self.parts(self.flat.read_value())
        if self.unused:
            parts += tf.split(rest, [math.prod(one.shape) for one in self.unused])
        return [(one, _shaped(part, one.shape)) for one, part in zip(self.replaced, parts, strict=True)]

    def parts(self, flat: tf.Tensor, cast: Sequence[str] = ()) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Take values apart that are laid out as in the flat variable.

        Args:
            flat: (rows, ROW).
            cast: the types that the first variables are wanted in, each equal to or another than their own.

        Returns:
            A tensor for each of `used`, in order, with its shape; and the values of `unused`, one after the other.
        """
        rows = self._cast_rows(flat, cast)
        rest = tf.reshape(rows.pop(), [-1])
        sizes = [*self._sizes, self._unused_size, self._padding]
        vectors = tf.split(rest, sizes) if sum(sizes) else [rest] * len(sizes)
        parts = [*rows, *vectors[:-2]]
        return [_shaped(part, one.shape) for part, one in zip(parts, self.used, strict=True)], vectors[-2]

    def _cast_rows(self, flat: tf.Tensor, cast: Sequence[str]) -> list[tf.Tensor]:
        """Split into the parts of whole rows and the rest; the first ones cast in one operation."""
        count = next((number for number, kind in enumerate(cast) if kind != cast[0]), len(cast))
        count = min(count, len(self._rows))
        if not count or cast[0] == self.dtype.name:
            return list(tf.split(flat, [*self._rows, flat.shape[0] - sum(self._rows)]))
        first = sum(self._rows[:count])
        others = [*self._rows[count:], flat.shape[0] - sum(self._rows)]
        head, *tail = tf.split(flat, [first, *others])
        return [*tf.split(tf.cast(head, cast[0]), self._rows[:count]), *tail]

    @property
    def whole_rows(self) -> int:
        """How many of `used`, the first ones, fill whole rows."""
        return len(self._rows)

    def cast_and_back(self, flat: tf.Tensor, ids: Collection[int]) -> tf.Tensor:
        """Round the first variables, those with these ids, to float16 and leave the others."""
        count = next((place for place, one in enumerate(self.used) if id(one) not in ids), len(self.used))
        rows = sum(self._rows[: min(count, len(self._rows))])
        if not rows:
            return flat
        head, tail = tf.split(flat, [rows, flat.shape[0] - rows])
        return tf.concat([tf.cast(tf.cast(head, tf.float16), self.dtype), tail], axis=0)

    def join(self, used: Tensors, unused: Tensors = ()) -> tf.Tensor:
        """Lay values of the variables' shapes out as in the flat variable; those of `unused` are 0 unless given."""
        count = len(self._rows)
        rows = [tf.reshape(one, (-1, ROW)) for one in used[:count]]
        missing = self._padding + (0 if unused else self._unused_size)
        padding = [tf.zeros(missing, self.dtype)] if missing else []
        vectors = [*(tf.reshape(one, [-1]) for one in used[count:]), *unused, *padding]
        rest = [tf.reshape(tf.concat(vectors, axis=0), (-1, ROW))] if vectors else []
        return tf.concat([*rows, *rest], axis=0)

    def constants(self, numbers: Sequence[float]) -> Any:
        """Lay one number for each of `used` out, in as many places as it has values: (rows, ROW)."""
        each = [np.full(math.prod(one.shape), number) for one, number in zip(self.used, numbers, strict=True)]
        flat = np.concatenate([*each, np.zeros(self._unused_size + self._padding)])
        return flat.reshape(-1, ROW).astype(self.dtype.as_numpy_dtype)


def _shaped(part: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Return a tensor in a shape, without an operation if it has it."""
    return part if tuple(part.shape) == tuple(shape) else tf.reshape(part, shape)
