"""Keras's optimizers on one flat variable: one kernel of TensorFlow's updates all weights.

Invariant: weights, slots, iterations and loss scale become what Keras's own update makes of them, to rounding. What
cannot be expressed is left to Keras (`is_expressible`).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from greenopt.trial.model.flat_variables import FlatVariables

Update: TypeAlias = Callable[["FlatOptimizer", tf.Tensor, tf.Tensor], None]


class FlatOptimizer:
    """Updates the flat variable of a model's weights as its Keras optimizer would."""

    def __init__(self, optimizer: keras.optimizers.Optimizer, weights: FlatVariables) -> None:
        """Create the flat variables of the optimizer's slots.

        Args:
            optimizer: built, expressible, maybe within loss scaling.
            weights: of all variables that it was built with.
        """
        self._outer, self.inner = optimizer, inner_optimizer(optimizer)
        self.weights = weights
        self.slots = [
            FlatVariables(self._of(slots, weights.used), self._of(slots, weights.unused), f"flat_{name}")
            for name, slots in _slots(self.inner)
        ]
        self._update, self.scratch = _UPDATES[type(self.inner)], []
        if type(self.inner) is keras.optimizers.RMSprop and not self.inner.momentum:
            # TensorFlow's operation keeps the increment, which without momentum is nothing to remember.
            self.scratch = [tf.Variable(tf.zeros_like(weights.flat), trainable=False, name="flat_increment")]

    def _of(self, slots: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
        return [slots[self.inner._get_variable_index(variable)] for variable in variables]

    @property
    def variables(self) -> list[tf.Variable]:
        """The flat variables of the slots."""
        return [*(slot.flat for slot in self.slots), *self.scratch]

    def apply(self, gradient: tf.Tensor) -> None:
        """Update weights, slots and iterations; under loss scaling only if the gradient is finite, and the scale.

        Args:
            gradient: of the loss, scaled where the optimizer scales it; of the flat variable's shape.
        """
        if self._outer is self.inner:
            self._step(gradient)
            return
        finite = tf.reduce_all(tf.math.is_finite(gradient))
        scale, counter = self._outer.dynamic_scale, self._outer.step_counter
        before = scale.value.read_value()

        def update() -> tf.Tensor:
            self._step(gradient / before)
            return tf.constant(0)

        tf.cond(finite, update, lambda: tf.constant(0))
        steps = counter.value.read_value()
        grows = tf.logical_and(finite, tf.equal(steps, self._outer.dynamic_growth_steps - 1))
        scale.assign(before * tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5))
        counter.assign(tf.where(tf.logical_and(finite, tf.logical_not(grows)), steps + 1, tf.zeros_like(steps)))

    def _step(self, gradient: tf.Tensor) -> None:
        rate = tf.cast(self.inner.learning_rate.value, self.weights.dtype)
        if self.inner.weight_decay is not None:
            flat = self.weights.flat
            flat.assign_sub(flat * (tf.cast(self.inner.weight_decay, flat.dtype) * rate))
        self._update(self, gradient, rate)
        self.inner.iterations.assign_add(1)

    def number(self, value: float) -> tf.Tensor:
        """Return a number in the weights' type."""
        return tf.constant(value, self.weights.dtype)

    def rounded_number(self, value: float) -> tf.Tensor:
        """Return a number in the weights' type, by way of float32, as `keras.ops.cast` makes it."""
        return tf.cast(tf.constant(value, tf.float32), self.weights.dtype)


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer within loss scaling, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def is_expressible(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether `FlatOptimizer` computes what an optimizer computes."""
    inner = inner_optimizer(optimizer)
    if optimizer is not inner and type(optimizer) is not keras.optimizers.LossScaleOptimizer:
        return False
    if type(inner) not in _UPDATES or not optimizer.built:
        return False
    extras: tuple[Any, ...] = (
        inner.clipnorm,
        inner.global_clipnorm,
        inner.clipvalue,
        inner.use_ema,
        inner.loss_scale_factor,
    )
    extras += (inner.gradient_accumulation_steps, getattr(inner, "amsgrad", False), getattr(inner, "centered", False))
    decays = inner.weight_decay is None or all(map(inner._use_weight_decay, inner._trainable_variables))
    return not any(extras) and decays and not callable(inner._learning_rate)


def _slots(optimizer: Any) -> list[tuple[str, Sequence[Any]]]:
    """Return names and variables of an optimizer's slots, each in the order of its variables."""
    if type(optimizer) is keras.optimizers.SGD:
        return [("momentum", optimizer.momentums)] if optimizer.momentum else []
    if type(optimizer) is keras.optimizers.RMSprop:
        momentums = [("momentum", optimizer._momentums)] if optimizer.momentum else []
        return [("velocity", optimizer._velocities), *momentums]
    return [("momentum", optimizer._momentums), ("velocity", optimizer._velocities)]


def _sgd(optimizer: FlatOptimizer, gradient: tf.Tensor, rate: tf.Tensor) -> None:
    flat, sgd = optimizer.weights.flat.handle, optimizer.inner
    if not optimizer.slots:
        tf.raw_ops.ResourceApplyGradientDescent(var=flat, alpha=rate, delta=gradient)
        return
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=flat,
        accum=optimizer.slots[0].flat.handle,
        lr=rate,
        grad=gradient,
        momentum=optimizer.rounded_number(sgd.momentum),
        use_nesterov=sgd.nesterov,
    )


def _rmsprop(optimizer: FlatOptimizer, gradient: tf.Tensor, rate: tf.Tensor) -> None:
    rmsprop = optimizer.inner
    velocity, momentum = optimizer.variables
    tf.raw_ops.ResourceApplyRMSProp(
        var=optimizer.weights.flat.handle,
        ms=velocity.handle,
        mom=momentum.handle,
        lr=rate,
        rho=optimizer.number(rmsprop.rho),
        momentum=optimizer.number(rmsprop.momentum),
        epsilon=optimizer.number(rmsprop.epsilon),
        grad=gradient,
    )


def _adam(optimizer: FlatOptimizer, gradient: tf.Tensor, rate: tf.Tensor) -> None:
    adam = optimizer.inner
    momentum, velocity = optimizer.variables
    steps = tf.cast(adam.iterations.value + 1, gradient.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=optimizer.weights.flat.handle,
        m=momentum.handle,
        v=velocity.handle,
        beta1_power=tf.pow(optimizer.rounded_number(adam.beta_1), steps),
        beta2_power=tf.pow(optimizer.rounded_number(adam.beta_2), steps),
        lr=rate,
        beta1=optimizer.number(adam.beta_1),
        beta2=optimizer.number(adam.beta_2),
        epsilon=optimizer.number(adam.epsilon),
        grad=gradient,
    )


_UPDATES: dict[Any, Update] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
}
