"""Parameters of a setting that cannot have an effect, with reasons.

One function decides, before anything runs, for the coordinator, the trial, the analysis and the reader alike.
"""

from collections.abc import Collection

from greenopt.spec.models import MODEL_NAMES
from greenopt.spec.setting import Augmentation, Internal, LrSchedule, Optimizer, Precision, Preprocessing, Setting
from greenopt.spec.training import DecayedBy, ImageMeaning, TrainingSpec


def inert_parameters(
    setting: Setting,
    training: TrainingSpec,
    total_steps: int | None = None,
    *,
    has_whole_pixels: bool = True,
    has_own_parts: bool = False,
    further: Collection[str] = (),
    left_out: Collection[str] = (),
) -> dict[str, str]:
    """Return the parameters whose value has no effect on this setting's training.

    Args:
        setting: the ten values.
        training: what the study fixes; it decides what precision and momentum mean.
        total_steps: optimizer steps of the whole training, where known.
        has_whole_pixels: whether the images are bytes, as all are but those of a file of fractions.
        has_own_parts: whether the images come with validation and test parts of their own.
        further: parameters beside the ten: fields of `training` that vary, and those of the user's own model.
        left_out: parameters that the setting does not have, which are not inert either.

    Returns:
        Parameter name to the reason, in words for the user; empty where every value has its effect.
    """
    reasons = {}
    if training.weights is not None and training.imagenet_scaling and training.model in MODEL_NAMES:
        reasons["preprocessing"] = "images are scaled as the weights need it (imagenet_scaling)"
    if (reason := _momentum(setting, training)) is not None:
        reasons["optimizer_momentum"] = reason
    if (reason := _precision(setting, training, has_whole_pixels)) is not None:
        reasons["precision"] = reason
    if (reason := _schedule(setting, training, total_steps)) is not None:
        reasons["lr_schedule"] = reason
    if has_own_parts:
        reasons["partitioning"] = "the images have validation and test parts of their own"
    reasons |= {name: why for name in further if (why := _field(name, setting, training)) is not None}
    return {name: why for name, why in reasons.items() if name not in left_out}


_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    "mixup_alpha": ("augmentation", (Augmentation.MIXUP,)),
    "cutmix_alpha": ("augmentation", (Augmentation.CUTMIX,)),
    "random_layers": ("augmentation", (Augmentation.RANDOM,)),
    "random_magnitude": ("augmentation", (Augmentation.RANDOM,)),
    "exponential_decay_rate": ("lr_schedule", (LrSchedule.EXPONENTIAL,)),
    "polynomial_end_lr": ("lr_schedule", (LrSchedule.POLYNOMIAL,)),
    "polynomial_power": ("lr_schedule", (LrSchedule.POLYNOMIAL,)),
    "cosine_alpha": ("lr_schedule", (LrSchedule.COSINE,)),
    "momentum_as_beta_1": ("optimizer", (Optimizer.ADAM, Optimizer.ADAMW)),
    "calibration_images": ("internal", (Internal.POST_QUANTIZATION,)),
}
"""Fields of `training` that have an effect with some values of a parameter alone."""


def _field(name: str, setting: Setting, training: TrainingSpec) -> str | None:
    """Return why a field of `training` that varies, or a parameter of the user's own model, has no effect."""
    if name == "decay_steps" and setting.lr_schedule is LrSchedule.CONSTANT:
        return "the learning rate is constant"
    if name == "weight_decay" and setting.optimizer is not Optimizer.ADAMW and not _decays_all(training):
        return f"{setting.optimizer} has no weight decay"
    if name in _WITH:
        parameter, values = _WITH[name]
        given = getattr(setting, parameter)
        return None if given in values else f"{parameter} is {given}"
    if name not in TrainingSpec.model_fields and name != "image_size" and training.model in MODEL_NAMES:
        return f"{training.model} takes no parameters"
    return None


def _decays_all(training: TrainingSpec) -> bool:
    """Return whether every optimizer decays weights."""
    return training.weight_decay_applies_to is DecayedBy.ALL


def _momentum(setting: Setting, training: TrainingSpec) -> str | None:
    if setting.optimizer.uses_momentum or training.momentum_as_beta_1:
        return None
    return f"{setting.optimizer} has no momentum argument"


def _precision(setting: Setting, training: TrainingSpec, has_whole_pixels: bool) -> str | None:
    if training.precision_applies_to is ImageMeaning.POLICY:
        return None
    if setting.precision is Precision.FLOAT64:
        return "float64 images are cast back to float32 by the first layer"
    is_unscaled = setting.preprocessing is Preprocessing.NONE and training.weights is None
    whole_numbers = is_unscaled and setting.augmentation in (Augmentation.NONE, Augmentation.CUTMIX)
    if setting.precision is Precision.FLOAT16 and whole_numbers and has_whole_pixels:
        return "float16 holds the whole numbers 0..255 exactly"
    return None


def _schedule(setting: Setting, training: TrainingSpec, total_steps: int | None) -> str | None:
    if setting.lr_schedule is LrSchedule.EXPONENTIAL and training.exponential_decay_rate == 1:
        return "a decay rate of 1 keeps the learning rate"
    if setting.lr_schedule is LrSchedule.POLYNOMIAL and setting.lr <= training.polynomial_end_lr:
        return f"the learning rate starts at or below its end value of {training.polynomial_end_lr:g} and stays there"
    if total_steps is None:
        return None
    late = training.decay_steps != "total" and training.decay_steps >= total_steps
    if setting.lr_schedule is LrSchedule.EXPONENTIAL and late:
        return f"the first of its steps down would come after step {training.decay_steps} of {total_steps}"
    if setting.lr_schedule is LrSchedule.EXPONENTIAL and training.decay_steps == "total" and training.epochs == 1:
        return "it steps down once an epoch, and there is one epoch"
    return None
