"""Keras's optimizers and learning rate schedules, and the table of a whole training's learning rates."""

import math

import keras
import numpy as np
import tensorflow as tf

from greenopt.spec import DecayedBy, LrSchedule, Optimizer, Setting, TrainingSpec

_MIN_TABLE = 1024


def build_schedule(
    setting: Setting, training: TrainingSpec, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Build the learning rate schedule over the optimizer's steps.

    With `decay_steps = "total"`, cosine and polynomial reach their end when the last step of the training is done, and
    the exponential schedule steps down once an epoch; with a number, all three decay in that many steps. No schedule
    rises: a polynomial one that starts at or below its end rate stays where it starts.

    Args:
        setting: schedule and initial rate.
        training: decay steps, rate, power, end.
        steps_per_epoch: optimizer steps of an epoch.

    Returns:
        A schedule, or the rate itself where it is constant.
    """
    schedules = keras.optimizers.schedules
    stretched = training.decay_steps == "total"
    steps = training.epochs * steps_per_epoch if training.decay_steps == "total" else training.decay_steps
    match setting.lr_schedule:
        case LrSchedule.CONSTANT:
            return setting.lr
        case LrSchedule.EXPONENTIAL:
            return schedules.ExponentialDecay(
                setting.lr,
                decay_steps=steps_per_epoch if stretched else steps,
                decay_rate=training.exponential_decay_rate,
                staircase=True,
            )
        case LrSchedule.POLYNOMIAL:
            return schedules.PolynomialDecay(
                setting.lr,
                decay_steps=steps,
                # Keras's would rise to an end rate that is above the initial one.
                end_learning_rate=min(setting.lr, training.polynomial_end_lr),
                power=training.polynomial_power,
            )
        case LrSchedule.COSINE:
            return schedules.CosineDecay(setting.lr, decay_steps=steps, alpha=training.cosine_alpha)


def build_optimizer(setting: Setting, training: TrainingSpec) -> keras.optimizers.Optimizer:
    """Build a setting's optimizer with a variable learning rate; `LearningRateTable` sets it at each step.

    Adam and AdamW take momentum as `beta_1` only where the study says so. Weight decay is decoupled from the gradient,
    as in AdamW (arXiv:1711.05101), and AdamW's alone unless the study has it for all.
    """
    decay = training.weight_decay if training.weight_decay_applies_to is DecayedBy.ALL else None
    betas = {"beta_1": setting.optimizer_momentum} if training.momentum_as_beta_1 else {}
    match setting.optimizer:
        case Optimizer.SGD:
            return keras.optimizers.SGD(setting.lr, momentum=setting.optimizer_momentum, weight_decay=decay)
        case Optimizer.RMSPROP:
            return keras.optimizers.RMSprop(setting.lr, momentum=setting.optimizer_momentum, weight_decay=decay)
        case Optimizer.ADAM:
            return keras.optimizers.Adam(setting.lr, weight_decay=decay, **betas)
        case Optimizer.ADAMW:
            return keras.optimizers.AdamW(setting.lr, weight_decay=training.weight_decay, **betas)


class LearningRateTable:
    """The learning rate of every step of a training, computed once by Keras's schedule.

    A program that reads rates from a table is the same program for every schedule, so that it need not be compiled
    again; one that computes them has the schedule's numbers in it.

    Attributes:
        table: a variable, (table_size(steps),) float32.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        schedule: "float | keras.optimizers.schedules.LearningRateSchedule",
        steps: int,
    ) -> None:
        """Tabulate the rates.

        Args:
            optimizer: has its learning rate as a variable, and counts its steps.
            schedule: rate by number of steps done.
            steps: of the whole training.
        """
        # The optimizer inside loss scaling counts only steps that were not skipped.
        self._optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        size = table_size(steps)
        with tf.device("CPU"):
            at = tf.constant(np.minimum(np.arange(size), steps), tf.float32)
            values = schedule(at) if callable(schedule) else tf.fill([size], schedule)
        self._values = np.asarray(values, np.float32)
        self.table = tf.Variable(self._values, trainable=False, name="rates")

    def set_rate(self) -> None:
        """Set the optimizer's learning rate for its next step; part of a program."""
        at = tf.minimum(self._optimizer.iterations.value, len(self._values) - 1)
        self._optimizer.learning_rate.assign(tf.gather(self.table, at))

    def next_rate(self) -> float:
        """Return the learning rate of the next step."""
        # Not by TensorFlow, which on a GPU would compile kernels for these two operations: half a second.
        return float(self._values[min(int(self._optimizer.iterations.numpy()), len(self._values) - 1)])


def table_size(steps: int) -> int:
    """Return the table size for a number of steps. Few sizes exist, since the size is part of a program."""
    return max(_MIN_TABLE, 1 << math.ceil(math.log2(steps + 1)))
