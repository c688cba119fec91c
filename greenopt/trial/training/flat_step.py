"""A training step in few operations: Keras's own model, loss and metrics on weights that are parts of one variable.

Without XLA a step on a fast GPU takes as long as TensorFlow needs to start its operations. Here the weights are read
and cast at once, the gradient of all of them is one tensor, one kernel updates them, and the moving averages of all
BatchNormalization layers are updated together.

Invariant: after `store` all variables are what `model.train_step` would have made of them, to rounding; until then
`answers` are what the model would answer after it.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from greenopt.trial.model.build import all_layers, are_finite
from greenopt.trial.model.flat_limits import FlatLimits
from greenopt.trial.model.flat_optimizer import FlatOptimizer, is_expressible
from greenopt.trial.model.flat_rounding import FlatRounding, fills_rows, together
from greenopt.trial.model.flat_variables import FlatVariables
from greenopt.trial.model.fused_batchnorm import BatchStatistics, MovingAverages
from greenopt.trial.model.quantization_aware import input_ranges, is_quantized
from greenopt.trial.model.void_bias import void_biases, without_biases

Values: TypeAlias = list[tuple[keras.Variable, tf.Tensor]]
"""Variables, each with a value."""


class NotFlatError(Exception):
    """A model was found, while its step was traced, to train otherwise than `FlatStep` does."""


class FlatStep:
    """The training step of one compiled model."""

    def __init__(self, model: keras.Model, averages: MovingAverages) -> None:
        """Create the flat variables.

        Args:
            model: `is_flattenable`.
            averages: of its BatchNormalization layers that train by the fused operation.
        """
        self._model, self._moving = model, averages
        layers = all_layers(model)
        self._fused = [layer for layer in averages.layers if layer.trainable and layer.moving_mean.dtype == "float32"]
        void = void_biases(model, layers, self._fused)
        self._biased = [each.convolution for each in void]
        unused = [layer.bias for layer in self._biased]
        left_out = {id(variable) for variable in unused}
        self._casts = _casts(layers)
        trained = [variable for variable in model.trainable_variables if id(variable) not in left_out]
        # Those that a mixed policy casts come first, so that one operation casts them.
        trained = together(trained, {id(layer.kernel) for layer in layers if is_quantized(layer) and fills_rows(layer)})
        trained.sort(key=lambda variable: self._casts.get(id(variable), variable.dtype) != "float16")
        self._weights = FlatVariables(trained, unused, "flat_weights")
        self._optimizer = FlatOptimizer(model.optimizer, self._weights)
        self._averages = self._flat_averages([each.batchnorm for each in void])
        averages_used = self._averages.used if self._averages is not None else []
        self._others = _others(model, {id(one) for one in averages_used})
        ranges = input_ranges(layers)
        self._limits = FlatLimits(ranges) if ranges else None
        self._ranges = ranges
        self._rounding = self._flat_rounding(layers)

    def _flat_rounding(self, layers: Sequence[keras.layers.Layer]) -> FlatRounding | None:
        quantized = [layer for layer in layers if is_quantized(layer)]
        if not quantized or self._weights.dtype != tf.float32:
            return None
        half = [number for number, kind in self._casts.items() if kind == "float16"]
        rounding = FlatRounding(quantized, self._weights, half)
        # Small layers fill no whole rows; each of these rounds its own kernel.
        return rounding if rounding.layers else None

    def _flat_averages(self, biased: Sequence[Any]) -> FlatVariables | None:
        """Return moving averages as one; means that have a void bias in them come first, in the biases' order."""
        first = {id(layer) for layer in biased}
        rest = [layer for layer in self._fused if id(layer) not in first]
        means = [layer.moving_mean for layer in [*biased, *rest]]
        moving = [*means, *(layer.moving_variance for layer in self._fused)]
        return FlatVariables(moving, (), "flat_averages") if moving else None

    @property
    def variables(self) -> list[tf.Variable]:
        """All flat variables."""
        return [*(each.flat for each in self._of_model()), *self._optimizer.variables]

    @property
    def replaced(self) -> list[keras.Variable]:
        """All variables of the model and the optimizer whose values are in flat variables."""
        return [variable for each in self._flattened() for variable in each.replaced]

    def load(self) -> None:
        """Take over the values of the model's and the optimizer's variables."""
        for each in self._flattened():
            each.load()

    def store(self) -> None:
        """Give the model's and the optimizer's variables their values."""
        for each in self._flattened():
            each.store()

    def _flattened(self) -> list[FlatVariables | FlatLimits]:
        return [*self._of_model(), *self._optimizer.slots]

    def _of_model(self) -> list[FlatVariables | FlatLimits]:
        return [each for each in (self._weights, self._averages, self._limits) if each is not None]

    def is_finite(self) -> bool:
        """Return whether no weight of the model, in the flat variables or beside them, is infinite or NaN."""
        replaced = {id(variable) for variable in self.replaced}
        others = [weight.value for weight in self._model.weights if id(weight) not in replaced]
        return are_finite([*(each.flat for each in self._of_model()), *others])

    def values(self) -> Values:
        """Return the model's variables with their values in the flat variables; part of a program."""
        return [pair for each in self._of_model() for pair in each.values()]

    def answers(self, x: tf.Tensor, values: Values) -> tf.Tensor:
        """(batch, height, width, channels) -> (batch, classes): the model's answers as after training.

        Args:
            x: images.
            values: as of `values`.

        Raises:
            NotFlatError: a layer changes a variable that is not the model's.
        """
        scope = keras.StatelessScope(values)
        with scope:
            answers = self._model(x, training=False)
        given = {id(variable) for variable, _ in values}
        self._check_all_known(scope, given)
        self._update_others(scope, given)
        return answers

    def begin(self, x: tf.Tensor, steps: tf.Tensor) -> None:
        """Make ready for the steps of a block; part of a program.

        Args:
            x: the images of the first step.
            steps: how many there are.
        """
        if self._rounding is not None:
            self._rounding.begin()
        if self._limits is not None:
            self._limits.set_first(lambda: self._first_limits(x), steps)

    def _first_limits(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Return all low limits, then all high ones, after a batch; nothing else changes."""
        scope = keras.StatelessScope()
        parts, _ = self._weights.parts(self._weights.flat.read_value())
        scope.state_mapping.update({id(one): part for one, part in zip(self._weights.used, parts, strict=True)})
        with scope, self._moving.collected(), without_biases(self._biased):
            self._model(x, training=True)
        return [scope.get_current_value(limit) for name in ("low", "high") for limit in self._limit_variables(name)]

    def _limit_variables(self, name: str) -> list[Any]:
        return [getattr(layer, name) for layer in self._ranges]

    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """Train one step on a batch, as `model.train_step` does.

        Raises:
            NotFlatError: it would not be the same.
        """
        model = self._model
        flat = self._weights.flat.read_value()
        rounding: AbstractContextManager[None] = nullcontext()
        if self._rounding is not None:
            flat, rounding = self._rounding(flat), self._rounding.in_place_of_layers()
        scope = keras.StatelessScope(collect_losses=True)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(flat)
            kinds = [self._casts.get(id(one), one.dtype) for one in self._weights.used]
            parts, biases = self._weights.parts(flat, kinds)
            # Not given to the scope's constructor, which would undo the cast.
            given = {id(one): part for one, part in zip(self._weights.used, parts, strict=True)}
            scope.state_mapping.update(given)
            limits = self._limits.collected() if self._limits is not None else nullcontext()
            with rounding, limits, scope, self._moving.collected() as statistics, without_biases(self._biased):
                answers = model(x, training=True) if model._call_has_training_arg else model(x)
                loss = model._compute_loss(x=x, y=y, y_pred=answers, sample_weight=None, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradient, *each = tape.gradient(scaled, [flat, *parts])
        self._check(scope, given, each)
        if statistics.is_mixed:
            raise NotFlatError("a BatchNormalization is called in training and as after it")
        self._optimizer.apply(gradient)
        self._update_averages(statistics, biases)
        self._update_others(scope)
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        model.compute_metrics(x, y, answers, None)

    def _check(self, scope: keras.StatelessScope, given: dict[int, tf.Tensor], gradients: Sequence[Any]) -> None:
        """Raise NotFlatError where a layer changes weights, or weight decay would reach one that Keras leaves out."""
        for variable, gradient in zip(self._weights.used, gradients, strict=True):
            if scope.get_current_value(variable) is not given[id(variable)]:
                raise NotFlatError(f"{variable.path} is changed by its layer")
            if gradient is None and self._optimizer.inner.weight_decay is not None:
                raise NotFlatError(f"{variable.path} has no gradient")
        self._check_all_known(scope, given)

    def _check_all_known(self, scope: keras.StatelessScope, given: Collection[int]) -> None:
        """Raise NotFlatError where a layer changes what is not the model's, such as Keras's own random numbers."""
        if scope.state_mapping.keys() - given - {id(variable) for variable in self._others}:
            raise NotFlatError("a layer changes a variable that is not the model's")

    def _update_averages(self, statistics: BatchStatistics, biases: tf.Tensor) -> None:
        if self._averages is None:
            return
        found = [statistics.combined(variable) for variable in self._averages.used]
        flat = self._averages.flat
        values = self._averages.join([value for value, _, _ in found])
        if self._biased:
            # In float32: what the batch's mean would have had in it.
            padding = flat.shape[0] * flat.shape[1] - biases.shape[0]
            values += tf.reshape(tf.pad(biases, [[0, padding]]), flat.shape)
        added = tf.constant(self._averages.constants([weight for _, weight, _ in found]))
        kept = tf.constant(self._averages.constants([kept for _, _, kept in found]))
        flat.assign(flat * kept + values * added)

    def _update_others(self, scope: keras.StatelessScope, given: Collection[int] = ()) -> None:
        """Assign what layers themselves changed, such as seeds of random numbers; not those with the ids given."""
        for variable in self._others:
            value = scope.get_current_value(variable)
            if value is not None and id(variable) not in given:
                variable.assign(value)


def is_flattenable(model: keras.Model) -> bool:
    """Return whether a compiled model can train by `FlatStep`, and with it does what its own training step does."""
    variables = model.trainable_variables
    own = type(model).train_step is not keras.Model.train_step
    if own or not variables or len({one.dtype for one in variables}) > 1 or not is_expressible(model.optimizer):
        return False
    if variables[0].dtype not in ("float32", "float64"):
        return False
    if not all(isinstance(one, keras.Variable) and tf.as_dtype(one.dtype).is_floating for one in variables):
        return False
    return all(one.constraint is None and not one.overwrite_with_gradient for one in variables)


def _others(model: keras.Model, known: Collection[int]) -> list[Any]:
    """Return all variables that are not trained, without those whose ids are known."""
    found = [*model.non_trainable_variables, *model.metrics_variables]
    found += [variable for layer in all_layers(model) for variable in layer.non_trainable_variables]
    return [one for one in {id(variable): variable for variable in found}.values() if id(one) not in known]


def _casts(layers: Sequence[keras.layers.Layer]) -> dict[int, str]:
    """Return, by a variable's id, the type that its layer casts it to at each use; its own where that is not known."""
    found: dict[int, set[str]] = {}
    for layer in layers:
        known = layer.autocast and type(layer).__module__.startswith(("keras.", "greenopt."))
        for variable in layer._trainable_variables:
            casts = known and variable._autocast and variable.regularizer is None and len(variable.shape) > 1
            found.setdefault(id(variable), set()).add(layer.compute_dtype if casts else variable.dtype)
    return {number: kinds.pop() for number, kinds in found.items() if len(kinds) == 1}
