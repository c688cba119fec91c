"""Tells a validation accuracy that the test accuracy contradicts.

Validation and test images are drawn alike, so that both accuracies should agree within chance and a little optimism. A
model that is right on nine of ten validation images and on one of a hundred test images was not measured on what it
was said to be: the split leaked, the labels were shuffled, or another model was tested.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from greenopt.formatting import format_fraction
from greenopt.spec import DataSet, Setting, StudySpec

FAR = 0.05
"""Difference of accuracies that is far, as a fraction, if it lies beyond chance."""
FAR_RATIO = 2.0
"""How many times the test accuracy is far, if it lies beyond chance, however small the difference."""
BEYOND_CHANCE = 5.0
"""Standard errors of the difference (two-proportion z) beyond which it is no chance."""
FAR_WITHOUT_SIZES = 0.2
"""Difference that is far where it is not known how many images were tested."""
MARK_TEXT = "!: validation accuracy is far above test accuracy; do not trust it before it is explained"
_IMAGES = {DataSet.CIFAR10: 60_000, DataSet.CIFAR100: 60_000, DataSet.DIGITS: 1797, DataSet.SYNTHETIC: 10_000}


def is_far_above_test(accuracy: float, test_accuracy: float, sizes: tuple[int, int] | None = None) -> bool:
    """Return whether a validation accuracy is far above the test accuracy.

    Args:
        accuracy: on the validation part, 0..1.
        test_accuracy: on the test part.
        sizes: images of the validation and of the test part, where known.
    """
    gap = accuracy - test_accuracy
    if sizes is None:
        return gap > FAR_WITHOUT_SIZES
    pooled = (accuracy * sizes[0] + test_accuracy * sizes[1]) / sum(sizes)
    error = math.sqrt(max(pooled * (1 - pooled), 0.0) * (1 / sizes[0] + 1 / sizes[1]))
    return (gap > FAR or accuracy > FAR_RATIO * test_accuracy) and gap > BEYOND_CHANCE * error


def part_sizes(spec: StudySpec, row: Mapping[Any, Any]) -> tuple[int, int] | None:
    """Return how many images a trial's validation and test part have; None where the study does not say."""
    if spec.data is None or spec.space.own:
        return None
    if spec.data.name not in _IMAGES:
        # They may have parts of their own, which the study does not tell.
        return None
    images = spec.data.images or _IMAGES[spec.data.name]
    partitioning = row.get("partitioning")
    if not isinstance(partitioning, str):
        return None
    _, validation, test = _shares(partitioning)
    return max(1, images * validation // 100), max(1, images * test // 100)


@lru_cache(maxsize=256)
def _shares(partitioning: str) -> tuple[int, int, int]:
    return Setting(partitioning=partitioning).shares


def accuracy_caution(spec: StudySpec, row: Mapping[Any, Any]) -> str:
    """Return the caution that a trial's accuracy needs, as a clause; empty where it needs none.

    Args:
        spec: the study.
        row: the trial's setting and figures.
    """
    accuracy, test = row.get("accuracy"), row.get("test_accuracy")
    if accuracy is None or test is None or accuracy != accuracy or test != test:
        return ""
    if not is_far_above_test(float(accuracy), float(test), part_sizes(spec, row)):
        return ""
    return (
        f"validation accuracy {format_fraction(float(accuracy))} is far above test accuracy "
        f"{format_fraction(float(test))}: do not trust it before it is explained"
    )


def marked_accuracy(spec: StudySpec, row: Mapping[str, Any]) -> str:
    """Format a trial's accuracy for a table: `0.928!` where it needs the caution (`MARK_TEXT`)."""
    return mark(row.get("accuracy"), is_doubtful=bool(accuracy_caution(spec, row)))


def mark(accuracy: float | None, *, is_doubtful: bool) -> str:
    """Format an accuracy, with the mark where it is doubtful."""
    return f"{format_fraction(accuracy)}{'!' if is_doubtful else ''}"


def doubtful_trials(spec: StudySpec, rows: Iterable[Mapping[Any, Any]]) -> tuple[int, ...]:
    """Return the numbers of the trials whose accuracy needs the caution."""
    return tuple(int(row["trial"]) for row in rows if accuracy_caution(spec, row))
