"""Optimizers and learning rate schedules, as Keras has them."""

import keras

from greenopt.spec import LrSchedule, Optimizer, Setting, TrainingSpec


def build_schedule(
    setting: Setting, training: TrainingSpec, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """The learning rate over the optimizer's steps.

    With `decay_steps = "total"`, cosine and polynomial reach their end with the last step of the training, and the
    exponential schedule steps down once an epoch; with a number, all three decay in that many steps.

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
                end_learning_rate=training.polynomial_end_lr,
                power=training.polynomial_power,
            )
        case LrSchedule.COSINE:
            return schedules.CosineDecay(setting.lr, decay_steps=steps, alpha=training.cosine_alpha)


def build_optimizer(setting: Setting, training: TrainingSpec, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of a setting; Adam and AdamW take momentum as `beta_1` only where the study says so."""
    rate = build_schedule(setting, training, steps_per_epoch)
    betas = {"beta_1": setting.optimizer_momentum} if training.momentum_as_beta_1 else {}
    match setting.optimizer:
        case Optimizer.SGD:
            return keras.optimizers.SGD(rate, momentum=setting.optimizer_momentum)
        case Optimizer.RMSPROP:
            return keras.optimizers.RMSprop(rate, momentum=setting.optimizer_momentum)
        case Optimizer.ADAM:
            return keras.optimizers.Adam(rate, **betas)
        case Optimizer.ADAMW:
            return keras.optimizers.AdamW(rate, weight_decay=training.weight_decay, **betas)


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate that the next step would have."""
    return float(optimizer.learning_rate.numpy())
