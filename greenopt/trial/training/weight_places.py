"""Where the newest weights of a training are: in the model's own variables, or in flat ones that steps train on.

To move them takes some hundred operations, so that they stay where they are for as long as nobody needs them elsewhere.

Invariant: outside of `keeping_flat` and `passing` the model's own variables have the newest values.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from greenopt.trial.model.build import weights_are_finite
from greenopt.trial.training.flat_step import FlatStep


class WeightPlaces:
    """The places of one model's weights, its optimizer's slots included.

    Attributes:
        flat_step: trains on flat variables; None where steps train the model's own.
    """

    def __init__(self, model: keras.Model, flat_step: FlatStep | None) -> None:
        """Begin with the newest values in the model's own variables."""
        self._model, self.flat_step = model, flat_step
        self._is_flat_newest = self._keeps_flat = False

    @contextmanager
    def keeping_flat(self) -> Iterator[None]:
        """Leave the newest weights in flat variables, within a context, until its end or `give_back`."""
        self._keeps_flat = True
        try:
            yield
        finally:
            self._keeps_flat = False
        self.give_back()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Forget what flat variables learn within a context; the model's own variables are left alone meanwhile."""
        self.give_back()
        keeps, self._keeps_flat = self._keeps_flat, True
        try:
            yield
        finally:
            self._is_flat_newest, self._keeps_flat = False, keeps
        if keeps:
            self._take_over()

    @contextmanager
    def in_flat(self, changing: bool = True) -> Iterator[None]:
        """Have the newest weights in flat variables within a context.

        Args:
            changing: whether they are changed there.
        """
        self._take_over()
        yield
        if self._keeps_flat:
            return
        if changing:
            self.give_back()
        self._is_flat_newest = False

    def give_back(self) -> None:
        """Give the model's and the optimizer's own variables the newest values; they may be changed then."""
        if self.flat_step is not None and self._is_flat_newest:
            self.flat_step.store()
        self._is_flat_newest = False

    def _take_over(self) -> None:
        # Not in programs: to trace these takes longer than to start their operations one by one.
        if self.flat_step is not None and not self._is_flat_newest:
            self.flat_step.load()
            self._is_flat_newest = True

    def leave_flat(self) -> None:
        """Train the model's own variables from now on."""
        self.give_back()
        self.flat_step = None

    def are_finite(self) -> bool:
        """Return whether no weight of the model is infinite or NaN."""
        if self.flat_step is None or not self._is_flat_newest:
            return weights_are_finite(self._model)
        return self.flat_step.is_finite()
