"""Finds trainings that have not begun to learn.

A training is stuck at chance if in none of its epochs accuracy was better than guessing, neither in training nor in
validation, and the loss was not below that of guessing either. One that starts late shows it in its loss first.
"""

import math
from collections.abc import Mapping, Sequence

from greenopt.events import EpochEnded, StopReason
from greenopt.stopping.rule import Stop

SURE_ERRORS = 4.0
"""Standard errors above chance that are taken for learning; over hundreds of epochs guessing hardly gets there."""

LEARNING_LOSS = 0.99
"""A loss below this share of that of guessing, log(classes), is taken for learning."""

Fact = str | int | float | bool | None


def stuck_at_chance(epochs: Sequence[EpochEnded], facts: Mapping[str, Fact], min_epochs: int) -> Stop | None:
    """Decide whether a training has not begun to learn; None where it has, or where that is not known.

    Args:
        epochs: those that have ended, the first included.
        facts: what was built, with `classes`, `train_images` and `validation_images`.
        min_epochs: how many epochs a training may take to begin; 0: as many as it likes.
    """
    counts = [fact for name in ("classes", "train_images", "validation_images") if (fact := _count(facts.get(name)))]
    if not min_epochs or len(epochs) < min_epochs or len(counts) < 3:
        return None
    classes, trained, validated = counts
    chance = 1 / classes
    for epoch in epochs:
        if epoch.val_accuracy is None or epoch.accuracy is None or epoch.loss is None:
            return None
        is_above = epoch.val_accuracy > _bound(chance, validated) or epoch.accuracy > _bound(chance, trained)
        if is_above or epoch.loss < LEARNING_LOSS * math.log(classes):
            return None
    message = f"at chance ({chance:.2g}) in training and validation in all its {len(epochs)} epochs"
    return Stop(StopReason.AT_CHANCE, message)


def _bound(chance: float, images: int) -> float:
    return chance + SURE_ERRORS * math.sqrt(chance * (1 - chance) / images)


def _count(fact: Fact) -> int:
    return fact if isinstance(fact, int) and not isinstance(fact, bool) and fact > 0 else 0
